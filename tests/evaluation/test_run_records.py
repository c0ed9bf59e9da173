"""The records of a whole run in one place: what goes in comes out, once, and nothing stale stays."""

from __future__ import annotations

import multiprocessing
from pathlib import Path

import pyarrow.parquet as pq
import pytest

from kdscope.core.errors import DataError
from kdscope.evaluation import run_records
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
    real, folder, between = run_records._one, tmp_path / "records", iter([True])

    def interrupted(path: Path) -> object:
        if next(between, False):
            write_run_records(other, folder)
        return real(path)

    monkeypatch.setattr(run_records, "_one", interrupted)
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
