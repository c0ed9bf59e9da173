"""A page of at most so many bytes: what is read most comes first, and what finds no room is not even drawn.

In this order: the text with the first rows of every table, the figures, the other rows, the figures under the other
scoring, the panels of single tasks, the files of figures as SVG and CSV, and as PDF.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass

from kdscope.report.bounds import BOUNDS, WIDEST, Bounds
from kdscope.report.drawing import ShownFigure
from kdscope.results.formatting import plural

LIMIT = 6_000_000
"""Bytes of a page."""
_TEXT = 1 / 3
"""The share of a page that text and tables have before the figures are drawn."""
_SENTENCE = 2_000
"""Bytes that are kept for telling what is left out."""

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

    bounds = next((one for one in BOUNDS if size(one) <= _TEXT * limit), BOUNDS[-1])
    room = _draw(parts.figures, limit - size(bounds))
    if bounds is not WIDEST:
        bounds = next(one for one in BOUNDS if one is BOUNDS[-1] or one is bounds or size(one) <= limit)
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
        room -= figure.draw(room) if figure.missing else 0
    return room


def _fill(parts: Parts, room: int) -> None:
    """Adds what is read less, each kind only if all that is read more is there."""
    if any(figure.missing for figure in parts.figures):
        return
    room = _draw(parts.others, room)
    if any(figure.missing for figure in parts.others):
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
    absent = [figure.figure.title for figure in parts.figures if figure.missing and not figure.common]
    cut = sum(figure.missing for figure in parts.figures if figure.common)
    found = [
        "lists and long texts beyond their beginnings, and all tables" if not bounds.choices else "",
        f"rows of tables beyond the first {bounds.rows}" if bounds.rows else "",
        f"the figures “{'”, “'.join(absent)}”" if absent else "",
        f"{plural(cut, 'panel')} of other figures" if cut and absent else f"{plural(cut, 'panel')}" if cut else "",
        "figures under the other scoring" if any(figure.missing for figure in parts.others) else "",
        "panels of single tasks" if any(f.figure.variants and not f.single for f in drawn) else "",
        "figures as SVG and CSV files" if not all(figure.packed for figure in drawn) else "",
        "figures as PDF files" if not all(figure.pdf for figure in drawn) else "",
    ]
    told = [part for part in found if part]
    if not told:
        return ""
    return (
        f"To stay below {limit / 1e6:g} MB, this page leaves out: {'; '.join(told)}. Every number is in {tables}, as "
        "CSV and parquet."
    )


def _bytes(html: str) -> int:
    return len(html.encode("utf-8", "xmlcharrefreplace"))
