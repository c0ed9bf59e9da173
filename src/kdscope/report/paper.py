r"""The tables of a study as files for a paper: LaTeX, Markdown, or tidy CSV.

LaTeX uses booktabs, escapes every name and breaks tables larger than a page into parts; a file needs
``\usepackage{booktabs}`` and nothing else. Text from a study (names, causes, sentences) can hold anything;
`escape_latex` makes any of it one line of text that LaTeX prints.
"""

from __future__ import annotations

import math
import unicodedata
from collections.abc import Callable, Iterator, Mapping, Sequence
from itertools import accumulate, takewhile
from pathlib import Path
from types import MappingProxyType
from typing import Literal

from kdscope.core.errors import DataError
from kdscope.report.contamination import paper_contamination
from kdscope.report.fidelity_tables import paper_fidelity, paper_probes
from kdscope.report.result_tables import paper_results
from kdscope.report.statistics_tables import paper_statistics
from kdscope.report.training_tables import paper_ablations, paper_training
from kdscope.results.findings import distilled_only
from kdscope.results.markdown import markdown_table, one_line
from kdscope.results.table import Table, TableCell, csv_text
from kdscope.results.tables import ReportTables

Format = Literal["latex", "markdown", "csv"]
FORMATS: tuple[Format, ...] = ("latex", "markdown", "csv")
_DOCUMENT = "all_tables.tex"
WIDTH = 113
"""How many characters of \\footnotesize fit across a page with usual margins: narrow ones and numbers mixed."""
LINES = 58
"""How many lines of it fit under each other, beside a caption."""
_GAP = 2
_LONGEST = 36
"""Characters of a name that still stands on one line."""
_BROKEN = 0.3
"""Share of the page for names that do not."""
_PROSE = 0.78
_SPECIAL = MappingProxyType(
    {
        "\\": r"\textbackslash{}",
        "{": r"\{",
        "}": r"\}",
        **{character: f"\\{character}" for character in "$&%#_"},
        "~": r"\textasciitilde{}",
        "^": r"\textasciicircum{}",
        "<": r"\textless{}",
        ">": r"\textgreater{}",
        "|": r"\textbar{}",
        "`": r"\`{}",
        '"': r"\char34{}",
        "\u2212": "$-$",
        "–": "--",
        "—": "---",
        "†": r"$\dagger$",
        "±": r"$\pm$",
        "×": r"$\times$",
    }
)
_LIGATURES = "-',"
_KNOWN = frozenset("ÀÁÂÃÄÅÆÇÈÉÊËÌÍÎÏÑÒÓÔÕÖØÙÚÛÜÝßàáâãäåæçèéêëìíîïñòóôõöøùúûüýÿ‘’“”…")
"""Characters beyond ASCII that every LaTeX since 2018 prints."""


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


def _all(tables: ReportTables, scoring: str) -> Iterator[Table]:
    yield from paper_results(tables, scoring)
    yield paper_fidelity(tables)
    yield from paper_statistics(tables)
    yield from paper_ablations(tables, scoring)
    yield paper_training(tables)
    yield paper_probes(tables)
    yield from paper_contamination(tables, scoring)


def escape_latex(text: str) -> str:
    r"""Any text as LaTeX that prints it.

    >>> escape_latex("50% of a_b & {c}"), escape_latex("x--y")
    ('50\\% of a\\_b \\& \\{c\\}', 'x-{}-y')
    """
    parts: list[str] = []
    before = ""
    for character in one_line(text):
        if character in _LIGATURES and character == before:
            parts.append("{}")
        parts.append(_SPECIAL.get(character, character))
        before = character
    return "".join(parts)


def beyond_latex(text: str) -> str:
    """The characters of a LaTeX text that only LuaLaTeX and XeLaTeX print, each once."""
    strange = (c for c in unicodedata.normalize("NFC", text) if ord(c) > 126 and c not in _KNOWN)
    return "".join(dict.fromkeys(strange))


def latex_table(table: Table, study: str) -> str:
    """A table as one or more floats; each part repeats the names of its rows."""
    layout = _Layout(table)
    parts = [(columns, rows) for rows in layout.row_parts() for columns in layout.column_parts()]
    floats = []
    for part, (columns, rows) in enumerate(parts, 1):
        lines = [
            r"\begin{table}[tbp]",
            r"\centering\footnotesize\setlength{\tabcolsep}{4pt}",
            rf"\caption{{{_caption(table, study, part, len(parts))}}}",
            rf"\label{{tab:{table.key.replace('_', '-')}{'' if part == 1 else f'-{part}'}}}",
            rf"\begin{{tabular}}{{@{{}}{''.join(layout.alignments[index] for index in columns)}@{{}}}}",
            r"\toprule",
            _row([escape_latex(table.columns[index].heading) for index in columns]),
            *_body(rows, columns, table.names),
            *(r"\bottomrule", r"\end{tabular}", r"\end{table}", ""),
        ]
        floats.append("\n".join(lines))
    body = "\n".join(floats)
    preamble = [r"% Needs \usepackage{booktabs}."]
    if strange := beyond_latex(body):
        preamble.append(f"% Compile with LuaLaTeX or XeLaTeX, and a font that has: {' '.join(strange)}")
    return "\n".join([*preamble, body])


def latex_document(files: Sequence[str], study: str) -> str:
    """A document that shows the tables of these files."""
    # Floats wait for a page; without text between them there would soon be too many.
    inputs = "\n".join(rf"\input{{{file}}}\clearpage" for file in files)
    return (
        "% All tables in one document, to look at.\n"
        "\\documentclass{article}\n\\usepackage[margin=1in]{geometry}\n\\usepackage[T1]{fontenc}\n"
        "\\usepackage{booktabs}\n"
        f"\\begin{{document}}\n\\section*{{{escape_latex(study)}}}\n{inputs}\n\\end{{document}}\n"
    )


