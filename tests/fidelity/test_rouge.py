"""ROUGE-L against rouge-score and against the textbook algorithm."""

from __future__ import annotations

import itertools

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from kdscope.core.errors import StatisticsError
from kdscope.fidelity.rouge import rouge_l, rouge_words, shared_in_order, word_order

# Words of at most three letters are never stemmed.
words = st.lists(st.sampled_from(["a", "the", "cat", "sat", "on", "12"]), min_size=1, max_size=7)


def longest_common(first: list[str], second: list[str]) -> int:
    """By trying every subsequence, longest first."""
    for length in range(min(len(first), len(second)), 0, -1):
        if set(itertools.combinations(first, length)) & set(itertools.combinations(second, length)):
            return length
    return 0


@pytest.mark.parametrize(
    ("prediction", "value"),
    [
        # Lin 2004, section 3.1: reference "police killed the gunman"; the first is 3/4 there, and 1 once stemmed.
        ("police kill the gunman", 1.0),
        ("the gunman kill police", 2 / 4),
        ("the gunman police killed", 2 / 4),
        ("police shot the gunman", 3 / 4),
    ],
)
def test_lins_example(prediction: str, value: float) -> None:
    assert rouge_l(prediction, ["police killed the gunman"]) == pytest.approx(value)


@settings(max_examples=80, deadline=None)
@given(words, words)
def test_f1_of_the_longest_common_subsequence(prediction: list[str], reference: list[str]) -> None:
    common = longest_common(prediction, reference)
    # 2 P R / (P + R) with P = common / a and R = common / b is 2 common / (a + b).
    expected = 2 * common / (len(prediction) + len(reference))
    assert rouge_l(" ".join(prediction), [" ".join(reference)]) == pytest.approx(expected)


@settings(max_examples=30, deadline=None)
@given(words, st.lists(words, min_size=1, max_size=4))
def test_the_best_reference_counts(prediction: list[str], references: list[list[str]]) -> None:
    text, texts = " ".join(prediction), [" ".join(reference) for reference in references]
    assert rouge_l(text, texts) == max(rouge_l(text, [reference]) for reference in texts)


def test_case_and_punctuation_do_not_count() -> None:
    assert rouge_l("THE CAT, sat!", ["The cat; sat."]) == 1.0


@pytest.mark.parametrize(("prediction", "reference"), [("", "a"), ("a", ""), ("", ""), ("...", "a"), ("猫", "猫")])
def test_nothing_that_is_a_word_scores_nothing(prediction: str, reference: str) -> None:
    assert rouge_l(prediction, [reference]) == 0.0


def test_without_references_there_is_nothing_to_score() -> None:
    with pytest.raises(StatisticsError, match="reference"):
        rouge_l("a cat", [])


WORDS = st.lists(st.sampled_from("abcd"), max_size=70)


def longest(first: list[str], second: list[str]) -> int:
    """The longest common subsequence by the table of all prefixes."""
    table = [0] * (len(second) + 1)
    for one in first:
        before = 0
        for place, other in enumerate(second, 1):
            before, table[place] = table[place], before + 1 if one == other else max(table[place], table[place - 1])
    return table[-1]


@given(WORDS, WORDS)
def test_the_longest_common_subsequence_by_the_table(first: list[str], second: list[str]) -> None:
    found = shared_in_order(word_order(first), second)
    total = len(first) + len(second)
    assert found == pytest.approx(2 * longest(first, second) / total if total else 0.0)


@settings(deadline=None)  # rouge-score takes a second to load
@given(st.text(), st.text())
def test_rouge_score_gives_the_same(teacher: str, student: str) -> None:
    rouge_scorer = pytest.importorskip("rouge_score.rouge_scorer")
    expected = rouge_scorer.RougeScorer(["rougeL"]).score(teacher, student)["rougeL"].fmeasure
    found = shared_in_order(word_order(rouge_words(teacher)), rouge_words(student))
    assert found == pytest.approx(expected, abs=1e-12)


@pytest.mark.parametrize("text", ["7", "The answer is 7, 7 and 7.", "İstanbul 3"])
def test_a_text_and_itself_are_alike(text: str) -> None:
    assert shared_in_order(word_order(rouge_words(text)), rouge_words(text)) == 1.0
