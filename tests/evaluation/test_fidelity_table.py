"""The fidelity table: identities that hold for any answers, planted students, controls and ceilings."""

from __future__ import annotations

import math
import random
from collections import Counter
from dataclasses import fields, replace

import numpy as np
import pandas as pd
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from kdscope.core.errors import DataError
from kdscope.evaluation.fidelity_per_task import other_runs
from kdscope.evaluation.fidelity_table import FidelityRow, fidelity_table
from kdscope.evaluation.records import Record
from kdscope.fidelity.measures import ITEM_MEASURES, ItemMeasure
from kdscope.results.measures import MEASURES, POOLED, MeasureEntry
from tests.evaluation.by_hand import answered, compare_records


def compare(student: list[Record], teacher: list[Record]) -> dict[str, FidelityRow]:
    return {row.measure: row for row in compare_records({"gsm8k": student}, {"gsm8k": teacher}, "robust")}


def numbers(rng: random.Random, count: int) -> list[str | None]:
    return [rng.choice(["1", "2", "3", None]) for _ in range(count)]


def spoken(values: list[str | None], rng: random.Random) -> list[Record]:
    """Answers to items whose right answer is 1, each with a worked solution of its own."""
    texts = [f"So {rng.randint(2, 5)} * {rng.randint(2, 5)} = {rng.randint(4, 25)} and it is {v}" for v in values]
    golds = ["1"] * len(values)
    return [replace(one, completion=text) for one, text in zip(answered("gsm8k", values, golds), texts, strict=True)]


@settings(max_examples=20, deadline=None)
@given(st.integers(0, 10**6), st.integers(2, 8))
def test_nobody_is_more_like_a_model_than_itself(seed: int, count: int) -> None:
    rng = random.Random(seed)
    teacher, student = (spoken(numbers(rng, count), rng) for _ in range(2))
    itself, other = compare(teacher, teacher), compare(student, teacher)
    for name, row in itself.items():
        if row.measure.startswith(("both", "only", "agreement_from", "agreement_beyond", "shared", "step_ratio")):
            continue  # parts of a whole, and what depends on the accuracies
        largest = 1.0 if row.family != "traces" or name.startswith("rouge") else 100.0
        unparsed = name in ("agreement", "cohen_kappa", "error_inheritance", "same_wrong_given_both_wrong")
        assert math.isnan(row.value) or unparsed or row.value == pytest.approx(largest), name
        if not name.endswith("_both_right") and not (math.isnan(row.value) or math.isnan(other[name].value)):
            assert unparsed or row.value >= other[name].value - 1e-9
    assert itself["agreement"].value >= other["agreement"].value


@settings(max_examples=20, deadline=None)
@given(st.integers(0, 10**6), st.integers(1, 12))
def test_the_order_of_items_changes_nothing(seed: int, count: int) -> None:
    rng = random.Random(seed)
    student, teacher, control = (spoken(numbers(rng, count), rng) for _ in range(3))
    order = rng.sample(range(count), count)
    tables = [
        fidelity_table(
            *({"gsm8k": [side[i] for i in chosen]} for side in (student, teacher)),
            control={"gsm8k": [control[i] for i in chosen]},
            ceiling={"gsm8k": [teacher[i] for i in chosen]},
            draws=50,
        )
        for chosen in (range(count), order)
    ]
    pd.testing.assert_frame_equal(*tables, rtol=1e-12)


@settings(max_examples=20, deadline=None)
@given(st.integers(0, 10**6), st.integers(1, 12))
def test_agreement_is_at_least_what_the_accuracies_force(seed: int, count: int) -> None:
    rng = random.Random(seed)
    teacher, student = (spoken(numbers(rng, count), rng) for _ in range(2))
    right = [sum(record.correct_robust for record in side) / count for side in (teacher, student)]
    assert compare(student, teacher)["agreement"].value >= sum(right) - 1 - 1e-12


