"""A tidy table of results, a published study's or a person's own, as reports: one for each domain, and an index."""

from __future__ import annotations

import math
import re
from collections.abc import Callable, Collection, Mapping, Sequence
from dataclasses import dataclass, field
from importlib.metadata import version
from pathlib import Path
from types import MappingProxyType
from typing import Any

import pandas as pd
from markupsafe import Markup

from kdscope.core.errors import StatisticsError
from kdscope.protocols.published import published_protocol
from kdscope.protocols.published_gains import with_average
from kdscope.protocols.rigorous import rigorous_protocol
from kdscope.protocols.sentences import sentence
from kdscope.report.facts import PageFacts
from kdscope.report.page import paragraphs
from kdscope.report.published_tables import (
    PAIR,
    UNPAIRED,
    accuracy_rows,
    fidelity_rows,
    find_cells,
    gain_rows,
    shares,
    shares_of_pairs,
    unused,
)
from kdscope.report.templating import templates
from kdscope.results.column_names import ITEMS
from kdscope.results.formatting import plural
from kdscope.results.hypotheses import CONFIRMATORY, EXPLORATORY
from kdscope.results.measures import AVERAGE, POOLED
from kdscope.results.methods import published_names
from kdscope.results.schema import SCHEMAS
from kdscope.results.tables import ReportTables, records
from kdscope.tasks import default_registry

TITLES: Mapping[str, str] = MappingProxyType({"math": "mathematics", "commonsense": "commonsense"})
_UNSAFE = re.compile(r"[^A-Za-z0-9_-]+")


@dataclass(frozen=True)
class About:
    """What a report says of where its numbers come from.

    Attributes:
        name: Of the study.
        description: Paragraphs.
        data_facts: By name.
        warnings: Sentences.
        methods: What it calls methods of kdscope, where that differs.
    """

    name: str
    description: str
    data_facts: Mapping[str, str]
    warnings: Sequence[str] = ()
    methods: Mapping[str, str] = field(default_factory=dict)


PUBLISHED: Mapping[str, About] = MappingProxyType(
    {
        "ramesh2025": About(
            "ramesh2025",
            "The results of “On the Generalization vs Fidelity Paradox in Knowledge Distillation” (Ramesh, Sengupta "
            "and Chakraborty, Findings of ACL 2025, arXiv 2505.15442), as their authors released them, shown as a "
            "study of one's own would be.\n\n"
            "Methods have the paper's names: its SeqKD is token-level forward KL, which kdscope calls forward_kl, its "
            "RevKD is reverse_kl and its GKD gkd.",
            {
                "source": "the tables that the authors released (github.com/LCS2-IIITD/KD_generalization, Apache-2.0)",
                "runs": "one of each cell; answers sampled at temperature 1, read by the authors' rules",
                "agreement": "told for each pair of teacher and student, not for each method: those are the cells kd, "
                "whose accuracy is the mean of the pair's methods at temperature 1",
                "agreement 2, fidelity, fidelity 2": "agreement against another reference; BLEU and BLEU2 of the "
                "authors' tables, the first by its values a similarity of embeddings; told per pair likewise",
            },
            (
                "Contamination was not counted: the training sets do not come with these tables.",
                "math: by its authors' own word, the training set math_10k overlaps with MultiArith, AddSub and "
                "SingleEq.",
            ),
            published_names(),
        )
    }
)
"""What is known of the published studies."""


@dataclass(frozen=True)
class TableReport:
    """A domain of a table, ready to be shown.

    Attributes:
        domain: Its name.
        folder: A name for its folder: letters, digits, hyphens and underscores, different for every domain.
        tables: Tables of a report.
        facts: Facts of its page.
    """

    domain: str
    folder: str
    tables: ReportTables
    facts: PageFacts

    @property
    def title(self) -> str:
        """The domain in words."""
        return TITLES.get(self.domain, self.domain)


def with_published_sizes(table: pd.DataFrame) -> pd.DataFrame:
    """The table with the sizes of its tasks' published test sets in column ``items``."""
    registry = default_registry()
    sizes = {task: registry.get(task).test_items for task in table["task"].unique() if task in registry}
    return table.assign(**{ITEMS: table["task"].map(sizes).astype("Int64")})


def table_reports(table: pd.DataFrame, about: About) -> tuple[TableReport, ...]:
    """One report for every domain of a table: its tasks, and so its averages, are its own.

    Args:
        table: A tidy table of one study in percent, as `read_results_table` or `load_published` gives it. A column
            ``items`` tells the size of each task's test set; without it no number has an interval.
        about: Where it comes from.
    """
    statistics, problem = _asked(table, _rigorous)
    tests, _ = _asked(table, published_protocol)
    given = (*about.warnings, *problem)
    folders = _folders([str(name) for name in table["domain"].unique()])
    table = table.assign(method=table["method"].replace(dict(about.methods)))
    return tuple(
        TableReport(domain, folder, tables, _facts(domain, tables, about, _about(domain, given, folders)))
        for domain, folder in folders.items()
        for tables in [_tables(table[table["domain"] == domain], _of(statistics, domain), _of(tests, domain))]
    )


def write_index(reports: Sequence[TableReport], about: About, path: Path) -> None:
    """Write the page in front of the reports of a table's domains: what each says, and the way to it.

    One HTML file that loads nothing; reports are looked for at ``<folder>/report.html`` beside it.
    """
    environment = templates()
    html = environment.get_template("index.html.jinja").render(
        about=about,
        lead=paragraphs(about.description),
        parts=[_part(report) for report in reports],
        style=Markup(environment.get_template("page.css").render()),  # noqa: S704 - our own file
    )
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(html, encoding="utf-8", errors="xmlcharrefreplace", newline="\n")


