"""The page: one HTML file that loads nothing, runs one short script of its own, and shows all text as text."""

from __future__ import annotations

import base64
import hashlib
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from jinja2 import Environment, PackageLoader, StrictUndefined
from markupsafe import Markup

from kdscope.report.cautions import cautions, failures
from kdscope.report.contamination import clean_view, contamination_caution, contamination_view
from kdscope.report.fidelity_views import fidelity_view, probes_view
from kdscope.report.figures import main_figures, other_scoring_figures
from kdscope.report.learning import learning_view
from kdscope.report.panels import Figure
from kdscope.report.style import LegendEntry
from kdscope.report.summary import summary_sentences
from kdscope.report.svg import render_svg
from kdscope.report.tables import ReportTables
from kdscope.report.views import (
    View,
    accuracy_view,
    cells_view,
    gains_view,
    grid_tests_view,
    models_view,
)

_BLANK_LINE = re.compile(r"\n[ \t]*\n")
_SENTENCE_END = re.compile(r"(?<=[.!?:)])[ \t]*\n")
_SYMBOLS = {
    "circle": "M6 1.5a4.5 4.5 0 1 0 .01 0Z",
    "square": "M2 2H10V10H2Z",
    "diamond": "M6 .8L10.2 6L6 11.2L1.8 6Z",
    "cross": "M4.3 1H7.7V4.3H11V7.7H7.7V11H4.3V7.7H1V4.3H4.3Z",
    "triangle-up": "M6 1.5L11 10.5H1Z",
    "triangle-down": "M6 10.5L11 1.5H1Z",
    "triangle-left": "M1.5 6L10.5 1V11Z",
    "triangle-right": "M10.5 6L1.5 1V11Z",
}


@dataclass(frozen=True)
class PageFacts:
    """What the page tells beside the tables: the study, where it ran, and what went wrong.

    `description` may hold several paragraphs (see `paragraphs`); `scoring` is the scoring that the conclusions use;
    `failures` are (label, cause); `data_facts` and `versions` are shown as they are given;
    `contaminated_items_excluded` tells whether the tables leave contaminated items out.
    """

    name: str
    description: str
    study_yaml: str
    versions: Mapping[str, str]
    hardware: str
    seeds: Sequence[int]
    warnings: Sequence[str]
    failures: Sequence[tuple[str, str]]
    data_facts: Mapping[str, str]
    scoring: str = "robust"
    contaminated_items_excluded: bool = False


@dataclass(frozen=True)
class ShownFigure:
    """A figure whose panels are drawn."""

    figure: Figure
    panels: tuple[Markup, ...]
    legend: tuple[tuple[LegendEntry, str], ...]


def write_page(tables: ReportTables, facts: PageFacts, path: Path, *, csv_folder: str = "tables/") -> None:
    """Writes the report as one HTML file; the same tables and facts always give the same bytes.

    `csv_folder` is where the CSV files lie, relative to the page (for the links): "" is beside it.
    """
    path.parent.mkdir(parents=True, exist_ok=True)
    html = render_page(tables, facts, csv_folder=csv_folder)
    path.write_text(html, encoding="utf-8", errors="xmlcharrefreplace", newline="\n")


def render_page(tables: ReportTables, facts: PageFacts, *, csv_folder: str = "tables/") -> str:
    """The page's HTML."""
    environment = Environment(
        loader=PackageLoader("kdscope.report"),
        autoescape=True,
        undefined=StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
    )
    other = "published" if facts.scoring == "robust" else "robust"
    script = environment.get_template("page.js").render()
    return environment.get_template("page.html.jinja").render(
        facts=facts,
        lead=paragraphs(facts.description),
        other=other,
        csv_folder=csv_folder,
        style=Markup(environment.get_template("page.css").render()),  # noqa: S704 - our own file
        script=Markup(script),  # noqa: S704 - our own file
        script_hash=base64.b64encode(hashlib.sha256(script.encode()).digest()).decode(),
        sentences=summary_sentences(tables, facts.scoring),
        cautions=[*_cautions(tables, facts), *facts.warnings],
        failures=list(dict([*failures(tables.cells), *facts.failures]).items()),
        figures=[_drawn(figure) for figure in main_figures(tables, facts.scoring)],
        other_figures=[_drawn(figure) for figure in other_scoring_figures(tables, other)],
        models=models_view(tables),
        learning=learning_view(tables),
        cells=cells_view(tables),
        contaminated=contamination_caution(tables, excluded=facts.contaminated_items_excluded),
        contamination=contamination_view(tables),
        clean=clean_view(tables, facts.scoring),
        views=_views(tables, facts.scoring),
        other_views=[accuracy_view(tables, other), gains_view(tables, other)],
    )


def _cautions(tables: ReportTables, facts: PageFacts) -> list[str]:
    contamination = contamination_caution(tables, excluded=facts.contaminated_items_excluded)
    return [*([contamination] if contamination else []), *cautions(tables, facts.scoring)]


def paragraphs(text: str) -> list[str]:
    r"""The paragraphs of a text from YAML.

    A blank line ends one. YAML's folded and plain styles leave a single line break where the file had a blank line, so
    in a text without blank lines a line break after the end of a sentence does the same; other line breaks are spaces.

    >>> paragraphs("One,\ntwo.\nThree.\n\nFour."), paragraphs("One, two.\nThree,\nfour.")
    (['One, two. Three.', 'Four.'], ['One, two.', 'Three, four.'])
    """
    text = text.strip()
    end = _BLANK_LINE if _BLANK_LINE.search(text) else _SENTENCE_END
    return [" ".join(part.split()) for part in end.split(text) if part.strip()]


def _views(tables: ReportTables, scoring: str) -> list[View]:
    views = [
        accuracy_view(tables, scoring),
        gains_view(tables, scoring),
        fidelity_view(tables),
        grid_tests_view(tables),
    ]
    return [*views, probes_view(tables)] if len(tables.probes) else views


def _drawn(figure: Figure) -> ShownFigure:
    panels = tuple(
        Markup(render_svg(chart, f"{figure.key}-{number}", f"{figure.title}: {label}"))  # noqa: S704 - escaped there
        for number, (label, chart) in enumerate(figure.panels.items())
    )
    return ShownFigure(figure, panels, tuple((entry, _SYMBOLS[entry.shape]) for entry in figure.legend))
