"""Accuracy and gains against scipy, statsmodels and values by hand; and the leaderboard a person sees."""

from __future__ import annotations

import math
from dataclasses import replace
from pathlib import Path

import pandas as pd
import pytest
from scipy import stats
from statsmodels.stats.contingency_tables import mcnemar
from statsmodels.stats.multitest import multipletests
from statsmodels.stats.proportion import proportion_confint

from kdscope.core.errors import DataError
from kdscope.evaluation.accuracy import (
    AVERAGE,
    accuracy_table,
    gains_table,
    leaderboard,
    published_tests_table,
    write_leaderboard,
)
from kdscope.evaluation.records import Record
from kdscope.results.markdown import padded_table
from kdscope.results.measures import POOLED
from kdscope.results.table import Table, plain_table
from tests.evaluation.by_hand import answered, essay_tasks, essays, marked, record, row


def test_accuracy_and_its_interval() -> None:
    records = {"m": {"gsm8k": marked("gsm8k", "1101000"), "AQuA": answered("AQuA", ["A", None, "C"], ["A"] * 3)}}
    table = accuracy_table(records)
    first = row(table, task="gsm8k", scoring="robust")
    assert (first["items"], first["correct"], first["accuracy"]) == (7, 3, pytest.approx(3 / 7))
    assert (first["low"], first["high"]) == pytest.approx(proportion_confint(3, 7, method="wilson"))
    assert (first["unparsed_rate"], first["chance"], first["below_chance"]) == (0.0, 0.0, False)
    second = row(table, task="AQuA", scoring="published")
    assert second["unparsed_rate"] == pytest.approx(1 / 3)
    average = row(table, task=AVERAGE, scoring="robust")
    assert average["accuracy"] == pytest.approx((3 / 7 + 1 / 3) / 2)
    assert (average["items"], average["correct"]) == (10, 4)
    assert math.isnan(average["low"])
    assert math.isnan(average["high"])


def test_the_metric_and_the_standard_error() -> None:
    table = accuracy_table({"m": {"gsm8k": marked("gsm8k", "1101000")}})
    found = row(table, task="gsm8k", scoring="robust")
    assert found["metric"] == "accuracy"
    assert found["stderr"] == pytest.approx(stats.sem([1, 1, 0, 1, 0, 0, 0]))
    assert math.isnan(row(table, task=AVERAGE, scoring="robust")["stderr"])


def test_copies_of_a_question_widen_the_interval_of_an_accuracy() -> None:
    once = marked("MultiArith", "1101000101")
    twice = [*once, *(replace(r, item_id=f"MultiArith/{10 + i}") for i, r in enumerate(once))]
    alone, copied = (accuracy_table({"m": {"MultiArith": records}}).iloc[0] for records in (once, twice))
    assert (copied["items"], copied["correct"], copied["accuracy"]) == (20, 10, 0.5)
    assert (copied["low"], copied["high"]) == pytest.approx((alone["low"], alone["high"]))
    assert copied["high"] - copied["low"] > proportion_confint(10, 20, method="wilson")[1] - 0.5
    unknown = [replace(r, prompt="") for r in twice]
    assert accuracy_table({"m": {"MultiArith": unknown}}).iloc[0]["high"] == pytest.approx(copied["high"])


def test_items_without_a_prompt_are_not_copies_of_each_other() -> None:
    records = [replace(r, prompt="") for r in marked("gsm8k", "1101000")]
    found = accuracy_table({"m": {"gsm8k": records}}).iloc[0]
    assert (found["low"], found["high"]) == pytest.approx(proportion_confint(3, 7, method="wilson"))


def test_a_model_without_answers_has_no_rows() -> None:
    assert accuracy_table({"m": {}}).empty
    with pytest.raises(DataError, match="no answers"):
        accuracy_table({"m": {"gsm8k": []}})


def test_both_scorings_have_their_own_rows() -> None:
    records = [replace(r, correct_published=not r.correct_robust) for r in marked("gsm8k", "110")]
    table = accuracy_table({"m": {"gsm8k": records}})
    assert row(table, task="gsm8k", scoring="robust")["accuracy"] == pytest.approx(2 / 3)
    assert row(table, task="gsm8k", scoring="published")["accuracy"] == pytest.approx(1 / 3)


