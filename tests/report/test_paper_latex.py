"""LaTeX tables, read by `latex_reader` as LaTeX reads them."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from kdscope.report.paper import LINES, WIDTH, beyond_latex, escape_latex, latex_document, latex_table
from kdscope.results.markdown import one_line
from kdscope.results.table import Table, TableCell, TableColumn, numbers, texts
from tests.report.latex_reader import read_tabulars, typeset

names = st.one_of(
    st.text(max_size=40),
    st.text(alphabet="\\{}$&%#_~^<>|[]*(-',`\"\n ab", max_size=20),
    st.sampled_from(["<script>alert(1)</script>", "\\end{tabular}", "\\\\[2em]", "a & b \\\\", "%", "Ünïcödé 中文 🙂"]),
)


def table(
    *rows: tuple[TableCell, ...], heads: tuple[str, ...] = ("gain",), named: tuple[str, ...] = ("model",)
) -> Table:
    return Table("gains", "Gains", (*texts(*named), *numbers(*heads)), rows, ("A note.",), len(named))


def test_a_table_as_it_is_written() -> None:
    shown = table(
        (TableCell("tiny"), TableCell("sft"), TableCell("–")),
        (TableCell("tiny"), TableCell("forward_kl"), TableCell("+7.8", "[+4.7, +10.9]", "*", bold=True)),
        (TableCell("small"), TableCell("gkd"), TableCell("−0.4", "[−2.1, +1.3]")),
        named=("model", "trained with"),
    )
    assert (
        latex_table(shown, "R&D")
        == r"""% Needs \usepackage{booktabs}.
