"""What a table for a paper is made of, before it is LaTeX, Markdown or CSV.

One rule of rounding: percentages and percentage points have one decimal, and so have the limits of their intervals and
their standard deviations; normalised fidelity, scores from 0 to 1 and slopes have two, divergences three; p-values are
those of `formatting.p_value`. CSV files have the numbers as they were computed.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from typing import Any, Literal

import pandas as pd

from kdscope.results import formatting
from kdscope.results.formatting import MISSING, fixed, is_missing, percent, points

BETTER, WORSE = "*", "†"
"""Marks of a gain or loss that is established; captions say how."""


@dataclass(frozen=True)
class Column:
    """A column: its heading, and whether it holds words, numbers (set flush right) or sentences (broken into lines)."""

    head: str
    kind: Literal["text", "number", "prose"] = "number"


@dataclass(frozen=True)
class Value:
    """One entry: what is read, its interval, its mark, and whether it is set in bold."""

    text: str
    interval: str = ""
    mark: str = ""
    bold: bool = False


@dataclass(frozen=True, eq=False)
class PaperTable:
    """A table as a paper has it.

    Attributes:
        key: File name and label; not from a study.
        title: What it shows.
        notes: How to read it, a sentence each.
        columns: Its columns; the first `names` of them say what a row is about.
        rows: Its entries; neighbours with the same first entry belong together.
        names: How many columns name a row.
        data: The numbers behind it, not rounded; may have more rows and columns.
    """

    key: str
    title: str
    notes: tuple[str, ...]
    columns: tuple[Column, ...]
    rows: tuple[tuple[Value, ...], ...]
    names: int
    data: pd.DataFrame = field(repr=False)

    def __post_init__(self) -> None:
        if any(len(row) != len(self.columns) for row in self.rows):
            raise ValueError(f"table '{self.key}': a row does not have {len(self.columns)} entries")


def text(value: Any) -> Value:
    """A name, or a dash."""
    return Value(MISSING if is_missing(value) or value == "" else str(value))


def texts(*heads: str) -> tuple[Column, ...]:
    """Columns of words."""
    return tuple(Column(head, "text") for head in heads)


def numbers(*heads: str) -> tuple[Column, ...]:
    """Columns of numbers."""
    return tuple(Column(head) for head in heads)


def estimate(values: Sequence[Any], show: Callable[[Any], str], *, mark: str = "", bold: bool = False) -> Value:
    """A value, its lower and its upper limit, all shown alike; without limits the value alone.

    >>> estimate((0.3119, 0.2712, 0.3563), percent).interval
    '[27.1, 35.6]'
    """
    value, low, high = values
    if is_missing(value):
        return Value(MISSING)
    limits = "" if is_missing(low) or is_missing(high) else f"[{show(low)}, {show(high)}]"
    return Value(show(value), limits, mark, bold)


def share(row: Any, *columns: str) -> Value:
    """The percentage in a column of a row, with the limits in two others where they are named."""
    return estimate(_three(row, columns), percent)


def gain(row: Any, *columns: str, mark: str = "", bold: bool = False) -> Value:
    """The percentage points in a column of a row, with the limits in two others where they are named."""
    return estimate(_three(row, columns), points, mark=mark, bold=bold)


def number(value: Any, decimals: int = 0) -> Value:
    """A number with thousands separators.

    >>> number(1234567).text, number(None).text, number(-0.5, 2).text
    ('1,234,567', '–', '−0.50')
    """
    if is_missing(value):
        return Value(MISSING)
    return Value(f"{value:,.{decimals}f}".replace("-", "\u2212") if value < 0 else f"{value:,.{decimals}f}")


def decimal(value: Any) -> Value:
    """A number with two decimals and a true minus sign."""
    return Value(fixed(value, 2))


def p_value(value: Any) -> Value:
    """A p-value as papers print it."""
    return Value(formatting.p_value(value))


def _three(row: Any, columns: Sequence[str]) -> tuple[Any, Any, Any]:
    value, *limits = (row[column] for column in columns)
    low, high = limits or (None, None)
    return value, low, high
