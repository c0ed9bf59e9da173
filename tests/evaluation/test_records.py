"""What is written is what is read, byte for byte the same each time."""

from __future__ import annotations

from pathlib import Path

import pyarrow.parquet as pq
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from kdscope.evaluation.records import Record, read_records, record_schema, write_records
from tests.evaluation.by_hand import record

text = st.text(st.characters(exclude_categories=["Cs"]), max_size=30)
optional = st.none() | text
whole = st.integers(0, 2**62)
records = st.builds(
    Record,
    task=text,
    item_id=text,
    item_hash=text,
    decoding_seed=whole,
    prompt=text,
    completion=text,
    finish_reason=text,
    gold=text,
    published_value=optional,
    correct_published=st.booleans(),
    robust_value=optional,
    robust_rule=text,
    robust_status=text,
    truncated=st.booleans(),
    correct_robust=st.booleans(),
    completion_tokens=whole,
)


@settings(max_examples=60, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(written=st.lists(records, max_size=5))
def test_records_survive_the_file(written: list[Record], tmp_path: Path) -> None:
    first, second = tmp_path / "first.parquet", tmp_path / "second.parquet"
    for file in (first, second):
        write_records(iter(written), file)
    assert read_records(first) == written
    assert first.read_bytes() == second.read_bytes()


@pytest.mark.parametrize(
    "odd",
    ["", "\x00", "a\x00b", "\u2028\x85\r\n", "e\u0301", "\ufffd", "\U0001f600", "\ufeffx", "\u202e<b>", "\x1b[31m"],
)
def test_odd_text_is_kept_as_it_is(odd: str, tmp_path: Path) -> None:
    written = [record("gsm8k", 0, completion=odd, prompt=odd, robust_value=odd)]
    write_records(written, tmp_path / "records.parquet")
    assert read_records(tmp_path / "records.parquet") == written


def test_an_empty_answer_is_not_a_missing_one(tmp_path: Path) -> None:
    write_records([record("gsm8k", 0, robust_value=""), record("gsm8k", 1, robust_value=None)], tmp_path / "r.parquet")
    assert [r.robust_value for r in read_records(tmp_path / "r.parquet")] == ["", None]


def test_half_a_surrogate_pair_is_refused_and_not_replaced(tmp_path: Path) -> None:
    """It is no text: tokenizers never decode to it, data files with it are refused, and nothing here invents it."""
    with pytest.raises(UnicodeEncodeError):
        write_records([record("gsm8k", 0, completion="\ud800")], tmp_path / "records.parquet")


def test_folder_names_add_no_columns(tmp_path: Path) -> None:
    folder = tmp_path / "task=other" / "gold=9"
    folder.mkdir(parents=True)
    written = [record("gsm8k", 0)]
    write_records(written, folder / "records.parquet")
    assert read_records(folder / "records.parquet") == written


def test_other_tools_read_the_same_columns(tmp_path: Path) -> None:
    write_records([record("gsm8k", 3, completion_tokens=11)], tmp_path / "records.parquet")
    table = pq.read_table(tmp_path / "records.parquet")
    assert table.schema.equals(record_schema())
    assert table.column("item_id").to_pylist() == ["gsm8k/3"]
    assert table.column("completion_tokens").to_pylist() == [11]
