"""How the columns of a dataset become a row of this project (the schema of LLM-Adapters, Hu et al. 2023).

A row's texts are patterns: ``{question}`` is a column's text, ``{choices.text}`` something inside a column,
``{context?}`` a column that may be absent, ``{answer:final|float}`` a column's text after two filters, ``{@options}`` a
value that the mapping computes, ``{{`` and ``}}`` are braces.
"""

from __future__ import annotations

import functools
import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from string import Formatter
from types import MappingProxyType

from kdscope.core.errors import DataError

_CALCULATOR_MARK = re.compile(r"<<[^<>]*>>")
_MISSING = object()
_OF_OPTIONS = frozenset({"@options", "@labels"})
_COMPUTED: Mapping[str, frozenset[str]] = {
    "instruction": _OF_OPTIONS,
    "input": _OF_OPTIONS,
    "output": frozenset({"@answer"}),
    "answer": frozenset(),
    "option": frozenset({"@number", "@letter", "@text"}),
    "label": frozenset({"@number", "@letter"}),
}


@dataclass(frozen=True, slots=True)
class FieldMapping:
    r"""A row's four texts as patterns over the columns of a dataset (see the top of this file).

    Attributes:
        instruction: The question. ``{@options}`` and ``{@labels}`` stand for the written options and their names.
        input: More of the question.
        output: The reference response, in which ``{@answer}`` is the answer. A column of several texts, alone in the
            pattern, gives several references.
        answer: The right answer, or what stands for it in the data.
        options: The texts of the options: a pattern each, or the one column that lists them.
        option: How one option is written: ``{@number}`` from 1, ``{@letter}`` from A, and its ``{@text}``.
        separator: What stands between two options.
        label: What one option is called in ``{@labels}``, where names are joined by ``/``.
        answers: Pairs of what the data has and the answer it means; empty where the data has the answer itself.

    Raises:
        DataError: A pattern cannot be read; the key is the attribute.

    >>> fields = FieldMapping("{q}\n{@options}\nAnswer format: {@labels}", answer="{key}", options=("{choices}",),
    ...                       answers=(("0", "answer1"), ("1", "answer2")))
    >>> fields.row({"q": "Which floats?", "choices": ["wood", "iron"], "key": 0})["instruction"]
    'Which floats?\nAnswer1: wood Answer2: iron\nAnswer format: answer1/answer2'
    """

    instruction: str = "{instruction}"
    input: str = ""
    output: str = ""
    answer: str = ""
    options: tuple[str, ...] = ()
    option: str = "Answer{@number}: {@text}"
    separator: str = " "
    label: str = "answer{@number}"
    answers: tuple[tuple[str, str], ...] = ()

    def __post_init__(self) -> None:
        if not self.instruction:
            raise DataError("a row needs an instruction", key="instruction")
        for key, allowed in _COMPUTED.items():
            written = self.options or not allowed <= _OF_OPTIONS
            _check(getattr(self, key), key, allowed if written else frozenset())
        for pattern in self.options:
            _check(pattern, "options", frozenset())
        if len({found for found, _ in self.answers}) < len(self.answers):
            raise DataError("a value is given twice", key="answers")

    def row(self, columns: Mapping[str, object]) -> dict[str, object]:
        """The row with `instruction`, `input`, `output` and `answer`; `output` is a list for several references.

        Raises:
            DataError: A column is missing or of another kind, or an answer is not among `answers`.
        """
        computed = self._computed(columns)
        answer = self._answer(columns)
        return {
            "instruction": render_pattern(self.instruction, columns, computed),
            "input": render_pattern(self.input, columns, computed),
            "output": self._output(columns, answer),
            "answer": answer,
        }

    def _computed(self, columns: Mapping[str, object]) -> dict[str, str]:
        places = [
            {"@number": str(index + 1), "@letter": chr(ord("A") + index), "@text": text}
            for index, text in enumerate(self._option_texts(columns))
        ]
        if not places:
            return {}
        return {
            "@options": self.separator.join(render_pattern(self.option, columns, place) for place in places),
            "@labels": "/".join(render_pattern(self.label, columns, place) for place in places),
        }

    def _option_texts(self, columns: Mapping[str, object]) -> list[str]:
        if len(self.options) != 1:
            return [render_pattern(pattern, columns, {}) for pattern in self.options]
        placeholder = only_column(self.options[0])
        listed = None if placeholder is None else look_up(placeholder.name, columns)
        if placeholder is None or not isinstance(listed, (list, tuple)) or not listed:
            raise DataError("one pattern alone must be a column that lists the options", key="options")
        return [as_text(text, placeholder.name) for text in listed]

    def _answer(self, columns: Mapping[str, object]) -> str:
        found = render_pattern(self.answer, columns, {})
        if not self.answers:
            return found
        meanings = dict(self.answers)
        if found not in meanings:
            raise DataError(f"{found[:40]!r} is none of {', '.join(map(repr, meanings))}", key="answers")
        return meanings[found]

    def _output(self, columns: Mapping[str, object], answer: str) -> str | list[str]:
        placeholder = only_column(self.output) if self.output else None
        if placeholder is not None and not placeholder.filters:
            value = columns.get(placeholder.name)
            if isinstance(value, (list, tuple)):
                return [as_text(text, placeholder.name) for text in value]
        return render_pattern(self.output, columns, {"@answer": answer})


