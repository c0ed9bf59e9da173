"""A reader of LaTeX tables that knows nothing of how they are written: what LaTeX would typeset, or a complaint."""

from __future__ import annotations

import re
from dataclasses import dataclass

_PRINTED = {
    **{f"\\{character}": character for character in "{}$&%#_"},
    r"\textbackslash{}": "\\",
    r"\textasciitilde{}": "~",
    r"\textasciicircum{}": "^",
    r"\textless{}": "<",
    r"\textgreater{}": ">",
    r"\textbar{}": "|",
    r"\`{}": "`",
    r"\char34{}": '"',
    "$-$": "−",
    r"$\dagger$": "†",
    r"$\pm$": "±",
    r"$\times$": "×",
    "---": "—",
    "--": "–",
}
_COMMANDS = re.compile(r"\\(?:textbf|textsuperscript|scriptsize|caption|label)\b ?")
_TOKEN = re.compile("|".join(re.escape(token) for token in sorted(_PRINTED, key=len, reverse=True)) + r"|(?s:.)")


@dataclass(frozen=True)
class Tabular:
    """One tabular: its columns as specified, the heading, the rows, and the caption and label of its float."""

    columns: str
    rows: list[list[str]]
    caption: str
    label: str


def read_tabulars(source: str) -> list[Tabular]:
    """All tabulars of a file, checked: environments match, braces balance, every row has the columns promised."""
    source = "\n".join(line for line in source.split("\n") if not line.startswith("%"))
    _check_environments(source)
    found = []
    for part in re.findall(r"\\begin\{table\}(.*?)\\end\{table\}", source, flags=re.S):
        columns = re.search(r"\\begin\{tabular\}\{@\{\}((?:[lr]|p\{[\d.]+\\textwidth\})+)@\{\}\}\n", part)
        assert columns, "no columns specified"
        body = part[columns.end() : part.index("\\bottomrule\n\\end{tabular}")]
        caption = re.search(r"\\caption\{(.*)\}\n\\label\{(.*)\}\n", part)
        assert caption, "no caption"
        number = len(re.sub(r"p\{[^}]*\}", "p", columns[1]))
        found.append(Tabular(columns[1], _rows(body, number), typeset(caption[1]), caption[2]))
    return found


def typeset(text: str) -> str:
    """What a piece of LaTeX prints; complains of anything active that is neither escaped nor a known command."""
    assert _depth(text) == 0, f"braces do not balance: {text}"
    printed = []
    for token in _TOKEN.findall(_COMMANDS.sub("", text)):
        assert token not in ("\\", "$", "&", "#", "%", "_", "^", "~", '"', "`"), f"{token} is active in {text}"
        printed.append(_PRINTED.get(token, "" if token in "{}" else token))
    return "".join(printed)


def _rows(body: str, columns: int) -> list[list[str]]:
    rows = []
    for line in body.strip().split("\n"):
        if line in (r"\toprule", r"\midrule"):
            continue
        assert line.endswith(r" \\"), f"a row does not end: {line}"
        # What follows the end of a row is taken for its argument if it begins with one of these.
        assert line[0] not in "[*(", f"taken for an argument: {line}"
        entries = re.split(r"(?<!\\)(?:\\\\)*&", line.removesuffix(r" \\"))
        assert len(entries) == columns, f"{len(entries)} entries under {columns} columns: {line}"
        rows.append([typeset(entry.strip()) for entry in entries])
    return rows


def _check_environments(source: str) -> None:
    opened: list[str] = []
    for kind, name in re.findall(r"\\(begin|end)\{(\w+)\}", source):
        if kind == "begin":
            opened.append(name)
        else:
            assert opened, f"\\end{{{name}}} without a beginning"
            assert opened.pop() == name, f"\\end{{{name}}} in the wrong place"
    assert not opened, f"never ended: {opened}"


def _depth(text: str) -> int:
    depth = 0
    for token in re.findall(r"\\.|[{}]", text, flags=re.S):
        depth += {"{": 1, "}": -1}.get(token, 0)
        assert depth >= 0, f"a brace too many: {text}"
    return depth