def test_a_collapsed_model_is_below_chance() -> None:
    collapsed = answered("boolq", [None] * 60, ["true"] * 60, finish_reason="length")
    found = row(accuracy_table({"m": {"boolq": collapsed}}), task="boolq", scoring="robust")
    assert found["below_chance"]
    assert (found["unparsed_rate"], found["truncated_rate"], found["chance"]) == (1.0, 1.0, 0.5)
    lucky = answered("boolq", ["true", "false"] * 30, ["true"] * 60)
    assert not row(accuracy_table({"m": {"boolq": lucky}}), task="boolq", scoring="robust")["below_chance"]


# Tango's own example (1998, table II): 9 against 3 discordant of 32 items.
CELL, CONTROL = "1" * 9 + "0" * 3 + "1" * 20, "0" * 9 + "1" * 3 + "1" * 20


def two_models(task: str, cell: str, control: str) -> dict[str, dict[str, list[Record]]]:
    return {"kd": {task: marked(task, cell)}, "sft": {task: marked(task, control)}}


def test_a_gain_and_its_test() -> None:
    found = row(gains_table(two_models("gsm8k", CELL, CONTROL), {"kd": "sft"}), task="gsm8k", scoring="robust")
    assert (found["cell"], found["control"], found["items"]) == ("kd", "sft", 32)
    assert (found["only_cell"], found["only_control"]) == (9, 3)
    assert found["gain"] == pytest.approx(6 / 32)
    assert found["p_value"] == pytest.approx(mcnemar([[20, 9], [3, 0]], exact=True).pvalue)
    assert (found["low"], found["high"]) == pytest.approx((-0.027, 0.390), abs=5e-4)
    assert found["p_holm"] == found["p_value"]


def test_copies_of_a_question_count_once() -> None:
    records = two_models("gsm8k", CELL, CONTROL)
    independent = gains_table(records, {"kd": "sft"}).iloc[0]
    copied = {
        label: {"gsm8k": [replace(r, prompt=f"p{i // 2}") for i, r in enumerate(tasks["gsm8k"])]}
        for label, tasks in records.items()
    }
    clustered = gains_table(copied, {"kd": "sft"}).iloc[0]
    assert clustered["gain"] == independent["gain"]
    assert clustered["p_value"] > independent["p_value"]
    assert "cluster" in clustered["method_of_test"]
    assert "McNemar" in independent["method_of_test"]


def test_pooled_gains_are_adjusted_over_the_students() -> None:
    control = {"gsm8k": "0" * 12, "SVAMP": "0" * 8}
    cells = {
        "a": {"gsm8k": "1" * 6 + "0" * 6, "SVAMP": "1" * 4 + "0" * 4},
        "b": {"gsm8k": "1" * 5 + "0" * 7, "SVAMP": "0" * 8},
        "c": {"gsm8k": "0" * 12, "SVAMP": "0" * 8},
    }
    everyone = {"sft": control, **cells}
    records = {label: {task: marked(task, right) for task, right in tasks.items()} for label, tasks in everyone.items()}
    table = gains_table(records, dict.fromkeys(cells, "sft"))
    for scoring in ("robust", "published"):
        pooled = table[(table["task"] == POOLED) & (table["scoring"] == scoring)].set_index("cell")
        plain = [stats.binomtest(10, 10).pvalue, stats.binomtest(5, 5).pvalue, 1.0]
        assert list(pooled["p_value"]) == pytest.approx(plain)
        assert list(pooled["p_holm"]) == pytest.approx(multipletests(plain, method="holm")[1])
        assert list(pooled["gain"]) == pytest.approx([10 / 20, 5 / 20, 0.0])
    assert table[table["task"] != POOLED]["p_holm"].isna().all()
    assert len(table) == 3 * 3 * 2


def test_a_gain_over_other_items_is_refused() -> None:
    records = two_models("gsm8k", "1100", "0011")
    records["sft"]["gsm8k"][2] = replace(records["sft"]["gsm8k"][2], item_hash="another question")
    with pytest.raises(DataError, match="same items of gsm8k: gsm8k/2 has another question"):
        gains_table(records, {"kd": "sft"})
    records["sft"]["gsm8k"].pop()
    records["sft"]["gsm8k"][2] = record("gsm8k", 7)
    with pytest.raises(DataError, match="where one has gsm8k/2, the other has gsm8k/7"):
        gains_table(records, {"kd": "sft"})
    records["sft"]["gsm8k"].pop()
    with pytest.raises(DataError, match="one answered 4, the other 2"):
        gains_table(records, {"kd": "sft"})


