"""The records of a whole run in one place: what goes in comes out, once, and nothing stale stays."""

from __future__ import annotations

from pathlib import Path

import pyarrow.parquet as pq
import pytest

from kdscope.errors import DataError
from kdscope.evaluation.records import Record, write_records
from kdscope.evaluation.run_records import read_run_records, write_run_records
from tests.evaluation.by_hand import marked


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
    write_run_records(files, tmp_path / "records")
    before = {file.name: file.stat().st_mtime_ns for file in (tmp_path / "records").iterdir()}
    files["b"]["gsm8k"] = stored(tmp_path, "c", "gsm8k", "111")[0]
    write_run_records(files, tmp_path / "records")
    after = {file.name: file.stat().st_mtime_ns for file in (tmp_path / "records").iterdir()}
    assert {name for name in after if after[name] != before[name]} == {"gsm8k.parquet"}
    assert read_run_records(tmp_path / "records", tasks=["gsm8k"])["correct_robust"].to_pylist()[3:] == [True] * 3


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
