"""Stores and run folders of an earlier version: reused, shown, analysed and exported, with the same results."""

from __future__ import annotations

import json
import shutil
import sys
from pathlib import Path

import pandas as pd
import pytest

from kdscope.api import analyze_table, export_models, load_study, plan_study, run_study, write_report
from kdscope.study.embedded import embedded_study
from kdscope.view.server import Viewer
from tests.builders import table_bytes


@pytest.fixture
def frozen(extracted: Path, tmp_path: Path) -> Path:
    """A copy to change."""
    return Path(shutil.copytree(extracted, tmp_path / "small"))


@pytest.mark.parametrize("preset", ["smoke", "quickstart"])
def test_identities_of_presets_are_those_of_earlier_versions(preset: str, tmp_path: Path) -> None:
    expected = json.loads((Path(__file__).parent / "identities.json").read_text())[preset]
    _, planned = plan_study(load_study(embedded_study(preset).path), tmp_path)
    assert {f"{item.stage.kind}: {item.stage.label}": item.stage.identity[:16] for item in planned} == expected


def test_every_stage_of_the_frozen_store_is_reused_and_delivers_the_same_tables(frozen: Path) -> None:
    study = load_study(frozen / "study.yaml")
    _, planned = plan_study(study, frozen / ".kdscope")
    assert [item.stage.label for item in planned if item.state != "done"] == []
    result = run_study(study, store=frozen / ".kdscope", out=frozen / "again")
    assert not result.run.executed
    assert not result.run.failed
    assert table_bytes(frozen / "again/tables") == table_bytes(frozen / "runs/small/tables")


def test_a_page_that_cannot_be_drawn_fails_alone_and_is_all_that_is_left_to_do(
    frozen: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    study = load_study(frozen / "study.yaml")
    for folder in (frozen / ".kdscope/stages/write_report").iterdir():
        shutil.rmtree(folder)
    with monkeypatch.context() as patched:
        code = "import os, signal; os.kill(os.getpid(), signal.SIGABRT)"
        patched.setattr("kdscope.figures.renderer._COMMAND", (sys.executable, "-c", code))
        result = run_study(study, store=frozen / ".kdscope", out=frozen / "again")
    assert [stage.kind for stage in result.run.failed] == ["write_report"]
    assert "figures cannot be drawn" in next(iter(result.run.messages.values()))
    assert result.report is None
    assert table_bytes(frozen / "again/tables") == table_bytes(frozen / "runs/small/tables")
    result = run_study(study, store=frozen / ".kdscope", out=frozen / "again")
    assert [stage.kind for stage in result.run.executed] == ["write_report"]
    assert (frozen / "again/report.html").is_file()


def test_report_of_the_frozen_run_names_its_students(frozen: Path) -> None:
    page = write_report(frozen / "runs/small").read_text()
    assert "cut" in page
    assert "forward_kl" in page


def test_analysis_of_the_frozen_run_gives_the_statistics_of_its_tables(frozen: Path) -> None:
    analyze_table(frozen / "runs/small", out=frozen / "analysis")
    again = pd.read_csv(frozen / "analysis/statistics.csv")
    before = pd.read_csv(frozen / "runs/small/tables/statistics.csv")
    pd.testing.assert_frame_equal(again[before.columns], before)


def test_view_of_the_frozen_run_lists_its_items(frozen: Path) -> None:
    response = Viewer(frozen / "runs/small").respond("GET", "/", "localhost")
    assert response.status == 200
    assert b"AddSub" in response.body


def test_export_of_the_frozen_run_writes_every_model_with_a_card(frozen: Path) -> None:
    exported = export_models(frozen / "runs/small", every=True, out=frozen / "models")
    assert len(exported) == 6
    for model in exported:
        assert (model.folder / "README.md").read_text().startswith("---\n")
        assert list(model.folder.glob("*.safetensors"))
