"""No mark stands where its value is not, whatever the numbers, and text is large enough to be read."""

from __future__ import annotations

from dataclasses import replace

import altair as alt
import numpy as np
import pandas as pd
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from kdscope.figures.catalogue import appendix_figures, main_figures
from kdscope.figures.panels import Figure
from kdscope.figures.style import FULL, TEXT, chart, finish
from kdscope.report import ReportTables
from tests.report.builders import TEACHER, build_tables, designed_tables, only
from tests.report.statistics_builders import measured

from .drawn_positions import drawn, font_sizes, misplaced, size_of

CELLS = [TEACHER, *(f"{s}/{m}" for s in ("tiny", "small") for m in ("sft/s0", "seqkd/teacher/s0", "jsd/teacher/s0"))]


def small_tables() -> ReportTables:
    tables = only(build_tables(), CELLS)
    sizes = tables.cells["student"].map({"tiny": 10_000_000, "small": 80_000_000}).fillna(500_000_000).astype(int)
    cells = tables.cells.assign(parameters=sizes, peak_memory_bytes=2**30, training_seconds=12.5)
    return measured(replace(tables, cells=cells))


def figures(tables: ReportTables) -> list[Figure]:
    return [*main_figures(tables, "robust"), *appendix_figures(tables, "robust")]


def panels(tables: ReportTables) -> list[tuple[str, alt.LayerChart]]:
    return [(f"{figure.key}, {label}", chart) for figure in figures(tables) for label, chart in figure.panels.items()]


def check(tables: ReportTables) -> set[str]:
    seen = set()
    for name, panel in panels(tables):
        compared, wrong = misplaced(panel)
        assert not wrong, (name, wrong[:4])
        if compared:
            seen.add(name.split(",")[0])
    return seen


def shaken(tables: ReportTables, seed: int, scale: float) -> ReportTables:
    """Other numbers in every table that marks are drawn from: some far from the rest, some missing."""
    rng = np.random.default_rng(seed)

    def wild(size: int) -> np.ndarray:
        return scale * rng.standard_t(1.5, size)

    statistics = tables.statistics.copy()
    estimates = wild(len(statistics))
    halves = [np.abs(wild(len(statistics))) for _ in range(2)]
    lows, highs = estimates - halves[0], estimates + halves[1]
    unknown = rng.random(len(statistics)) < 0.15
    for name, values in (("low", lows), ("high", highs), ("low_simultaneous", lows), ("high_simultaneous", highs)):
        statistics[name] = np.where(unknown, np.nan, values)
    statistics["estimate"] = estimates
    gains = tables.gains.copy()
    gain = np.clip(rng.normal(0, 0.3, len(gains)), -1, 1)
    half = np.abs(rng.normal(0, 0.3, len(gains)))
    gains = gains.assign(gain=gain, low=np.clip(gain - half, -1, 1), high=np.clip(gain + half, -1, 1))
    gains.loc[rng.random(len(gains)) < 0.15, ["low", "high"]] = np.nan
    training = tables.training.copy()
    training["validation_loss"] *= np.exp(wild(len(training)).clip(-3, 3))
    cells = tables.cells.assign(training_seconds=np.exp(rng.uniform(-2, 12, len(tables.cells))))
    return replace(tables, statistics=statistics, gains=gains, training=training, cells=cells)


@pytest.fixture(scope="module")
def tables() -> ReportTables:
    return small_tables()


def test_every_figure_is_read_back(tables: ReportTables) -> None:
    """So that the checks below are about marks that there are."""
    expected = {"methods", "plane", "gains-robust", "decomposition", "rates", "training", "cost", "size"}
    assert check(tables) >= expected
    assert "temperature" in check(measured(designed_tables()))


@settings(max_examples=6, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(st.integers(0, 2**32 - 1), st.sampled_from([0.01, 5.0, 400.0]))
def test_every_mark_stands_at_its_value(tables: ReportTables, seed: int, scale: float) -> None:
    check(shaken(tables, seed, scale))


def test_a_clipped_mark_would_be_noticed() -> None:
    rows = pd.DataFrame({"value": [-1.67, 0.5], "drawn": [-1.5, 0.5], "short": ["a", "b"]})
    axis = {"scale": alt.Scale(domain=[-1.5, 1.5], nice=False), "title": "x"}
    honest = chart(rows).mark_point().encode(x=alt.X("value:Q", **axis), y=alt.Y("short:N", axis=alt.Axis()))
    clamped = (
        chart(rows)
        .mark_point()
        .encode(
            x=alt.X("value:Q", scale=alt.Scale(domain=[-1.5, 1.5], nice=False, clamp=True), title="x"),
            y=alt.Y("short:N", axis=alt.Axis()),
        )
    )
    assert misplaced(finish([honest], "", FULL, 60))[1] == []
    assert misplaced(finish([clamped], "", FULL, 60))[1]


def test_no_scale_clamps_and_no_mark_is_clipped(tables: ReportTables) -> None:
    for name, panel in panels(tables):
        assert '"clamp"' not in panel.to_json(), name
        assert '"clip"' not in panel.to_json(), name


@pytest.mark.parametrize("scope", ["runs", "checkpoints"])
def test_text_of_figures_has_at_least_thirteen_pixels(tables: ReportTables, scope: str) -> None:
    for name, panel in panels(measured(tables, scope)):
        root = drawn(panel)
        assert min(font_sizes(root)) >= TEXT, name
        assert size_of(root)[0] <= FULL + 4, "a wider one would be scrolled"


def test_figures_use_the_width_of_the_column(tables: ReportTables) -> None:
    """A single panel has it alone, others share it by two."""
    for figure in figures(tables):
        widths = [size_of(drawn(panel))[0] for panel in figure.panels.values()]
        for width in widths:
            assert width >= (FULL if len(widths) == 1 else FULL / 2 - 14) - 2, figure.key
