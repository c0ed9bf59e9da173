"""Tables where an item is worth more than right or wrong: several decoding seeds, and ROUGE-L of free text."""

from __future__ import annotations

from dataclasses import replace

import pandas as pd
import pytest
from scipy import stats
from statsmodels.stats.multitest import multipletests
from statsmodels.stats.proportion import proportion_confint

from kdscope.core.errors import DataError
from kdscope.evaluation.accuracy import AVERAGE, accuracy_table, gains_table, published_tests_table
from kdscope.results.measures import POOLED
from tests.evaluation.by_hand import essay_tasks, essays, marked, row, sampled

SEEDS = ("1101", "1001", "1100")  # of four items: 3, 2, 1 and 2 right of three


def test_decoding_seeds_are_averaged_within_an_item_first() -> None:
    found = row(accuracy_table({"m": {"gsm8k": sampled("gsm8k", SEEDS)}}), task="gsm8k", scoring="robust")
    values = [3 / 3, 2 / 3, 0 / 3, 2 / 3]
    assert (found["items"], found["accuracy"]) == (4, pytest.approx(7 / 12))
    assert found["stderr"] == pytest.approx(stats.sem(values))
    low, high = stats.ttest_1samp(values, 0).confidence_interval()
    assert (found["low"], found["high"]) == pytest.approx((max(0, low), min(1, high)))
    assert pd.isna(found["correct"])
    assert (found["metric"], found["unparsed_rate"]) == ("accuracy", 0.0)


def test_seeds_that_all_agree_still_leave_doubt() -> None:
    found = accuracy_table({"m": {"gsm8k": sampled("gsm8k", ["1" * 30] * 5)}}).iloc[0]
    assert found["accuracy"] == 1.0
    assert (found["low"], found["high"]) == pytest.approx(proportion_confint(30, 30, method="wilson"))


def test_rates_are_over_all_answers_of_several_seeds() -> None:
    records = sampled("gsm8k", ["11", "11"])
    records[0] = replace(records[0], robust_value=None, finish_reason="length")
    found = row(accuracy_table({"m": {"gsm8k": records}}), task="gsm8k", scoring="robust")
    assert (found["unparsed_rate"], found["truncated_rate"]) == (0.25, 0.25)


ESSAYS = [[0.1, 0.3], [0.5, 0.7], [0.2, 0.2], [0.9, 0.4]]


def test_free_text_is_told_by_its_rouge() -> None:
    records = {"essays": essays("essays", ESSAYS), "odes": essays("odes", [[0.5], [0.6]])}
    records["gsm8k"] = marked("gsm8k", "1100")
    table = accuracy_table({"m": records}, registry=essay_tasks())
    values = [0.2, 0.6, 0.2, 0.65]
    for scoring in ("robust", "published"):
        found = row(table, task="essays", scoring=scoring)
        assert (found["metric"], found["items"]) == ("rouge_l", 4)
        assert found["accuracy"] == pytest.approx(sum(values) / 4)
        assert found["stderr"] == pytest.approx(stats.sem(values))
        low, high = stats.ttest_1samp(values, 0).confidence_interval()
        assert (found["low"], found["high"]) == pytest.approx((max(0, low), high))
        assert pd.isna(found["correct"])
        # Never averaged with an accuracy.
        assert row(table, task=AVERAGE, scoring=scoring)["accuracy"] == 0.5
        texts = row(table, task="average (rouge_l)", scoring=scoring)
        assert (texts["accuracy"], texts["metric"]) == (pytest.approx((1.65 / 4 + 0.55) / 2), "rouge_l")


def test_only_free_text_has_no_average_accuracy() -> None:
    table = accuracy_table({"m": {"essays": essays("essays", ESSAYS)}}, registry=essay_tasks())
    assert set(table["task"]) == {"essays", "average (rouge_l)"}


def test_a_single_text_has_no_interval() -> None:
    found = accuracy_table({"m": {"essays": essays("essays", [[0.5]])}}, registry=essay_tasks()).iloc[0]
    assert found["accuracy"] == 0.5
    assert pd.isna(found[["stderr", "low", "high"]]).all()
    assert not found["below_chance"]


def test_a_text_that_was_never_scored_is_named() -> None:
    records = essays("essays", ESSAYS)
    records[3] = replace(records[3], rouge_l=None)
    with pytest.raises(DataError, match="essays/1 has no ROUGE-L"):
        accuracy_table({"m": {"essays": records}}, registry=essay_tasks())


