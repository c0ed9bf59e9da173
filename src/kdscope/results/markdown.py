"""Markdown: text that others wrote, escaped so that it stays text, and tables (GitHub's, which most readers know)."""

from __future__ import annotations

import json
import re
from collections.abc import Sequence

from kdscope.results.table import Table, TableCell

_SPECIAL = re.compile(r"([\\`*_\[\]|~$!])")
_FIRST = re.compile(r"^([-+](?=\s|[-+]*$)|[#=]|\d+(?=[.)](?:\s|$)))")
_NUMBER = re.compile(r"[-+\u2212–0-9.,]*")
_HTML = {"&": "&amp;", "<": "&lt;", ">": "&gt;"}


def one_line(text: object) -> str:
    r"""White space and control characters become single spaces.

    >>> one_line("a\n---\r\nb")
    'a --- b'
    """
    return " ".join("".join(c if c.isprintable() else " " for c in str(text)).split())


def plain(text: object) -> str:
    r"""Text as text.

    >>> plain("see [here](x) <b> & a_b | c")
    'see \\[here\\](x) &lt;b&gt; &amp; a\\_b \\| c'
    >>> plain("# no heading"), plain("1. no list"), plain("--- no line"), plain("+2.5 [1, 4]")
    ('\\# no heading', '1\\. no list', '--- no line', '+2.5 \\[1, 4\\]')
    """
    line = "".join(_HTML.get(character, character) for character in one_line(text))
    # Addresses would become links of their own accord.
    line = _SPECIAL.sub(r"\\\1", line).replace("://", "&#58;//").replace("www.", "www&#46;")
    return _FIRST.sub(lambda m: f"{m[1]}\\" if m[1].isdigit() else f"\\{m[1]}", line)


def code(text: object) -> str:
    r"""A name as a code span, also within a table.

    >>> code("tiny-s"), code("a`b|c")
    ('`tiny-s`', '`` a`b\\|c ``')
    """
    line = one_line(text).replace("|", "\\|")
    if not line:
        return ""
    fence = "`" * (1 + _longest_run(line))
    return f"{fence}{line}{fence}" if fence == "`" else f"{fence} {line} {fence}"


def fenced(text: str, language: str) -> str:
    """A block of code; the fence is longer than any run of backticks in it."""
    fence = "`" * max(3, 1 + _longest_run(text))
    return f"{fence}{language}\n{text.rstrip()}\n{fence}"


def literal(text: str) -> str:
    r"""A Python string literal on one line, whatever the text holds.

    >>> literal('a"b\n')
    '"a\\"b\\n"'
    """
    return json.dumps(text)


def markdown_table(table: Table, study: str) -> str:
    """Heading, table, and how to read it."""
    lines = [
        f"### {plain(table.title)}",
        "",
        _row([plain(heading) for heading in table.headings]),
        _row(["---:" if column.kind == "number" else "---" for column in table.columns]),
        *(_row([_cell(cell) for cell in row]) for row in table.rows),
        "",
        " ".join(plain(text) for text in (f"Study: {study}.", *table.notes) if text),
        "",
    ]
    return "\n".join(lines)


def padded_table(table: Table) -> str:
    r"""The rows alone, columns padded so that they also read as plain text.

    >>> from kdscope.results.table import plain_table
    >>> print(padded_table(plain_table(("task", "n"), [("a|b", "7")], numeric={1})))
    | task |   n |
    | :--- | --: |
    | a\|b |   7 |
    <BLANKLINE>
    """
    rows = [[_in_cell(cell) for cell in row] for row in (table.headings, *_texts(table))]
    widths = [max(3, *map(len, column)) for column in zip(*rows, strict=True)]
    right = [column.kind == "number" for column in table.columns]
    rule = ["-" * (w - 1) + ":" if flush else ":" + "-" * (w - 1) for w, flush in zip(widths, right, strict=True)]
    lines = [
        _row([c.rjust(w) if flush else c.ljust(w) for c, w, flush in zip(row, widths, right, strict=True)])
        for row in rows
    ]
    return "\n".join([lines[0], _row(rule), *lines[1:], ""])


def _texts(table: Table) -> list[list[str]]:
    return [[cell.shown for cell in row] for row in table.rows]


def _in_cell(text: str) -> str:
    return text.replace("\\", "\\\\").replace("|", "\\|").replace("\n", " ")


def _row(entries: Sequence[str]) -> str:
    return f"| {' | '.join(entries)} |"


def _cell(cell: TableCell) -> str:
    # A number would be escaped where it begins with a sign, and is no list inside a table.
    shown = cell.text if _NUMBER.fullmatch(cell.text) else plain(cell.text)
    shown = f"**{shown}**" if cell.bold else shown
    # An interval is made of digits: its brackets are no link.
    interval = f" {cell.interval}" if cell.interval else ""
    return f"{shown}{plain(cell.mark)}{interval}"


def _longest_run(text: str) -> int:
    return max((len(run) for run in re.findall(r"`+", text)), default=0)
