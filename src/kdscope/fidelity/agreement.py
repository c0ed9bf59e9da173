"""Agreement of the answers of student and teacher: inherited errors, and agreement beyond what accuracy explains."""

from __future__ import annotations

from collections.abc import Hashable, Sequence
from dataclasses import replace

import numpy as np
from numpy.typing import ArrayLike, NDArray

from kdscope.core.errors import StatisticsError
from kdscope.fidelity.measures import Measure, Order, Pairing, Values, checked_correct, mean_measure, ratio
from kdscope.results.measures import AGREEMENT, BOTH_PARSED, DECOMPOSITION, HEADLINE

Answers = Sequence[Hashable | None]
_ALIKE = (
    AGREEMENT,
    BOTH_PARSED,
    "agreement_when_teacher_right",
    "error_inheritance",
    "same_wrong_given_both_wrong",
)
_UNPARSED = -1


def encode_answers(models: Sequence[Answers]) -> list[NDArray[np.int64]]:
    """Answers of several models as numbers, equal where the answers are, -1 where unparsed; shape [n] each."""
    numbers: dict[Hashable | None, int] = {None: _UNPARSED}
    return [np.array([numbers.setdefault(a, len(numbers) - 1) for a in answers], np.int64) for answers in models]


def count_answers(models: Sequence[NDArray[np.int64]]) -> int:
    """Number of different answers among those that `encode_answers` encoded together."""
    return 1 + max((int(answers.max()) for answers in models if answers.size), default=_UNPARSED)


def pair_answers(
    teacher: NDArray[np.int64],
    student: NDArray[np.int64],
    teacher_correct: ArrayLike,
    student_correct: ArrayLike,
    *,
    chance: float = 0.0,
    categories: int | None = None,
) -> Pairing:
    """The answer measures of two models on the items of one task; NaN where a condition never occurs.

    - ``agreement``: fraction of items with the same answer; an unparsed answer agrees with nothing, not even another.
      ``agreement_both_parsed``, ``agreement_when_teacher_right``, ``error_inheritance`` and
      ``same_wrong_given_both_wrong``: the same among items where both answers were parsed, where the teacher is right,
      where it is wrong, and where both are wrong.
    - ``both_right``, ``both_wrong_same``, ``both_wrong_different``, ``only_teacher_right``, ``only_student_right``:
      fractions of items that sum to 1.
    - ``error_consistency_kappa``: ``(c_obs - c_exp) / (1 - c_exp)``, ``c_obs`` the fraction both right or both wrong
      and ``c_exp`` what two independent models of these accuracies give (Geirhos 2020, arXiv 2006.16736).
    - ``agreement_from_accuracy``: the agreement of two independent models of these accuracies, ``a b + w c d``, with
      ``a`` and ``b`` the fractions right, ``c`` and ``d`` the fractions parsed and wrong, and ``w`` the chance that two
      wrong answers are the same: ``1 / (options - 1)``, and 0 for free numbers.
    - ``agreement_beyond_accuracy``: ``agreement - agreement_from_accuracy``.
    - ``shared_right_beyond_accuracy``: ``both_right - a b``: how much more often than two independent models of these
      accuracies the two are right on the same items. ``shared_wrong_beyond_accuracy``: ``both_wrong_same - w c d``, the
      same of equal wrong answers. Where right answers of an item are all the same, the two sum to
      ``agreement_beyond_accuracy``.
    - ``cohen_kappa``: ``(agreement - p_e) / (1 - p_e)``, ``p_e`` the agreement of independently drawn answers of the
      two (Cohen 1960, Educ Psychol Meas 20:37); meant for choice tasks. Deviation: an unparsed answer is a category
      that never agrees, as in ``agreement``; without unparsed answers it is Cohen's.

    Args:
        teacher: the teacher's answers from `encode_answers`, shape [n].
        student: the student's, encoded together with them, shape [n].
        teacher_correct: whether the teacher is right, shape [n].
        student_correct: whether the student is right, shape [n].
        chance: accuracy of a uniform guess, ``1 / options``; 0 for free answers.
        categories: with Cohen's kappa, for tasks of few possible answers: how many different answers `encode_answers`
            has numbered. Pairings that are resampled together need the same number, whatever answers each has.

    Raises:
        StatisticsError: There are no items, lengths differ, a correctness is not 0 or 1, or the chance is not within
            [0, 1).

    Example:
        >>> from kdscope.fidelity.measures import values_of
        >>> teacher, student = encode_answers([["A", "B", "C"], ["A", "B", None]])
        >>> found = values_of(pair_answers(teacher, student, [True, False, True], [True, False, False]))
        >>> found["error_inheritance"], found["agreement_when_teacher_right"]
        (1.0, 0.5)
    """
    teacher_right, student_right = checked_correct(teacher_correct), checked_correct(student_correct)
    lengths = (len(teacher), len(student), teacher_right.size, student_right.size)
    if len(set(lengths)) != 1 or lengths[0] == 0:
        raise StatisticsError(f"answers and correctness of both models must have one length above 0, not {lengths}")

    def contributions(order: Order) -> Values:
        return _contributions(teacher, student[order], teacher_right, student_right[order], categories)

    return Pairing(lengths[0], _measures(chance, categories), contributions)


