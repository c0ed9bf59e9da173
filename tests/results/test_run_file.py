"""run.json notices what became of a run's folder, and says how to go on."""

from __future__ import annotations

import json
from collections.abc import Callable
from hashlib import sha256
from pathlib import Path

import pytest

from kdscope.core.errors import DataError
from kdscope.results.run_file import (
    RUN_FILE,
    check_run_files,
    edited_tables,
    load_run_file,
    note_rewritten,
    save_run_file,
)

FILES = {"tables/cells.parquet": b"cells", "tables/cells.csv": b"cell", "records/gsm8k.parquet": b"records"}


@pytest.fixture
def run(tmp_path: Path) -> Path:
    for name, content in FILES.items():
        (tmp_path / name).parent.mkdir(exist_ok=True)
        (tmp_path / name).write_bytes(content)
    hashes = {name: sha256(content).hexdigest() for name, content in FILES.items()}
    save_run_file({"study": "mine", "store": "/store", "models": {}}, hashes, tmp_path / RUN_FILE)
    return tmp_path


def edit(run: Path, change: Callable[[dict[str, object]], object]) -> None:
    values = json.loads((run / RUN_FILE).read_text())
    change(values)
    (run / RUN_FILE).write_text(json.dumps(values))


def test_what_was_saved_is_read_back(run: Path) -> None:
    told = load_run_file(run)
    assert told is not None
    assert (told["study"], set(told["files"])) == ("mine", set(FILES))
    check_run_files(run, "*")
    assert load_run_file(run / "tables") is None
    check_run_files(run / "tables", "*")


def test_a_changed_or_missing_file_is_named_with_two_ways_on(run: Path) -> None:
    (run / "records/gsm8k.parquet").write_bytes(b"record!")
    check_run_files(run, "tables/*.parquet")
    with pytest.raises(DataError, match=r"records/gsm8k\.parquet: was changed .*`kdscope run .* writes it again"):
        check_run_files(run, "tables/*.parquet", "records/*")
    edit(run, lambda values: (values.pop("files"), values.pop("sha256")))  # the second way, as the message says
    check_run_files(run, "*")


@pytest.mark.parametrize("folder", [False, True])
def test_a_file_that_is_gone_is_named(run: Path, folder: bool) -> None:
    (run / "tables/cells.parquet").unlink()
    if folder:
        (run / "tables/cells.parquet").mkdir()
    with pytest.raises(DataError, match=r"tables/cells\.parquet: (missing|cannot be read).*writes it again"):
        check_run_files(run, "tables/*.parquet")


def test_an_edited_csv_is_told_to_change_nothing(run: Path) -> None:
    assert edited_tables(run) == []
    (run / "tables/cells.csv").write_text("changed")
    [warning] = edited_tables(run)
    assert "cells.csv was changed" in warning
    assert "cells.parquet beside it is read" in warning


@pytest.mark.parametrize(
    ("content", "message"),
    [
        ("", "not readable JSON"),
        ("[" * 100_000, "not readable JSON"),
        ("\xff", "not readable JSON"),
        ("[1]", "not the JSON object"),
        ('{"files": []}', "does not have the hashes"),
        ('{"files": {"tables/../../etc/passwd": ""}}', "does not have the hashes"),
    ],
)
def test_a_damaged_run_file_is_named(run: Path, content: str, message: str) -> None:
    (run / RUN_FILE).write_bytes(content.encode("latin-1"))
    with pytest.raises(DataError, match=rf"run\.json: .*{message}"):
        check_run_files(run, "*")


def test_a_file_that_was_written_again_is_known(run: Path) -> None:
    (run / "tables/cells.csv").write_text("again")
    note_rewritten(run, "tables/cells.csv")
    assert edited_tables(run) == []
    assert (load_run_file(run) or {})["study"] == "mine"
    (run / RUN_FILE).unlink()
    note_rewritten(run, "tables/cells.csv")
    assert not (run / RUN_FILE).exists()


def test_only_the_place_of_the_store_may_be_changed(run: Path) -> None:
    edit(run, lambda values: values.update(store="/moved"))
    assert (load_run_file(run) or {})["store"] == "/moved"
    edit(run, lambda values: values.update(study="yours"))
    with pytest.raises(DataError, match=r"run\.json: was changed since it was written"):
        load_run_file(run)