def test_uneven_seeds_are_refused() -> None:
    records = sampled("gsm8k", SEEDS)
    with pytest.raises(DataError, match="gsm8k/3 is answered with decoding seeds 0, 1, gsm8k/0 with 0, 1, 2"):
        accuracy_table({"m": {"gsm8k": records[:-1]}})
    with pytest.raises(DataError, match="gsm8k/0 is answered more than once with the same decoding seed"):
        accuracy_table({"m": {"gsm8k": [*records, records[0]]}})


def test_a_gain_over_several_seeds() -> None:
    records = {"kd": {"gsm8k": sampled("gsm8k", SEEDS)}, "sft": {"gsm8k": sampled("gsm8k", ("0101", "1000", "0100"))}}
    found = row(gains_table(records, {"kd": "sft"}), task="gsm8k", scoring="robust")
    first, second = [3 / 3, 2 / 3, 0 / 3, 2 / 3], [1 / 3, 2 / 3, 0 / 3, 1 / 3]
    expected = stats.ttest_rel(first, second)
    assert found["gain"] == pytest.approx(3 / 12)
    assert (found["low"], found["high"]) == pytest.approx(tuple(expected.confidence_interval()))
    # Of the four sign patterns of the two differences that are not 0, two are as far out: all but the mixed ones.
    assert found["p_value"] == pytest.approx(2 / 4)
    assert pd.isna(found["only_cell"])
    assert pd.isna(found["only_control"])
    assert "t interval" in found["method_of_test"]


def test_one_answer_against_several_seeds() -> None:
    records = {"kd": {"gsm8k": marked("gsm8k", "1101")}, "sft": {"gsm8k": sampled("gsm8k", ("0101", "1000"))}}
    found = gains_table(records, {"kd": "sft"}).iloc[0]
    assert found["gain"] == pytest.approx((0.5 + 0.5 + 0 + 0.5) / 4)


def test_gains_in_rouge_are_pooled_apart() -> None:
    own = {"essays": essays("essays", ESSAYS), "odes": essays("odes", [[0.5], [0.6]])}
    own |= {"gsm8k": marked("gsm8k", "1110"), "SVAMP": marked("SVAMP", "110")}
    other = {"essays": essays("essays", [[0.0, 0.2], [0.4, 0.6], [0.2, 0.2], [0.3, 0.2]])}
    other |= {"odes": essays("odes", [[0.3], [0.7]])}
    other |= {"gsm8k": marked("gsm8k", "1000"), "SVAMP": marked("SVAMP", "010")}
    table = gains_table({"kd": own, "sft": other}, {"kd": "sft"}, registry=essay_tasks(), scorings=("robust",))
    assert list(table["task"]) == ["essays", "odes", "gsm8k", "SVAMP", "pooled (rouge_l)", POOLED]
    answers, texts = row(table, task=POOLED), row(table, task="pooled (rouge_l)")
    assert (answers["items"], answers["gain"]) == (7, pytest.approx(3 / 7))
    assert "McNemar" in answers["method_of_test"]
    differences = [0.1, 0.1, 0.0, 0.4, 0.2, -0.1]
    assert (texts["items"], texts["gain"]) == (6, pytest.approx(sum(differences) / 6))
    low, high = stats.ttest_1samp(differences, 0).confidence_interval()
    assert (texts["low"], texts["high"]) == pytest.approx((low, high))
    # Both answer the study's question, so both are in the family.
    adjusted = multipletests([answers["p_value"], texts["p_value"]], method="holm")[1]
    assert [answers["p_holm"], texts["p_holm"]] == pytest.approx(adjusted)
    assert table[~table["task"].isin([POOLED, "pooled (rouge_l)"])]["p_holm"].isna().all()


def test_the_only_text_task_is_in_the_family() -> None:
    own = {"essays": essays("essays", ESSAYS), "gsm8k": marked("gsm8k", "1110"), "SVAMP": marked("SVAMP", "110")}
    table = gains_table({"kd": own, "sft": own}, {"kd": "sft"}, registry=essay_tasks(), scorings=("robust",))
    assert list(table[table["p_holm"].notna()]["task"]) == ["essays", POOLED]


def test_free_text_stays_out_of_the_published_tests() -> None:
    records = {label: {"gsm8k": marked("gsm8k", marks)} for label, marks in (("sft", "1000"), ("kd", "1100"))}
    for tasks in records.values():
        tasks["essays"] = essays("essays", ESSAYS)
    facts = {"teacher": "big", "teacher_condition": "adapted", "teacher_noise_std": 0.0, "kd_weight": 1.0}
    cells = pd.DataFrame([{"cell": "kd", "method": "rkd", "student": "s", "seed": 0, "variant": "", **facts}])
    table = published_tests_table(accuracy_table(records, registry=essay_tasks()), cells, {"kd": "sft"})
    assert set(table["task"]) == {"gsm8k", "Average"}
