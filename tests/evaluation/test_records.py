"""Records and rows come back from parquet as they were, also those of a whole run in one place."""

from __future__ import annotations

import math
import multiprocessing
from dataclasses import dataclass
from pathlib import Path

import pandas as pd
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from kdscope.core.errors import DataError
from kdscope.core.files import sha256_of
from kdscope.evaluation import records as evaluation_records
from kdscope.evaluation.distribution_fidelity import PairReading, kept_reading
from kdscope.evaluation.records import (
    Record,
    read_records,
    read_row_file,
    read_run_records,
    record_schema,
    value_of,
    write_records,
    write_row_file,
    write_run_records,
)
from tests.evaluation.by_hand import marked, record

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


@dataclass(frozen=True)
class Some:
    name: str
    count: int
    share: float
    right: bool
    maybe: str | None
    unknown: bool | None


@dataclass(frozen=True)
class More(Some):
    extra: int = 0


ROWS = [Some("a\n", 1, 0.1, True, None, None), Some("ü", 2, math.inf, False, "x", True)]


def test_there_and_back(tmp_path: Path) -> None:
    write_row_file(ROWS, Some, tmp_path / "rows.parquet")
    assert read_row_file(Some, tmp_path / "rows.parquet") == ROWS
    assert list(pd.read_parquet(tmp_path / "rows.parquet").columns) == list(vars(ROWS[0]))


def test_no_rows_have_columns_all_the_same(tmp_path: Path) -> None:
    write_row_file([], Some, tmp_path / "rows.parquet")
    assert read_row_file(Some, tmp_path / "rows.parquet") == []
    assert "unknown" in pd.read_parquet(tmp_path / "rows.parquet").columns


def test_what_cannot_be_read_is_named(tmp_path: Path) -> None:
    write_row_file(ROWS, Some, tmp_path / "rows.parquet")
    with pytest.raises(DataError, match=r"rows\.parquet: extra: this column is missing"):
        read_row_file(More, tmp_path / "rows.parquet")
    (tmp_path / "broken.parquet").write_text("no")
    with pytest.raises(DataError, match=r"broken\.parquet: the table cannot be read"):
        read_row_file(Some, tmp_path / "broken.parquet")


def test_a_reading_is_made_once_and_a_broken_one_anew(tmp_path: Path) -> None:
    made: list[int] = []

    def read() -> PairReading:
        made.append(1)
        if len(made) == 1:
            raise KeyboardInterrupt
        return PairReading([], [])

    with pytest.raises(KeyboardInterrupt):
        kept_reading(tmp_path / "part", read)
    for _ in range(2):
        assert kept_reading(tmp_path / "part", read) == PairReading([], [])
    assert len(made) == 2


def stored(folder: Path, name: str, task: str, marks: str) -> tuple[Path, list[Record]]:
    records = marked(task, marks)
    write_records(records, folder / f"{name}-{task}.parquet")
    return folder / f"{name}-{task}.parquet", records


@pytest.fixture
def files(tmp_path: Path) -> dict[str, dict[str, Path]]:
    return {
        "a": {"gsm8k": stored(tmp_path, "a", "gsm8k", "101")[0], "SVAMP": stored(tmp_path, "a", "SVAMP", "01")[0]},
        "b": {"gsm8k": stored(tmp_path, "b", "gsm8k", "000")[0]},
    }


def test_every_record_of_every_model_is_there_in_order(tmp_path: Path, files: dict[str, dict[str, Path]]) -> None:
    write_run_records(files, tmp_path / "records")
    assert {file.name for file in (tmp_path / "records").iterdir()} == {"gsm8k.parquet", "SVAMP.parquet"}
    table = read_run_records(tmp_path / "records", tasks=["gsm8k", "SVAMP"])
    assert table["cell"].to_pylist() == ["a"] * 3 + ["b"] * 3 + ["a"] * 2
    assert table["correct_robust"].to_pylist() == [True, False, True, False, False, False, False, True]
    own = table.filter([row == "b" for row in table["cell"].to_pylist()]).drop(["cell"])
    assert [Record(**row) for row in own.to_pylist()] == marked("gsm8k", "000")


def test_a_model_is_a_row_group(tmp_path: Path, files: dict[str, dict[str, Path]]) -> None:
    write_run_records(files, tmp_path / "records")
    assert pq.ParquetFile(tmp_path / "records" / "gsm8k.parquet").metadata.num_row_groups == 2


def test_columns_can_be_chosen(tmp_path: Path, files: dict[str, dict[str, Path]]) -> None:
    write_run_records(files, tmp_path / "records")
    assert read_run_records(tmp_path / "records", ["cell", "item_id"]).column_names == ["cell", "item_id"]
    with pytest.raises(DataError, match=r"gsm8k|SVAMP.*colour"):
        read_run_records(tmp_path / "records", ["colour"])


