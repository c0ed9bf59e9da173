"""Fidelity rows against values worked out by hand, by sacrebleu and by counting every pairing."""

from __future__ import annotations

import itertools
import json
import math
from dataclasses import replace
from pathlib import Path

import pytest
import sacrebleu

from kdscope.core.errors import DataError
from kdscope.evaluation.completions import read_completions
from kdscope.evaluation.fidelity_table import (
    FidelityRow,
)
from kdscope.evaluation.item_scores import check_same_items
from kdscope.evaluation.records import Record
from kdscope.evaluation.score import group_by_task, rescore
from kdscope.results.measures import POOLED
from tests.evaluation.by_hand import answered, compare_records, essay_tasks, essays, record

GOLDS = ["1", "2", "3", "4", "5", "6"]
TEACHER = ["1", "2", "3", "9", "8", None]  # right, right, right, wrong, wrong, unparsed
STUDENT = ["1", "2", "7", "9", "5", None]  # right, right, wrong, the teacher's error, right, unparsed


def by_measure(rows: list[FidelityRow], task: str = "gsm8k") -> dict[str, FidelityRow]:
    return {row.measure: row for row in rows if row.task == task}


def compare(student: list[Record], teacher: list[Record], scoring: str = "robust") -> dict[str, FidelityRow]:
    task = student[0].task
    return by_measure(compare_records({task: student}, {task: teacher}, scoring), task)


def test_values_worked_out_by_hand() -> None:
    found = compare(answered("gsm8k", STUDENT, GOLDS), answered("gsm8k", TEACHER, GOLDS))
    expected = {
        "agreement": 3 / 6,
        "agreement_both_parsed": 3 / 5,
        "agreement_when_teacher_right": 2 / 3,
        "error_inheritance": 1 / 3,
        "same_wrong_given_both_wrong": 1 / 2,
        "both_right": 2 / 6,
        "both_wrong_same": 1 / 6,
        "both_wrong_different": 1 / 6,
        "only_teacher_right": 1 / 6,
        "only_student_right": 1 / 6,
        # 4 of 6 both right or both wrong; independent models of accuracy 1/2 each agree half the time.
        "error_consistency_kappa": (4 / 6 - 1 / 2) / (1 - 1 / 2),
    }
    assert {name: found[name].value for name in expected} == pytest.approx(expected)
    assert found["agreement_from_accuracy"].value == pytest.approx(1 / 4), (
        "two free answers are alike if both are right"
    )
    assert found["agreement_beyond_accuracy"].value == pytest.approx(3 / 6 - 1 / 4)
    items = {"agreement": 6, "agreement_both_parsed": 5, "agreement_when_teacher_right": 3, "error_inheritance": 3}
    items |= {"same_wrong_given_both_wrong": 2, "both_right": 6, "bleu": 6, "bleu_both_right": 2, "value_f1": 0}
    assert {name: found[name].items for name in items} == items
    assert math.isnan(found["value_f1"].value), "no text states an equation"
    families = dict.fromkeys(row.family for row in found.values())
    assert list(families) == ["answers", "traces", "steps"]


def test_both_scorings_are_compared_by_their_own_answers() -> None:
    teacher = [record("gsm8k", 0, robust_value="1", published_value="2.0", correct_robust=False)]
    student = [record("gsm8k", 0, robust_value="1", published_value="3.0", correct_published=False)]
    robust, published = (compare(student, teacher, scoring) for scoring in ("robust", "published"))
    assert (robust["agreement"].value, published["agreement"].value) == (1.0, 0.0)
    assert (robust["only_student_right"].value, published["only_teacher_right"].value) == (1.0, 1.0)


@pytest.mark.parametrize(
    ("one", "other", "same"),
    [
        ("4", "4.0", True),
        ("0.16666666666666666", "0.1666667", True),
        ("0.5", "1/2", True),
        ("4", "4.0000001", False),
        ("0.25", "0.26", False),
        ("-3", "3", False),
        ("12345678901234567890", "12345678901234567891", False),
    ],
)
def test_numbers_agree_by_value_whoever_is_asked_first(one: str, other: str, same: bool) -> None:
    first, second = (answered("gsm8k", [value], ["7"]) for value in (one, other))
    assert compare(first, second)["agreement"].value == float(same)
    assert compare(second, first)["agreement"].value == float(same)


