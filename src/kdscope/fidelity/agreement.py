"""Do student and teacher give the same answers, also where the teacher is wrong?"""

from __future__ import annotations

import math
import operator
from collections import Counter
from collections.abc import Callable, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import ArrayLike, NDArray

from kdscope.errors import StatisticsError

Answers = Sequence[str | None]
SameAnswer = Callable[[str, str], bool]


@dataclass(frozen=True, slots=True)
class AnswerFidelity:
    """Answer-level likeness of a student to its teacher on the same items; NaN where a condition never occurs.

    Attributes:
        items: number of items.
        agreement: fraction with the same answer; an unparsed answer agrees with nothing, not even another.
        agreement_both_parsed: the same among items where both answers were parsed.
        agreement_when_teacher_right: the same among items the teacher has right.
        error_inheritance: the same among items the teacher has wrong.
        same_wrong_given_both_wrong: the same among items both have wrong.
        both_right: fraction of items both have right.
        both_wrong_same: fraction both have wrong with the same answer.
        both_wrong_different: fraction both have wrong otherwise.
        only_teacher_right: fraction only the teacher has right.
        only_student_right: fraction only the student has right; the five fractions sum to 1.
        error_consistency_kappa: ``(c_obs - c_exp) / (1 - c_exp)``, ``c_obs`` the fraction both right or both wrong and
            ``c_exp`` what two independent models of these accuracies give (Geirhos 2020, arXiv 2006.16736).
        cohen_kappa: ``(agreement - p_e) / (1 - p_e)``, ``p_e`` the agreement of independently drawn answers of the two
            (Cohen 1960, Educ Psychol Meas 20:37); meant for choice tasks. Deviation: an unparsed answer is a category
            that never agrees, as in ``agreement``; without unparsed answers it is Cohen's.
    """

    items: int
    agreement: float
    agreement_both_parsed: float
    agreement_when_teacher_right: float
    error_inheritance: float
    same_wrong_given_both_wrong: float
    both_right: float
    both_wrong_same: float
    both_wrong_different: float
    only_teacher_right: float
    only_student_right: float
    error_consistency_kappa: float
    cohen_kappa: float


def answer_fidelity(
    teacher_values: Answers,
    student_values: Answers,
    teacher_correct: ArrayLike,
    student_correct: ArrayLike,
    *,
    same_answer: SameAnswer = operator.eq,
) -> AnswerFidelity:
    """Measure answer agreement, inherited errors and their chance-corrected forms.

    Args:
        teacher_values: the teacher's answers, ``None`` = unparsed, length n.
        student_values: the student's answers to the same items, length n.
        teacher_correct: whether the teacher is right, boolean or 0/1, shape [n].
        student_correct: whether the student is right, shape [n].
        same_answer: whether two parsed answers (teacher's, student's) mean the same.

    Raises:
        StatisticsError: if there are no items, lengths differ, or a correctness is not 0 or 1.

    Example:
        >>> found = answer_fidelity(["A", "B", "C"], ["A", "B", None], [True, False, True], [True, False, False])
        >>> found.error_inheritance, found.agreement_when_teacher_right
        (1.0, 0.5)
    """
    teacher_right, student_right = _as_correct(teacher_correct), _as_correct(student_correct)
    lengths = (len(teacher_values), len(student_values), teacher_right.size, student_right.size)
    if len(set(lengths)) != 1 or lengths[0] == 0:
        raise StatisticsError(f"answers and correctness of both models must have one length above 0, not {lengths}")
    same = _agreements(teacher_values, student_values, same_answer)
    parsed = np.array([t is not None and s is not None for t, s in zip(teacher_values, student_values, strict=True)])
    both_wrong = ~teacher_right & ~student_right
    return AnswerFidelity(
        items=lengths[0],
        agreement=_fraction(same),
        agreement_both_parsed=_fraction(same[parsed]),
        agreement_when_teacher_right=_fraction(same[teacher_right]),
        error_inheritance=_fraction(same[~teacher_right]),
        same_wrong_given_both_wrong=_fraction(same[both_wrong]),
        both_right=_fraction(teacher_right & student_right),
        both_wrong_same=_fraction(both_wrong & same),
        both_wrong_different=_fraction(both_wrong & ~same),
        only_teacher_right=_fraction(teacher_right & ~student_right),
        only_student_right=_fraction(student_right & ~teacher_right),
        error_consistency_kappa=_error_consistency(teacher_right, student_right),
        cohen_kappa=_answer_kappa(teacher_values, student_values, int(same.sum()), same_answer),
    )


def _agreements(teacher_values: Answers, student_values: Answers, same_answer: SameAnswer) -> NDArray[np.bool_]:
    """Whether the answers of each item agree, shape [n]."""
    pairs = zip(teacher_values, student_values, strict=True)
    return np.array([t is not None and s is not None and bool(same_answer(t, s)) for t, s in pairs], dtype=np.bool_)


def _error_consistency(teacher_right: NDArray[np.bool_], student_right: NDArray[np.bool_]) -> float:
    n, t, s = teacher_right.size, int(teacher_right.sum()), int(student_right.sum())
    observed = int((teacher_right == student_right).sum())
    return _kappa(observed, t * s + (n - t) * (n - s), n)


def _answer_kappa(teacher_values: Answers, student_values: Answers, agreements: int, same_answer: SameAnswer) -> float:
    teacher_counts = Counter(value for value in teacher_values if value is not None)
    student_counts = Counter(value for value in student_values if value is not None)
    by_chance = sum(
        teacher_count * student_count
        for t, teacher_count in teacher_counts.items()
        for s, student_count in student_counts.items()
        if same_answer(t, s)
    )
    return _kappa(agreements, by_chance, len(teacher_values))


def _kappa(observed: int, chance_pairs: int, n: int) -> float:
    """``(o/n - e/n^2) / (1 - e/n^2)``, in integers: undefined exactly where chance agreement is 1."""
    room = n * n - chance_pairs
    return (observed * n - chance_pairs) / room if room else math.nan


def _fraction(condition: NDArray[np.bool_]) -> float:
    return float(condition.mean()) if condition.size else math.nan


def _as_correct(values: ArrayLike) -> NDArray[np.bool_]:
    array = np.asarray(values)
    if array.ndim != 1 or not np.isin(array, (0, 1)).all():
        raise StatisticsError("correctness must be a list of true or false (or 1 or 0), one per item")
    return array.astype(np.bool_)
