"""A table as it is shown: columns, cells with their intervals and marks, and notes on how to read it.

The page (HTML), papers (LaTeX by `report.paper`, Markdown by `results.markdown`, CSV) and the terminal show the same
`Table`. One rule of rounding: percentages and percentage points have one decimal, and so have the limits of their
intervals and their standard deviations; other measures have the decimals of the catalogue of measures, p-values those
of `formatting.p_value`. CSV files have the numbers as they were computed.
"""

from __future__ import annotations

from collections.abc import Callable, Collection, Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from functools import cached_property
from typing import TYPE_CHECKING, Any, Literal, TypeAlias

from kdscope.core.characters import plain_line
from kdscope.results import csv_cells, formatting
from kdscope.results.formatting import MISSING, fixed, is_missing, percent, points

if TYPE_CHECKING:
    import pandas as pd

Kind = Literal["text", "number", "prose"]
Row: TypeAlias = Mapping[str, Any]


@dataclass(frozen=True)
class TableCell:
    """One entry.

    Attributes:
        text: What is read.
        interval: The limits beside it, in brackets.
        mark: A sign that a note explains.
        bold: Whether it is set in bold.
        value: What it is sorted by where that is a number.
        flagged: Whether it deserves a second look.
    """

    text: str
    interval: str = ""
    mark: str = ""
    bold: bool = False
    value: float | None = None
    flagged: bool = False

    @property
    def shown(self) -> str:
        """Text, mark and interval on one line."""
        return f"{self.text}{self.mark} {self.interval}" if self.interval else self.text + self.mark

    @property
    def sort(self) -> str:
        """The number it is sorted by, exactly; empty for words."""
        return "" if self.value is None else repr(self.value)


@dataclass(frozen=True)
class TableColumn:
    """A column: its heading, what it holds, and how a record's cell in it is made.

    Numbers are set flush right, prose is broken into lines.
    """

    heading: str
    kind: Kind = "number"
    show: Callable[[Row], TableCell] = field(default=lambda row: TableCell(""), compare=False, repr=False)


@dataclass(frozen=True, eq=False)
class Table:
    """A table as it is shown.

    Attributes:
        key: File name and label; not from a study.
        title: What it shows.
        columns: Its columns; the first `names` of them say what a row is about.
        rows: Its cells; neighbours with the same first cell belong together.
        notes: How to read it, a sentence each.
        names: How many columns name a row.
        data: The numbers behind it, not rounded; may have more rows and columns.
        source: The tidy table it was made from.
        empty: What is said where there are no rows.

    Raises:
        ValueError: A row is longer or shorter than the columns.
    """

    key: str
    title: str
    columns: tuple[TableColumn, ...]
    rows: tuple[tuple[TableCell, ...], ...]
    notes: tuple[str, ...] = ()
    names: int = 1
    data: pd.DataFrame | None = field(default=None, repr=False)
    source: str = ""
    empty: str = ""

    def __post_init__(self) -> None:
        if any(len(row) != len(self.columns) for row in self.rows):
            raise ValueError(f"table '{self.key}': a row does not have {len(self.columns)} entries")

    @classmethod
    def of(cls, rows: Iterable[Row], columns: Sequence[TableColumn], **attributes: Any) -> Table:
        """The table of records, each shown by the columns."""
        cells = tuple(tuple(column.show(row) for column in columns) for row in rows)
        return cls(columns=tuple(columns), rows=cells, **attributes)

    @property
    def headings(self) -> tuple[str, ...]:
        """Of its columns."""
        return tuple(column.heading for column in self.columns)

    @property
    def how_to_read(self) -> str:
        """The notes in one line."""
        return " ".join(note for note in self.notes if note)

    @cached_property
    def text_columns(self) -> frozenset[int]:
        """Columns in which no cell has a number to sort by."""
        numeric = {place for row in self.rows for place, cell in enumerate(row) if cell.value is not None}
        return frozenset(range(len(self.columns))) - numeric


