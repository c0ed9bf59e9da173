"""What the statistics say, in sentences grouped by what they may be used for."""

from __future__ import annotations

from dataclasses import dataclass

from kdscope.results.formatting import is_missing
from kdscope.results.tables import ReportTables, records

_GROUPS = (
    (
        "confirmatory",
        "The primary question",
        "Settled before looking; p-values are adjusted for the number of answers.",
    ),
    ("exploratory", "Other questions asked of the same data", "What is found here is a lead to test, not a finding."),
    ("sensitivity", "The same with other choices", "How far the answer depends on how it was computed."),
    ("detail", "By method, task and cell", "Parts of the questions above."),
)


@dataclass(frozen=True)
class Conclusions:
    """The sentences of one role, how they may be read, and how many there are, shown or not."""

    role: str
    title: str
    how_to_read: str
    sentences: tuple[str, ...]
    count: int


def conclusions(tables: ReportTables) -> list[Conclusions]:
    """The results in sentences, grouped by role; groups without any are left out."""
    groups = []
    for role, title, how_to_read in _GROUPS:
        said = _sentences(tables, role)
        if said:
            groups.append(Conclusions(role, title, how_to_read, said, len(said)))
    return groups


def _sentences(tables: ReportTables, role: str) -> tuple[str, ...]:
    rows = tables.statistics[tables.statistics["role"] == role]
    told = [str(row["sentence"]) for row in records(rows) if not is_missing(row["sentence"]) and row["sentence"]]
    return tuple(dict.fromkeys(told))
