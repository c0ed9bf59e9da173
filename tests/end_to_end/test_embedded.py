"""The studies that come with kdscope, run as a newcomer would: real training, real evaluation, nothing downloaded."""

from __future__ import annotations

import json
import shutil
from pathlib import Path
from typing import Any

import pandas as pd
import pytest

from kdscope.api import load_study, plan_study
from kdscope.study.embedded import QUICKSTART, embedded_studies, embedded_study
from tests.builders import table_bytes
from tests.end_to_end.conftest import World


@pytest.fixture(scope="module")
def smoke(tmp_path_factory: pytest.TempPathFactory) -> tuple[World, list[dict[str, Any]]]:
    """The one-minute study, run in an empty folder."""
    world = World(tmp_path_factory.mktemp("smoke"))
    return world, _run(world)


def _run(world: World, *more: str) -> list[dict[str, Any]]:
    done = world.call("run", "--preset", "smoke", "--json", *more)
    assert done.returncode == 0, done.stderr
    return [json.loads(line) for line in done.stdout.splitlines()]


def _accuracy(world: World, name: str = "smoke") -> pd.DataFrame:
    table = pd.read_csv(world.folder / "runs" / name / "tables" / "accuracy.csv")
    return table[table["scoring"] == "robust"].pivot_table(index="cell", columns="task", values="accuracy")


def test_the_models_really_solve_problems(smoke: tuple[World, list[dict[str, Any]]]) -> None:
    accuracy = _accuracy(smoke[0])
    assert accuracy.loc["teacher/tiny-m", "mini-one-step"] >= 0.7
    assert accuracy.loc["tiny-s/sft/s0", "mini-one-step"] >= 0.5


def test_the_page_says_who_saw_what_and_what_a_miniature_can_show(smoke: tuple[World, list[dict[str, Any]]]) -> None:
    page = (smoke[0].folder / "runs/smoke/report.html").read_text()
    assert "Who learned from what" in page
    assert "200 prompts" in page
    assert "Too\nsmall" in page or "Too small" in page


def test_the_second_run_executes_nothing(smoke: tuple[World, list[dict[str, Any]]]) -> None:
    world, first = smoke
    again = _run(world)
    assert first[-1]["executed"] > 15
    assert again[-1]["executed"] == again[-1]["failed"] == 0
    assert again[-1]["reused"] == first[-1]["executed"]


@pytest.mark.slow
def test_the_same_seed_gives_the_same_records_and_tables(
    smoke: tuple[World, list[dict[str, Any]]], tmp_path: Path
) -> None:
    other = World(tmp_path)
    _run(other)
    tables = [table_bytes(folder / "runs/smoke/tables") for folder in (smoke[0].folder, tmp_path)]
    assert tables[0] == tables[1]
    for part in ("runs/smoke/tables", "runs/smoke/records", ".kdscope/stages/evaluate_model"):
        files = {str(f.relative_to(smoke[0].folder)) for f in (smoke[0].folder / part).rglob("*.parquet")}
        assert files == {str(f.relative_to(tmp_path)) for f in (tmp_path / part).rglob("*.parquet")}
        assert files
        for file in files - {"runs/smoke/tables/cells.parquet"}:
            assert (smoke[0].folder / file).read_bytes() == (tmp_path / file).read_bytes(), file


@pytest.mark.slow
def test_another_seed_is_another_study_beside_it(smoke: tuple[World, list[dict[str, Any]]], tmp_path: Path) -> None:
    world = World(tmp_path)
    shutil.copytree(smoke[0].folder / ".kdscope", tmp_path / ".kdscope")
    result = _run(world, "--seed", "1")[-1]
    assert 0 < result["executed"] < 30  # data and items are the same, what trains is not
    assert (tmp_path / "runs/smoke-s1/report.html").exists()


@pytest.mark.parametrize("name", [study.name for study in embedded_studies()])
def test_every_embedded_study_loads_and_plans(name: str, tmp_path: Path) -> None:
    study = load_study(embedded_study(name).path)
    _, planned = plan_study(study, tmp_path)
    assert {item.state for item in planned} == {"will run"}


def test_the_quickstart_is_the_paper_in_miniature() -> None:
    study = load_study(embedded_study(QUICKSTART).path)
    assert {method.name for method in study.methods} == {"sft", "seqkd", "forward_kl", "reverse_kl", "gkd"}
    assert len(study.students) >= 2
    assert study.tasks.mini_items >= 150
    own = study.teachers[0].data
    assert own is not None
    assert own.mini is not None
    gold, unlabelled = study.data.mini, study.data.unlabelled
    assert gold is not None
    assert unlabelled is not None
    assert unlabelled.mini is not None
    # The teacher's labelled rows, the students' and the unlabelled ones follow one another and never overlap.
    assert own.mini.skip_per_task + own.mini.rows_per_task <= gold.skip_per_task
    assert gold.skip_per_task + gold.rows_per_task <= unlabelled.mini.skip_per_task
    assert own.mini.seed == gold.seed == unlabelled.mini.seed
