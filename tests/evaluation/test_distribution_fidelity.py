"""What two models made of the same texts, as rows: worked by hand."""

from __future__ import annotations

from typing import Any

import pytest

from kdscope.evaluation.confidence import ConfidenceRow
from kdscope.evaluation.continuations import PREFIXES
from kdscope.evaluation.distribution_fidelity import PairReading, compare_readings
from kdscope.evaluation.distributions import DistributionRow
from kdscope.evaluation.fidelity_per_task import Sampling
from kdscope.evaluation.fidelity_table import FidelityRow
from kdscope.fidelity.calibration import pair_confidences
from kdscope.fidelity.measures import values_of

NUMBERS = ("forward_kl", "reverse_kl", "jensen_shannon", "total_variation", "top1_agreement", "top5_overlap")
SAMPLING = Sampling(draws=200)


def text(item: int, prefix: str, tokens: int, value: float, task: str = "gsm8k") -> DistributionRow:
    """One text on which every measure has this value, and the student is surprised by it more than the teacher."""
    rest: dict[str, Any] = {"teacher_nll": 1.0, "student_nll": 1.0 + value}
    rest |= dict.fromkeys(("teacher_confidence", "student_confidence"), 0.5)
    rest |= dict.fromkeys(("teacher_cut_mass", "student_cut_mass"), 0.0)
    return DistributionRow(task, f"{task}/{item}", prefix, tokens, *[value] * len(NUMBERS), **rest)


def reading(
    values: list[tuple[int, float]], task: str = "gsm8k", confidence: tuple[ConfidenceRow, ...] = ()
) -> PairReading:
    """Texts of (tokens, value), the same for gold, teacher and student."""
    rows = [text(item, prefix, *own, task) for item, own in enumerate(values) for prefix in PREFIXES]
    return PairReading(rows, confidence)


def by_measure(rows: list[FidelityRow], task: str = "gsm8k") -> dict[str, FidelityRow]:
    return {row.measure: row for row in rows if row.task == task}


def test_means_are_over_tokens_and_nobody_else_moves_them() -> None:
    student, control = reading([(1, 0.9), (3, 0.1), (4, 0.2)]), reading([(1, 0.5), (3, 0.5), (4, 0.4)])
    rows = by_measure(compare_readings(student, control, {}, SAMPLING))
    mean, other = (0.9 + 3 * 0.1 + 4 * 0.2) / 8, (0.5 + 3 * 0.5 + 4 * 0.4) / 8
    assert set(rows) == {f"{name}_{prefix}" for prefix in PREFIXES for name in (*NUMBERS, "nll_gap")}
    for row in rows.values():
        assert (row.value, row.control, row.items) == (pytest.approx(mean), pytest.approx(other), 3)
    divergence, overlap = rows["forward_kl_gold"], rows["top1_agreement_gold"]
    assert (divergence.ceiling, overlap.ceiling) == (0.0, 1.0)
    assert divergence.normalised == pytest.approx((mean - other) / (0 - other))
    assert rows["nll_gap_gold"].reason == "neither more nor less of it is more like the teacher"
    alone = by_measure(compare_readings(student, None, {}, SAMPLING))
    assert {name: row.value for name, row in alone.items()} == {name: row.value for name, row in rows.items()}


def test_a_student_that_reads_like_its_teacher_scores_one() -> None:
    perfect = PairReading([text(i, p, 2, 0.0) for i in range(4) for p in PREFIXES], ())
    control = reading([(2, 0.5), (2, 0.7), (2, 0.6), (2, 0.4)])
    rows = by_measure(compare_readings(perfect, control, {}, SAMPLING))
    assert rows["forward_kl_student"].value == 0
    assert rows["forward_kl_student"].normalised == pytest.approx(1.0)


def test_a_control_counts_on_the_items_it_has_read_too() -> None:
    student, control = reading([(2, 0.2), (2, 0.4), (2, 0.9)]), reading([(2, 0.6), (2, 0.8)])
    rows = by_measure(compare_readings(student, control, {}, SAMPLING))
    assert rows["forward_kl_gold"].items == 2
    assert rows["forward_kl_gold"].value == pytest.approx(0.3)


def test_all_items_of_all_tasks_together() -> None:
    first, second = reading([(1, 0.2), (1, 0.4)]), reading([(6, 0.1), (2, 0.7)], "boolq")
    both = PairReading([*first.distributions, *second.distributions], ())
    rows = compare_readings(both, None, {}, SAMPLING)
    pooled = by_measure(rows, "pooled")["forward_kl_gold"]
    assert pooled.value == pytest.approx((0.2 + 0.4 + 6 * 0.1 + 2 * 0.7) / 10)
    assert pooled.items == 4
    assert not by_measure(compare_readings(first, None, {}, SAMPLING), "pooled")
    assert compare_readings(PairReading((), ()), None, {}, SAMPLING) == []


def sure(model: str, item: int, confidence: float, right: bool | None) -> ConfidenceRow:
    return ConfidenceRow("gsm8k", f"gsm8k/{item}", model, "completion", "4", confidence, right, 1.0, confidence, right)


def test_calibration_is_of_the_answers_that_both_wrote() -> None:
    teacher, student = [(0.9, True), (0.8, True), (0.3, False)], [(0.6, True), (0.7, False), (0.2, False)]
    rows = [sure("teacher", i, *own) for i, own in enumerate(teacher)] + [
        sure("student", i, *own) for i, own in enumerate(student)
    ]
    rows += [sure("student", 3, 0.5, True), sure("teacher", 4, float("nan"), True), sure("student", 4, 0.5, True)]
    found = by_measure(compare_readings(reading([(1, 0.1)] * 5, confidence=tuple(rows)), None, {}, SAMPLING))
    (t_sure, t_right), (s_sure, s_right) = (zip(*side, strict=True) for side in (teacher, student))
    expected = values_of(pair_confidences(t_sure, s_sure, t_right, s_right))
    assert found["ece"].items == 3
    assert {name: found[name].value for name in expected} == pytest.approx(expected)
    assert found["confidence_distance"].value == pytest.approx((0.3 + 0.1 + 0.1) / 3)
