"""The folder of a run, and which of its models are shown first."""

from __future__ import annotations

import shutil
from pathlib import Path

import pandas as pd
import pytest

from kdscope.core.errors import DataError
from kdscope.view.index import RunIndex
from kdscope.view.run import Model, default_cells, open_run, reference_of
from tests.view.runs import CELLS, FRAME, KD, LATER, SFT, TEACHER, record, school, write_run


def test_a_run_is_opened(tmp_path: Path) -> None:
    run = open_run(school(tmp_path / "run"))
    assert (run.study, run.scoring) == ("my study", "robust")
    assert list(run.models) == list(CELLS)
    assert list(run.tasks) == ["letters", "sums"]
    assert run.models[KD].title == "small · forward_kl"
    assert run.failed == []


def test_failed_cells_keep_their_cause(tmp_path: Path) -> None:
    run = open_run(write_run(tmp_path / "run", {TEACHER: {"sums": [record(0)]}}, failed={KD: "loss is NaN"}))
    assert [(model.cell, model.cause) for model in run.failed] == [(KD, "loss is NaN")]


@pytest.mark.parametrize(
    ("broken", "said"),
    [
        (shutil.rmtree, "there is no such folder. `kdscope run STUDY.yaml` makes"),
        (lambda run: shutil.rmtree(run / "tables"), "not the folder of a run: it has no tables/cells.parquet"),
        (lambda run: shutil.rmtree(run / "records"), "nothing is trained again"),
        (lambda run: (run / "records" / "sums.parquet").write_bytes(b"PAR1"), "sums.parquet: records cannot be read"),
        (lambda run: (run / "tables" / "cells.parquet").write_bytes(b"x"), "cells.parquet: not a readable parquet"),
        (lambda run: (run / "run.json").write_text("{"), "run.json: not readable JSON"),
    ],
)
def test_what_is_no_run_says_what_is_missing(tmp_path: Path, broken: object, said: str) -> None:
    run = school(tmp_path / "run", items=2)
    broken(run)  # type: ignore[operator]
    with pytest.raises(DataError) as error:
        open_run(run)
    assert said in str(error.value)
    assert str(run) in str(error.value)


def test_records_without_a_column_are_named(tmp_path: Path) -> None:
    run = school(tmp_path / "run", items=2)
    file = run / "records" / "sums.parquet"
    pd.read_parquet(file).drop(columns="completion").to_parquet(file)
    with pytest.raises(DataError, match=r"sums\.parquet: completion: this column of the records is missing"):
        open_run(run)


def test_a_run_where_everything_failed_says_why(tmp_path: Path) -> None:
    run = write_run(tmp_path / "run", {}, failed={TEACHER: "no memory"})
    with pytest.raises(DataError, match=r"no model of this run has answered a task; failed: teacher/big \(no memory\)"):
        open_run(run)


def test_a_run_that_goes_on_is_seen(tmp_path: Path) -> None:
    run = write_run(tmp_path / "run", {TEACHER: {"sums": [record(0)]}})
    index = RunIndex(run)
    before = index.task("sums")
    assert index.task("sums") is before, "what has not changed is not read again"
    write_run(run, {TEACHER: {"sums": [record(0)]}, KD: {"sums": [record(0), record(1)]}})
    assert list(index.run().models) == [TEACHER, KD]
    assert index.task("sums").index.units == 2


def test_a_file_that_breaks_later_is_told(tmp_path: Path) -> None:
    run = school(tmp_path / "run", items=2)
    index = RunIndex(run)
    (run / "records" / "sums.parquet").write_bytes(b"broken")
    with pytest.raises(DataError, match=r"sums\.parquet: records cannot be read"):
        index.task("sums")


def test_the_question_is_what_prompts_do_not_share(tmp_path: Path) -> None:
    records = RunIndex(school(tmp_path / "run", items=3)).task("sums")
    prompt = record(1).prompt
    assert records.parts(TEACHER, prompt) == (
        "Below is an instruction.\n\n### Instruction:\n", "Question 1 about pens?", "\n\n### Response:\n",
    )  # fmt: skip
    assert records.parts(TEACHER, "something else") == ("", "something else", "")
    assert records.question(TEACHER, prompt) == "Question 1 about pens?", "few words in common are left"


def test_an_instruction_that_all_questions_repeat_is_left_out_of_the_list(tmp_path: Path) -> None:
    asked = "Please answer the following question with true or false: is {} even?"
    rows = [record(n, prompt=FRAME.format(asked.format(n))) for n in range(3)]
    records = RunIndex(write_run(tmp_path / "run", {TEACHER: {"sums": rows}})).task("sums")
    assert records.question(TEACHER, rows[2].prompt) == "… 2 even?"
    assert records.parts(TEACHER, rows[2].prompt)[1] == asked.format(2)


OTHER_TEACHER = "teacher/huge"
OTHER_KD = "small/gkd/huge/s0"


def _models(folder: Path, *cells: str) -> list[Model]:
    run = open_run(write_run(folder, {cell: {"sums": [record(0)]} for cell in cells}))
    return list(run.models.values())


def test_a_teacher_then_the_control_then_the_first_distilled(tmp_path: Path) -> None:
    models = _models(tmp_path / "a", OTHER_TEACHER, TEACHER, "tiny/sft/s0", SFT, KD, LATER)
    assert default_cells(models) == [TEACHER, SFT, KD]
    models = _models(tmp_path / "b", TEACHER, OTHER_TEACHER, SFT, OTHER_KD)
    assert default_cells(models) == [OTHER_TEACHER, SFT, OTHER_KD]


def test_with_fewer_models_the_first_are_shown(tmp_path: Path) -> None:
    assert default_cells(_models(tmp_path / "a", TEACHER)) == [TEACHER]
    assert default_cells(_models(tmp_path / "b", TEACHER, SFT)) == [TEACHER, SFT]
    assert default_cells(_models(tmp_path / "c", SFT, KD)) == [SFT, KD]


def test_the_others_are_compared_with_the_teacher(tmp_path: Path) -> None:
    assert reference_of(_models(tmp_path / "a", SFT, TEACHER, KD)) == 1
    assert reference_of(_models(tmp_path / "b", SFT, KD)) == 0
