"""The page: one HTML file that loads nothing, runs one short script of its own, and shows all text as text."""

from __future__ import annotations

import base64
import hashlib
import re
from dataclasses import dataclass
from pathlib import Path

from altair import LayerChart
from altair.utils.schemapi import debug_mode
from markupsafe import Markup

from kdscope.report.cautions import cautions, failures
from kdscope.report.choices import choices
from kdscope.report.conclusions import conclusions
from kdscope.report.contamination import clean_view, contamination_caution, contamination_view
from kdscope.report.downloads import Download, downloads, file_stem
from kdscope.report.facts import PageFacts
from kdscope.report.fidelity_views import fidelity_view, probes_view
from kdscope.report.figures import main_figures, other_scoring_figures
from kdscope.report.learning import learning_view
from kdscope.report.panels import Figure
from kdscope.report.style import SYMBOLS, LegendEntry
from kdscope.report.summary import likeness_sentences, summary_sentences
from kdscope.report.svg import render_svg
from kdscope.report.tables import ReportTables
from kdscope.report.templating import templates
from kdscope.report.verdicts import asks_the_primary_question, headline, student_rows
from kdscope.report.views import (
    View,
    accuracy_view,
    cells_view,
    gains_view,
    grid_tests_view,
    models_view,
)

_BLANK_LINE = re.compile(r"\n[ \t]*\n")
_SVG_WIDTH = re.compile(r'width="([\d.]+)"')
_SENTENCE_END = re.compile(r"(?<=[.!?:)])[ \t]*\n")


@dataclass(frozen=True)
class ShownPanel:
    """A drawn panel: the student it is about and the task it is of, empty for neither, and its width in pixels."""

    svg: Markup
    student: str
    task: str
    width: float


@dataclass(frozen=True)
class ShownFigure:
    """A figure whose panels are drawn, those of single tasks after the others, and the files it can be had as."""

    figure: Figure
    panels: tuple[ShownPanel, ...]
    legend: tuple[tuple[LegendEntry, str], ...]
    files: tuple[Download, ...]

    @property
    def follows_tasks(self) -> bool:
        """Whether it shows something else when a task is chosen."""
        return bool(self.figure.variants) or any("data-task" in panel.svg for panel in self.panels)


def write_page(tables: ReportTables, facts: PageFacts, path: Path, *, csv_folder: str = "tables/") -> None:
    """Writes the report as one HTML file; the same tables and facts always give the same bytes.

    `csv_folder` is where the CSV files lie, relative to the page (for the links): "" is beside it.
    """
    path.parent.mkdir(parents=True, exist_ok=True)
    html = render_page(tables, facts, csv_folder=csv_folder)
    path.write_text(html, encoding="utf-8", errors="xmlcharrefreplace", newline="\n")


def render_page(tables: ReportTables, facts: PageFacts, *, csv_folder: str = "tables/") -> str:
    """The page's HTML."""
    environment = templates()
    other = "published" if facts.scoring == "robust" else "robust"
    script = environment.get_template("page.js").render()
    told = told_first(tables, facts.scoring)
    with debug_mode(False):  # the charts are our own: checking each of their parts takes longer than drawing them
        figures = [_drawn(figure, facts.name) for figure in main_figures(tables, facts.scoring)]
        other_figures = [_drawn(figure, facts.name) for figure in other_scoring_figures(tables, other)]
    return environment.get_template("page.html.jinja").render(
        facts=facts,
        lead=paragraphs(facts.description),
        other=other,
        csv_folder=csv_folder,
        style=Markup(environment.get_template("page.css").render()),  # noqa: S704 - our own file
        script=Markup(script),  # noqa: S704 - our own file
        script_hash=base64.b64encode(hashlib.sha256(script.encode()).digest()).decode(),
        headline=headline(tables, facts.scoring),
        students=student_rows(tables, facts.scoring),
        primary=asks_the_primary_question(tables),
        sentences=told,
        further=[sentence for sentence in summary_sentences(tables, facts.scoring) if sentence not in told],
        conclusions=conclusions(tables),
        choices=choices(tables),
        cautions=[*_cautions(tables, facts), *facts.warnings],
        failures=list(dict([*failures(tables.cells), *facts.failures]).items()),
        figures=figures,
        other_figures=other_figures,
        models=models_view(tables),
        learning=learning_view(tables),
        cells=cells_view(tables),
        contaminated=contamination_caution(tables, excluded=facts.contaminated_items_excluded),
        contamination=contamination_view(tables),
        clean=clean_view(tables, facts.scoring),
        views=_views(tables, facts.scoring),
        other_views=[accuracy_view(tables, other), gains_view(tables, other)],
    )


def told_first(tables: ReportTables, scoring: str) -> list[str]:
    """The few sentences beside the verdicts: what was done, and how alike they are."""
    return [*summary_sentences(tables, scoring)[:1], *likeness_sentences(tables)]


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


def _drawn(figure: Figure, study: str) -> ShownFigure:
    def draw(label: str, chart: LayerChart, prefix: str) -> str:
        return render_svg(chart, prefix, f"{figure.title}: {label}")

    drawn = [draw(label, chart, f"{figure.key}-{n}") for n, (label, chart) in enumerate(figure.panels.items())]
    panels = [_panel(svg, figure.students.get(label, "")) for label, svg in zip(figure.panels, drawn, strict=True)]
    for number, (task, variants) in enumerate(figure.variants.items()):
        for place, (label, chart) in enumerate(variants.items()):
            svg = draw(f"{label}, {task}", chart, f"{figure.key}-{number}-{place}")
            panels.append(_panel(svg, figure.students.get(label, ""), task))
    return ShownFigure(
        figure,
        tuple(panels),
        tuple((entry, SYMBOLS[entry.shape]) for entry in figure.legend),
        downloads(figure, drawn, file_stem(study, figure.key)) if drawn else (),
    )


def _panel(svg: str, student: str, task: str = "") -> ShownPanel:
    width = _SVG_WIDTH.search(svg)
    return ShownPanel(Markup(svg), student, task, float(width[1]) if width else 0.0)  # noqa: S704 - escaped there
