"""Text in exported CSV is no formula to a spreadsheet, and comes back as it was."""

from __future__ import annotations

import csv
import io

import pandas as pd
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from kdscope.figures.drawing import csv_file
from kdscope.figures.panels import Figure
from kdscope.protocols.results_table import read_results_table
from kdscope.results.csv_cells import csv_text, guarded, unguarded, write_csv
from kdscope.results.table import Table, texts
from kdscope.results.table import csv_text as table_csv
from tests.figures.test_drawing import content

CELLS = st.text(st.sampled_from("'=+-@\t\r\n ,\"a1.＝") | st.characters(codec="utf-8"), max_size=8)


def cells_of(text: str) -> list[list[str]]:
    return list(csv.reader(io.StringIO(text, newline=""), strict=True))


@pytest.mark.parametrize(
    "text", ["=1+1", "+A1", "-A1", "@SUM(A1)", "\t=1", "\r=1", "\n=1", "  =1", "＝1", "-1+1", "'=1"]
)
def test_a_formula_is_written_behind_an_apostrophe_and_read_without(text):
    assert guarded(text) == f"'{text}"
    assert unguarded(guarded(text)) == text


@pytest.mark.parametrize("cell", ["it's", "'tis", "-1.5", "+2e-3", "a=b", "", -1.5, 7, None, True])
def test_other_cells_are_written_as_they_are(cell):
    assert guarded(cell) is cell


@settings(max_examples=300)
@given(st.lists(CELLS, min_size=1, max_size=4), CELLS.filter(lambda name: name != "n"))
def test_every_text_comes_back_from_a_file_and_none_begins_as_a_formula(texts, heading):
    text = csv_text(pd.DataFrame({heading: texts, "n": range(len(texts))}))
    written = cells_of(text)
    assert [unguarded(row[0]) for row in written] == [heading, *texts]
    for cell, *_ in written:
        assert cell.strip()[:1] not in tuple("=+-@＝") or cell.strip()[1:].replace(".", "").isdigit()


def test_numbers_are_written_as_pandas_writes_them():
    frame = pd.DataFrame({"x": [-1.5, float("nan")], "n": pd.array([1, None], "Int64"), "b": [True, False]})
    frame["mixed"] = pd.Series([-1, "a"], dtype=object)
    assert csv_text(frame) == frame.to_csv(index=False, lineterminator="\n")


def test_tables_figures_and_files_are_written_by_the_same_rule(tmp_path):
    frame = pd.DataFrame({"name": ["=cmd|' /C calc'!A0"], "value": [-0.5]})
    expected = "name,value\n'=cmd|' /C calc'!A0,-0.5\n"
    write_csv(frame, tmp_path / "a.csv")
    assert (tmp_path / "a.csv").read_bytes().decode() == expected
    assert table_csv(Table("k", "T", texts("name"), (), data=frame)) == expected
    (link,) = csv_file(Figure("k", "T", "", "", data=frame), "s")
    assert content(link).decode() == expected


def test_a_table_of_results_is_read_without_the_apostrophes(tmp_path):
    (tmp_path / "r.csv").write_text("student,method,task,value\n'=a,sft,t,11\n'=a,gkd,t,12\n''+b,sft,t,11\n")
    assert list(read_results_table(tmp_path / "r.csv").table["student"].unique()) == ["=a", "'+b"]
