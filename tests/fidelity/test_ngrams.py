"""Shared n-grams against counting them with counters."""

from __future__ import annotations

from collections import Counter

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from kdscope.fidelity import ngrams
from kdscope.fidelity.ngrams import TokenTexts, count_ngrams, shared_ngrams

TEXT = st.lists(st.sampled_from([0, 1, 2, 900_000]), max_size=9)
SIDES = st.integers(1, 5).flatmap(
    lambda n: st.tuples(*[st.lists(TEXT, min_size=n, max_size=n)] * 2, st.permutations(range(n)))
)


def texts(side: list[list[int]]) -> TokenTexts:
    return TokenTexts(
        np.array([token for text in side for token in text], np.int64), np.array([len(t) for t in side], np.int64)
    )


def counted(text: list[int], order: int) -> Counter[tuple[int, ...]]:
    return Counter(tuple(text[i : i + order]) for i in range(len(text) - order + 1))


def check(teacher: list[list[int]], student: list[list[int]], order: list[int]) -> None:
    own, other = count_ngrams([texts(teacher), texts(student)], 6)
    for length in range(1, 7):
        grams = [counted(text, length) for text in student]
        expected = [(counted(text, length) & grams[i]).total() for text, i in zip(teacher, order, strict=True)]
        found = shared_ngrams(own[length - 1], other[length - 1], np.array(order, np.intp))
        assert found.tolist() == expected
        assert other[length - 1].totals.tolist() == [gram.total() for gram in grams]
        assert other[length - 1].counts.sum() == sum(gram.total() for gram in grams)


@given(SIDES)
def test_shared_ngrams_are_counter_intersections(sides: tuple[list[list[int]], list[list[int]], list[int]]) -> None:
    check(*sides)


@pytest.mark.parametrize("largest", [1, 1 << 30])
def test_renumbering_changes_nothing(largest: int, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(ngrams, "_LARGEST", largest)
    check([[0, 1, 2, 0, 1, 2], [900_000, 0, 900_000, 0], []], [[1, 2, 0], [], [2, 2, 2, 2]], [2, 0, 1])


def test_a_large_alphabet_of_long_ngrams_needs_renumbering(monkeypatch: pytest.MonkeyPatch) -> None:
    """Six tokens of 20 bits do not fit into a number."""
    calls = []
    renumbered = ngrams._renumbered
    monkeypatch.setattr(ngrams, "_renumbered", lambda codes: calls.append(1) or renumbered(codes))
    check([[900_000, 5, 900_000, 5, 900_000, 5, 7]], [[5, 900_000, 5, 900_000, 5, 7]], [0])
    assert calls