@dataclass(frozen=True, slots=True)
class Placeholder:
    """What stands between two braces.

    Attributes:
        name: The column, or the computed value when it begins with ``@``; empty when only text is left.
        optional: Whether the column may be absent.
        filters: Names of the filters, in the order in which they apply.
    """

    name: str
    optional: bool
    filters: tuple[str, ...]


Part = tuple[str, Placeholder | None]


@functools.lru_cache(maxsize=512)
def parse_pattern(pattern: str) -> tuple[Part, ...]:
    """The pieces of a pattern: plain text, and the placeholder after it.

    Raises:
        DataError: A brace has no partner, or a placeholder names nothing or an unknown filter.
    """
    try:
        pieces = list(Formatter().parse(pattern))
    except ValueError as error:
        raise DataError(f"{pattern!r} is no pattern: {error}; write {{{{ and }}}} for braces themselves") from None
    return tuple(
        (text, None if name is None else _placeholder(name, filters or "", conversion))
        for text, name, filters, conversion in pieces
    )


def render_pattern(pattern: str, columns: Mapping[str, object], computed: Mapping[str, str]) -> str:
    """The pattern with its placeholders filled.

    Raises:
        DataError: A column is missing, or is no text.

    >>> render_pattern("Q: {question:strip} ({about.year})", {"question": " Why? ", "about": {"year": 1999}}, {})
    'Q: Why? (1999)'
    """
    filled = [
        text + ("" if placeholder is None else _fill(placeholder, columns, computed))
        for text, placeholder in parse_pattern(pattern)
    ]
    return "".join(filled)


def only_column(pattern: str) -> Placeholder | None:
    """The placeholder of a pattern that is nothing but one column."""
    parts = parse_pattern(pattern)
    if len(parts) == 1 and parts[0][0] == "" and parts[0][1] is not None:
        return None if parts[0][1].name.startswith("@") else parts[0][1]
    return None


def look_up(name: str, columns: Mapping[str, object]) -> object:
    """A column by its name, or what a dotted name leads to inside one.

    Raises:
        DataError: There is no such column.

    >>> look_up("choices.text", {"choices": [{"text": "a"}, {"text": "b"}]})
    ['a', 'b']
    """
    if name in columns:
        return columns[name]
    value: object = columns
    for part in name.split("."):
        value = _inside(value, part)
        if value is _MISSING:
            known = ", ".join(repr(column) for column in columns) or "none"
            raise DataError(f"no column {name!r} (the row has {known})")
    return value