def test_letters_agree_by_their_text() -> None:
    student, teacher = answered("AQuA", ["A", "B", "C"], ["A"] * 3), answered("AQuA", ["A", "C", "C"], ["A"] * 3)
    assert compare(student, teacher)["agreement"].value == pytest.approx(2 / 3)


def test_unparsed_answers_agree_with_nothing() -> None:
    nothing = answered("gsm8k", [None, None], ["1", "2"])
    found = compare(nothing, nothing)
    assert found["agreement"].value == found["agreement"].floor == 0.0
    assert math.isnan(found["agreement_both_parsed"].value)


def test_the_floor_of_constant_answers_is_their_agreement() -> None:
    """Whoever always says the same agrees as much with a stranger's items as with its own."""
    constant = answered("gsm8k", ["4"] * 5, GOLDS[:5])
    assert compare(constant, constant)["agreement"].floor == 1.0


def test_the_floor_is_a_mean_over_pairings_of_other_items() -> None:
    teacher, student = ["1", "1", "2", "2"], ["1", "2", "2", "1"]
    orders = [o for o in itertools.permutations(range(4)) if all(i != j for i, j in enumerate(o))]
    possible = [sum(teacher[i] == student[j] for i, j in enumerate(order)) / 4 for order in orders]
    golds = ["9"] * 4
    found = compare(answered("gsm8k", student, golds), answered("gsm8k", teacher, golds))["agreement"].floor
    assert min(possible) <= found <= max(possible)
    assert math.isclose(found * 20, round(found * 20))
    again = compare(answered("gsm8k", student, golds), answered("gsm8k", teacher, golds))["agreement"].floor
    assert again == found


def test_a_single_item_has_no_floor() -> None:
    one = answered("gsm8k", ["4"], ["4"])
    assert math.isnan(compare(one, one)["agreement"].floor)


def test_traces_are_compared_by_sacrebleu() -> None:
    said = ["Ann has 3 and 4 pens so 7 in all", "The train goes 60 miles an hour for 2 hours", "so it is nine"]
    heard = ["Ann has 3 and gets 4 pens so 7 in all", "The train goes for 2 hours at 60 miles an hour", "it is ten"]
    teacher = [record("gsm8k", i, completion=text) for i, text in enumerate(said)]
    student = [record("gsm8k", i, completion=text) for i, text in enumerate(heard)]
    found = compare(student, teacher)
    assert found["bleu"].value == pytest.approx(sacrebleu.corpus_bleu(heard, [said]).score)
    assert found["chrf"].value == pytest.approx(sacrebleu.corpus_chrf(heard, [said]).score)
    shifts = [[heard[1], heard[2], heard[0]], [heard[2], heard[0], heard[1]]]
    floors = [sacrebleu.corpus_chrf(shift, [said]).score for shift in shifts]
    possible = [(floors[0] * k + floors[1] * (5 - k)) / 5 for k in range(6)]
    assert any(found["chrf"].floor == pytest.approx(floor) for floor in possible), "five shuffles of three texts"


def test_pooled_items_never_agree_across_tasks() -> None:
    student = {"gsm8k": answered("gsm8k", ["1", "2"], ["1", "2"]), "SVAMP": answered("SVAMP", ["2"], ["1"])}
    teacher = {"gsm8k": answered("gsm8k", ["1", "3"], ["1", "2"]), "SVAMP": answered("SVAMP", ["2"], ["1"])}
    rows = compare_records(student, teacher, "robust")
    assert {row.task for row in rows} == {"gsm8k", "SVAMP", POOLED}
    pooled = by_measure(rows, POOLED)
    assert (pooled["agreement"].value, pooled["agreement"].items) == (pytest.approx(2 / 3), 3)
    same_text = {"gsm8k": answered("gsm8k", ["2", "2"], ["1", "1"]), "SVAMP": answered("SVAMP", ["5", "6"], ["1", "1"])}
    floor = by_measure(compare_records(same_text, same_text, "robust"), POOLED)["agreement"].floor
    assert floor == 0.5, "shuffling stays within a task: gsm8k always agrees, SVAMP never"


