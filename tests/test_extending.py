"""The examples of docs/extending.md, taken from the document and run."""

from __future__ import annotations

import json
import re
from collections.abc import Iterator
from pathlib import Path
from types import ModuleType
from typing import Any

import pandas as pd
import pytest

from kdscope.api import load_study, plan_study, run_study
from kdscope.core.extensions import load_extensions
from kdscope.pipeline.stage import Stage

DOCUMENT = Path(__file__).parents[1] / "docs" / "extending.md"
EXAMPLES = dict(re.findall(r"```\w+\n# (\S+)\n(.*?)```", DOCUMENT.read_text(encoding="utf-8"), flags=re.DOTALL))


def write_examples(folder: Path) -> Path:
    """Every example as the file it says it is; the study."""
    for name, text in EXAMPLES.items():
        (folder / name).write_text(text, encoding="utf-8")
    return folder / "study.yaml"


@pytest.fixture(autouse=True)
def unloaded() -> Iterator[None]:
    yield
    load_extensions([])


@pytest.fixture(scope="module")
def finished(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with the examples, the store and the run of their study."""
    folder = tmp_path_factory.mktemp("extending")
    study = write_examples(folder)
    result = run_study(study, store=folder / "store", out=folder / "run")
    assert not result.run.failed, result.run.messages
    assert result.report is not None
    load_extensions([])
    return folder


def stages(study: Path, store: Path) -> dict[str, tuple[Stage, str]]:
    """The stages of a study and their states, by label."""
    _, planned = plan_study(study, store)
    return {item.stage.label: (item.stage, item.state) for item in planned}


def table(finished: Path, name: str) -> pd.DataFrame:
    return pd.read_csv(finished / "run" / "tables" / f"{name}.csv")


def test_the_divergence_is_written_in_25_lines() -> None:
    assert len([line for line in EXAMPLES["hellinger.py"].splitlines() if line.strip()]) <= 25


def test_methods_of_an_extension_are_trained_with_their_settings(finished: Path) -> None:
    cells = table(finished, "cells").set_index("cell")
    trained = cells[cells["method"].isin(["hellinger", "early_reverse_kl"])]
    assert trained["state"].tolist() == ["done", "done"]
    assert trained["kd_temperature"].tolist() == [1.0, 2.0]
    assert trained["warm_start_steps"].tolist() == [0, 1]
    (found,) = [
        stage
        for label, (stage, _) in stages(finished / "study.yaml", finished / "store").items()
        if label.startswith("train small/hellinger")
    ]
    method: Any = found.parameters["method"]
    assert (method["divergence"], method["settings"]) == ("hellinger", {"power": 3.0})


def test_name_and_colour_of_a_method_are_on_the_page(finished: Path) -> None:
    page = (finished / "run" / "report.html").read_text(encoding="utf-8")
    assert "Hellinger distance" in page
    assert "#8a2be2" in page


def test_a_measure_has_a_row_with_its_floor_and_control(finished: Path) -> None:
    rows = table(finished, "fidelity").query("measure == 'length_ratio' and task == 'pooled'")
    # The backend says the same for every model and item.
    assert rows["value"].tolist() == rows["floor"].tolist() == [1.0] * len(rows)
    assert rows["control"].dropna().tolist() == [1.0, 1.0], "of both distilled students"
    assert "length ratio" in (finished / "run" / "report.html").read_text(encoding="utf-8")


def test_a_task_and_a_backend_are_used(finished: Path) -> None:
    accuracy = table(finished, "accuracy").query("task == 'halves' and scoring == 'robust'")
    assert accuracy["accuracy"].round(4).unique().tolist() == [0.3333], "one of three halves is 4"


def test_a_figure_is_in_the_appendix(finished: Path) -> None:
    page = (finished / "run" / "report.html").read_text(encoding="utf-8")
    assert "Accuracy by task" in page
    assert "One colour a task." in page


def test_a_finished_study_is_reused_wherever_it_lies(finished: Path, tmp_path: Path) -> None:
    moved = write_examples(tmp_path)
    assert {state for _, state in stages(moved, finished / "store").values()} == {"done"}


@pytest.mark.parametrize(
    ("file", "touched", "untouched"),
    [
        (
            "hellinger.py",
            {"train small/hellinger", "train small/early", "halves: small/hellinger"},
            {"train small/sft"},
        ),
        ("length_ratio.py", {"small/hellinger-T1-power3/big@base/s0 ~", "analysis"}, {"train small", "halves: small"}),
        ("constant.py", {"halves: small/sft", "halves: teacher", "analysis"}, {"train small", "items of"}),
        ("accuracy_bars.py", {"report"}, {"train small", "halves: small", "analysis"}),
    ],
)
def test_an_edited_extension_remakes_what_it_touches(
    finished: Path, tmp_path: Path, file: str, touched: set[str], untouched: set[str]
) -> None:
    study = write_examples(tmp_path)
    with (tmp_path / file).open("a", encoding="utf-8") as extension:
        extension.write("# edited\n")
    states = {label: state for label, (_, state) in stages(study, finished / "store").items()}
    for beginning in touched:
        assert {state for label, state in states.items() if label.startswith(beginning)} == {"will run"}, beginning
    for beginning in untouched:
        assert {state for label, state in states.items() if label.startswith(beginning)} == {"done"}, beginning


def test_an_extension_that_is_not_named_is_not_run(tmp_path: Path) -> None:
    study = write_examples(tmp_path)
    (tmp_path / "other.py").write_text("raise SystemExit('run')\n", encoding="utf-8")
    load_study(study)


def as_module(name: str) -> ModuleType:
    module = ModuleType(name)
    exec(compile(EXAMPLES[name], name, "exec"), module.__dict__)
    return module


def test_the_statistic_is_one_more_question_of_the_protocol(monkeypatch: pytest.MonkeyPatch) -> None:
    from kdscope.protocols import rigorous
    from kdscope.protocols.results_table import results_table

    rows = [
        {"student": f"s{n}", "teacher": "t", "method": method, "task": "x", "value": 40.0 + gain}
        for n, gains in enumerate([(0, 1), (0, 2), (0, 4), (0, 6), (0, 30)])
        for method, gain in zip(("sft", "gkd"), gains, strict=True)
    ]
    table = results_table(pd.DataFrame(rows), unit="percent").table
    question = as_module("trimmed_gain.py").trimmed_gain
    monkeypatch.setattr(rigorous, "OF_TABLES", (*rigorous.OF_TABLES, question))
    found = rigorous.rigorous_protocol(table)
    (row,) = found[found["hypothesis"] == "trimmed_gain"].to_dict("records")
    assert (row["estimate"], row["n"]) == (pytest.approx(4.0), 3)


def test_the_executor_runs_a_plan_and_keeps_the_times(tmp_path: Path) -> None:
    from kdscope.pipeline.events import Events
    from kdscope.pipeline.run import run_plan
    from kdscope.pipeline.store import Store

    store = Store(tmp_path / "store")
    stage = Stage("prepare_data", "rows", 1, {}, {})

    def execute(stage: Stage, context: Any) -> None:
        (context.output / "rows.json").write_text(json.dumps([1]))

    with as_module("timed.py").TimedExecutor(store, execute, Events()) as executor:
        result = run_plan([stage], store, execute, executor=executor)
    assert not result.failed
    assert list(executor.seconds) == ["rows"]