def plain_table(headings: Sequence[str], rows: Iterable[Sequence[str]], numeric: Collection[int]) -> Table:
    """A table of texts; `numeric` has the places of the columns that hold numbers.

    >>> print(terminal_text(plain_table(("task", "n"), [("gsm8k", "7"), ("boolq", "120")], numeric={1})))
    task     n
    -----  ---
    gsm8k    7
    boolq  120
    """
    columns = tuple(TableColumn(head, "number" if n in numeric else "text") for n, head in enumerate(headings))
    return Table("", "", columns, tuple(tuple(map(TableCell, row)) for row in rows))


def terminal_text(table: Table) -> str:
    """Columns of text, numbers flush right; a row is one line, in which every character can be seen."""
    headings = [plain_line(heading) for heading in table.headings]
    texts = [[plain_line(cell.shown) for cell in row] for row in table.rows]
    widths = [max(map(len, column)) for column in zip(headings, *texts, strict=True)]
    lines = []
    for row in (headings, ["-" * width for width in widths], *texts):
        cells = zip(row, widths, table.columns, strict=True)
        lines.append("  ".join(c.rjust(w) if of.kind == "number" else c.ljust(w) for c, w, of in cells).rstrip())
    return "\n".join(lines)


def csv_text(table: Table) -> str:
    """The numbers behind a table as CSV, not rounded.

    Raises:
        ValueError: It has none.
    """
    if table.data is None:
        raise ValueError(f"table '{table.key}' has no numbers behind it")
    return csv_cells.csv_text(table.data)


def text(value: Any) -> TableCell:
    """A name, or a dash."""
    return TableCell(MISSING if is_missing(value) or value == "" else str(value))


def number(value: Any, decimals: int = 0) -> TableCell:
    """A number with thousands separators.

    >>> number(1234567).text, number(None).text, number(-0.5, 2).text
    ('1,234,567', '–', '−0.50')
    """
    if is_missing(value):
        return TableCell(MISSING)
    return TableCell(f"{value:,.{decimals}f}".replace("-", "\u2212"), value=float(value))


def decimal(value: Any, decimals: int = 2) -> TableCell:
    """A number with fixed decimals, no separators and a true minus sign."""
    return TableCell(fixed(value, decimals), value=None if is_missing(value) else float(value))


def p_value(value: Any) -> TableCell:
    """A p-value as papers print it."""
    return TableCell(formatting.p_value(value), value=None if is_missing(value) else float(value))


def estimate(values: Iterable[Any], show: Callable[[Any], str], *, mark: str = "", bold: bool = False) -> TableCell:
    """A value, its lower and its upper limit, all shown alike; without limits the value alone.

    >>> estimate((0.3119, 0.2712, 0.3563), percent).shown
    '31.2 [27.1, 35.6]'
    """
    value, low, high = values
    if is_missing(value):
        return TableCell(MISSING)
    limits = "" if is_missing(low) or is_missing(high) else f"[{show(low)}, {show(high)}]"
    return TableCell(show(value), limits, mark, bold, float(value))


def share(row: Row, value: str, low: str = "low", high: str = "high", **set_as: Any) -> TableCell:
    """A share in percent with its limits, from three columns of a record; without limits where it has none."""
    return estimate((row[value], row.get(low), row.get(high)), percent, **set_as)


def gain(row: Row, value: str = "gain", low: str = "low", high: str = "high", **set_as: Any) -> TableCell:
    """A difference of shares in percentage points, likewise."""
    return estimate((row[value], row.get(low), row.get(high)), points, **set_as)


def texts(*headings: str, **keys: str) -> tuple[TableColumn, ...]:
    """Columns of words: what a record has under the heading, with spaces as underscores, or under the key given."""
    return tuple(_keyed(heading, "text", text, keys) for heading in headings)


def numbers(*headings: str, show: Callable[[Any], TableCell] = number, **keys: str) -> tuple[TableColumn, ...]:
    """Columns of numbers, likewise."""
    return tuple(_keyed(heading, "number", show, keys) for heading in headings)


def _keyed(heading: str, kind: Kind, show: Callable[[Any], TableCell], keys: Mapping[str, str]) -> TableColumn:
    plain = heading.replace(" ", "_")
    key = keys.get(plain, plain)
    return TableColumn(heading, kind, lambda row: show(row[key]))