def _measures(chance: float, categories: int | None) -> tuple[Measure, ...]:
    if not 0 <= chance < 1:
        raise StatisticsError(f"the chance of a guess must be in [0, 1), not {chance}")
    same_wrong = chance / (1 - chance)
    measures = [mean_measure(name) for name in _ALIKE]
    # More columns than its value needs: what `controls` asks of items with two parsed answers.
    measures[1] = replace(measures[1], width=5)
    measures += [mean_measure(name) for name in DECOMPOSITION]
    consistency = Measure("error_consistency_kappa", 6, _kappa, lambda sums: _by_accuracy(sums, 1.0))
    expected = Measure("agreement_from_accuracy", 6, _chance, lambda sums: _by_accuracy(sums, same_wrong))
    beyond = replace(expected, name=HEADLINE, score=_beyond)
    shared_right = Measure("shared_right_beyond_accuracy", 4, _beyond, lambda sums: _by_shares(sums, 1.0))
    shared_wrong = Measure("shared_wrong_beyond_accuracy", 4, _beyond, lambda sums: _by_shares(sums, same_wrong))
    measures += [consistency, expected, beyond, shared_right, shared_wrong]
    if categories is not None:
        measures.append(Measure("cohen_kappa", 2 + 2 * categories, _kappa, _by_answers))
    return tuple(measures)


def _contributions(
    teacher: NDArray[np.int64],
    student: NDArray[np.int64],
    teacher_right: NDArray[np.bool_],
    student_right: NDArray[np.bool_],
    categories: int | None,
) -> Values:
    """One row per item, columns in the order of `_measures`."""
    same = (teacher == student) & (teacher != _UNPARSED)
    every, neither = np.ones_like(same), ~teacher_right & ~student_right
    parsed = (teacher != _UNPARSED) & (student != _UNPARSED)
    conditions = [every, parsed, teacher_right, ~teacher_right, neither]
    parts = [
        teacher_right & student_right,
        neither & same,
        neither & ~same,
        teacher_right & ~student_right,
        student_right & ~teacher_right,
    ]
    columns = [column for condition in conditions for column in (condition, condition & same)]
    columns[4:4] = [parsed & teacher_right, parsed & student_right, parsed & teacher_right & student_right]
    columns += [column for part in parts for column in (every, part)]
    columns += [every, teacher_right == student_right, teacher_right, student_right, ~teacher_right, ~student_right]
    wrong = [(teacher != _UNPARSED) & ~teacher_right, (student != _UNPARSED) & ~student_right]
    columns += [every, same, teacher_right, student_right, *wrong] * 2
    columns += [every, teacher_right & student_right, teacher_right, student_right]
    columns += [every, neither & same, *wrong]
    if categories is not None:
        columns += [every, same, *(teacher == c for c in range(categories)), *(student == c for c in range(categories))]
    return np.stack(columns, axis=1).astype(np.float64)


def _by_accuracy(sums: Values, same_wrong: float) -> Values:
    """``(n, observed, expected of independent models)`` from n, observed, and the right and the wrong ones of both."""
    n, observed, teacher, student, teacher_wrong, student_wrong = np.moveaxis(sums, -1, 0)
    expected = ratio(teacher * student + same_wrong * teacher_wrong * student_wrong, n)
    return np.stack([n, observed, np.nan_to_num(expected)], axis=-1)


def _by_shares(sums: Values, coincide: float) -> Values:
    """``(n, observed, expected of independent models)`` from n, the items both have, and those that each has."""
    n, observed, teacher, student = np.moveaxis(sums, -1, 0)
    return np.stack([n, observed, np.nan_to_num(ratio(coincide * teacher * student, n))], axis=-1)


def _by_answers(sums: Values) -> Values:
    """``(n, observed, expected)`` from ``(n, observed, teacher's answers..., student's answers...)``."""
    n, observed = sums[..., 0], sums[..., 1]
    teacher, student = np.split(sums[..., 2:], 2, axis=-1)
    expected = ratio((teacher * student).sum(axis=-1), n)
    return np.stack([n, observed, np.nan_to_num(expected)], axis=-1)


def _kappa(counts: Values) -> Values:
    """``(observed - expected) / (n - expected)``; NaN where the expected leave no room."""
    n, observed, expected = np.moveaxis(counts, -1, 0)
    room = n - expected
    return ratio(observed - expected, np.where(room > 1e-12 * n, room, 0.0))


def _chance(counts: Values) -> Values:
    return ratio(counts[..., 2], counts[..., 0])


def _beyond(counts: Values) -> Values:
    return ratio(counts[..., 1] - counts[..., 2], counts[..., 0])