def _caption(table: Table, study: str, part: int, parts: int) -> str:
    which = f" Part {part} of {parts}." if parts > 1 else ""
    title = f"{escape_latex(table.title)} ({escape_latex(study)}).{which}"
    return title if part > 1 else " ".join([title, *(escape_latex(note) for note in table.notes if note)])


def _body(rows: Sequence[Sequence[TableCell]], columns: Sequence[int], names: int) -> Iterator[str]:
    """The rows, a rule where what they are about changes; names that the row above has too are not repeated.

    A row that has nothing in these columns is left out.
    """
    before: tuple[str, ...] = ()
    for row in rows:
        if all(not row[index].text for index in columns[names:]):
            continue
        own = tuple(value.text for value in row[:names])
        same = next((place for place, (a, b) in enumerate(zip(own, before, strict=False)) if a != b), len(before))
        if same == 0:
            yield r"\midrule"
        # The last of the names always stands there.
        yield _row(["" if index < min(same, names - 1) else _value(row[index]) for index in columns])
        before = own


def _row(entries: Sequence[str]) -> str:
    # What follows a rule or the end of a row is taken for its argument where it begins with one of these.
    first = f"{{}}{entries[0]}" if entries[0][:1] in ("", "[", "*", "(") else entries[0]
    return f"{' & '.join([first, *entries[1:]])} \\\\"


def _value(value: TableCell) -> str:
    shown = escape_latex(value.text)
    shown = rf"\textbf{{{shown}}}" if value.bold else shown
    mark = rf"\textsuperscript{{{escape_latex(value.mark)}}}" if value.mark else ""
    interval = rf" {{\scriptsize {escape_latex(value.interval)}}}" if value.interval else ""
    return f"{shown}{mark}{interval}"


class _Layout:
    """How wide the columns of a table are, and where it is broken so that each part fits on a page."""

    def __init__(self, table: Table) -> None:
        self.table = table
        kinds = [column.kind for column in table.columns]
        longest = [_longest(table, index) for index in range(len(kinds))]
        broken = [kind == "text" and length > _LONGEST for kind, length in zip(kinds, longest, strict=True)]
        self.alignments = [
            rf"p{{{_PROSE if kind == 'prose' else _BROKEN}\textwidth}}"
            if kind == "prose" or breaks
            else ("l" if kind == "text" else "r")
            for kind, breaks in zip(kinds, broken, strict=True)
        ]
        self.widths = [
            0.0 if kind == "prose" else (WIDTH * _BROKEN if breaks else length) + _GAP
            for kind, breaks, length in zip(kinds, broken, longest, strict=True)
        ]
        self._rooms = {
            index: 0.9 * WIDTH * (_PROSE if kind == "prose" else _BROKEN)
            for index, (kind, breaks) in enumerate(zip(kinds, broken, strict=True))
            if kind == "prose" or breaks
        }

    def column_parts(self) -> list[tuple[int, ...]]:
        """The columns in as many parts as the page is too narrow for, about equally wide; one at least beside names."""
        names = tuple(range(self.table.names))
        widths = {index: self.widths[index] for index in range(self.table.names, len(self.widths))}
        parts = _filled(widths, max(WIDTH - sum(self.widths[index] for index in names), 1.0))
        # The narrowest parts that are not more of them: the last one is then not left with a single column.
        narrow = sum(widths.values()) / len(parts)
        while len(balanced := _filled(widths, narrow)) > len(parts):
            narrow += 1
        return [(*names, *part) for part in balanced]

    def row_parts(self) -> list[tuple[tuple[TableCell, ...], ...]]:
        """The rows, in parts that fit on a page; a new part begins with a new group where that wastes little."""
        rows = self.table.rows
        lines = [self._lines(row) for row in rows]
        parts: list[tuple[tuple[TableCell, ...], ...]] = []
        start = 0
        while start < len(rows):
            end = start + max(1, sum(1 for _ in takewhile(lambda total: total <= LINES, accumulate(lines[start:]))))
            groups = [n for n in range(start + (end - start) // 2, end + 1) if _begins_group(rows, n)]
            end = max(groups, default=end) if end < len(rows) else end
            parts.append(rows[start:end])
            start = end
        return parts or [()]

    def _lines(self, row: Sequence[TableCell]) -> float:
        """How many lines a row takes, the rule above it counted as half of one."""
        longest = max((len(row[index].text) / room for index, room in self._rooms.items()), default=1.0)
        return 0.5 + math.ceil(longest)


def _filled(widths: Mapping[int, float], room: float) -> list[tuple[int, ...]]:
    parts: list[tuple[int, ...]] = [()]
    left = room
    for index, width in widths.items():
        if parts[-1] and width > left:
            parts.append(())
            left = room
        parts[-1] = (*parts[-1], index)
        left -= width
    return parts


def _longest(table: Table, index: int) -> float:
    """The longest entry in characters, those of an interval being smaller."""
    widths = [len(row[index].text) + 0.8 * len(row[index].interval) + len(row[index].mark) for row in table.rows]
    return max([len(table.columns[index].heading), *widths])


def _begins_group(rows: Sequence[Sequence[TableCell]], row: int) -> bool:
    return 0 < row < len(rows) and rows[row][0].text != rows[row - 1][0].text


_RENDERERS: Mapping[Format, tuple[str, Callable[[Table, str], str]]] = MappingProxyType(
    {
        "latex": (".tex", latex_table),
        "markdown": (".md", markdown_table),
        "csv": (".csv", lambda table, _: csv_text(table)),
    }
)