def test_one_task_is_not_pooled() -> None:
    one = {"gsm8k": answered("gsm8k", ["1", "2"], ["1", "2"])}
    assert {row.task for row in compare_records(one, one, "robust")} == {"gsm8k"}


def test_other_items_are_refused() -> None:
    own = answered("gsm8k", ["1", "2"], ["1", "2"])
    changed = [record("gsm8k", 0, item_hash="another question"), own[1]]
    for other in (own[:1], own[::-1], changed, []):
        with pytest.raises(DataError, match="did not answer the same items of gsm8k"):
            compare_records({"gsm8k": own}, {"gsm8k": other}, "robust")
        with pytest.raises(DataError, match="gsm8k"):
            check_same_items("gsm8k", other, own)
    with pytest.raises(DataError, match="gsm8k"):
        compare_records({"gsm8k": own}, {"SVAMP": own}, "robust")


def with_seeds(*answers: list[Record]) -> list[Record]:
    return [replace(one, decoding_seed=seed) for seed, records in enumerate(answers) for one in records]


def test_seeds_are_averaged_within_the_item() -> None:
    other = ["1", "2", "3", "9", "8", "6"]
    teacher, again = answered("gsm8k", TEACHER, GOLDS), answered("gsm8k", STUDENT, GOLDS)
    student = [answered("gsm8k", STUDENT, GOLDS), answered("gsm8k", other, GOLDS)]
    both = compare(with_seeds(*student), with_seeds(teacher, again))
    each = [compare(student[0], teacher), compare(student[1], again)]
    for name in ("agreement", "both_right", "only_teacher_right", "sentence_bleu", "rouge_l"):
        assert both[name].value == pytest.approx((each[0][name].value + each[1][name].value) / 2), name
        assert both[name].items == 6
    # The teacher is wrong on items 4 to 6 in one run and on 3, 4 and 6 in the other; the student repeats 1 + 1 errors.
    assert each[0]["error_inheritance"].value == pytest.approx(1 / 3)
    assert each[1]["error_inheritance"].value == pytest.approx(1 / 3)
    assert (both["error_inheritance"].value, both["error_inheritance"].items) == (pytest.approx(2 / 6), 4)


def test_a_greedy_teacher_meets_every_seed() -> None:
    student = with_seeds(answered("gsm8k", STUDENT, GOLDS), answered("gsm8k", TEACHER, GOLDS))
    found = compare(student, answered("gsm8k", TEACHER, GOLDS))
    assert found["agreement"].value == pytest.approx((3 / 6 + 5 / 6) / 2)


def test_seeds_that_do_not_pair_are_refused() -> None:
    one = answered("gsm8k", STUDENT, GOLDS)
    with pytest.raises(DataError, match="gsm8k is answered with 2 and with 3 decoding seeds"):
        compare(with_seeds(one, one), with_seeds(one, one, one))


def test_pooling_weighs_every_seed_of_a_task_the_same() -> None:
    student = {"gsm8k": with_seeds(*[answered("gsm8k", [v], ["1"]) for v in "12"])}
    student["SVAMP"] = answered("SVAMP", ["1"], ["1"])
    teacher = {"gsm8k": answered("gsm8k", ["1"], ["1"]), "SVAMP": answered("SVAMP", ["1"], ["1"])}
    pooled = by_measure(compare_records(student, teacher, "robust"), POOLED)["agreement"]
    assert (pooled.value, pooled.items) == (pytest.approx((1 + 0.5) / 2), 2)


def test_a_measure_undefined_for_one_seed_is_that_of_the_others() -> None:
    teacher = with_seeds(answered("gsm8k", ["1", "2"], ["1", "2"]), answered("gsm8k", ["1", "9"], ["1", "2"]))
    student = with_seeds(answered("gsm8k", ["1", "2"], ["1", "2"]), answered("gsm8k", ["1", "9"], ["1", "2"]))
    assert compare(student, teacher)["error_inheritance"].value == 1.0


