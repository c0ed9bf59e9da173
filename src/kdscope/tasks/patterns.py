"""Patterns: text with placeholders for columns, the language in which field mappings are written.

``{question}`` is a column's text, ``{choices.text}`` something inside a column, ``{context?}`` a column that may be
absent, ``{answer:final|float}`` a column's text after two filters, ``{@options}`` a value that the mapping computes,
``{{`` and ``}}`` are braces.
"""

from __future__ import annotations

import functools
import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from string import Formatter

from kdscope.core.errors import DataError

_CALCULATOR_MARK = re.compile(r"<<[^<>]*>>")


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


def filter_names() -> tuple[str, ...]:
    """The filters that a placeholder may use."""
    return tuple(_filters())


_MISSING = object()


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
    unknown = [part for part in names if part not in _filters()]
    if unknown:
        raise DataError(f"unknown filter {unknown[0]!r} (known: {', '.join(_filters())})")
    return Placeholder(name.removesuffix("?"), name.endswith("?"), names)


def _fill(placeholder: Placeholder, columns: Mapping[str, object], computed: Mapping[str, str]) -> str:
    text = _value(placeholder, columns, computed)
    for name in placeholder.filters:
        text = _filters()[name](text)
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


@functools.cache
def _filters() -> Mapping[str, Callable[[str], str]]:
    return {
        "strip": str.strip,
        "sentence": lambda text: _closed(text, "."),
        "question": lambda text: _closed(text, "?"),
        "float": _as_float,
        "final": _final_number,
        "worked": _worked_solution,
        "spaced": lambda text: text.replace("(", " (").replace(")", ") "),
    }


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
