"""A run's folder is of one run, whatever was there before and whatever failed, and holds what the store completed."""

from __future__ import annotations

import json
import random
import shutil
from hashlib import sha256
from pathlib import Path
from typing import Any

import pytest

from kdscope.api import StudyResult, plan_study, run_study
from kdscope.core.errors import StoreError
from kdscope.core.files import replace_folder
from kdscope.evaluation.records import write_records
from kdscope.pipeline.run import RunResult, run_plan
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

    def again(self) -> StudyResult:
        """In the store of the last run."""
        return run_study(self.study, store=self.folder / f"store{self.stores}", out=self.folder / "run")

    def stored(self, kind: str) -> Path:
        """The output of a stage of this kind in that store."""
        return next(iter((self.folder / f"store{self.stores}/stages" / kind).iterdir()))

    def delivered(self) -> dict[str, bytes]:
        files = [file for file in (self.folder / "run").rglob("*") if file.is_file()]
        return {file.relative_to(self.folder / "run").as_posix(): file.read_bytes() for file in sorted(files)}

    def found(self) -> list[str]:
        return sorted(file.name for file in (self.folder / "run").iterdir())


@pytest.fixture
def runner(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Runner:
    make_data(tmp_path)
    make_hollow_model(tmp_path / "teacher")
    runner = Runner(tmp_path)
    monkeypatch.setattr("kdscope.api.study.execute", runner.execute)
    return runner


def flip(file: Path) -> None:
    """Change one bit of the last byte."""
    content = file.read_bytes()
    file.write_bytes(content[:-1] + bytes([content[-1] ^ 1]))


def empty(file: Path) -> None:
    file.write_bytes(b"")


def halve(file: Path) -> None:
    file.write_bytes(file.read_bytes()[: file.stat().st_size // 2])


def become_a_folder(file: Path) -> None:
    file.unlink()
    file.mkdir()


def become_a_list(file: Path) -> None:
    file.write_text("[]")


def nest(file: Path) -> None:
    file.write_text("[" * 100_000)


DAMAGES = [flip, empty, halve, Path.unlink, become_a_folder, become_a_list, nest]


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

    for step in ("pipeline.store.copy_files", "api.delivery.write_run_records", "results.run_file.write_atomically"):
        with monkeypatch.context() as patched:
            patched.setattr(f"kdscope.{step}", full)
            with pytest.raises(StoreError, match="No space left"):
                runner.run()
        assert (runner.folder / "run/tables/gains.csv").read_text() == "run 1"
        assert (runner.folder / "run/run.json").read_bytes() == before
        assert runner.found() == WHOLE


def test_run_json_has_the_hash_of_every_file_beside_it(runner: Runner) -> None:
    runner.run()
    delivered = {name: sha256(content).hexdigest() for name, content in runner.delivered().items()}
    del delivered["run.json"]
    assert json.loads((runner.folder / "run/run.json").read_text())["files"] == delivered
    assert set(delivered) >= {"report.html", "tables/cells.csv", "tables/facts.json", "records/AddSub.parquet"}


DELIVERED = [
    ("write_report", "report.html"),
    ("write_report", "facts.json"),
    ("write_report", "manifest.json"),
    ("analyse_study", "cells.csv"),
    ("analyse_study", "manifest.json"),
    ("evaluate_model", "records.parquet"),
    ("distil_student", "manifest.json"),
    ("distil_student", "report.html"),
]
"""Some file of every kind of stage whose output is delivered or exported."""


@pytest.mark.parametrize(("kind", "name"), DELIVERED)
def test_damage_in_the_store_is_healed_before_anything_is_delivered(runner: Runner, kind: str, name: str) -> None:
    runner.run()
    whole = runner.delivered()
    for damage in random.Random(f"{kind} {name}").sample(DAMAGES, 3):
        damage(runner.stored(kind) / name)
        planned = {item.stage.kind for item in plan_study(runner.study, runner.folder / "store1")[1] if item.problem}
        shutil.rmtree(runner.folder / "run")
        result = runner.again()
        assert planned == {stage.kind for stage in result.run.executed} == {kind}, damage.__name__
        assert runner.delivered() == whole, damage.__name__


@pytest.mark.parametrize("name", ["report.html", "run.json", "tables/cells.csv", "records/AddSub.parquet"])
def test_a_damaged_file_of_a_run_is_delivered_again(runner: Runner, name: str) -> None:
    runner.run()
    whole = runner.delivered()
    for damage in random.Random(name).sample(DAMAGES, 3):
        damage(runner.folder / "run" / name)
        assert not runner.again().run.executed
        assert runner.delivered() == whole, damage.__name__


def test_what_is_damaged_after_it_was_verified_is_not_delivered(
    runner: Runner, monkeypatch: pytest.MonkeyPatch
) -> None:
    runner.run()
    whole = runner.delivered()

    def run_and_damage(*arguments: Any, **settings: Any) -> RunResult:
        result = run_plan(*arguments, **settings)
        flip(runner.stored("analyse_study") / "cells.csv")
        return result

    with monkeypatch.context() as patched:
        patched.setattr("kdscope.api.study.run_plan", run_and_damage)
        with pytest.raises(StoreError, match=r"analysis: damaged in the store: file cells\.csv.*run the study again"):
            runner.again()
    assert runner.delivered() == whole
    assert [stage.kind for stage in runner.again().run.executed] == ["analyse_study"]
    assert runner.delivered() == whole


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
