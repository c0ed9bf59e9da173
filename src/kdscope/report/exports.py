"""The tables of a study as files for a paper: LaTeX, Markdown, or tidy CSV."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from pathlib import Path
from types import MappingProxyType
from typing import Literal

from kdscope.core.errors import DataError
from kdscope.report.contamination import paper_contamination
from kdscope.report.fidelity_tables import paper_fidelity, paper_probes
from kdscope.report.latex import latex_document, latex_table
from kdscope.report.result_tables import paper_results
from kdscope.report.statistics_tables import paper_statistics
from kdscope.report.training_tables import paper_ablations, paper_training
from kdscope.results.findings import distilled_only
from kdscope.results.markdown import markdown_table
from kdscope.results.table import Table, csv_text
from kdscope.results.tables import ReportTables

Format = Literal["latex", "markdown", "csv"]
FORMATS: tuple[Format, ...] = ("latex", "markdown", "csv")
_DOCUMENT = "all_tables.tex"


def paper_tables(tables: ReportTables, scoring: str) -> Iterator[Table]:
    """The tables of a study that have rows, in the order in which a paper brings them.

    Students that were left in their warm start have accuracies only.

    Args:
        tables: The study's tidy tables.
        scoring: The scoring that the study's conclusions use.
    """
    for table in _all(distilled_only(tables), scoring):
        if table.rows:
            yield table


def write_exports(
    tables: ReportTables,
    scoring: str,
    study: str,
    format: Format,  # noqa: A002 - as people say
    folder: Path,
) -> tuple[Path, ...]:
    """Write one file per table; in LaTeX also ``all_tables.tex``, a document that shows them all.

    CSV files have every number as it was computed; the other two round by the rule of `results.table`.

    Args:
        tables: The study's tidy tables.
        scoring: The scoring that the study's conclusions use.
        study: The study's name, for captions.
        format: latex, markdown or csv.
        folder: Where; made if it is not there.

    Raises:
        DataError: There is no such format, or the tables have nothing to show.
    """
    if format not in FORMATS:
        raise DataError(f"tables can be {', '.join(FORMATS[:-1])} or {FORMATS[-1]}, not {format!r}")
    found = list(paper_tables(tables, scoring))
    if not found:
        raise DataError("nothing has been measured, so there is no table to write")
    suffix, render = _RENDERERS[format]
    texts = {f"{table.key}{suffix}": render(table, study) for table in found}
    if format == "latex":
        texts[_DOCUMENT] = latex_document(tuple(texts), study)
    folder.mkdir(parents=True, exist_ok=True)
    for name, text in texts.items():
        (folder / name).write_text(text, encoding="utf-8", errors="replace", newline="\n")
    return tuple(folder / name for name in texts)


_RENDERERS: Mapping[Format, tuple[str, Callable[[Table, str], str]]] = MappingProxyType(
    {
        "latex": (".tex", latex_table),
        "markdown": (".md", markdown_table),
        "csv": (".csv", lambda table, _: csv_text(table)),
    }
)


def _all(tables: ReportTables, scoring: str) -> Iterator[Table]:
    yield from paper_results(tables, scoring)
    yield paper_fidelity(tables)
    yield from paper_statistics(tables)
    yield from paper_ablations(tables, scoring)
    yield paper_training(tables)
    yield paper_probes(tables)
    yield from paper_contamination(tables, scoring)