def _part(report: TableReport) -> dict[str, Any]:
    """What the index says of one domain."""
    statistics, cells = report.tables.statistics, report.tables.cells
    said = {role: tuple(rows["sentence"].dropna()) for role, rows in statistics.groupby("role", sort=False)}
    students = cells.loc[cells["role"] == "student", "student"].nunique()
    tasks = set(report.tables.gains["task"]) - {POOLED}
    return {
        "title": report.title,
        "address": f"{report.folder}/report.html",
        "size": f"{plural(students, 'student')}, {plural(len(tasks), 'task')}, {plural(len(cells), 'model')}.",
        "primary": said.get(CONFIRMATORY, ()),
        "exploratory": said.get(EXPLORATORY, ()),
        "warnings": tuple(report.facts.warnings),
    }


def _tables(rows: pd.DataFrame, statistics: pd.DataFrame, tests: pd.DataFrame) -> ReportTables:
    """The tables of one domain."""
    rows = with_average(rows)
    rows = rows.assign(**{name: rows[name].fillna("") for name in _TEXT})
    cells, accuracies = find_cells(rows), shares(rows)
    with_pairs = shares_of_pairs(rows) | accuracies
    frames = {
        "cells": cells.frame,
        "accuracy": pd.DataFrame(accuracy_rows(cells, with_pairs)),
        "gains": pd.DataFrame(gain_rows(cells, accuracies)),
        "fidelity": pd.DataFrame(fidelity_rows(rows, cells)),
        **{"tests": tests, "statistics": statistics, "training": pd.DataFrame()},
    }
    return ReportTables(**{name: _columns(frame, name) for name, frame in frames.items()})


_TEXT = ("teacher", "student", "method", "teacher_condition", "seed", "task", "metric")


def _about(domain: str, warnings: Sequence[str], domains: Collection[str]) -> list[str]:
    """The warnings that are not about another domain."""
    others = tuple(f"{other}: " for other in domains if other != domain)
    return [warning for warning in warnings if not warning.startswith(others)]


def _facts(domain: str, tables: ReportTables, about: About, warnings: Sequence[str]) -> PageFacts:
    title = f"{about.name}: {TITLES.get(domain, domain)}" if domain != "all" else about.name
    return PageFacts(
        name=title,
        description=about.description,
        study_yaml="",
        versions={"kdscope": version("kdscope")},
        hardware="not told by the table",
        seeds=sorted({int(seed) for seed in tables.cells["seed"].dropna()}),
        warnings=[*warnings, *_not_whole(tables)],
        failures=(),
        data_facts={**about.data_facts, **_interval_facts(tables), "parameters": "read from the models' names"},
        scoring="published",
        audited=False,
    )


def _interval_facts(tables: ReportTables) -> dict[str, str]:
    if tables.accuracy["items"].notna().sum() == 0:
        return {"intervals": "none: the sizes of the test sets are not told (a column “items” would tell them)"}
    return {
        "intervals": "computed here from the sizes of the test sets, about which items were asked and not how training "
        f"could have gone: Wilson's for accuracies; for gains {UNPAIRED}",
        "gains": "over all items together; the statistics are about the mean over tasks, as the table has it",
    }


def _not_whole(tables: ReportTables) -> list[str]:
    """A warning about numbers that are no share of the items they are said to be of."""
    pairs = tables.cells.loc[tables.cells["variant"] == PAIR, "cell"]
    rows = tables.accuracy[tables.accuracy["items"].notna() & tables.accuracy["correct"].isna()]
    rows = rows[(rows["task"] != AVERAGE) & ~rows["cell"].isin(pairs)]
    if rows.empty:
        return []
    first = rows.iloc[0]
    accuracy = f"{100 * first['accuracy']:.2f}% of {first['items']:,}"
    return [
        f"{plural(len(rows), 'accuracy', 'accuracies')} cannot be a share of all items of the task, and have no "
        f"interval (the first: {first['cell']} on {first['task']}, {accuracy})."
    ]


def _rigorous(table: pd.DataFrame) -> pd.DataFrame:
    results = rigorous_protocol(table)
    return results.assign(sentence=[sentence(row) for row in records(results)])


def _asked(table: pd.DataFrame, protocol: Callable[[pd.DataFrame], pd.DataFrame]) -> tuple[pd.DataFrame, list[str]]:
    try:
        return protocol(table), []
    except StatisticsError as error:
        return pd.DataFrame(), [f"There are no statistics: {error}."]


def _of(results: pd.DataFrame, domain: str) -> pd.DataFrame:
    return results if results.empty else results[results["domain"] == domain]


def _columns(frame: pd.DataFrame, name: str) -> pd.DataFrame:
    """The columns that a report keeps; numbers that are not defined are missing."""
    if frame.empty:
        return pd.DataFrame()
    kept = frame.reindex(columns=[column.name for column in SCHEMAS[name].columns])
    return kept.mask(kept.isin([math.inf, -math.inf]))


def _folders(domains: Sequence[str]) -> dict[str, str]:
    folders: dict[str, str] = {}
    for domain in domains:
        plain = _UNSAFE.sub("-", domain).strip("-") or "domain"
        taken = {folder.lower() for folder in folders.values()}
        folders[domain] = unused(plain, lambda name: name.lower() in taken, "{}-{}")  # noqa: B023 - used at once
    return folders
