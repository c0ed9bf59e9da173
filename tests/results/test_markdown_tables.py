"""Markdown tables, read by markdown-it."""

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from kdscope.results.markdown import markdown_table, one_line
from kdscope.results.table import Table, TableCell, numbers, texts
from tests.results.markdown_reader import read_table

names = st.one_of(
    st.text(min_size=1, max_size=40),
    st.text(alphabet="|\\\\`*_[]<>~$!&#-+1. \nab", min_size=1, max_size=20),
    st.sampled_from(
        ["a|b", "a\\|b", "\\", "`a|b`", "<script>alert(1)</script>", "a\n| b | c |", "[a](b)", "![a](b)", "**b**"]
    ),
).filter(lambda text: bool(one_line(text)))


def table(name: str, head: str = "gain", value: TableCell = TableCell("+1.0")) -> Table:
    row = (TableCell(name), value)
    return Table("gains", "Gains", (*texts("model"), *numbers(head)), (row, row), ("A note.",))


@given(names, names, names)
def test_no_name_breaks_a_row_or_becomes_more_than_text(name: str, task: str, study: str) -> None:
    value = TableCell("−0.4", "[−2.1, +1.3]", "†", bold=True)
    read = read_table(markdown_table(table(name, task, value), study))
    assert read == [["model", one_line(task)], *[[one_line(name), "−0.4† [−2.1, +1.3]"]] * 2]


def test_a_table_as_it_is_written() -> None:
    value = TableCell("+7.8", "[+4.7, +10.9]", "*", bold=True)
    assert markdown_table(table("forward_kl", value=value), "R&D") == (
        "### Gains\n\n"
        "| model | gain |\n"
        "| --- | ---: |\n"
        "| forward\\_kl | **+7.8**\\* [+4.7, +10.9] |\n"
        "| forward\\_kl | **+7.8**\\* [+4.7, +10.9] |\n"
        "\n"
        "Study: R&amp;D. A note.\n"
    )