def test_tasks_that_only_one_of_the_two_answered_are_left_out() -> None:
    records = {**two_models("gsm8k", "1100", "0011"), "alone": two_models("SVAMP", "10", "01")["kd"]}
    assert gains_table(records, {"alone": "sft"}).empty
    records["kd"]["SVAMP"] = records["alone"]["SVAMP"]
    assert set(gains_table(records, {"kd": "sft"})["task"]) == {"gsm8k"}


def test_no_controls_no_gains() -> None:
    assert gains_table(two_models("gsm8k", "10", "01"), {}).empty


GRID = [
    # cell, method, teacher, student, temperature, right of ten on gsm8k, on SVAMP
    ("s/sft", "sft", None, "s", None, 3, 5),
    ("t/sft", "sft", None, "t", None, 6, 2),
    ("s/kd/1", "forward_kl", "big", "s", 1.0, 4, 6),
    ("s/kd/2", "forward_kl", "big", "s", 2.0, 5, 4),
    ("t/kd/1", "forward_kl", "big", "t", 1.0, 7, 3),
    ("t/kd/2", "forward_kl", "big", "t", 2.0, 6, 2),
    ("s/rkd/1", "reverse_kl", "big", "s", 1.0, 2, 5),
    ("t/rkd/1", "reverse_kl", "big", "t", 1.0, 6, 4),
    ("lost", "forward_kl", "big", "u", 1.0, 9, 9),
]
# Best temperature minus SFT, in percentage points, by hand: (s, t) of each method and task.
GAINS = {
    ("forward_kl", "gsm8k"): [20.0, 10.0],
    ("forward_kl", "SVAMP"): [10.0, 10.0],
    ("forward_kl", "Average"): [10.0, 10.0],
    ("reverse_kl", "gsm8k"): [-10.0, 0.0],
    ("reverse_kl", "SVAMP"): [0.0, 20.0],
    ("reverse_kl", "Average"): [-5.0, 10.0],
}


def published_tests() -> pd.DataFrame:
    records, cells = {}, []
    for cell, method, teacher, student, temperature, *right in GRID:
        marks = ["1" * count + "0" * (10 - count) for count in right]
        # By the robust scoring everybody is always wrong: only the published one may enter.
        records[cell] = {
            task: [replace(r, correct_robust=False) for r in marked(task, mark)]
            for task, mark in zip(("gsm8k", "SVAMP"), marks, strict=True)
        }
        facts = {"teacher": teacher, "teacher_condition": teacher and "adapted", "kd_temperature": temperature}
        facts |= {"kd_weight": 1.0 if teacher else None, "teacher_noise_std": 0.0 if teacher else None}
        facts |= {"variant": ""}
        cells.append({"cell": cell, "method": method, "student": student, "seed": 0, **facts})
    controls = {cell: f"{student}/sft" for cell, method, _, student, *_ in GRID if method != "sft" and student != "u"}
    # Ablations with enormous gains, which must not enter.
    for name, change in (("base", {"teacher_condition": "base"}), ("noisy", {"teacher_noise_std": 0.5})):
        records[name] = {task: marked(task, "1" * 10) for task in ("gsm8k", "SVAMP")}
        cells.append({**cells[2], "cell": name, **change})
        controls[name] = next(iter(controls.values()))
    return published_tests_table(accuracy_table(records), pd.DataFrame(cells), controls)


def test_the_published_t_tests_over_the_grid() -> None:
    table = published_tests()
    assert set(table["protocol"]) == {"published"}
    for task in ("gsm8k", "SVAMP", "Average"):
        for group in ("all", "forward_kl", "reverse_kl"):
            gains = [g for (family, t), both in GAINS.items() for g in both if t == task and group in ("all", family)]
            found = row(table, test="ttest_1samp", group=group, task=task)
            assert found["n"] == len(gains)
            if len(set(gains)) == 1:
                assert math.isnan(found["p_value"])
                continue
            expected = stats.ttest_1samp(gains, 0.0, alternative="greater")
            assert (found["statistic"], found["p_value"]) == pytest.approx((expected.statistic, expected.pvalue))


