"""A task as it is declared in YAML: the values of the file become a `Task`, and everything wrong with them is told.

The built-in tasks (`library/*.yaml`) and a person's own are written alike. A folder of the latter is read in
`definitions`, which gives problems their lines.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, TypeVar, get_args

from kdscope.answers import ANSWER_KINDS
from kdscope.core.characters import problem_of_name
from kdscope.core.errors import DataError
from kdscope.core.files import path_trouble
from kdscope.tasks.mapping import FieldMapping
from kdscope.tasks.sources import HubDataset, RepositoryFile, Source
from kdscope.tasks.task import Domain, Task
from kdscope.tasks.template import list_templates

LIBRARY = Path(__file__).parent / "library"
Location = tuple[str | int, ...]
_Made = TypeVar("_Made")

_KEYS = (
    "name", "answer", "labels", "chance", "domain", "file", "fields", "template", "licence", "citation",
    "description", "aliases", "test_items", "sources", "train_sources",
)  # fmt: skip
_SHOWN_KEYS = ("labels", "aliases", "licence", "citation", "description")
_MOST = 10**9
"""Rows of a task."""
_PATTERN_KEYS = ("instruction", "input", "output", "answer", "option", "separator", "label")
_FILE_KEYS = ("repository", "commit", "path", "git_blob")
_HUB_KEYS = ("dataset_id", "config", "split", "revision", "file")
_OPTIONAL = ("git_blob", "config", "revision", "file")


def load_library(name: str) -> Any:
    """The values of a YAML file of the library, without its suffix."""
    import yaml

    loader = getattr(yaml, "CSafeLoader", yaml.SafeLoader)  # in C, 20 files take 10 ms rather than 150
    return yaml.load((LIBRARY / f"{name}.yaml").read_text(encoding="utf-8"), Loader=loader)  # noqa: S506 (both are safe)


def built_in_task(name: str) -> Task:
    """The task that a file of the library declares."""
    declaration = Declaration(load_library(name))
    task = declaration.task()
    if task is None:
        raise DataError(f"library/{name}.yaml: {declaration.problems}")
    return task


@dataclass
class Declaration:
    """Reads values, and gathers what is wrong with them.

    Attributes:
        values: What the YAML says.
        folder: The folder of the file: paths are relative to it.
        place: Where in the file the values stand.
        problems: What is wrong, and where.
    """

    values: Mapping[str, Any]
    folder: Path = LIBRARY
    place: Location = ()
    problems: list[tuple[Location, str]] = field(default_factory=list)

    def task(self) -> Task | None:
        """The task, or None where there are problems."""
        self._refuse_unknown(_KEYS)
        kind = self._choice("answer", tuple(ANSWER_KINDS), None)
        labels = self._labels(kind)
        values: dict[str, Any] = {
            "name": self._text("name", required=True),
            "domain": self._choice("domain", get_args(Domain), ANSWER_KINDS[kind].domain if kind else "math"),
            "answer_kind": kind,
            "labels": labels,
            "chance": self._chance(labels),
            "test_items": self._count("test_items"),
            "citation": self._text("citation") or "not stated",
            "licence": self._text("licence") or "not stated",
            "description": self._text("description") or "",
            "aliases": self._texts("aliases"),
            "sources": self.sources("sources"),
            "train_sources": self.sources("train_sources"),
            "file": self._file(),
            "fields": self._fields(),
            "template": self._template(),
        }
        return None if self.problems else self._checked(lambda: Task(**values))

    def sources(self, key: str) -> tuple[Source, ...]:
        """The sources that a key lists: files of repositories, or datasets of the hub."""
        value = self.values.get(key, [])
        if not isinstance(value, list) or not all(isinstance(part, dict) for part in value):
            self._problem(key, "expected a list of sources, each a mapping (key: value)")
            return ()
        made = [self._inside(part, key, number)._source() for number, part in enumerate(value)]
        return tuple(source for source in made if source is not None)

    def _labels(self, kind: str | None) -> tuple[str, ...]:
        labels = self._texts("labels")
        if kind is None:
            return labels
        answers = ANSWER_KINDS[kind]
        if not answers.label_form and labels:
            self._problem("labels", f"a task whose answer is a {kind} has no labels")
        if answers.label_form and not labels and not answers.default_labels:
            self._problem("labels", f"a task whose answer is a {kind} lists its labels")
        return labels or answers.default_labels

    def _chance(self, labels: Sequence[str]) -> float:
        value = self.values.get("chance", 1 / len(labels) if labels else 0.0)
        if isinstance(value, bool) or not isinstance(value, (int, float)) or not 0 <= value < 1:
            self._problem("chance", "expected a number from 0 to below 1")
            return 0.0
        return float(value)

    def _count(self, key: str) -> int | None:
        value = self.values.get(key)
        if value is not None and (isinstance(value, bool) or not isinstance(value, int) or not 0 < value <= _MOST):
            self._problem(key, f"expected a whole number from 1 to {_MOST}")
            return None
        return value

    def _file(self) -> Path | None:
        text = self._text("file", required="test_items" not in self.values)
        if text is None:
            return None
        file = self.folder / text
        if path_trouble(file) is not None or not file.is_file():
            self._problem("file", f"no such file: {file}")
        return file

    def _template(self) -> str | None:
        known = [template.name for template in list_templates()]
        return self._choice("template", known, None) if "template" in self.values else None

    def _source(self) -> Source | None:
        kind, keys = (RepositoryFile, _FILE_KEYS) if "repository" in self.values else (HubDataset, _HUB_KEYS)
        self._refuse_unknown((*keys, "fields"))
        made: dict[str, Any] = {key: self._text(key, required=key not in _OPTIONAL) for key in keys}
        made["fields"] = self._fields() or (FieldMapping() if kind is HubDataset else None)
        return None if self.problems else self._checked(lambda: kind(**made))

    def _fields(self) -> FieldMapping | None:
        values = self.values.get("fields")
        if values is None:
            return None
        if not isinstance(values, dict):
            self._problem("fields", "expected a mapping (key: value)")
            return None
        inner = self._inside(values, "fields")
        inner._refuse_unknown((*_PATTERN_KEYS, "options", "answers"))
        made: dict[str, Any] = {key: inner._text(key) for key in _PATTERN_KEYS if key in values}
        if "options" in values:
            made["options"] = inner._texts("options")
        if "answers" in values:
            made["answers"] = inner._pairs("answers")
        return None if self.problems else inner._checked(lambda: FieldMapping(**made))

    def _inside(self, values: Mapping[str, Any], *place: str | int) -> Declaration:
        """A reader of values further inside, whose problems are problems here."""
        return Declaration(values, self.folder, (*self.place, *place), self.problems)

    def _checked(self, make: Callable[[], _Made]) -> _Made | None:
        try:
            return make()
        except DataError as error:
            message = str(error).removeprefix(f"{error.key}: ")
            # A task names itself in its errors; what can be wrong with one at this point is its name or its labels.
            key = error.key if self.place else "name" if message.startswith("a name") else "labels"
            self._problem(key, message)
            return None

    def _text(self, key: str, *, required: bool = False) -> str | None:
        value = self.values.get(key)
        if key not in self.values:
            if required:
                self._problem(key, "this key is required")
            return None
        if isinstance(value, str) and (value.strip() or key == "separator"):
            self._check_readable(key, value.replace("\n", " "))
            return value
        self._problem(key, "expected text" + ("; put it in quotes" if isinstance(value, (bool, int, float)) else ""))
        return None

    def _texts(self, key: str) -> tuple[str, ...]:
        value = self.values.get(key, [])
        texts = [_scalar(part) for part in (value if isinstance(value, list) else [value])]
        if any(text is None or not text.strip() for text in texts):
            self._problem(key, "expected a list of texts")
            return ()
        for text in texts:
            self._check_readable(key, text or "")
        return tuple(text for text in texts if text is not None)

    def _check_readable(self, key: str, text: str) -> None:
        """What tables and messages show is a text that people can see; rows of data may be taken apart by anything."""
        if key in _SHOWN_KEYS and (problem := problem_of_name(text)) is not None:
            self._problem(key, problem)

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
        hint = _suggestion(value, choices) if isinstance(value, str) else None
        self._problem(key, f"expected one of {', '.join(choices)}{f'; {hint}' if hint else ''}")
        return default

    def _refuse_unknown(self, known: Sequence[str]) -> None:
        for key in self.values:
            if key not in known:
                self._problem(key, f"unknown key; {_suggestion(key, known) or 'known here: ' + ', '.join(known)}")

    def _problem(self, key: str, message: str) -> None:
        self.problems.append(((*self.place, key), message))


def _suggestion(word: str, known: Sequence[str]) -> str | None:
    from kdscope.study.problems import closest  # what reads studies is imported when something is wrong

    close = closest(word, known)
    return f"did you mean '{close}'?" if close else None


def _scalar(value: Any) -> str | None:
    """A YAML scalar as text: a label may be true, an answer's key 1."""
    if isinstance(value, bool):
        return "true" if value else "false"
    return str(value) if isinstance(value, (str, int, float)) else None
