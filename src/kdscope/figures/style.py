"""The look of all figures: colour and shape of each method's marks (from `results.methods`), text, widths, axes."""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import altair as alt
import numpy as np
import pandas as pd

from kdscope.results.methods import (
    BLUE,
    GREEN,
    GRID,
    INK,
    METHODS,
    MUTED,
    ORANGE,
    PURPLE,
    SKY,
    has_open_marks,
    published_names,
)

TEXT = 13
"""Size of text in figures, in pixels of the page, which shows panels at their own size on a wide screen."""
FULL, HALF = 1116, 548
"""Width of a panel that has the page's column to itself, and of one beside another."""
STEP = 26
"""Height of a row of panels with a named row per cell."""
FONT = "Arial, 'Liberation Sans', Helvetica, sans-serif"

_SPARE = ((SKY, "circle"), (GREEN, "square"), (BLUE, "triangle-up"), (PURPLE, "cross"), (ORANGE, "triangle-down"))


@dataclass(frozen=True)
class LegendEntry:
    """One line of a legend: what it says, and the mark it explains."""

    label: str
    colour: str
    shape: str = "circle"
    filled: bool = True


def method_styles(methods: Sequence[str]) -> dict[str, tuple[str, str]]:
    """Colour and shape of every method, by either name; one not in the catalogue gets a spare pair, in order."""
    known = {name: (method.colour, method.shape) for name, method in METHODS.items() if method.colour}
    known |= {published: known[name] for name, published in published_names().items()}
    unknown = [method for method in dict.fromkeys(methods) if method not in known]
    spare = {method: _SPARE[place % len(_SPARE)] for place, method in enumerate(unknown)}
    return {method: known.get(method) or spare[method] for method in dict.fromkeys(methods)}


def method_legend(methods: Sequence[str]) -> tuple[LegendEntry, ...]:
    """The legend of `method_styles`; the SFT control and untrained models have open marks."""
    styles = method_styles(methods)
    return tuple(LegendEntry(name, *style, filled=not has_open_marks(name)) for name, style in styles.items())


def chart(frame: pd.DataFrame) -> alt.Chart:
    """An empty chart over the frame's rows, embedded in the chart itself whatever their number."""
    values = json.loads(frame.to_json(orient="records", double_precision=12))
    # A chart is copied many times while it is put together; what is in a tuple is not copied with it.
    return alt.Chart(alt.InlineData(values=tuple(values)))


def finish(layers: Sequence[alt.Chart], title: str, width: float, height: int | alt.Step) -> alt.LayerChart:
    """The layers as one panel with the common look; `width` is that of the whole panel, axes and names included."""
    heading = alt.TitleParams(
        text=title, anchor="start", frame="group", fontSize=TEXT + 1, color=INK, offset=10, limit=width - 10
    )
    look = alt.Config(font=FONT, view=alt.ViewConfig(stroke=None), axis=alt.AxisConfig(**_axis_look()))
    panel = alt.LayerChart(layer=list(layers), title=heading, background="transparent", config=look)
    return panel.properties(width=width, height=height, autosize=alt.AutoSizeParams(type="fit-x", contains="padding"))


def panel_width(panels: int) -> int:
    """Of each of so many panels: one has the column, more share it by two."""
    return FULL if panels == 1 else HALF


def row_axis(title: str | None = None, *, gaps: float | None = None) -> alt.Y:
    """The vertical axis of panels with one named row per cell, in the rows' order; `gaps` is the share between rows."""
    axis = alt.Axis(title=title, domain=False, ticks=False, labelLimit=300, labelPadding=6, grid=False)
    if gaps is None:
        return alt.Y("short:N", sort=None, axis=axis)
    return alt.Y("short:N", sort=None, axis=axis, scale=alt.Scale(paddingInner=gaps, paddingOuter=gaps / 2))


def colour() -> alt.Color:
    """Colours are written in the rows."""
    return alt.Color("colour:N", scale=None, legend=None)


def shape() -> alt.Shape:
    """Shapes are written in the rows."""
    return alt.Shape("shape:N", scale=None, legend=None)


def fill() -> alt.Fill:
    """What marks are filled with is written in the rows."""
    return alt.Fill("fill:N", scale=None, legend=None)


def hover() -> alt.Description:
    """What the reader sees when pointing at a mark."""
    return alt.Description("hover:N")


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
    # Values that are equal but for rounding would make an axis of digits that mean nothing.
    margin = 0.08 * (high - low) if high - low > 1e-9 * max(1.0, abs(low), abs(high)) else 1.0
    return [low - margin, high + margin]


def _axis_look() -> dict[str, Any]:
    return {
        "labelColor": MUTED,
        "titleColor": MUTED,
        "titleFontWeight": "normal",
        "labelFontSize": TEXT,
        "titleFontSize": TEXT,
        "gridColor": GRID,
        "domainColor": GRID,
        "tickColor": GRID,
    }
