"""A run's folder is analysed by itself: its records item by item, its accuracies as published."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest
from scipy import stats

from kdscope.api import analyze_table
from kdscope.core.errors import DataError
from kdscope.evaluation.accuracy import accuracy_table
from kdscope.evaluation.analysis_settings import AnalysisSettings, TaskFacts, save_analysis_settings
from kdscope.evaluation.records import write_records, write_run_records
from kdscope.results.tables import ReportTables, save_tables
from tests.cli.command import call
from tests.evaluation.by_hand import marked

MARKS = {
    "tiny/sft": "1100101010" * 3,
    "tiny/kd-T1": "1111101011" * 3,
    "tiny/kd-T2": "1100101000" * 3,
    "big/sft": "1110101110" * 3,
    "big/kd-T1": "1111111110" * 3,
}


def cells() -> pd.DataFrame:
    columns = ["role", "student", "teacher", "teacher_condition", "method", "kd_temperature", "seed", "state"]
    rows: list[list[Any]] = []
    for label in MARKS:
        student, method = label.split("/")
        distilled = method != "sft"
        teacher, condition = ("t", "adapted") if distilled else (None, None)
        temperature = float(method[-1]) if distilled else None
        name = "forward_kl" if distilled else "sft"
        rows.append([label, "student", student, teacher, condition, name, temperature, 0, "done"])
    table = pd.DataFrame(rows, columns=["cell", *columns])
    missing = ("variant", "kd_weight", "teacher_noise_std", "cause", "parameters", "trained_parameters", "steps")
    return table.assign(**dict.fromkeys((*missing, "target_tokens", "validation_loss")))


@pytest.fixture
def run(tmp_path: Path) -> Path:
    folder = tmp_path / "mine"
    records = {label: {"gsm8k": marked("gsm8k", marks)} for label, marks in MARKS.items()}
    none = pd.DataFrame()
    tables = ReportTables(cells(), accuracy_table(records), none, none, none, none)
    save_tables(tables, folder / "tables")
    controls = {label: f"{label.split('/')[0]}/sft" for label in MARKS if "kd" in label}
    save_analysis_settings(
        AnalysisSettings("robust", {"gsm8k": TaskFacts("math")}, controls=controls), folder / "tables/questions.json"
    )
    files = {}
    for number, (label, answered) in enumerate(records.items()):
        write_records(answered["gsm8k"], tmp_path / f"{number}.parquet")
        files[label] = {"gsm8k": tmp_path / f"{number}.parquet"}
    write_run_records(files, folder / "records")
    return folder


def difference(first: str, second: str) -> np.ndarray[Any, Any]:
    return np.array([int(a) - int(b) for a, b in zip(MARKS[first], MARKS[second], strict=True)])


def primary(found: pd.DataFrame, student: str) -> pd.Series:
    return found[(found["role"] == "confirmatory") & (found["group"] == student)].iloc[0]


def test_items_are_the_units(run: Path) -> None:
    found = analyze_table(run)
    row = primary(found.statistics, "tiny")
    gain = difference("tiny/kd-T1", "tiny/sft")
    assert row["estimate"] == pytest.approx(100 * gain.mean())
    assert row["p_value"] == pytest.approx(stats.ttest_1samp(gain, 0.0).pvalue)
    assert row["unit"] == "items"
    assert set(found.claims["claim"]) >= {"gain_by_student", "largest_gain"}


def test_another_primary_temperature_can_be_told(run: Path) -> None:
    found = analyze_table(run, temperature=2.0).statistics
    gain = difference("tiny/kd-T2", "tiny/sft")
    assert primary(found, "tiny")["estimate"] == pytest.approx(100 * gain.mean())
    assert "big" not in set(found[found["role"] == "confirmatory"]["group"])


def test_the_published_protocol_takes_the_better_temperature(run: Path) -> None:
    found = analyze_table(run, protocol="published").statistics
    h1 = found.set_index(["hypothesis", "group", "task"]).loc[("H1", "all", "gsm8k")]
    gains = [
        100 * difference(first, second).mean()
        for first, second in (("tiny/kd-T1", "tiny/sft"), ("big/kd-T1", "big/sft"))
    ]
    assert h1["statistic"] == pytest.approx(stats.ttest_1samp(gains, 0.0).statistic)


def test_the_command(run: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> None:
    code, out, _ = call(monkeypatch, capsys, "analyze", run, "--out", run / "again")
    assert code == 0
    assert "The distilled checkpoint of tiny scored" in out.split("The primary question")[1]
    assert pd.read_csv(run / "again/statistics.csv")["sentence"].str.len().gt(0).all()


def test_a_folder_that_is_no_run(tmp_path: Path) -> None:
    with pytest.raises(DataError, match=r"not the folder of a finished run: it has no tables/questions\.json"):
        analyze_table(tmp_path)


def test_records_that_are_gone_are_missed(run: Path) -> None:
    (run / "records/gsm8k.parquet").unlink()
    with pytest.raises(DataError, match="the records of gsm8k are missing"):
        analyze_table(run)


@pytest.mark.parametrize("protocol", ["rigorous", "published"])
def test_a_temperature_that_nothing_has_is_no_question(run: Path, protocol: Any) -> None:
    with pytest.raises(DataError, match="nothing was distilled at temperature 3; there is 1, 2"):
        analyze_table(run, protocol=protocol, temperature=3.0)


def test_questions_decide_the_scoring(run: Path) -> None:
    questions = AnalysisSettings("published", {"gsm8k": TaskFacts("math")}, controls={"tiny/kd-T1": "tiny/sft"})
    save_analysis_settings(replace(questions, equivalence_margin=3.0), run / "tables/questions.json")
    found = analyze_table(run).statistics
    assert set(found[found["role"] == "confirmatory"]["group"]) == {"tiny"}
