"""Markdown tables, read by markdown-it."""

from __future__ import annotations

import pandas as pd
from hypothesis import given
from hypothesis import strategies as st

from kdscope.report.markdown import one_line
from kdscope.report.paper import PaperTable, Value, numbers, texts
from kdscope.report.paper_markdown import markdown_table
from tests.report.markdown_reader import read_table

names = st.one_of(
    st.text(min_size=1, max_size=40),
    st.text(alphabet="|\\\\`*_[]<>~$!&#-+1. \nab", min_size=1, max_size=20),
    st.sampled_from(
        ["a|b", "a\\|b", "\\", "`a|b`", "<script>alert(1)</script>", "a\n| b | c |", "[a](b)", "![a](b)", "**b**"]
    ),
).filter(lambda text: bool(one_line(text)))


def table(name: str, head: str = "gain", value: Value = Value("+1.0")) -> PaperTable:
    row = (Value(name), value)
    return PaperTable("gains", "Gains", ("A note.",), (*texts("model"), *numbers(head)), (row, row), 1, pd.DataFrame())


@given(names, names, names)
def test_no_name_breaks_a_row_or_becomes_more_than_text(name: str, task: str, study: str) -> None:
    value = Value("−0.4", "[−2.1, +1.3]", "†", bold=True)
    read = read_table(markdown_table(table(name, task, value), study))
    assert read == [["model", one_line(task)], *[[one_line(name), "−0.4† [−2.1, +1.3]"]] * 2]


def test_a_table_as_it_is_written() -> None:
    value = Value("+7.8", "[+4.7, +10.9]", "*", bold=True)
    assert markdown_table(table("forward_kl", value=value), "R&D") == (
        "### Gains\n\n"
        "| model | gain |\n"
        "| --- | ---: |\n"
        "| forward\\_kl | **+7.8**\\* [+4.7, +10.9] |\n"
        "| forward\\_kl | **+7.8**\\* [+4.7, +10.9] |\n"
        "\n"
        "Study: R&amp;D. A note.\n"
    )
