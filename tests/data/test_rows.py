"""Rows of files: every row that cannot be used is named, and what is no data at all is recognised."""

import json
from pathlib import Path

import pyarrow
import pyarrow.parquet as parquet
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from kdscope.core.errors import DataError
from kdscope.data.rows import Row, foreign_content, kind_of, mapped_row, read_rows, scan_rows

GOOD = '{"a": 1}'
POINTER = "version https://git-lfs.github.com/spec/v1\noid sha256:4d7a\nsize 12345\n"


def _file(tmp_path, content, name="data.json"):
    (tmp_path / name).write_bytes(content if isinstance(content, bytes) else content.encode())
    return tmp_path / name


@pytest.mark.parametrize(
    ("content", "words"),
    [
        (f"[{GOOD}, {GOOD}, {GOOD[:-3]}", "invalid JSON in line 1, column 27, row 3:"),
        (f"[{GOOD},\n\n {GOOD} {GOOD}]", "invalid JSON in line 3, column 11, row 3:"),
        (f"[{GOOD},\n", "invalid JSON in line 2, column 1, row 1:"),
        (f"[{GOOD}]\n{GOOD}", "invalid JSON in line 2, column 1: Extra data"),
        (b'[{"a": "x"},\n{"a": "y\xff"}]', "this is not UTF-8 text (line 2), row 2"),
        (b"\xff\xfe[\x00]\x00", "this is not UTF-8 text (line 1)"),
        (POINTER, "this is a git-LFS pointer to 12345 bytes (sha256:4d7a), not the data itself"),
        ("\ufeff\n<!DOCTYPE html><html>", "this is a web page, not data"),
        (b"\xef\xbb\xbf \n", "the file is empty"),
    ],
)
def test_what_is_wrong_with_a_file(tmp_path, content, words):
    file = _file(tmp_path, content)
    with pytest.raises(DataError) as caught:
        read_rows(file)
    assert str(caught.value).startswith(f"{file}: {words}")


@given(st.lists(st.dictionaries(st.text(), st.integers()), min_size=1, max_size=8), st.data())
@settings(deadline=None)
def test_a_truncated_list_names_the_row_where_it_ends(tmp_path_factory, rows, data):
    text = json.dumps(rows)
    ends = [len(json.dumps(rows[:count])) - 1 for count in range(1, len(rows) + 1)]
    cut = data.draw(st.integers(2, len(text) - 1))
    file = _file(tmp_path_factory.getbasetemp(), text[:cut])
    broken = sum(end <= cut for end in ends) + 1
    with pytest.raises(DataError) as caught:
        read_rows(file)
    # After a complete row the end may be blamed on that row or on the one that was to follow.
    assert any(f", row {number}:" in str(caught.value) for number in (broken, broken - 1))


def test_all_bad_lines_are_told(tmp_path):
    file = _file(tmp_path, f'{GOOD}\n{GOOD}{GOOD}\n[1]\n{{"a"\n\n{GOOD}', "data.jsonl")
    entries = list(scan_rows(file))
    advice = "; JSONL has one object on each line"
    assert [entry.number for entry in entries if isinstance(entry, Row)] == [1, 6]
    assert [str(entry) for entry in entries if isinstance(entry, DataError)] == [
        f"{file}, row 2: invalid JSON, column 9: there is more after the first value{advice}",
        f"{file}, row 3: expected an object with keys, given a list",
        f"{file}, row 4: invalid JSON, column 5: Expecting ':' delimiter{advice}",
    ]
    with pytest.raises(DataError, match="row 2"):
        read_rows(file)


@pytest.mark.parametrize("text", ["", "[1]", '{"a": "<html>"}', "version 2", "a < b"])
def test_data_is_not_taken_for_something_else(text):
    assert foreign_content(text) is None


def test_a_mapped_row_keeps_its_place_and_its_errors_name_it():
    row = Row(Path("x.json"), 3, {"question": "q"})
    assert mapped_row(row, lambda values: {"instruction": values["question"]}).values == {"instruction": "q"}

    def refuse(_values):
        raise DataError("no such column", key="question")

    with pytest.raises(DataError, match=r"x.json, row 3: question: no such column"):
        mapped_row(row, refuse)


@pytest.mark.parametrize(
    ("value", "word"),
    [(None, "null"), (True, "true or false"), (1, "a number"), (0.5, "a number"), ("", "text"), ([], "a list")],
)
def test_kinds_in_words(value, word):
    assert kind_of(value) == word


TWICE = '{"a": 1, "b": {"c": 1, "c": 2}}'
UNMEANT = [
    (TWICE, "c: the key is given twice"),
    ('{"a": NaN}', "a: NaN or Infinity is written"),
    ('{"a": [[1, -Infinity]]}', "a: NaN or Infinity is written"),
    ('{"a": 1e999}', "a: NaN or Infinity is written, or a number too large"),
]


@pytest.mark.parametrize(("text", "words"), UNMEANT)
@pytest.mark.parametrize("form", ["[{0},\n {1}, {0}]", "{0}\n{1}\n{0}"])
def test_a_key_given_twice_and_a_number_that_is_none_are_refused_by_the_one_reader(tmp_path, text, words, form):
    file = _file(tmp_path, form.format(GOOD, text), "data.json" if form[0] == "[" else "data.jsonl")
    with pytest.raises(DataError) as caught:
        read_rows(file)
    assert str(caught.value).startswith(f"{file}, row 2: {words}")
    assert [isinstance(entry, Row) for entry in scan_rows(file)] == [True, False, True]


def test_rows_of_a_parquet_file(tmp_path):
    rows = [{"a": "x", "talk": [{"role": "user", "content": "q"}]}, {"a": None, "talk": []}]
    file = tmp_path / "data.parquet"
    parquet.write_table(pyarrow.Table.from_pylist(rows), file)
    assert [(row.number, dict(row.values)) for row in read_rows(file)] == [(1, rows[0]), (2, rows[1])]
    parquet.write_table(pyarrow.table({"a": []}), file)
    with pytest.raises(DataError, match=r"data.parquet: the file has no rows"):
        read_rows(file)
    for broken in (file.read_bytes()[:-20], b"[]"):
        file.write_bytes(broken)
        with pytest.raises(DataError, match=r"data.parquet: this is not a Parquet file that can be read"):
            read_rows(file)
