"""N-grams that texts share, counted for thousands of pairs of texts at once.

Texts are rows of numbers (of characters, of words). An n-gram is one number too, made from its first n - 1 tokens and
its last; before these numbers outgrow 62 bits they are renumbered, so that equal numbers are always equal n-grams. A
text's different n-grams are kept sorted, and those of one text are looked up among those of the other.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

Numbers = NDArray[np.int64]
_LARGEST = 1 << 62


@dataclass(frozen=True, slots=True)
class TokenTexts:
    """Texts as numbers from 0.

    Attributes:
        tokens: the tokens of all texts, one text after the other, shape [tokens].
        lengths: number of tokens of each text, shape [n].
    """

    tokens: Numbers
    lengths: Numbers


@dataclass(frozen=True, slots=True)
class NgramCounts:
    """The different n-grams of one order in n texts.

    Attributes:
        keys: ``text * span + n-gram``, ascending, shape [m].
        counts: how often the text has it, shape [m].
        starts: where each text's begin, and the end, shape [n + 1].
        span: larger than every n-gram's number.
        totals: number of n-grams of each text, repeated ones counted, shape [n].
    """

    keys: Numbers
    counts: Numbers
    starts: Numbers
    span: int
    totals: Numbers


def count_ngrams(sides: Sequence[TokenTexts], highest: int) -> list[list[NgramCounts]]:
    """N-grams of orders 1 to `highest` of several sets of texts, numbered alike.

    Returns:
        For each set, one entry per order.
    """
    alphabet = 1 + max((int(side.tokens.max(initial=0)) for side in sides), default=0)
    texts = max(len(side.lengths) for side in sides)
    owners = [np.repeat(np.arange(len(side.lengths)), side.lengths) for side in sides]
    # Tokens of the same text that follow a token: an n-gram begins where at least n - 1 do.
    following = [np.repeat(side.lengths.cumsum(), side.lengths) - np.arange(len(side.tokens)) - 1 for side in sides]
    codes, span = [side.tokens for side in sides], alphabet
    found: list[list[NgramCounts]] = [[] for _ in sides]
    for order in range(1, highest + 1):
        if order > 1:
            codes, span = _longer(codes, [side.tokens for side in sides], order, span, alphabet, texts)
        for own, side, code, owner, behind in zip(found, sides, codes, owners, following, strict=True):
            begins = behind >= order - 1
            own.append(_counted(code[begins], owner[begins], span, np.maximum(side.lengths - order + 1, 0)))
    return found


def shared_ngrams(teacher: NgramCounts, student: NgramCounts, order: NDArray[np.intp]) -> Numbers:
    """How many n-grams text i of the teacher and text order[i] of the student share, repeats counted, shape [n]."""
    lengths = np.diff(student.starts)[order]
    pair = np.repeat(np.arange(len(order)), lengths)
    shift = np.repeat(student.starts[order] - np.concatenate([[0], lengths.cumsum()[:-1]]), lengths)
    place = np.arange(len(pair)) + shift
    keys = student.keys[place] + (pair - np.repeat(order, lengths)) * student.span
    match = np.searchsorted(teacher.keys, keys)
    match[match == len(teacher.keys)] = 0
    hit = np.flatnonzero(teacher.keys[match] == keys) if len(teacher.keys) else np.empty(0, np.intp)
    both = np.minimum(teacher.counts[match[hit]], student.counts[place[hit]])
    return np.bincount(pair[hit], weights=both, minlength=len(order)).astype(np.int64)


def _longer(
    codes: Sequence[Numbers], tokens: Sequence[Numbers], order: int, span: int, alphabet: int, texts: int
) -> tuple[list[Numbers], int]:
    """Numbers of the n-grams of this order from those of the order before, and their span."""
    if span * alphabet * (texts + 1) > _LARGEST:
        codes, span = _renumbered(codes)
    last = [np.concatenate([side[order - 1 :], np.zeros(min(order - 1, len(side)), np.int64)]) for side in tokens]
    return [code * alphabet + end for code, end in zip(codes, last, strict=True)], span * alphabet


def _renumbered(codes: Sequence[Numbers]) -> tuple[list[Numbers], int]:
    different, numbers = np.unique(np.concatenate(codes), return_inverse=True)
    ends = np.cumsum([len(code) for code in codes])[:-1]
    return list(np.split(numbers.astype(np.int64), ends)), max(1, len(different))


def _counted(codes: Numbers, owner: Numbers, span: int, totals: Numbers) -> NgramCounts:
    keys = owner * span + codes
    keys.sort()
    begins = np.flatnonzero(np.diff(keys, prepend=-1))
    counts = np.diff(begins, append=len(keys))
    keys = keys[begins]
    starts = np.searchsorted(keys, np.arange(len(totals) + 1) * span)
    return NgramCounts(keys, counts, starts.astype(np.int64), span, totals)
