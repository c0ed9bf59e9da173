"""A task declared in a YAML file, with errors that name line and key."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, TypeVar, get_args

import yaml

from kdscope.answers import AnswerKind
from kdscope.core.errors import DataError, StudyError
from kdscope.study.problems import closest
from kdscope.study.source import Document, Problem, compose, deep_nesting_refused, parse_document, read_text
from kdscope.tasks.mapping import FieldMapping
from kdscope.tasks.task import Domain, Task
from kdscope.tasks.template import list_templates

_KEYS = (
    "name", "answer", "labels", "chance", "domain", "file", "fields", "template", "licence", "citation",
    "description", "aliases",
)  # fmt: skip
_PATTERN_KEYS = ("instruction", "input", "output", "answer", "option", "separator", "label")
_FIELD_KEYS = (*_PATTERN_KEYS, "options", "answers")
_Made = TypeVar("_Made")
_LETTERS = ("A", "B", "C", "D", "E")


def read_yaml_task(file: Path) -> tuple[Task, int | None]:
    """The task of a YAML file, and the line of its name.

    Raises:
        StudyError: The file cannot be read or declares no possible task; all problems, one a line.
    """
    document = _document(file)
    reader = _Reader(document.values, file.resolve().parent, list(document.problems))
    task = reader.task()
    if task is None or reader.problems:
        raise document.source.error(reader.problems)
    return task, document.source.line(("name",))


def _document(file: Path) -> Document:
    text = read_text(file)
    with deep_nesting_refused(file):
        node = compose(text, file)
    if node is None:
        raise StudyError("the file is empty; a task is a mapping of 'key: value' lines", file=file)
    if not isinstance(node, yaml.MappingNode):
        line = node.start_mark.line + 1
        raise StudyError("a task is a mapping of 'key: value' lines, nothing else", file=file, line=line)
    return parse_document(text, file)


@dataclass
class _Reader:
    """Reads values and gathers what is wrong with them."""

    values: Mapping[str, Any]
    folder: Path
    problems: list[Problem] = field(default_factory=list)

    def task(self) -> Task | None:
        self._refuse_unknown(self.values, _KEYS, ())
        kind = self._choice("answer", get_args(AnswerKind), None)
        labels = self._labels(kind)
        values: dict[str, Any] = {
            "name": self._text("name", None),
            "domain": self._choice("domain", get_args(Domain), _domain_of(kind)),
            "answer_kind": kind,
            "labels": labels,
            "chance": self._chance(labels),
            "test_items": None,
            "citation": self._text("citation", "not stated"),
            "licence": self._text("licence", "not stated"),
            "description": self._text("description", ""),
            "aliases": self._texts("aliases"),
            "file": self._file(),
            "fields": self._fields(),
            "template": self._template(),
        }
        if self.problems:
            return None
        return self._checked(lambda: Task(**values), ())

    def _labels(self, kind: str | None) -> tuple[str, ...]:
        labels = self._texts("labels")
        if kind == "letter" and not labels:
            return _LETTERS
        if kind == "label" and not labels:
            self._problem("labels", "a task whose answer is a label lists its labels")
        if kind in ("number", "text") and labels:
            self._problem("labels", f"a task whose answer is a {kind} has no labels")
        return labels

    def _chance(self, labels: Sequence[str]) -> float:
        value = self.values.get("chance", 1 / len(labels) if labels else 0.0)
        if isinstance(value, bool) or not isinstance(value, (int, float)) or not 0 <= value < 1:
            self._problem("chance", "expected a number from 0 to below 1")
            return 0.0
        return float(value)

    def _file(self) -> Path | None:
        text = self._text("file", None)
        if text is None:
            return None
        file = self.folder / text
        if not file.is_file():
            self._problem("file", f"no such file: {file}")
        return file

    def _template(self) -> str | None:
        known = [template.name for template in list_templates()]
        return self._choice("template", known, None) if "template" in self.values else None

    def _fields(self) -> FieldMapping | None:
        values = self.values.get("fields")
        if values is None:
            return None
        if not isinstance(values, dict):
            self._problem("fields", "expected a mapping (key: value)")
            return None
        self._refuse_unknown(values, _FIELD_KEYS, ("fields",))
        inner = _Reader(values, self.folder)
        made: dict[str, Any] = {key: inner._text(key, None) for key in _PATTERN_KEYS if key in values}
        if "options" in values:
            made["options"] = inner._texts("options")
        if "answers" in values:
            made["answers"] = inner._pairs("answers")
        self.problems += [Problem(("fields", *problem.location), problem.message) for problem in inner.problems]
        if self.problems:
            return None
        return self._checked(lambda: FieldMapping(**made), ("fields",))

    def _checked(self, make: Callable[[], _Made], place: tuple[str, ...]) -> _Made | None:
        try:
            return make()
        except DataError as error:
            message = str(error).removeprefix(f"{error.key}: ")
            # A task names itself in its errors; what can be wrong with one at this point is its name or its labels.
            key = error.key if place else "name" if message.startswith("a name") else "labels"
            self.problems.append(Problem((*place, key), message))
            return None

    def _text(self, key: str, default: str | None) -> str | None:
        value = self.values.get(key)
        if key not in self.values:
            if default is None and key in ("name", "file"):
                self._problem(key, "this key is required")
            return default
        if isinstance(value, str) and (value.strip() or key == "separator"):
            return value
        self._problem(key, "expected text" + ("; put it in quotes" if isinstance(value, (bool, int, float)) else ""))
        return default

    def _texts(self, key: str) -> tuple[str, ...]:
        value = self.values.get(key, [])
        listed = value if isinstance(value, list) else [value]
        texts = [_scalar(part) for part in listed]
        if any(text is None or not text.strip() for text in texts):
            self._problem(key, "expected a list of texts")
            return ()
        return tuple(text for text in texts if text is not None)

    def _pairs(self, key: str) -> tuple[tuple[str, str], ...]:
        value = self.values[key]
        if not isinstance(value, dict) or not all(_scalar(meant) for meant in value.values()):
            self._problem(key, "expected a mapping of what the data has to the answer it means")
            return ()
        return tuple((found, _scalar(meant) or "") for found, meant in value.items())

    def _choice(self, key: str, choices: Sequence[str], default: str | None) -> str | None:
        if key not in self.values:
            if default is None:
                self._problem(key, f"this key is required: one of {', '.join(choices)}")
            return default
        value = self.values[key]
        if value in choices:
            return str(value)
        close = closest(value, choices) if isinstance(value, str) else None
        hint = f"; did you mean '{close}'?" if close else ""
        self._problem(key, f"expected one of {', '.join(choices)}{hint}")
        return default

    def _refuse_unknown(self, values: Mapping[str, Any], known: Sequence[str], place: tuple[str, ...]) -> None:
        for key in values:
            if key not in known:
                close = closest(key, known)
                advice = f"did you mean '{close}'?" if close else f"known here: {', '.join(known)}"
                self.problems.append(Problem((*place, key), f"unknown key; {advice}"))

    def _problem(self, key: str, message: str) -> None:
        self.problems.append(Problem((key,), message))


def _domain_of(kind: str | None) -> str:
    return {"number": "math", "text": "instruction"}.get(kind or "", "commonsense")


def _scalar(value: Any) -> str | None:
    """A YAML scalar as text: a label may be true, an answer's key 1."""
    if isinstance(value, bool):
        return "true" if value else "false"
    return str(value) if isinstance(value, (str, int, float)) else None
