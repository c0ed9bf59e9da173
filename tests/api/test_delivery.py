"""A run's folder is of one run, whatever was there before and whatever failed."""

from __future__ import annotations

import json
import os
from pathlib import Path
from typing import Any

import pytest

from kdscope.api import StudyResult, run_study
from kdscope.core.errors import StoreError
from kdscope.core.files import replace_folder
from kdscope.evaluation.records import write_records
from kdscope.pipeline.stage import Stage
from tests.builders import make_data, make_hollow_model, write_study


class Runner:
    """Runs a study whose stages write next to nothing; `fails` names the kind that does not succeed."""

    def __init__(self, folder: Path) -> None:
        self.folder, self.fails, self.tables = folder, "", ("cells", "gains")
        self.study = write_study(folder)
        self.stores = 0

    def execute(self, stage: Stage, context: Any) -> None:
        if stage.kind == self.fails:
            raise RuntimeError("out of luck")
        (context.output / "report.html").write_text("page")
        (context.output / "facts.json").write_text(f'{{"run": {self.stores}}}')
        for name in self.tables if stage.kind == "analyse_study" else ():
            (context.output / f"{name}.csv").write_text(f"run {self.stores}")
        if stage.kind == "analyse_study":
            (context.output / "facts.json").unlink()
        write_records([], context.output / "records.parquet")

    def run(self, fails: str = "") -> StudyResult:
        """In a new store, as if everything had changed."""
        self.stores, self.fails = self.stores + 1, fails
        return run_study(self.study, store=self.folder / f"store{self.stores}", out=self.folder / "run")

    def found(self) -> list[str]:
        return sorted(file.name for file in (self.folder / "run").iterdir())


@pytest.fixture
def runner(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Runner:
    make_data(tmp_path)
    make_hollow_model(tmp_path / "teacher")
    runner = Runner(tmp_path)
    monkeypatch.setattr("kdscope.api.study.execute", runner.execute)
    return runner


WHOLE = ["records", "report.html", "run.json", "tables"]


def test_nothing_of_an_earlier_run_stays_where_the_analysis_fails(runner: Runner) -> None:
    assert runner.run().tables is not None
    assert runner.found() == WHOLE
    result = runner.run(fails="analyse_study")
    assert (result.report, result.tables) == (None, None)
    assert runner.found() == ["records", "run.json"]
    assert json.loads((runner.folder / "run/run.json").read_text())["store"].endswith("store2")


def test_only_new_tables_stay_where_the_report_fails(runner: Runner) -> None:
    tables = runner.folder / "run/tables"
    runner.run()
    assert {file.name: file.read_text() for file in tables.iterdir() if file.suffix == ".csv"} == {
        "cells.csv": "run 1",
        "gains.csv": "run 1",
    }
    assert json.loads((tables / "facts.json").read_text()) == {"run": 1}
    runner.tables = ("cells", "probes")
    assert runner.run(fails="write_report").report is None
    found = {file.name: file.read_text() for file in tables.iterdir() if file.suffix in (".csv", ".json")}
    assert found == {"cells.csv": "run 2", "probes.csv": "run 2"}
    assert runner.found() == ["records", "run.json", "tables"]


def test_a_disk_that_fills_up_leaves_the_old_tables_and_the_old_run(
    runner: Runner, monkeypatch: pytest.MonkeyPatch
) -> None:
    runner.run()
    before = (runner.folder / "run/run.json").read_bytes()

    def full(*_: Any, **__: Any) -> None:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr("kdscope.api.delivery.shutil.copytree", full)
    with pytest.raises(StoreError, match="No space left"):
        runner.run()
    assert (runner.folder / "run/tables/gains.csv").read_text() == "run 1"
    monkeypatch.undo()
    monkeypatch.setattr("kdscope.api.study.execute", runner.execute)
    monkeypatch.setattr(os, "fsync", full)
    with pytest.raises(StoreError, match="No space left"):
        runner.run()
    assert (runner.folder / "run/run.json").read_bytes() == before
    assert [name for name in runner.found() if name.startswith(".")] == []


def test_a_folder_that_another_process_puts_there_in_between_is_replaced(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    made, place = tmp_path / "made", tmp_path / "place"
    for folder in (made, place):
        folder.mkdir()
        (folder / "file").write_text(folder.name)
    real, once = Path.rename, iter([True])

    def rename(self: Path, target: Path) -> Path:
        if self == made and next(once, False):
            place.mkdir()
            (place / "file").write_text("the other's")
        return real(self, target)

    monkeypatch.setattr(Path, "rename", rename)
    replace_folder(made, place)
    assert [path.name for path in tmp_path.iterdir()] == ["place"]
    assert (place / "file").read_text() == "made"