def test_the_published_anova_over_the_grid() -> None:
    table = published_tests()
    for task in ("gsm8k", "SVAMP", "Average"):
        expected = stats.f_oneway(GAINS["forward_kl", task], GAINS["reverse_kl", task])
        found = row(table, test="f_oneway", task=task)
        assert (found["statistic"], found["p_value"], found["n"]) == pytest.approx(
            (expected.statistic, expected.pvalue, 4)
        )


def test_nothing_to_test() -> None:
    records = {"m": {"gsm8k": marked("gsm8k", "10")}}
    facts = {"teacher_condition": None, "teacher_noise_std": None, "variant": ""}
    cells = pd.DataFrame([{"cell": "m", "method": "sft", "student": "s", "seed": 0, **facts}])
    assert published_tests_table(accuracy_table(records), cells, {}).empty


MODEL = {
    "gsm8k": marked("gsm8k", "1101"),
    "boolq": answered("boolq", [None] * 60, ["true"] * 60, finish_reason="length"),
    "essays": essays("essays", [[0.2], [0.4]]),
}


def texts(table: Table) -> list[tuple[str, ...]]:
    return [tuple(cell.shown for cell in row) for row in table.rows]


def test_one_line_a_task_and_scoring_averages_last() -> None:
    table = leaderboard(accuracy_table({"m": MODEL}, registry=essay_tasks()))
    names = [(row[0], row[2], row[3]) for row in texts(table)]
    assert names == [
        ("gsm8k", "robust", "accuracy"),
        ("gsm8k", "published", "accuracy"),
        ("boolq", "robust", "accuracy"),
        ("boolq", "published", "accuracy"),
        ("essays", "", "rouge_l"),
        ("average", "robust", "accuracy"),
        ("average", "published", "accuracy"),
        ("average (rouge_l)", "", "rouge_l"),
    ]
    assert table.headings[:2] == ("Task", "n")
    # 3 of 4: the error is that of a mean, sqrt(3/4 * 1/4 / 3); Wilson's limits by hand.
    assert texts(table)[0][4:] == ("0.7500", "±", "0.2500", "[0.3006, 0.9544]", "0.0%", "0.0%")
    assert texts(table)[2][4:] == ("0.0000 ▼", "±", "0.0000", "[0.0000, 0.0602]", "100.0%", "100.0%")
    assert texts(table)[5][4:8] == ("0.3750", "±", "–", "–")


def test_one_scoring_only() -> None:
    table = leaderboard(accuracy_table({"m": MODEL}, registry=essay_tasks()), scorings=("published",))
    assert [(row[0], row[2]) for row in texts(table)] == [
        ("gsm8k", "published"),
        ("boolq", "published"),
        ("essays", ""),
        ("average", "published"),
        ("average (rouge_l)", ""),
    ]


def test_several_models_are_named() -> None:
    one = {"gsm8k": marked("gsm8k", "10")}
    table = leaderboard(accuracy_table({"a": one, "b": one}), scorings=("robust",))
    assert table.headings[0] == "Model"
    assert [row[:2] for row in texts(table)] == [("a", "gsm8k"), ("a", "average"), ("b", "gsm8k"), ("b", "average")]
    assert {len(row) for row in table.rows} == {len(table.headings)}
    numbers = ["n", "Value", "Stderr", "95% interval", "Unparsed", "Truncated"]
    alone = leaderboard(accuracy_table({"a": one}), scorings=("robust",))
    for shown in (table, alone):
        assert [column.heading for column in shown.columns if column.kind == "number"] == numbers


def test_markdown(tmp_path: Path) -> None:
    file = tmp_path / "results.md"
    write_leaderboard(leaderboard(accuracy_table({"m": MODEL}, registry=essay_tasks())), file, "A model")
    text = file.read_text(encoding="utf-8").splitlines()
    assert text[0] == "# A model"
    body = [line for line in text if line.startswith("|")]
    assert len(body) == 2 + 8
    assert len({len(line) for line in body}) == 1
    assert text[-1].startswith("▼ below chance")
    write_leaderboard(leaderboard(accuracy_table({"m": {"gsm8k": MODEL["gsm8k"]}})), file)
    assert "▼" not in file.read_text(encoding="utf-8")


def test_cells_cannot_break_the_table() -> None:
    text = padded_table(plain_table(("a", "b"), [("x|y\nz", "\\")], {1}))
    assert text.splitlines()[2] == "| x\\|y z | \\\\ |".replace("\\\\ |", " \\\\ |")
    assert text.count("\n") == 3