def test_free_texts_are_compared_by_their_words_only() -> None:
    student, teacher = essays("essays", [[0.5], [0.2]]), essays("essays", [[0.1], [0.9]])
    answers = answered("gsm8k", ["1", "2"], ["1", "2"])
    rows = compare_records(
        {"essays": student, "gsm8k": answers}, {"essays": teacher, "gsm8k": answers}, "robust", registry=essay_tasks()
    )
    assert set(by_measure(rows, "essays")) == {"bleu", "sentence_bleu", "chrf", "rouge_l"}
    assert "agreement" in by_measure(rows, "gsm8k")
    assert POOLED not in {row.task for row in rows}, "one task of answers is not pooled"


def test_a_task_of_few_answers_has_kappa_and_no_steps() -> None:
    letters = answered("AQuA", ["A", "B", "C", "A"], ["A"] * 4)
    found = compare(letters, answered("AQuA", ["A", "B", "A", "B"], ["A"] * 4))
    assert found["cohen_kappa"].value == pytest.approx((2 / 4 - (2 * 2 + 1 * 2) / 16) / (1 - 6 / 16))
    assert found["agreement_from_accuracy"].value == pytest.approx(1 / 4 + 1 / 4 * 1 / 4), "AQuA has five options"
    assert "value_f1" not in found


def test_a_task_that_always_agrees_by_chance_adds_nothing_to_kappa() -> None:
    """Pooled, chance is expected within each task."""
    same, free = answered("AQuA", ["A"] * 4, ["A"] * 4), answered("ARC-Easy", ["a", "b", "a", "b"], ["a"] * 4)
    pooled = by_measure(
        compare_records({"AQuA": same, "ARC-Easy": free}, {"AQuA": same, "ARC-Easy": free}, "robust"), POOLED
    )
    assert pooled["cohen_kappa"].value == 1.0
    crossed = answered("ARC-Easy", ["a", "a", "b", "b"], ["a"] * 4)
    pooled = by_measure(
        compare_records({"AQuA": same, "ARC-Easy": crossed}, {"AQuA": same, "ARC-Easy": free}, "robust"), POOLED
    )
    assert pooled["agreement"].value == 6 / 8
    assert pooled["cohen_kappa"].value == pytest.approx(0.0, abs=1e-12)


def test_completions_made_elsewhere(tmp_path: Path) -> None:
    """Two files of answers and nothing else: no tokens, no prompts, no scores."""
    said = {
        "a": ["3 + 4 = 7. The answer is 7.", "2 * 5 = 10. The answer is 10."],
        "b": ["The answer is 7.", "It is 12."],
    }
    for name, texts in said.items():
        rows = [json.dumps({"output": text, "label": gold}) for text, gold in zip(texts, ("7", "10"), strict=True)]
        (tmp_path / f"{name}.jsonl").write_text("\n".join(rows))
    models = [
        group_by_task(rescore(read_completions(tmp_path / f"{name}.jsonl", task="gsm8k").answers)) for name in said
    ]
    found = by_measure(compare_records(*models, "robust"))
    assert (found["agreement"].value, found["only_student_right"].value) == (0.5, 0.5)
    assert found["value_f1"].value == 0.0, "a trace without steps beside one with steps"


def test_models_that_use_different_answers_do_not_move_each_others_columns() -> None:
    """The control names a choice that neither student nor teacher ever does; each is measured as if it were alone."""
    golds = ["true", "false", "true", "false"] * 5
    teacher = answered("boolq", ["true"] * 20, golds)
    student = answered("boolq", ["true"] * 18 + [None] * 2, golds)
    control = answered("boolq", golds, golds)
    together = {
        row.measure: row
        for row in compare_records(
            {"boolq": student}, {"boolq": teacher}, "robust", control={"boolq": control}, draws=20
        )
    }
    alone = {row.measure: row for row in compare_records({"boolq": control}, {"boolq": teacher}, "robust", draws=20)}
    assert len(together) > 10
    for measure, row in together.items():
        if measure == "agreement_beyond_matched_control":
            continue  # it is about the student and its control, and stands with both only
        assert row.control == pytest.approx(alone[measure].value, nan_ok=True), measure
