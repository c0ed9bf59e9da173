"""Answer agreement against counting loops and identities."""

from __future__ import annotations

import math
from types import SimpleNamespace

import numpy as np
import pytest
from hypothesis import assume, given
from hypothesis import strategies as st

from kdscope.core.errors import StatisticsError
from kdscope.fidelity.agreement import count_answers, encode_answers, pair_answers
from kdscope.fidelity.measures import columns, values_of

GOLD = "A"
ANSWERS = st.lists(st.tuples(*[st.sampled_from(["A", "B", "C", None])] * 2), min_size=1, max_size=30)


def answer_fidelity(teacher, student, teacher_correct, student_correct, chance=0.0):
    """All answer measures of one task, as attributes."""
    codes = encode_answers([teacher, student])
    pairing = pair_answers(*codes, teacher_correct, student_correct, chance=chance, categories=count_answers(codes))
    return SimpleNamespace(items=pairing.items, **values_of(pairing))


def measure(pairs, **keywords):
    """Fidelity of (teacher answer, student answer) pairs whose right answer is always A."""
    teacher, student = [t for t, _ in pairs], [s for _, s in pairs]
    return answer_fidelity(teacher, student, [t == GOLD for t in teacher], [s == GOLD for s in student], **keywords)


def same(one, other):
    """Whether two results agree, NaN counting as equal to NaN."""
    return all(
        a == pytest.approx(b, abs=1e-12, nan_ok=True)
        for a, b in zip(vars(one).values(), vars(other).values(), strict=True)
    )


def counted(pairs, condition, among=lambda _t, _s: True):
    """A conditional fraction by a plain loop."""
    hits = total = 0
    for t, s in pairs:
        if among(t, s):
            total += 1
            hits += condition(t, s)
    return hits / total if total else math.nan


def agree(t, s):
    return t is not None and t == s


def contingency_kappa(pairs, categories):
    """Cohen's kappa from the contingency table, cell by cell."""
    n = len(pairs)
    table = {(a, b): sum(1 for pair in pairs if pair == (a, b)) / n for a in categories for b in categories}
    observed = sum(table[c, c] for c in categories)
    expected = sum(sum(table[c, d] for d in categories) * sum(table[d, c] for d in categories) for c in categories)
    return math.nan if math.isclose(expected, 1) else (observed - expected) / (1 - expected)


@given(ANSWERS)
def test_fractions_equal_counting(pairs):
    result = measure(pairs)
    expected = {
        "agreement": counted(pairs, agree),
        "agreement_both_parsed": counted(pairs, agree, lambda t, s: t is not None and s is not None),
        "agreement_when_teacher_right": counted(pairs, agree, lambda t, _: t == GOLD),
        "error_inheritance": counted(pairs, agree, lambda t, _: t != GOLD),
        "same_wrong_given_both_wrong": counted(pairs, agree, lambda t, s: GOLD not in (t, s)),
        "both_right": counted(pairs, lambda t, s: t == s == GOLD),
        "both_wrong_same": counted(pairs, lambda t, s: agree(t, s) and t != GOLD),
        "both_wrong_different": counted(pairs, lambda t, s: GOLD not in (t, s) and not agree(t, s)),
        "only_teacher_right": counted(pairs, lambda t, s: t == GOLD != s),
        "only_student_right": counted(pairs, lambda t, s: s == GOLD != t),
    }
    assert {name: getattr(result, name) for name in expected} == pytest.approx(expected, nan_ok=True)
    assert result.items == len(pairs)


@given(ANSWERS)
def test_error_consistency_is_cohens_kappa_of_right_and_wrong(pairs):
    right = [(t == GOLD, s == GOLD) for t, s in pairs]
    assert measure(pairs).error_consistency_kappa == pytest.approx(
        contingency_kappa(right, [True, False]), abs=1e-12, nan_ok=True
    )


@given(ANSWERS)
def test_cohen_kappa_from_the_contingency_table(pairs):
    parsed = [pair for pair in pairs if None not in pair]
    assume(parsed)
    assert measure(parsed).cohen_kappa == pytest.approx(contingency_kappa(parsed, "ABC"), abs=1e-12, nan_ok=True)


def test_cohen_kappa_of_a_published_table():
    """Fleiss, Levin and Paik (2003), Statistical Methods for Rates and Proportions, Table 18.1: kappa .68 of 100."""
    table = {("A", "A"): 75, ("A", "B"): 1, ("A", "C"): 4, ("B", "A"): 5, ("B", "B"): 4, ("B", "C"): 1, ("C", "C"): 10}
    pairs = [pair for pair, count in table.items() for _ in range(count)]
    assert len(pairs) == 100
    assert round(measure(pairs).cohen_kappa, 2) == 0.68


def test_unparsed_answers_lower_kappa_as_they_lower_agreement():
    """Two unparsed answers are no agreement: (2/4 - 2/16) / (1 - 2/16)."""
    result = measure([("A", "A"), ("B", "B"), (None, None), ("C", None)])
    assert result.agreement == 0.5
    assert result.agreement_both_parsed == 1.0
    assert result.cohen_kappa == pytest.approx((2 / 4 - 2 / 16) / (1 - 2 / 16), abs=1e-15)


@given(ANSWERS)
def test_the_five_fractions_are_a_partition(pairs):
    result = measure(pairs)
    parts = ("both_right", "both_wrong_same", "both_wrong_different", "only_teacher_right", "only_student_right")
    assert sum(getattr(result, part) for part in parts) == pytest.approx(1, abs=1e-12)


