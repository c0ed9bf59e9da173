"""Limit of a page's size in bytes: what is read most comes first, and what finds no room is not even drawn.

In this order: the text with the first rows of every table, the figures, the other rows, the figures under the other
scoring, the panels of single tasks, the files of figures as SVG and CSV, and as PDF.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, fields, is_dataclass, replace
from typing import Any, TypeVar, cast

from markupsafe import Markup

from kdscope.figures.drawing import ShownFigure
from kdscope.report.facts import PageFacts
from kdscope.results.formatting import plural
from kdscope.results.table import Table

T = TypeVar("T")

LIMIT = 6_000_000
"""Bytes of a page."""
_TEXT = 1 / 3
"""The share of a page that text and tables have before the figures are drawn."""
_SENTENCE = 2_000
"""Bytes that are kept for telling what is left out."""
_CUT = " … (cut)"


@dataclass(frozen=True)
class Bounds:
    """The most that is told.

    Attributes:
        rows: Of a table; None for all of them.
        entries: Of a list.
        letters: Of an entry of a list, and of a name in a table.
        stages: Of the list of stages.
        document: Letters of the study's own text.
        choices: Whether the page offers a choice of students, methods and tasks.
    """

    rows: int | None = None
    entries: int = 300
    letters: int = 2_000
    stages: int = 2_000
    document: int = 60_000
    choices: bool = True

    def cut(self, text: str, most: int | None = None) -> str:
        """The text, or its beginning.

        >>> Bounds(letters=5).cut("seven letters")
        'seven … (cut)'
        """
        most = self.letters if most is None else most
        return text if len(text) <= most else text[:most].rstrip() + _CUT

    def listed(self, parts: Sequence[str]) -> list[str]:
        """The entries of a list, the last of them telling how many are left out.

        >>> Bounds(entries=2).listed(["a", "b", "c", "d"])
        ['a', 'b', 'and 2 more']
        """
        more = [f"and {len(parts) - self.entries:,} more"] if len(parts) > self.entries else []
        return [*(self.cut(part) for part in parts[: self.entries]), *more]

    def pairs(self, pairs: Iterable[tuple[str, str]], most: int | None = None) -> list[tuple[str, str]]:
        """Names and what belongs to them, likewise."""
        pairs, most = list(pairs), self.entries if most is None else most
        more = [("…", f"and {len(pairs) - most:,} more")] if len(pairs) > most else []
        return [*((self.cut(str(name)), self.cut(str(value))) for name, value in pairs[:most]), *more]

    def shortened(self, value: T) -> T:
        """The value with all of its texts cut and all of its lists ended, also within dataclasses; markup stays."""
        short: Any = value
        if isinstance(value, str):
            short = value if isinstance(value, Markup) else self.cut(value)
        elif isinstance(value, Mapping):
            short = dict(self.pairs(value.items()))
        elif isinstance(value, Sequence):
            of_texts = all(isinstance(part, str) for part in value)
            short = tuple(self.listed(value) if of_texts else map(self.shortened, value[: self.entries]))
        elif is_dataclass(value) and not isinstance(value, type):
            short = replace(value, **{part.name: self.shortened(getattr(value, part.name)) for part in fields(value)})
        return cast("T", short)

    def facts(self, facts: PageFacts) -> PageFacts:
        """The facts, with more room for the study's own texts; failures are told with those of the cells."""
        return replace(
            self.shortened(replace(facts, failures=())),
            name=self.cut(facts.name, 300),
            description=self.cut(facts.description, 5 * self.letters),
            study_yaml=self.cut(facts.study_yaml, self.document),
            stages=dict(self.pairs(facts.stages.items(), self.stages)),
        )

    def table(self, table: Table) -> Table:
        """The first rows of a table, and where the others are."""
        if self.rows is None or len(table.rows) <= self.rows:
            return table
        if not self.rows:
            empty = f"Left out of this page: all rows are in {table.source}.csv."
            return replace(table, rows=(), columns=(), empty=empty)
        note = f"Here are the first {self.rows:,} of {len(table.rows):,} rows; all of them:"
        return replace(table, rows=table.rows[: self.rows], notes=(*table.notes, note))


WIDEST, NARROWEST = Bounds(), Bounds(0, entries=20, letters=300, stages=20, document=3_000, choices=False)
BOUNDS = (WIDEST, *(Bounds(rows) for rows in (400, 200, 100, 50, 20)), NARROWEST)
"""From all rows of tables to none; the last one keeps any page below half a megabyte before it has a figure."""