def test_what_did_not_change_is_not_written_again(tmp_path: Path, files: dict[str, dict[str, Path]]) -> None:
    written = write_run_records(files, tmp_path / "records")
    assert written == {file.name: sha256_of(file) for file in (tmp_path / "records").iterdir()}
    before = {file.name: file.stat().st_mtime_ns for file in (tmp_path / "records").iterdir()}
    stored(tmp_path, "b", "gsm8k", "111")  # other records in the same place
    write_run_records(files, tmp_path / "records", written)
    after = {file.name: file.stat().st_mtime_ns for file in (tmp_path / "records").iterdir()}
    assert {name for name in after if after[name] != before[name]} == {"gsm8k.parquet"}
    assert read_run_records(tmp_path / "records", tasks=["gsm8k"])["correct_robust"].to_pylist()[3:] == [True] * 3


def test_a_file_that_was_damaged_is_written_again(tmp_path: Path, files: dict[str, dict[str, Path]]) -> None:
    written, file = write_run_records(files, tmp_path / "records"), tmp_path / "records" / "gsm8k.parquet"
    whole = file.read_bytes()
    file.write_bytes(whole[:40] + bytes([whole[40] ^ 1]) + whole[41:])
    assert write_run_records(files, tmp_path / "records", written) == written
    assert file.read_bytes() == whole
    file.unlink()
    file.mkdir()
    write_run_records(files, tmp_path / "records", written)
    assert file.read_bytes() == whole


def test_a_task_that_is_gone_leaves_no_file(tmp_path: Path, files: dict[str, dict[str, Path]]) -> None:
    write_run_records(files, tmp_path / "records")
    del files["a"]["SVAMP"]
    write_run_records(files, tmp_path / "records")
    assert [file.name for file in (tmp_path / "records").iterdir()] == ["gsm8k.parquet"]


def test_a_folder_without_records_says_what_to_do(tmp_path: Path) -> None:
    with pytest.raises(DataError, match="run the study again"):
        read_run_records(tmp_path)


def test_a_damaged_file_is_named(tmp_path: Path, files: dict[str, dict[str, Path]]) -> None:
    write_run_records(files, tmp_path / "records")
    (tmp_path / "records" / "gsm8k.parquet").write_bytes(b"PAR1 no")
    with pytest.raises(DataError, match=r"gsm8k\.parquet"):
        read_run_records(tmp_path / "records")


def _write_often(files: dict[str, dict[str, Path]], folder: Path, start: object) -> None:
    start.wait()  # type: ignore[attr-defined]
    for _ in range(40):
        (folder / "gsm8k.parquet").unlink(missing_ok=True)  # or it is left as it is
        write_run_records(files, folder)


def test_two_processes_leave_whole_files(tmp_path: Path, files: dict[str, dict[str, Path]]) -> None:
    del files["a"]["SVAMP"]
    other = {name: {"gsm8k": stored(tmp_path, f"other-{name}", "gsm8k", "1" * 400)[0]} for name in ("a", "b", "c")}
    spawn = multiprocessing.get_context("spawn")
    start, folder = spawn.Barrier(2), tmp_path / "records"
    writers = [spawn.Process(target=_write_often, args=(of, folder, start)) for of in (files, other)]
    for writer in writers:
        writer.start()
    for writer in writers:
        writer.join()
    assert [writer.exitcode for writer in writers] == [0, 0]
    assert [file.name for file in folder.iterdir()] == ["gsm8k.parquet"]
    assert len(read_run_records(folder)) in (3 + 3, 3 * 400)


def test_a_writer_has_a_file_of_its_own(
    tmp_path: Path, files: dict[str, dict[str, Path]], monkeypatch: pytest.MonkeyPatch
) -> None:
    """Another one starts and ends while the first is in the middle of the same task."""
    other = {"c": {"gsm8k": stored(tmp_path, "c", "gsm8k", "1")[0]}}
    real, folder, between = evaluation_records._record_table, tmp_path / "records", iter([True])

    def interrupted(path: Path) -> object:
        if next(between, False):
            write_run_records(other, folder)
        return real(path)

    monkeypatch.setattr(evaluation_records, "_record_table", interrupted)
    write_run_records(files, folder)
    assert read_run_records(folder, tasks=["gsm8k"])["cell"].to_pylist() == ["a"] * 3 + ["b"] * 3


def test_what_fails_leaves_the_old_file_and_no_part_of_a_new_one(
    tmp_path: Path, files: dict[str, dict[str, Path]]
) -> None:
    folder = tmp_path / "records"
    write_run_records(files, folder)
    before = (folder / "gsm8k.parquet").read_bytes()
    (tmp_path / "damaged.parquet").write_bytes(b"PAR1 no")
    files["b"]["gsm8k"] = tmp_path / "damaged.parquet"
    with pytest.raises(DataError, match="damaged"):
        write_run_records(files, folder)
    assert {file.name for file in folder.iterdir()} == {"gsm8k.parquet", "SVAMP.parquet"}
    assert (folder / "gsm8k.parquet").read_bytes() == before
