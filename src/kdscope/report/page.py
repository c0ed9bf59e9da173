"""The page: one HTML file that loads nothing, runs one short script of its own, and shows all text as text."""

from __future__ import annotations

import base64
import hashlib
import re
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from altair.utils.schemapi import debug_mode
from markupsafe import Markup

from kdscope.figures.catalogue import appendix_figures, main_figures, other_scoring_figures
from kdscope.figures.drawing import ShownFigure
from kdscope.figures.panels import CONTROLS
from kdscope.figures.renderer import Renderer
from kdscope.report.answer import QUESTION, answer, conclusions
from kdscope.report.cautions import cautions, failures
from kdscope.report.contamination import contamination_caution, contamination_overview, decontaminated_overview
from kdscope.report.facts import PageFacts
from kdscope.report.fidelity_tables import fidelity_overview, fidelity_parts, probes_overview
from kdscope.report.method_table import other_settings, student_tables
from kdscope.report.page_size import LIMIT, Bounds, Parts, fitted
from kdscope.report.result_tables import accuracy_overview, gains_overview
from kdscope.report.statistics_tables import published_tests_overview, variance_table
from kdscope.report.summary import summary_sentences
from kdscope.report.templating import templates
from kdscope.report.training import learning_view, training_rules
from kdscope.report.training_tables import cells_overview, models_overview
from kdscope.results.findings import distilled_only
from kdscope.results.labels import CellName, students
from kdscope.results.measures import AVERAGES, POOLS
from kdscope.results.table import Table
from kdscope.results.tables import ReportTables

_SHORTENED = ("answer", "students", "other_settings", "done", "rules", "cautions", "conclusions", "contaminated")
_VIEWS = ("models", "learning", "cells", "contamination", "clean", "variance")
_BLANK_LINE = re.compile(r"\n[ \t]*\n")
_SENTENCE_END = re.compile(r"(?<=[.!?:)])[ \t]*\n")


def write_page(
    tables: ReportTables, facts: PageFacts, path: Path, *, csv_folder: str = "tables/", limit: int = LIMIT
) -> None:
    """Writes the report as one HTML file; the same tables and facts always give the same bytes.

    `csv_folder` is where the CSV files lie, relative to the page (for the links): "" is beside it.
    """
    path.parent.mkdir(parents=True, exist_ok=True)
    html = render_page(tables, facts, csv_folder=csv_folder, limit=limit)
    path.write_text(html, encoding="utf-8", errors="xmlcharrefreplace", newline="\n")


def render_page(tables: ReportTables, facts: PageFacts, *, csv_folder: str = "tables/", limit: int = LIMIT) -> str:
    """The page's HTML, of at most `limit` bytes in UTF-8: what is left out for that is told (see `page_size`).

    Raises:
        DataError: A figure cannot be drawn.
        MachineError: The process that draws figures has died, or cannot be started.
    """
    # The charts are our own: checking each of their parts takes longer than drawing them.
    with debug_mode(False), Renderer() as renderer:
        return _rendered(tables, facts, csv_folder, limit, renderer)


def _rendered(tables: ReportTables, facts: PageFacts, csv_folder: str, limit: int, renderer: Renderer) -> str:
    other = "published" if facts.scoring == "robust" else "robust"
    environment = templates()
    template = environment.get_template("page.html.jinja")
    tables = distilled_only(tables)
    first, later, others = (
        [ShownFigure(figure, facts.name, renderer) for figure in figures]
        for figures in (
            main_figures(tables, facts.scoring),
            appendix_figures(tables, facts.scoring),
            other_scoring_figures(tables, other),
        )
    )
    parts = Parts([*first, *later], others)
    script = environment.get_template("page.js").render()
    content = _content(tables, facts, other) | {
        "other": other,
        "csv_folder": csv_folder,
        "figures": first,
        "appendix_figures": later,
        "other_figures": parts.others,
        "style": Markup(environment.get_template("page.css").render()),  # noqa: S704 - our own file
        "script": Markup(script),  # noqa: S704 - our own file
        "script_hash": base64.b64encode(hashlib.sha256(script.encode()).digest()).decode(),
    }

    def render(bounds: Bounds, left_out: str) -> str:
        return template.render(content | _bounded(content, bounds), left_out=left_out)

    return fitted(parts, render, limit, csv_folder or "the folder of this page")