Render = Callable[[Bounds, str], str]
"""The page with what its figures hold by now, cut by bounds, and with a sentence on what is left out."""


@dataclass(frozen=True)
class Parts:
    """The figures of a page, those of the other scoring apart."""

    figures: Sequence[ShownFigure]
    others: Sequence[ShownFigure]

    @property
    def all(self) -> tuple[ShownFigure, ...]:
        """All figures."""
        return (*self.figures, *self.others)


def fitted(parts: Parts, render: Render, limit: int, tables: str) -> str:
    """The page below the limit, or the smallest there is; figures are drawn on the way.

    Args:
        parts: The figures, not drawn yet.
        render: Writes the page.
        limit: In bytes.
        tables: Where all numbers are, for the reader.
    """

    def size(bounds: Bounds) -> int:
        return _bytes(render(bounds, "")) + _SENTENCE

    bounds = next((candidate for candidate in BOUNDS if size(candidate) <= _TEXT * limit), BOUNDS[-1])
    room = _draw(parts.figures, limit - size(bounds))
    if bounds is not WIDEST:
        bounds = next(
            candidate
            for candidate in BOUNDS
            if candidate is BOUNDS[-1] or candidate is bounds or size(candidate) <= limit
        )
        room = limit - size(bounds)
    if bounds is WIDEST:
        _fill(parts, room)
    html = render(bounds, left_out(parts, bounds, limit, tables))
    while _bytes(html) > limit and _take_back(parts):
        html = render(bounds, left_out(parts, bounds, limit, tables))
    return html


def _draw(figures: Sequence[ShownFigure], room: int) -> int:
    """Every figure has a share of the room, the first ones a larger; what some leave free the others have in order."""
    for place, figure in enumerate(figures):
        room -= figure.draw(2 * room // (len(figures) - place + 1))
    for figure in figures:
        room -= figure.draw(room) if figure.waiting else 0
    return room


def _fill(parts: Parts, room: int) -> None:
    """Adds what is read less, each kind only if all that is read more is there."""
    if any(figure.waiting for figure in parts.figures):
        return
    room = _draw(parts.others, room)
    if any(figure.waiting for figure in parts.others):
        return
    drawn = [figure for figure in parts.all if figure.common]
    for figure in drawn:
        room -= figure.draw_single_tasks(room)
    if any(figure.figure.variants and not figure.single for figure in drawn):
        return
    for figure in drawn:
        room -= figure.pack(room)
    if all(figure.packed for figure in drawn):
        for figure in drawn:
            room -= figure.print_pdf(room)


def _take_back(parts: Parts) -> bool:
    """Takes away what is read least; False if no figure is left."""
    for name in ("pdf", "packed", "single", "common"):
        for figure in reversed(parts.all):
            if getattr(figure, name):
                setattr(figure, name, getattr(figure, name)[:-1])
                return True
    return False


def left_out(parts: Parts, bounds: Bounds, limit: int, tables: str) -> str:
    """What the page does not have, and where it is, in a sentence or two; nothing if it has everything."""
    drawn = [figure for figure in parts.all if figure.common]
    absent = [figure.figure.title for figure in parts.figures if figure.waiting and not figure.common]
    cut = sum(figure.missing for figure in parts.figures if figure.common and figure.waiting)
    candidates = [
        "lists and long texts beyond their beginnings, and all tables" if not bounds.choices else "",
        f"rows of tables beyond the first {bounds.rows}" if bounds.rows else "",
        f"the figures “{'”, “'.join(absent)}”" if absent else "",
        f"{plural(cut, 'panel')} of other figures" if cut and absent else f"{plural(cut, 'panel')}" if cut else "",
        "figures under the other scoring" if any(figure.waiting for figure in parts.others) else "",
        "panels of single tasks" if any(f.figure.variants and not f.single for f in drawn) else "",
        "figures as SVG and CSV files" if not all(figure.packed for figure in drawn) else "",
        "figures as PDF files" if not all(figure.pdf for figure in drawn) else "",
    ]
    said = [part for part in candidates if part]
    if not said:
        return ""
    return (
        f"To stay below {limit / 1e6:g} MB, this page leaves out: {'; '.join(said)}. Every number is in {tables}, as "
        "CSV and parquet."
    )


def _bytes(html: str) -> int:
    return len(html.encode("utf-8", "xmlcharrefreplace"))
