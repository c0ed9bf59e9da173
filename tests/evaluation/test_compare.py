"""Two models side by side: differences against scipy and statsmodels, fidelity against each alone."""

from __future__ import annotations

import math
import random

import pytest
from scipy import stats
from statsmodels.stats.contingency_tables import mcnemar
from statsmodels.stats.multitest import multipletests

from kdscope.core.errors import DataError
from kdscope.evaluation.compare import compare_evaluated, differences_table, fidelity_differences_table
from kdscope.evaluation.records import Record
from kdscope.results.measures import POOLED
from tests.evaluation.by_hand import answered, compare_records, essay_tasks, essays, marked, record

A = {"gsm8k": marked("gsm8k", "1" * 9 + "000" + "1" * 20), "SVAMP": marked("SVAMP", "1110")}
B = {"gsm8k": marked("gsm8k", "0" * 9 + "111" + "1" * 20), "SVAMP": marked("SVAMP", "1011")}


def test_differences_task_by_task_and_pooled() -> None:
    found = compare_evaluated(A, B).differences.set_index("task")
    assert list(found.index) == ["gsm8k", "SVAMP", POOLED]
    first, pooled = found.loc["gsm8k"], found.loc[POOLED]
    assert (first["items"], first["a"], first["b"]) == (32, 29 / 32, 23 / 32)
    assert first["difference"] == pytest.approx(6 / 32)
    # Tango 1998, Stat Med 17:891, table II.
    assert (first["low"], first["high"]) == pytest.approx((-0.027, 0.390), abs=5e-4)
    assert first["p_value"] == pytest.approx(mcnemar([[20, 9], [3, 0]], exact=True).pvalue)
    assert (pooled["items"], pooled["a"], pooled["b"]) == (36, pytest.approx(32 / 36), pytest.approx(26 / 36))
    assert pooled["p_value"] == pytest.approx(stats.binomtest(10, 14).pvalue)
    assert list(found["p_holm"][:2]) == pytest.approx(multipletests(found["p_value"][:2], method="holm")[1])
    assert math.isnan(pooled["p_holm"])
    assert set(found["metric"]) == {"accuracy"}


def test_swapping_the_two_mirrors_the_differences() -> None:
    one, other = compare_evaluated(A, B).differences, compare_evaluated(B, A).differences
    assert list(one["difference"]) == pytest.approx(list(-other["difference"]))
    assert list(one["low"]) == pytest.approx(list(-other["high"]))
    assert list(one["p_value"]) == pytest.approx(list(other["p_value"]))


def test_free_text_is_compared_by_rouge() -> None:
    a = {**A, "essays": essays("essays", [[0.5, 0.7], [0.4, 0.2], [0.9, 0.9]])}
    b = {**B, "essays": essays("essays", [[0.3], [0.35], [0.5]])}
    found = compare_evaluated(a, b, registry=essay_tasks()).differences.set_index("task")
    assert list(found.index) == ["gsm8k", "SVAMP", "essays", POOLED]
    expected = stats.ttest_rel([0.6, 0.3, 0.9], [0.3, 0.35, 0.5]).confidence_interval()
    row = found.loc["essays"]
    assert (row["metric"], row["a"], row["b"]) == ("rouge_l", pytest.approx(0.6), pytest.approx(1.15 / 3))
    assert (row["low"], row["high"]) == pytest.approx((expected.low, min(1.0, expected.high)))


def test_fidelity_of_both_to_a_teacher() -> None:
    golds = ["1", "2", "3"]
    teacher = {"gsm8k": answered("gsm8k", ["1", "9", "3"], golds)}
    a = {"gsm8k": answered("gsm8k", ["1", "9", "4"], golds), "SVAMP": marked("SVAMP", "1")}
    b = {"gsm8k": answered("gsm8k", ["2", "2", "3"], golds), "SVAMP": marked("SVAMP", "1")}
    found = compare_evaluated(a, b, teacher).fidelity
    assert found is not None
    alone = {
        side: {row.measure: row for row in compare_records({"gsm8k": own["gsm8k"]}, teacher, "robust")}
        for side, own in (("a", a), ("b", b))
    }
    assert list(found["measure"]) == list(alone["a"])
    for row in found.to_dict("records"):
        for side in ("a", "b"):
            expected = alone[side][row["measure"]]
            assert row[side] == pytest.approx(expected.value, nan_ok=True)
            assert row[f"floor_{side}"] == pytest.approx(expected.floor, nan_ok=True)
    agreement = found.set_index("measure").loc["agreement"]
    assert (agreement["a"], agreement["b"]) == (pytest.approx(2 / 3), pytest.approx(1 / 3))
    assert agreement["difference"] == pytest.approx(1 / 3)


