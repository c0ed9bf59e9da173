"""The page in front of the reports of a table's domains: what each says, and the way to it."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from markupsafe import Markup

from kdscope.report.page import paragraphs
from kdscope.report.published import About, TableReport
from kdscope.report.templating import templates
from kdscope.results.formatting import plural


@dataclass(frozen=True)
class _Part:
    title: str
    address: str
    size: str
    primary: tuple[str, ...]
    exploratory: tuple[str, ...]
    warnings: tuple[str, ...]


def write_index(reports: Sequence[TableReport], about: About, path: Path) -> None:
    """Write one HTML file that loads nothing; reports are looked for at ``<folder>/report.html`` beside it."""
    environment = templates()
    html = environment.get_template("index.html.jinja").render(
        about=about,
        lead=paragraphs(about.description),
        parts=[_part(report) for report in reports],
        style=Markup(environment.get_template("page.css").render()),  # noqa: S704 - our own file
    )
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(html, encoding="utf-8", errors="xmlcharrefreplace", newline="\n")


def _part(report: TableReport) -> _Part:
    statistics, cells = report.tables.statistics, report.tables.cells
    said = {role: tuple(rows["sentence"].dropna()) for role, rows in statistics.groupby("role", sort=False)}
    students = cells.loc[cells["role"] == "student", "student"].nunique()
    tasks = report.tables.gains["task"].drop_duplicates()
    tasks = tasks[tasks != "pooled"]
    return _Part(
        title=report.title,
        address=f"{report.folder}/report.html",
        size=f"{plural(students, 'student')}, {plural(len(tasks), 'task')}, {plural(len(cells), 'model')}.",
        primary=said.get("confirmatory", ()),
        exploratory=said.get("exploratory", ()),
        warnings=tuple(report.facts.warnings),
    )