def planted(p: float, tasks: dict[str, int]) -> list[dict[str, list[Record]]]:
    """Student, teacher and control: the student copies the teacher with probability p, else it answers by itself."""
    rng = random.Random(5)
    models: list[dict[str, list[Record]]] = [{}, {}, {}]
    for task, count in tasks.items():

        def own(accuracy: float, count: int = count) -> list[str]:
            return ["1" if rng.random() < accuracy else rng.choice("2345") for _ in range(count)]

        teacher, alone, control = own(0.7), own(0.5), own(0.5)
        student = [t if rng.random() < p else a for t, a in zip(teacher, alone, strict=True)]
        for model, values in zip(models, (student, teacher, control), strict=True):
            model[task] = answered(task, values, ["1"] * count)
    return models


def test_a_planted_student_is_recovered_on_every_task_and_pooled() -> None:
    student, teacher, control = planted(0.4, {"gsm8k": 1200, "SVAMP": 600})
    table = fidelity_table(student, teacher, control=control, ceiling=teacher, draws=500)
    rows = table[table["measure"] == "agreement"].set_index("task")
    for name, row in rows.iterrows():
        assert row["normalised_low"] <= 0.4 <= row["normalised_high"], name
        assert row["ceiling"] == 1.0
        sides = [
            Counter(r.robust_value for task in model for r in model[task] if name in (task, POOLED))
            for model in (student, teacher)
        ]
        expected = sum(sides[0][answer] * sides[1][answer] for answer in "12345") / (
            sides[0].total() * sides[1].total()
        )
        assert row["floor"] == pytest.approx(expected, abs=5 * row["floor_spread"]), "independent answers"
        assert row["low"] < row["value"] < row["high"]
    widths = rows["normalised_high"] - rows["normalised_low"]
    assert widths[POOLED] < widths["gsm8k"] < widths["SVAMP"]
    inherited = table[(table["measure"] == "error_inheritance") & (table["task"] == POOLED)].iloc[0]
    assert inherited["normalised_low"] <= 0.4 <= inherited["normalised_high"]


def test_what_the_control_did_not_answer_is_not_normalised() -> None:
    student, teacher, control = planted(0.4, {"gsm8k": 60, "SVAMP": 60})
    del control["SVAMP"]
    table = fidelity_table(student, teacher, control=control, ceiling=teacher, draws=100)
    rows = table[table["measure"] == "agreement"].set_index("task")
    assert rows["reason"].to_dict() == {"gsm8k": "", "SVAMP": "no control", POOLED: "no control"}
    assert rows["normalised"].isna().to_dict() == {"gsm8k": False, "SVAMP": True, POOLED: True}


def test_the_difference_to_the_control_is_that_of_items_drawn_for_both_at_once() -> None:
    student, teacher, control = planted(0.4, {"gsm8k": 300})
    table = fidelity_table(student, teacher, control=control, draws=2000).set_index("measure")
    row = table.loc["agreement"]
    assert row["over_control"] == pytest.approx(row["value"] - row["control"])
    same = np.array(
        [
            [t.robust_value == s.robust_value for s, t in zip(model["gsm8k"], teacher["gsm8k"], strict=True)]
            for model in (student, control)
        ],
        float,
    )
    drawn = np.random.default_rng(0).integers(300, size=(4000, 300))
    low, high = np.quantile((same[0] - same[1])[drawn].mean(axis=1), [0.025, 0.975])
    assert (row["over_control_low"], row["over_control_high"]) == pytest.approx((low, high), abs=0.008)
    alone = fidelity_table(student, teacher, draws=50).set_index("measure")
    assert alone[["over_control", "over_control_low", "over_control_high"]].isna().all(axis=None)