def as_text(value: object, name: str) -> str:
    """A column's value as text: true and false as such, null as nothing, a number as Python writes it.

    Raises:
        DataError: It is a list or an object.
    """
    if value is None:
        return ""
    if isinstance(value, bool):
        return "true" if value else "false"
    if isinstance(value, (str, int, float)):
        return str(value)
    kind = "a list" if isinstance(value, (list, tuple)) else "an object"
    raise DataError(f"the column {name!r} holds {kind}, not text")


def _check(pattern: str, key: str, allowed: frozenset[str]) -> None:
    try:
        parts = parse_pattern(pattern)
    except DataError as error:
        raise DataError(str(error), key=key) from None
    for _, placeholder in parts:
        name = "" if placeholder is None else placeholder.name
        if name.startswith("@") and name not in allowed:
            known = f"known here: {', '.join(sorted(allowed))}" if allowed else "none can be used here"
            raise DataError(f"there is no computed value {name!r} ({known})", key=key)


def _inside(value: object, part: str) -> object:
    if isinstance(value, Mapping):
        return value.get(part, _MISSING)
    if isinstance(value, (list, tuple)) and value and all(isinstance(item, Mapping) for item in value):
        return [item[part] for item in value] if all(part in item for item in value) else _MISSING
    return _MISSING


def _placeholder(name: str, filters: str, conversion: str | None) -> Placeholder:
    if conversion is not None or not name.strip("?@ "):
        raise DataError("a placeholder names a column, as in {question}")
    names = tuple(part.strip() for part in filters.split("|")) if filters else ()
    unknown = [part for part in names if part not in FILTERS]
    if unknown:
        raise DataError(f"unknown filter {unknown[0]!r} (known: {', '.join(FILTERS)})")
    return Placeholder(name.removesuffix("?"), name.endswith("?"), names)


def _fill(placeholder: Placeholder, columns: Mapping[str, object], computed: Mapping[str, str]) -> str:
    text = _value(placeholder, columns, computed)
    for name in placeholder.filters:
        text = FILTERS[name](text)
    return text


def _value(placeholder: Placeholder, columns: Mapping[str, object], computed: Mapping[str, str]) -> str:
    if placeholder.name.startswith("@"):
        return computed[placeholder.name]
    try:
        return as_text(look_up(placeholder.name, columns), placeholder.name)
    except DataError:
        if placeholder.optional and placeholder.name not in columns:
            return ""
        raise


def _closed(text: str, mark: str) -> str:
    text = text.strip()
    return text if text.endswith(mark) else f"{text}{mark}"


def _as_float(text: str) -> str:
    try:
        return str(float(text.replace(",", "")))
    except ValueError:
        raise DataError(f"{text[:40]!r} is not a number") from None


def _final_number(text: str) -> str:
    """What follows the mark of a GSM8K solution (Cobbe et al. 2021), without thousands separators."""
    return _split_solution(text)[1].replace(",", "")


def _worked_solution(text: str) -> str:
    """A GSM8K solution without its calculator marks, its last line made a sentence."""
    steps, final = _split_solution(text)
    return f"{_CALCULATOR_MARK.sub('', steps)}\nThe answer is {final}."


def _split_solution(text: str) -> tuple[str, str]:
    steps, mark, final = text.rpartition("####")
    if not mark:
        raise DataError("the solution has no '####' before its answer")
    return steps.strip(), final.strip()


FILTERS: Mapping[str, Callable[[str], str]] = MappingProxyType(
    {
        "strip": str.strip,
        "sentence": lambda text: _closed(text, "."),
        "question": lambda text: _closed(text, "?"),
        "float": _as_float,
        "final": _final_number,
        "worked": _worked_solution,
        "spaced": lambda text: text.replace("(", " (").replace(")", ") "),
    }
)
"""What a placeholder may do to a column's text."""