\begin{table}[tbp]
\centering\footnotesize\setlength{\tabcolsep}{4pt}
\caption{Gains (R\&D). A note.}
\label{tab:gains}
\begin{tabular}{@{}llr@{}}
\toprule
model & trained with & gain \\
\midrule
tiny & sft & -- \\
{} & forward\_kl & \textbf{+7.8}\textsuperscript{*} {\scriptsize [+4.7, +10.9]} \\
\midrule
small & gkd & $-$0.4 {\scriptsize [$-$2.1, +1.3]} \\
\bottomrule
\end{tabular}
\end{table}
"""
    )


@pytest.mark.parametrize(
    ("text", "written"),
    [
        ("50% of $5 & #1_a", r"50\% of \$5 \& \#1\_a"),
        ("{a}", r"\{a\}"),
        ("a\\b", r"a\textbackslash{}b"),
        ("~^", r"\textasciitilde{}\textasciicircum{}"),
        ("a<b>|c", r"a\textless{}b\textgreater{}\textbar{}c"),
        ("x--y", "x-{}-y"),
        ("−1", "$-$1"),
        ("two\nlines", "two lines"),
    ],
)
def test_every_special_character(text: str, written: str) -> None:
    assert escape_latex(text) == written


@given(names)
def test_any_text_is_printed_as_it_is(text: str) -> None:
    assert typeset(escape_latex(text)) == one_line(text)


@given(names, names, names, names)
def test_no_name_breaks_a_row(model: str, method: str, task: str, study: str) -> None:
    shown = table(
        (TableCell(model), TableCell(method), TableCell("+1.0", "[+0.5, +1.5]", "*")), heads=(task,), named=("a", "b")
    )
    (read,) = read_tabulars(latex_table(shown, study))
    expected = [one_line(model), one_line(method), "+1.0* [+0.5, +1.5]"]
    assert [entry.strip() for entry in read.rows[1]] == expected
    assert read.rows[0][2] == one_line(task)
    assert one_line(study) in read.caption


def test_a_row_that_begins_like_an_argument() -> None:
    written = latex_table(table((TableCell("[1em]"), TableCell("1")), (TableCell("*"), TableCell("2"))), "s")
    assert "{}[1em] & 1" in written
    assert "{}* & 2" in written
    assert [row[0] for row in read_tabulars(written)[0].rows] == ["model", "[1em]", "*"]


def test_a_wide_table_is_split_between_its_columns() -> None:
    heads = tuple(f"task{number}" for number in range(9))
    row = (TableCell("tiny"), *(TableCell(f"{number}0.5", "[10.0, 90.0]") for number in range(9)))
    read = read_tabulars(latex_table(table(row, row, heads=heads), "s"))
    assert len(read) > 1
    assert [head for part in read for head in part.rows[0][1:]] == list(heads)
    assert [value[:4] for part in read for value in part.rows[1][1:]] == [f"{number}0.5" for number in range(9)]
    assert all(part.rows[1][0] == "tiny" for part in read)
    assert [part.label for part in read] == ["tab:gains", *(f"tab:gains-{n}" for n in range(2, len(read) + 1))]
    assert max(len(part.rows[0]) for part in read) - min(len(part.rows[0]) for part in read) <= 1
    assert all(sum(len(entry) for entry in part.rows[1]) <= WIDTH for part in read)
    assert f"Part 2 of {len(read)}" in read[1].caption
    assert "A note." not in read[1].caption


def test_a_column_wider_than_the_page_stands_alone() -> None:
    row = (TableCell("a"), TableCell("1" * 300), TableCell("2"))
    read = read_tabulars(latex_table(table(row, heads=("x", "y")), "s"))
    assert [part.rows[0][1] for part in read] == ["x", "y"]


def test_a_long_table_is_split_between_its_groups() -> None:
    rows = [(TableCell(f"model{number // 10}"), TableCell(str(number))) for number in range(100)]
    read = read_tabulars(latex_table(table(*rows), "s"))
    assert [row[1] for part in read for row in part.rows[1:]] == [str(number) for number in range(100)]
    assert all(len(part.rows) <= LINES / 1.5 + 1 for part in read)
    # A part never begins in the middle of a model.
    assert all(int(part.rows[1][1]) % 10 == 0 for part in read)


def test_rows_without_anything_in_a_part_are_left_out() -> None:
    row = (TableCell("tiny"), *(TableCell("10.5", "[10.0, 90.0]") for _ in range(6)))
    chance = (TableCell("chance"), *(TableCell("25.0") for _ in range(5)), TableCell(""))
    read = read_tabulars(latex_table(table(row, chance, heads=tuple("abcdef")), "s"))
    kept = [[entry[0] for entry in part.rows] for part in read]
    assert kept == [["model", "tiny", "chance"]] * len(read)
    alone = read_tabulars(latex_table(table((TableCell("x"), TableCell("")), (TableCell("y"), TableCell("1"))), "s"))
    assert [entry[0] for entry in alone[0].rows] == ["model", "y"]


def test_characters_that_pdflatex_lacks_are_told() -> None:
    assert beyond_latex("Ünïcödé – ok") == "–"
    assert "LuaLaTeX or XeLaTeX, and a font that has: 中 文" in latex_table(
        table((TableCell("中文"), TableCell("1"))), "s"
    )
    assert "LuaLaTeX" not in latex_table(table((TableCell("Café − 5 ± 1 †"), TableCell("–"))), "s")


def test_sentences_are_broken_into_lines() -> None:
    long = TableCell("A sentence. " * 20)
    shown = Table("told", "T", (*texts("role"), TableColumn("result", "prose")), ((TableCell("a"), long),))
    (read,) = read_tabulars(latex_table(shown, "s"))
    assert read.columns == r"lp{0.78\textwidth}"


def test_a_long_name_is_broken_into_lines() -> None:
    (read,) = read_tabulars(latex_table(table((TableCell("name " * 30), TableCell("1"))), "s"))
    assert read.columns == r"p{0.3\textwidth}r"


def test_the_document_brings_in_every_file() -> None:
    document = latex_document(("accuracy.tex", "gains.tex"), "a_b")
    assert document.index(r"\usepackage{booktabs}") < document.index(r"\begin{document}")
    assert r"\input{accuracy.tex}" in document
    assert r"\input{gains.tex}" in document
    assert r"\section*{a\_b}" in document
