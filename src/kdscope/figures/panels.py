"""A figure's panels: rows grouped by model, marks in the look of their method, and what each mark is about.

A mark carries the words that a reader sees when pointing at it, and its method, task and place, from which the page's
filters hide it. Both travel through the renderer in the mark's description; `svg.render_svg` takes them apart again.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np
import pandas as pd
from altair.typing import ChartType

from kdscope.core.characters import plain
from kdscope.figures.style import LegendEntry, method_legend, method_styles
from kdscope.results.formatting import is_missing
from kdscope.results.methods import ADAPT, BASE, MUTED, SFT, has_open_marks
from kdscope.results.tables import records

SEPARATOR = "\u241f"
CONTROLS = frozenset({SFT, BASE, ADAPT})
"""Methods that a choice of methods never hides, because everything is compared with them."""
_HOLLOW = LegendEntry("hollow: teacher not adapted", MUTED, filled=False)
_MOST_ROWS = 40
"""Cells in one panel with a row per cell: as many as a screen shows."""


class Panels(Mapping[str, ChartType]):
    """Charts by label, each made when it is asked for: of very many panels a page shows the first ones only."""

    def __init__(self, makers: Mapping[str, Callable[[], ChartType]]) -> None:
        self._makers = makers

    def __getitem__(self, label: str) -> ChartType:
        return self._makers[label]()

    def __iter__(self) -> Iterator[str]:
        return iter(self._makers)

    def __len__(self) -> int:
        return len(self._makers)


@dataclass(frozen=True)
class Figure:
    """A figure: panels that share a reading, their legend, and the reason where there is nothing to show.

    `variants` has the panels of single tasks, by task and label; `students` tells whom a panel is about, by label;
    `data` are the rows behind the marks.
    """

    key: str
    title: str
    how_to_read: str
    empty: str
    panels: Mapping[str, ChartType] = field(default_factory=dict)
    legend: tuple[LegendEntry, ...] = ()
    variants: Mapping[str, Mapping[str, ChartType]] = field(default_factory=dict)
    students: Mapping[str, str] = field(default_factory=dict)
    data: pd.DataFrame = field(default_factory=pd.DataFrame)


def by_model(rows: pd.DataFrame) -> Iterator[tuple[str, pd.DataFrame]]:
    """Rows of one model at a time."""
    for model, part in rows.groupby("model", sort=False):
        yield str(model), part


def by_rows(rows: pd.DataFrame) -> Iterator[tuple[str, pd.DataFrame]]:
    """Rows of one model at a time, for panels with a row per cell: those of a model with very many make several."""
    for model, part in by_model(rows):
        cells = list(dict.fromkeys(part["cell"]))
        pages = -(-len(cells) // _MOST_ROWS)
        each = -(-len(cells) // pages)
        for page in range(pages):
            label = model if pages == 1 else f"{model} ({page + 1} of {pages})"
            yield label, part[part["cell"].isin(cells[page * each : (page + 1) * each])]


def own_panels(rows: pd.DataFrame) -> dict[str, str]:
    """The student that each panel of `by_rows` is about; a teacher's panel is nobody's."""
    return {label: str(part["model"].iloc[0]) for label, part in by_rows(rows) if part["role"].iloc[0] != "teacher"}


def with_method_style(rows: pd.DataFrame) -> pd.DataFrame:
    """The rows with the colour, shape and filling of their method.

    SFT and untrained models are open marks of their own; so are methods whose teacher was left unadapted.
    """
    styles = method_styles(list(rows["method"]))
    colours = [styles[method][0] for method in rows["method"]]
    is_open = rows["method"].map(has_open_marks).astype(bool) | rows["unadapted"].astype(bool)
    return rows.assign(
        colour=colours,
        shape=[styles[method][1] for method in rows["method"]],
        fill=np.where(is_open, "transparent", np.array(colours, dtype=object)),
    )


def marks_legend(rows: pd.DataFrame) -> tuple[LegendEntry, ...]:
    """The legend of `with_method_style`, for the marks that these rows have."""
    hollow = (_HOLLOW,) if rows["unadapted"].astype(bool).any() else ()
    return (*method_legend(list(rows["method"])), *hollow)


def described(
    words: str,
    row: Mapping[str, Any],
    *,
    at_row: int | None = None,
    at_column: int | None = None,
    by_student: bool = False,
) -> str:
    """The words with what the mark is about: its method, its task, and the row and column of the panel it stands in.

    `by_student` for panels that hold several students: the mark then tells its own.
    """
    about: dict[str, str | int] = {"student": plain(str(row["model"]))} if by_student else {}
    if not is_missing(row.get("method")) and row["method"] not in CONTROLS:
        about["method"] = plain(str(row["method"]))
    if not is_missing(row.get("task")) and at_column is not None:
        about["task"] = plain(str(row["task"]))
    about |= {name: place for name, place in (("row", at_row), ("column", at_column)) if place is not None}
    return f"{words.replace(SEPARATOR, ' ')}{SEPARATOR}{json.dumps(about)}"


def taken_apart(description: str) -> tuple[str, dict[str, str]] | None:
    """The words, and what the mark is about; None for what is no such description, whatever names are in it.

    >>> taken_apart(described("3 points", {"method": "kd"}, at_row=2))
    ('3 points', {'method': 'kd', 'row': '2'})
    """
    words, found, about = description.rpartition(SEPARATOR)
    try:
        told = json.loads(about) if found else None
    except ValueError:
        told = None
    return (words, {name: str(value) for name, value in told.items()}) if isinstance(told, dict) else None


def tagged(
    rows: pd.DataFrame, *, in_rows: bool = False, columns: Sequence[str] = (), by_student: bool = False
) -> pd.DataFrame:
    """The rows of a panel with their `hover` words `described`.

    `in_rows` for panels whose vertical axis has a named row per cell; `columns` are the tasks along the horizontal one.
    """
    places = {name: place for place, name in enumerate(dict.fromkeys(rows["short"]))}
    hover = [
        described(
            str(row["hover"]),
            row,
            at_row=places[row["short"]] if in_rows else None,
            at_column=columns.index(row["task"]) if columns else None,
            by_student=by_student,
        )
        for row in records(rows)
    ]
    return rows.assign(hover=hover)