def _content(tables: ReportTables, facts: PageFacts, other: str) -> dict[str, Any]:
    """What the page tells beside its figures, by the names that the template has for it, of any length."""
    contaminated = contamination_caution(tables, excluded=facts.contaminated_items_excluded)
    return {
        "facts": facts,
        "question": QUESTION,
        "answer": answer(tables),
        "students": student_tables(tables),
        "other_settings": other_settings(tables),
        "rules": training_rules(tables.cells),
        "done": summary_sentences(tables, facts.scoring),
        "variance": variance_table(tables),
        "conclusions": conclusions(tables),
        "choices": choices(tables),
        "cautions": [*filter(None, [contaminated]), *cautions(tables, facts.scoring), *facts.warnings],
        "failures": list(dict([*failures(tables.cells), *facts.failures]).items()),
        "models": models_overview(tables),
        "learning": learning_view(tables),
        "cells": cells_overview(tables),
        "contaminated": contaminated,
        "contamination": contamination_overview(tables),
        "clean": decontaminated_overview(tables, facts.scoring),
        "views": _views(tables, facts.scoring),
        "other_views": [accuracy_overview(tables, other), gains_overview(tables, other)],
    }


def _bounded(content: Mapping[str, Any], bounds: Bounds) -> dict[str, Any]:
    """What the page tells, as far as the bounds allow."""
    facts = bounds.facts(content["facts"])
    return {
        "facts": facts,
        "lead": paragraphs(facts.description),
        **{name: bounds.shortened(content[name]) for name in _SHORTENED},
        "more_students": max(len(content["students"]) - bounds.entries, 0),
        "choices": content["choices"] if bounds.choices else Choices((), (), (), {}),
        "failures": bounds.pairs(content["failures"]),
        **{name: bounds.table(content[name]) for name in _VIEWS},
        **{name: [bounds.table(table) for table in content[name]] for name in ("views", "other_views")},
    }


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


def _views(tables: ReportTables, scoring: str) -> list[Table]:
    views = [
        accuracy_overview(tables, scoring),
        fidelity_parts(tables),
        gains_overview(tables, scoring),
        fidelity_overview(tables),
        published_tests_overview(tables),
    ]
    return [*views, probes_overview(tables)] if len(tables.probes) else views


@dataclass(frozen=True)
class Choices:
    """Students and tasks of the study, and the methods compared with the controls, which are always shown."""

    students: tuple[str, ...]
    methods: tuple[str, ...]
    tasks: tuple[str, ...]
    cells: Mapping[str, CellName]

    @property
    def any(self) -> bool:
        """Whether there is anything to choose between."""
        return max(len(self.students), len(self.methods), len(self.tasks)) > 1

    def of_row(self, label: str) -> dict[str, str]:
        """The student and the method that a table's row is about, by its first entry."""
        name = self.cells.get(label)
        if name is None:
            return {"student": label} if label in self.students else {}
        about = {} if name.role == "teacher" else {"student": name.model}
        return about if name.method in CONTROLS else about | {"method": name.method}

    def of_columns(self, table: Table) -> dict[int, str]:
        """The tasks that a table's columns are about, means over tasks included, by place."""
        known = {*self.tasks, *AVERAGES, *POOLS}
        bare = {place: head if head in known else head.split(" (n=")[0] for place, head in enumerate(table.headings)}
        return {place: task for place, task in bare.items() if task in known}


def choices(tables: ReportTables) -> Choices:
    """What there is to choose between."""
    names = tables.names
    methods = dict.fromkeys(name.method for name in names.values() if name.role == "student")
    return Choices(
        students=tuple(students(names)),
        methods=tuple(method for method in methods if method not in CONTROLS),
        tasks=tuple(task for task in tables.tasks if task not in (*AVERAGES, *POOLS)),
        cells=names,
    )
