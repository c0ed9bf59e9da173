"""The list of figures, in the order in which a report shows them: a new figure is a function and an entry here.

The function takes the report's tables and the scoring that its conclusions use, and gives a `Figure`, whose panels are
charts, or None where the study has nothing that the figure is about. `chart_figure` makes an entry of a function that
gives one chart.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import altair as alt
from altair.typing import ChartType

from kdscope.core.catalogue import Catalogue
from kdscope.core.errors import DataError
from kdscope.figures.fidelity import decomposition_figure
from kdscope.figures.gains import gain_fidelity_figure, gain_figure, method_figure
from kdscope.figures.panels import Figure
from kdscope.figures.run import accuracy_figure, cost_figure, rates_figure, training_figure
from kdscope.figures.settings import noise_figure, size_figure, teacher_figure, temperature_figure
from kdscope.results.tables import ReportTables


@dataclass(frozen=True)
class FigureEntry:
    """A figure of the report.

    Attributes:
        name: Unique among the figures.
        draw: From the tables and the name of a scoring.
        main: Whether it comes before the appendix.
        by_scoring: Whether it says something else under the other scoring, so that the report has it under both.
    """

    name: str
    draw: Callable[[ReportTables, str], Figure | None]
    main: bool = False
    by_scoring: bool = False


FIGURES: Catalogue[FigureEntry] = Catalogue(
    "figure",
    [
        FigureEntry("methods", lambda tables, _: method_figure(tables), main=True),
        FigureEntry("gain_fidelity", lambda tables, _: gain_fidelity_figure(tables), main=True),
        FigureEntry("accuracy", accuracy_figure, main=True, by_scoring=True),
        FigureEntry("gains", gain_figure, by_scoring=True),
        FigureEntry("size", size_figure),
        FigureEntry("temperature", temperature_figure),
        FigureEntry("noise", noise_figure),
        FigureEntry("teacher", teacher_figure),
        FigureEntry("decomposition", lambda tables, _: decomposition_figure(tables)),
        FigureEntry("rates", rates_figure),
        FigureEntry("training", lambda tables, _: training_figure(tables)),
        FigureEntry("cost", lambda tables, _: cost_figure(tables)),
    ],
)


def main_figures(tables: ReportTables, scoring: str) -> list[Figure]:
    """The figures before the appendix, in the order in which a reader needs them."""
    return _drawn([entry for entry in FIGURES.values() if entry.main], tables, scoring)


def appendix_figures(tables: ReportTables, scoring: str) -> list[Figure]:
    """The others; those about settings that the study varies only where it does."""
    return _drawn([entry for entry in FIGURES.values() if not entry.main], tables, scoring)


def other_scoring_figures(tables: ReportTables, scoring: str) -> list[Figure]:
    """The figures that say something else under the other scoring, those of the appendix first."""
    entries = [entry for entry in FIGURES.values() if entry.by_scoring]
    return _drawn(sorted(entries, key=lambda entry: entry.main), tables, scoring)


def chart_figure(
    name: str, draw: Callable[[ReportTables], ChartType | None], *, title: str, caption: str
) -> FigureEntry:
    """A figure of one chart, shown in the appendix.

    Args:
        name: Letters, digits, ``_`` and ``-``; the figure's anchor in the page and part of its files' names.
        draw: An Altair chart of the report's tables, or None where there is nothing to show. Data must be in the chart
            (nothing is loaded), at most Altair's 5,000 rows of it.
        title: Over the figure.
        caption: How to read it, in plain text.
    """

    def figure(tables: ReportTables, _: str) -> Figure | None:
        try:
            chart = draw(tables)
            if chart is None:
                return None
            chart.to_dict()  # what is wrong with a chart shows when it is written
        except Exception as error:
            raise DataError(f"figure '{name}' cannot be drawn: {error or type(error).__name__}") from error
        shown = chart.properties(background="transparent") if chart.background is alt.Undefined else chart
        return Figure(name, title, how_to_read=caption, empty="There is nothing to show.", panels={"all models": shown})

    return FigureEntry(name, figure)


def _drawn(entries: list[FigureEntry], tables: ReportTables, scoring: str) -> list[Figure]:
    figures = [entry.draw(tables, scoring) for entry in entries]
    return [figure for figure in figures if figure is not None]