@given(ANSWERS)
def test_agreement_is_at_least_what_the_accuracies_force(pairs):
    result = measure(pairs)
    accuracies = counted(pairs, lambda t, _: t == GOLD) + counted(pairs, lambda _, s: s == GOLD)
    assert result.agreement >= accuracies - 1 - 1e-12


@given(ANSWERS)
def test_a_model_agrees_with_itself_wherever_it_answers(pairs):
    itself = [(t, t) for t, _ in pairs]
    result = measure(itself)
    assert result.agreement == pytest.approx(counted(itself, lambda t, _: t is not None))
    assert result.only_teacher_right == result.only_student_right == 0
    for score in (result.error_consistency_kappa, result.agreement_both_parsed, result.agreement_when_teacher_right):
        assert math.isnan(score) or score == 1


@given(ANSWERS, st.randoms(use_true_random=False))
def test_the_order_of_items_does_not_matter(pairs, random):
    shuffled = random.sample(pairs, len(pairs))
    assert same(measure(pairs), measure(shuffled))


@given(ANSWERS, st.sampled_from([0.0, 0.2, 0.25, 0.5]))
def test_agreement_beyond_accuracy_from_its_definition(pairs, chance):
    result = measure(pairs, chance=chance)
    a, b = counted(pairs, lambda t, _: t == GOLD), counted(pairs, lambda _, s: s == GOLD)
    same_wrong = 1 / (1 / chance - 1) if chance else 0.0
    c, d = counted(pairs, lambda t, _: t not in (GOLD, None)), counted(pairs, lambda _, s: s not in (GOLD, None))
    expected = a * b + same_wrong * c * d
    assert result.agreement_from_accuracy == pytest.approx(expected, abs=1e-12)
    assert result.agreement_beyond_accuracy == pytest.approx(counted(pairs, agree) - expected, abs=1e-12)


@given(ANSWERS, st.sampled_from([0.0, 0.2, 0.25, 0.5]))
def test_what_both_share_right_and_wrong_sums_to_agreement_beyond_accuracy(pairs, chance):
    result = measure(pairs, chance=chance)
    a, b = counted(pairs, lambda t, _: t == GOLD), counted(pairs, lambda _, s: s == GOLD)
    assert result.shared_right_beyond_accuracy == pytest.approx(result.both_right - a * b, abs=1e-12)
    assert result.shared_right_beyond_accuracy + result.shared_wrong_beyond_accuracy == pytest.approx(
        result.agreement_beyond_accuracy, abs=1e-12
    )


def test_independent_models_agree_as_their_accuracies_say():
    """All 25 combinations of five options, weighted by accuracies .6 and .4, in hundredths."""
    counts = {(t, s): (60 if t == GOLD else 10) * (40 if s == GOLD else 15) // 50 for t in "ABCDE" for s in "ABCDE"}
    pairs = [pair for pair, count in counts.items() for _ in range(count)]
    assert measure(pairs, chance=0.2).agreement_beyond_accuracy == pytest.approx(0, abs=1e-12)
    assert measure(pairs, chance=0.2).cohen_kappa == pytest.approx(0, abs=1e-12)


@given(ANSWERS)
def test_cohen_kappa_is_that_of_statsmodels(pairs):
    from statsmodels.stats.inter_rater import cohens_kappa

    parsed = [pair for pair in pairs if None not in pair]
    assume(len({answer for pair in parsed for answer in pair}) > 1)
    table = [[sum(pair == (a, b) for pair in parsed) for b in "ABC"] for a in "ABC"]
    expected = cohens_kappa(table, return_results=False)
    assert measure(parsed).cohen_kappa == pytest.approx(expected, abs=1e-12, nan_ok=True)


def test_tasks_expect_chance_agreement_each_for_itself():
    """A task both always have right and one both always have wrong leave no room for consistency."""
    right = pair_answers(*encode_answers([["A"] * 4, ["A"] * 4]), np.ones(4), np.ones(4))
    wrong = pair_answers(*encode_answers([["B"] * 4, ["C"] * 4]), np.zeros(4), np.zeros(4))
    place = [m.name for m in right.measures].index("error_consistency_kappa")
    measure_, cut = right.measures[place], columns(right.measures)[place]
    sums = [pairing.paired()[:, cut].sum(axis=0) for pairing in (right, wrong)]
    assert measure_.score(measure_.within(sums[0]) + measure_.within(sums[1])) != measure_.score(
        measure_.within(sums[0] + sums[1])
    )
    assert math.isnan(measure_.score(measure_.within(sums[0]) + measure_.within(sums[1])))
    assert measure_.score(measure_.within(sums[0] + sums[1])) == 1.0


def test_conditions_that_never_occur_are_nan():
    result = measure([("A", "A"), ("A", "A")])
    undefined = {name for name, value in vars(result).items() if math.isnan(value)}
    assert undefined == {"error_inheritance", "same_wrong_given_both_wrong", "error_consistency_kappa", "cohen_kappa"}


@pytest.mark.parametrize(
    "arguments",
    [
        ([], [], [], []),
        (["A"], ["A", "B"], [1], [1]),
        (["A"], ["A"], [1, 0], [1]),
        (["A"], ["A"], [0.5], [1]),
        (["A"], ["A"], [math.nan], [1]),
        (["A"], ["A"], [[1]], [1]),
    ],
)
def test_inputs_that_do_not_fit_are_refused(arguments):
    with pytest.raises(StatisticsError):
        answer_fidelity(*arguments)


def test_a_chance_of_one_is_refused():
    with pytest.raises(StatisticsError, match="chance"):
        measure([("A", "A")], chance=1.0)
