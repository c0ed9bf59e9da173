"""What every figure is made of: its rows with the names of their cells, its panels, and its words."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field

import altair as alt
import numpy as np
import pandas as pd

from kdscope.report.style import LegendEntry, chart, method_legend, method_styles
from kdscope.results.methods import has_open_marks
from kdscope.results.palette import MUTED

_HOLLOW = LegendEntry("hollow: teacher not adapted", MUTED, filled=False)
_MOST_ROWS = 40
"""Cells in one panel with a row per cell: as many as a screen shows."""


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
    panels: Mapping[str, alt.LayerChart] = field(default_factory=dict)
    legend: tuple[LegendEntry, ...] = ()
    variants: Mapping[str, Mapping[str, alt.LayerChart]] = field(default_factory=dict)
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
    is_open = rows["method"].map(has_open_marks) | rows["unadapted"].astype(bool)
    return rows.assign(
        colour=colours,
        shape=[styles[method][1] for method in rows["method"]],
        fill=np.where(is_open, "transparent", np.array(colours, dtype=object)),
    )


def marks_legend(rows: pd.DataFrame) -> tuple[LegendEntry, ...]:
    """The legend of `with_method_style`, for the marks that these rows have."""
    hollow = (_HOLLOW,) if rows["unadapted"].astype(bool).any() else ()
    return (*method_legend(list(rows["method"])), *hollow)


def reference_line(*, x: float | None = None, y: float | None = None) -> alt.Chart:
    """A dashed line across the panel at a horizontal or a vertical position."""
    mark = chart(pd.DataFrame({"at": [y if x is None else x]})).mark_rule(color=MUTED, strokeDash=[4, 3], strokeWidth=1)
    near = alt.Scale(zero=False)
    line: alt.Chart = (
        mark.encode(x=alt.X("at:Q", scale=near)) if y is None else mark.encode(y=alt.Y("at:Q", scale=near))
    )
    return line


def padded(values: np.ndarray, including: float | None = None) -> list[float]:
    """Lowest and highest finite value with a margin; `including` is kept in view."""
    known = values[np.isfinite(values)]
    known = known if including is None else np.append(known, including)
    if not len(known):
        return [0.0, 1.0]
    low, high = float(known.min()), float(known.max())
    margin = 0.08 * (high - low) or 1.0
    return [low - margin, high + margin]
