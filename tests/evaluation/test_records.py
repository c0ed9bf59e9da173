"""What is written is what is read, byte for byte the same each time."""

from __future__ import annotations

from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from kdscope.core.errors import DataError
from kdscope.evaluation.records import Record, read_records, record_schema, value_of, write_records
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
    rouge_l=st.none() | st.floats(0, 1),
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


def test_records_from_before_there_was_rouge_are_read(tmp_path: Path) -> None:
    file = tmp_path / "records.parquet"
    write_records([record("gsm8k", 0)], file)
    pq.write_table(pq.read_table(file).drop_columns(["rouge_l"]), file)
    assert read_records(file) == [record("gsm8k", 0, rouge_l=None)]


def test_a_file_without_another_column_is_refused(tmp_path: Path) -> None:
    file = tmp_path / "records.parquet"
    write_records([record("gsm8k", 0)], file)
    pq.write_table(pq.read_table(file).drop_columns(["completion"]), file)
    with pytest.raises(DataError, match=r"records\.parquet: completion: this column"):
        read_records(file)


def test_a_column_of_another_kind_is_refused(tmp_path: Path) -> None:
    file = tmp_path / "records.parquet"
    write_records([record("gsm8k", 0)], file)
    table = pq.read_table(file)
    place = table.schema.get_field_index("completion_tokens")
    pq.write_table(table.set_column(place, "completion_tokens", pa.array(["many"])), file)
    with pytest.raises(DataError, match=r"records\.parquet"):
        read_records(file)


def test_what_is_no_parquet_file_is_refused(tmp_path: Path) -> None:
    (tmp_path / "records.parquet").write_text("no")
    with pytest.raises(DataError, match=r"records\.parquet"):
        read_records(tmp_path / "records.parquet")


def test_the_value_of_an_answer_and_of_a_text() -> None:
    answer = record("gsm8k", 0, correct_robust=True, correct_published=False)
    assert (value_of(answer, "robust"), value_of(answer, "published")) == (1.0, 0.0)
    text = record("dolly", 0, correct_robust=False, correct_published=False, rouge_l=0.4)
    assert (value_of(text, "robust"), value_of(text, "published")) == (0.4, 0.4)
