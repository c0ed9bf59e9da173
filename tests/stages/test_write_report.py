"""The page from tables and a study, without running one."""

from __future__ import annotations

import html
import json
from dataclasses import replace
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest

from kdscope.results.tables import save_tables
from kdscope.stages.write_report import run
from kdscope.study.load import load_study
from tests.builders import make_data, make_hollow_model, write_study
from tests.report.builders import designed_tables

MINI = {"mini": {"tasks": ["mini-one-step", "mini-two-step"], "rows_per_task": 1000, "seed": 3}}
TASKS = {"names": ["mini-one-step", "mini-compare"], "mini_items": 1500, "mini_seed": 7}


@pytest.fixture
def page(tmp_path: Path) -> Any:
    """The page of a study with some settings changed."""
    make_data(tmp_path)
    make_hollow_model(tmp_path / "teacher")

    def write(**changes: Any) -> str:
        study = load_study(write_study(tmp_path, **changes))
        tables, output = designed_tables(), tmp_path / "output"
        failed = tables.cells["cell"] == "tiny/gkd"
        cells = tables.cells.assign(
            state=tables.cells["state"].mask(failed, "failed"), cause=tables.cells["cause"].mask(failed, "<script>1")
        )
        save_tables(replace(tables, cells=cells), tmp_path / "analysis")
        (tmp_path / "analysis/notes.json").write_text('["a <script> note"]')
        (tmp_path / "analysis/manifest.json").write_text("{}")
        output.mkdir()
        settings = {"name": study.name, "description": study.description, "scoring": study.scoring}
        where = {"study": json.loads(study.model_dump_json()), "device": "cpu", "dtype": "float32", "stages": {}}
        stage = SimpleNamespace(parameters=settings, context=where)
        inputs = {"analysis": tmp_path / "analysis"}
        run(SimpleNamespace(stage=stage, inputs=inputs, output=output))  # type: ignore[arg-type]
        assert not (output / "tables/manifest.json").exists()
        return (output / "report.html").read_text(encoding="utf-8")

    return write


def fact(text: str, name: str) -> str:
    return html.unescape(text.split(f"<dt>{name}</dt><dd>")[1].split("</dd>")[0])


def test_files_are_named_without_their_whole_path(page: Any, tmp_path: Path) -> None:
    text = page(data={"path": str(tmp_path / "train.json"), "limit": 20, "validation_items": 4})
    assert fact(text, "training data") == f"train.json in {tmp_path.name}: 20 rows, 4 held out"
    assert fact(text, "evaluation items") == "all of each task"
    assert fact(text, "tasks") == "AddSub, SVAMP"
    assert "unlabelled prompts</dt>" not in text
    assert str(tmp_path) not in text


def test_a_failed_cell_and_notes_are_told_as_text(page: Any) -> None:
    text = page()
    assert "a &lt;script&gt; note" in text
    assert '<dt>tiny/gkd</dt><dd class="cause">&lt;script&gt;1</dd>' in text
    assert "<script>1" not in text


def test_generated_problems_are_described(page: Any) -> None:
    taught = {"mini": {"tasks": "mini-one-step", "rows_per_task": 2000, "skip_per_task": 1050}, "limit": 500}
    data = {**MINI, "validation_items": 40, "unlabelled": taught}
    text = page(data=data, tasks=TASKS, training={"max_steps": 30})
    assert fact(text, "training data") == (
        "generated: 1,000 problems of each of mini-one-step, mini-two-step (seed 3); all rows, 40 held out"
    )
    assert fact(text, "unlabelled prompts") == (
        "generated: 2,000 problems of mini-one-step after the first 1,050 (seed 0); 500 rows; answered by the teacher"
    )
    assert fact(text, "evaluation items") == "generated: 1,500 of each task (seed 7)"


def test_a_teachers_own_data_is_described_where_it_is_adapted(page: Any, tmp_path: Path) -> None:
    own = {"path": str(tmp_path / "train.json"), "validation_items": 2}
    big = {"name": "big", "path": str(tmp_path / "teacher"), "data": own}
    raw = {"name": "raw", "path": str(tmp_path / "teacher"), "condition": "base", "data": own}
    text = page(teachers=[big, raw], tasks={**TASKS, "limit": 90})
    assert fact(text, "training data of teacher big") == f"train.json in {tmp_path.name}: all rows, 2 held out"
    assert "training data of teacher raw" not in text
    assert fact(text, "evaluation items") == "generated: 90 of each task (seed 7)"


def test_tasks_of_both_kinds_are_told_apart(page: Any, tmp_path: Path) -> None:
    tasks = {"folder": str(tmp_path / "tasks"), "names": ["AddSub", "mini-compare"], "limit": 5, "mini_seed": 7}
    assert fact(page(tasks=tasks), "evaluation items") == (
        "the first 5 of AddSub; generated: 5 of mini-compare (seed 7)"
    )


def test_the_lead_may_have_paragraphs_and_no_markup(page: Any) -> None:
    text = page(description="What for.\n\nWhat <script>alert(1)</script> cannot\nbe shown.\n")
    assert '<p class="lead">What for.</p>' in text
    assert '<p class="lead">What &lt;script&gt;alert(1)&lt;/script&gt; cannot be shown.</p>' in text
