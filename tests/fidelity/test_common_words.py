"""ROUGE-L against Google's rouge-score and the textbook table."""

from __future__ import annotations

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from kdscope.fidelity.common_words import rouge_words, shared_in_order, word_order

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
