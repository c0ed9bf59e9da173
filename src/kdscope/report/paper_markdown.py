"""Paper tables as Markdown: the tables of GitHub and of most other readers, every name escaped."""

from __future__ import annotations

import re
from collections.abc import Sequence

from kdscope.report.markdown import plain
from kdscope.report.paper import PaperTable, Value

_NUMBER = re.compile(r"[-+\u2212–0-9.,]*")


def markdown_table(table: PaperTable, study: str) -> str:
    """Heading, table, and how to read it."""
    lines = [
        f"### {plain(table.title)}",
        "",
        _row([plain(column.head) for column in table.columns]),
        _row(["---:" if column.kind == "number" else "---" for column in table.columns]),
        *(_row([_value(value) for value in row]) for row in table.rows),
        "",
        " ".join(plain(text) for text in (f"Study: {study}.", *table.notes) if text),
        "",
    ]
    return "\n".join(lines)


def _row(entries: Sequence[str]) -> str:
    return f"| {' | '.join(entries)} |"


def _value(value: Value) -> str:
    # A number would be escaped where it begins with a sign, and is no list inside a table.
    shown = value.text if _NUMBER.fullmatch(value.text) else plain(value.text)
    shown = f"**{shown}**" if value.bold else shown
    # An interval is made of digits: its brackets are no link.
    interval = f" {value.interval}" if value.interval else ""
    return f"{shown}{plain(value.mark)}{interval}"
