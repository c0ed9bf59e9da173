from __future__ import annotations

from pathlib import Path

from kdscope.view.run import Model, default_cells, open_run, reference_of
from tests.view.runs import KD, LATER, SFT, TEACHER, record, write_run

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