def test_two_students_are_compared_with_a_test_and_a_margin() -> None:
    rng = random.Random(1)
    taught = ["1" if rng.random() < 0.7 else rng.choice("2345") for _ in range(400)]

    def model(copied: float) -> dict[str, list[Record]]:
        own = ["1" if rng.random() < 0.6 else rng.choice("2345") for _ in taught]
        said = [t if rng.random() < copied else o for t, o in zip(taught, own, strict=True)]
        return {"gsm8k": answered("gsm8k", said, ["1"] * 400)}

    a, b, control, teacher = model(0.6), model(0.1), model(0.0), {"gsm8k": answered("gsm8k", taught, ["1"] * 400)}
    comparison = compare_evaluated(a, b, teacher, control=control, margin=5.0)
    assert comparison.fidelity is not None
    row = comparison.fidelity.set_index("measure").loc["agreement_beyond_accuracy"]
    assert row["low"] < row["difference"] < row["high"]
    assert row["difference"] == pytest.approx(row["over_control_a"] - row["over_control_b"])
    assert row["p_value"] < 0.001
    assert (row["margin"], row["p_noninferiority"] < 0.001) == (0.05, True)
    turned = compare_evaluated(b, a, teacher, control=control, margin=5.0).fidelity
    assert turned is not None
    assert turned.set_index("measure").loc["agreement_beyond_accuracy", "p_noninferiority"] > 0.9
    assert math.isnan(comparison.fidelity.set_index("measure").loc["agreement", "p_noninferiority"])
    printed = fidelity_differences_table(comparison)
    assert printed.headings[5:10] == ("A - control", "B - control", "Difference", "95% interval", "p")
    assert printed.headings[10] == "p (margin 5)"
    assert all(len(cells) == len(printed.headings) for cells in printed.rows)


def test_tasks_of_one_side_are_told() -> None:
    found = compare_evaluated(A, {"gsm8k": B["gsm8k"], "AQuA": answered("AQuA", ["A"], ["A"])})
    assert list(found.differences["task"]) == ["gsm8k"]
    assert found.left_out == ("SVAMP", "AQuA")
    assert found.fidelity is None


def test_what_cannot_be_compared() -> None:
    with pytest.raises(DataError, match="no task was answered by both: gsm8k, SVAMP by one, nothing by the other"):
        compare_evaluated(A, {})
    with pytest.raises(DataError, match="did not answer the same items of gsm8k: one answered 32, the other 31"):
        compare_evaluated(A, {"gsm8k": B["gsm8k"][:-1]})
    with pytest.raises(DataError, match="the teacher answered none of the tasks"):
        compare_evaluated(A, B, {"AQuA": answered("AQuA", ["A"], ["A"])})
    with pytest.raises(DataError, match="did not answer the same items of gsm8k: where one has gsm8k/0"):
        compare_evaluated(A, B, {"gsm8k": [record("gsm8k", 8)]})


def test_tables_to_print() -> None:
    comparison = compare_evaluated(A, B, A)
    table = differences_table(comparison, ("kd", "sft"))
    assert table.headings == ("Task", "n", "Metric", "kd", "sft", "Difference", "95% interval", "p", "p (Holm)")
    assert [cell.text for cell in table.rows[0][:6]] == ["gsm8k", "32", "accuracy", "0.9062", "0.7188", "+0.1875"]
    assert table.rows[2][-1].text == "–"
    fidelity = fidelity_differences_table(comparison, ("kd", "sft"))
    assert fidelity.headings[-2:] == ("kd floor", "sft floor")
    assert [cell.text for cell in fidelity.rows[0][:4]] == ["gsm8k", "agreement", "32", "1.0000"]
    assert fidelity_differences_table(compare_evaluated(A, B)).rows == ()