def test_agreement_beyond_a_matched_control_needs_a_control() -> None:
    student, teacher, control = planted(0.4, {"gsm8k": 600, "SVAMP": 600})
    table = fidelity_table(student, teacher, control=control, draws=200)
    rows = table[table["measure"] == "agreement_beyond_matched_control"].set_index("task")
    assert set(rows.index) == {"gsm8k", "SVAMP", POOLED}
    assert (rows["low"] > 0).all()
    assert rows.loc[POOLED, "value"] == pytest.approx(rows["value"][["gsm8k", "SVAMP"]].mean()), "tasks of one size"
    assert rows.loc[POOLED, "items"] == 1200
    without = fidelity_table(student, teacher, draws=50)
    assert "agreement_beyond_matched_control" not in set(without["measure"])


def test_a_teacher_as_its_own_ceiling_gives_what_a_perfect_copy_has() -> None:
    student, teacher, control = planted(0.4, {"gsm8k": 300})
    rows = fidelity_table(student, teacher, control=control, ceiling=teacher, draws=50).set_index("measure")
    itself = fidelity_table(teacher, teacher, control=control, ceiling=teacher, draws=50).set_index("measure")
    assert rows.loc["agreement_beyond_accuracy", "ceiling"] == itself.loc["agreement_beyond_accuracy", "value"]
    assert 0 < rows.loc["agreement_beyond_accuracy", "ceiling"] < 1
    assert itself.loc["agreement_beyond_accuracy", "normalised"] == 1.0


def test_a_sampled_teacher_is_its_own_ceiling() -> None:
    teacher = [
        replace(one, decoding_seed=seed)
        for seed, values in enumerate(("1111", "1122", "1234"))
        for one in answered("gsm8k", list(values), ["1"] * 4)
    ]
    (runs,) = other_runs({"gsm8k": teacher}).values()
    found = compare(runs, teacher)["agreement"]
    assert found.value == pytest.approx((2 / 4 + 1 / 4 + 1 / 4) / 3), (
        "first and second, second and third, third and first"
    )
    with pytest.raises(DataError, match="gsm8k is answered once"):
        other_runs({"gsm8k": answered("gsm8k", ["1"], ["1"])})


def test_copies_of_a_question_are_one_cluster() -> None:
    student, teacher, _ = planted(0.4, {"gsm8k": 80})

    def copied(records: list[Record]) -> list[Record]:
        return [
            replace(one, item_id=f"gsm8k/{i}") for i, one in enumerate(one for one in records for _ in range(4))
        ]  # same prompt, same answers

    once = compare(student["gsm8k"], teacher["gsm8k"])["agreement"]
    often = compare(copied(student["gsm8k"]), copied(teacher["gsm8k"]))["agreement"]
    assert (often.value, often.low, often.high) == pytest.approx((once.value, once.low, once.high))
    assert often.items == 4 * once.items


def test_the_same_seed_gives_the_same_table() -> None:
    student, teacher, control = planted(0.4, {"gsm8k": 30})
    tables = [
        fidelity_table(student, teacher, control=control, ceiling=teacher, draws=50, seed=seed) for seed in (1, 1, 2)
    ]
    pd.testing.assert_frame_equal(tables[0], tables[1])
    assert not tables[0].equals(tables[2])
    assert list(tables[0].columns) == [field.name for field in fields(FidelityRow)]


def test_a_measure_of_an_extension_has_an_interval_a_floor_and_a_control() -> None:
    teacher = answered("gsm8k", ["1", "2", "3", "1"], ["1"] * 4)
    student = answered("gsm8k", ["1", "2", "1", "1"], ["1"] * 4)
    MEASURES.add(MeasureEntry("same_end", "answers"))
    ITEM_MEASURES.add(ItemMeasure("same_end", lambda t, s: float(t.text[-9:] == s.text[-9:])))
    try:
        rows = compare_records({"gsm8k": student}, {"gsm8k": teacher}, "robust", control={"gsm8k": teacher})
    finally:
        ITEM_MEASURES.remove("same_end")
        MEASURES.remove("same_end")
    found = {row.measure: row for row in rows}
    row, agreement = found["same_end"], found["agreement"]
    assert (row.family, row.value, row.items, row.control) == ("answers", 3 / 4, 4, 1.0)
    assert (row.low, row.high, row.floor) == (agreement.low, agreement.high, agreement.floor)
