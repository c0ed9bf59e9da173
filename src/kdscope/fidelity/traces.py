"""Overlap of the texts of student and teacher: BLEU, chrF and ROUGE-L of their completions.

Texts are rows of numbers (of characters, of words). An n-gram is one number too, made from its first n - 1 tokens and
its last; before these numbers outgrow 62 bits they are renumbered, so that equal numbers are always equal n-grams. A
text's different n-grams are kept sorted, and those of one text are looked up among those of the other, which counts
what thousands of pairs of texts share at once.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from sacrebleu.metrics.bleu import BLEU
from sacrebleu.metrics.chrf import CHRF

from kdscope.core.errors import StatisticsError
from kdscope.fidelity.measures import Measure, Order, Pairing, Values, mean_measure, ratio
from kdscope.fidelity.rouge import rouge_words, shared_in_order, word_order

Numbers = NDArray[np.int64]
_LARGEST = 1 << 62
BLEU_ORDER = 4
CHRF_ORDER = 6
_BETA_SQUARED = 4.0


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
    counted: list[list[NgramCounts]] = [[] for _ in sides]
    for order in range(1, highest + 1):
        if order > 1:
            codes, span = _longer(codes, [side.tokens for side in sides], order, span, alphabet, texts)
        for own, side, code, owner, behind in zip(counted, sides, codes, owners, following, strict=True):
            begins = behind >= order - 1
            own.append(_counted(code[begins], owner[begins], span, np.maximum(side.lengths - order + 1, 0)))
    return counted


def shared_ngrams(teacher: NgramCounts, student: NgramCounts, order: NDArray[np.intp]) -> Numbers:
    """Number of n-grams that text i of the teacher and text order[i] of the student share, with repeats, shape [n]."""
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


@dataclass(frozen=True, slots=True)
class PreparedTexts:
    """Texts cut into everything that overlap is measured by, once.

    Attributes:
        words: n-grams of words, one entry per order.
        characters: n-grams of characters, one entry per order.
        in_order: the words of each text in order, as ROUGE counts words.
    """

    words: Sequence[NgramCounts]
    characters: Sequence[NgramCounts]
    in_order: tuple[list[str], ...]


def trace_signatures() -> dict[str, str]:
    """The signature of each of sacrebleu's measures: version and settings, in sacrebleu's notation."""
    scorers = {"bleu": BLEU(), "sentence_bleu": BLEU(effective_order=True), "chrf": CHRF()}
    for scorer in scorers.values():
        scorer.corpus_score(["one text"], [["one text"]])  # only then does a scorer know its number of references
    return {name: str(scorer.get_signature()) for name, scorer in scorers.items()}


def prepare_texts(models: Sequence[Sequence[str]]) -> list[PreparedTexts]:
    """Cut the texts of several models, so that any two of them can be paired."""
    words = count_ngrams([_word_texts(texts) for texts in _tokenized(models)], BLEU_ORDER)
    characters = count_ngrams(_character_texts(models), CHRF_ORDER)
    orders = [tuple(rouge_words(text) for text in texts) for texts in models]
    return [PreparedTexts(*parts) for parts in zip(words, characters, orders, strict=True)]


def bleu_score(statistics: Values, *, effective_order: bool = False) -> Values:
    """BLEU from 0 to 100 (Papineni 2002), smoothed as in NIST's mteval (Chen and Cherry 2014, W14-3346, method 3).

    ``100 * min(1, exp(1 - r / c)) * (prod over n of p_n)^(1/4)`` with ``p_n`` the share of the student's n-grams that
    the teacher has; the k-th order that shares none counts as ``2^-k`` n-grams. As sacrebleu's, whose defaults these
    are.

    Args:
        statistics: the number of items (not used), c and r (the lengths of the student's and the teacher's text), the
            shared n-grams of orders 1 to 4, the student's n-grams of orders 1 to 4, shape [..., 11].
        effective_order: leave out orders of which the student has no n-gram, as for single sentences.

    Returns:
        Scores of shape [...]; 0 where nothing is shared, NaN without items.
    """
    items, length, reference = statistics[..., 0], statistics[..., 1], statistics[..., 2]
    shared, total = statistics[..., 3 : 3 + BLEU_ORDER], statistics[..., 3 + BLEU_ORDER :]
    there = total > 0
    none = (shared == 0) & there
    counted = np.where(none, 0.5 ** none.cumsum(axis=-1), shared)
    logs = np.log(counted / np.where(there, total, 1.0), out=np.zeros_like(total), where=there)
    orders = there.sum(axis=-1)
    geometric = np.exp(logs.sum(axis=-1) / np.maximum(orders, 1))
    penalty = np.exp(np.minimum(0.0, 1 - ratio(reference, length)))
    complete = (orders > 0) if effective_order else (orders == BLEU_ORDER)
    score = np.where(complete & (shared[..., 0] > 0), 100 * penalty * geometric, 0.0)
    return np.where(items > 0, score, np.nan)


def chrf_score(statistics: Values) -> Values:
    """ChrF2 from 0 to 100 (Popovic 2015, W15-3049): F with beta = 2 of precision and recall, each a mean over orders.

    As sacrebleu's, an order counts only where both texts have n-grams of it.

    Args:
        statistics: the number of items (not used), then for each order the n-grams of the student, of the teacher, and
            the shared ones, shape [..., 19].

    Returns:
        Scores of shape [...]; 0 where nothing is shared, NaN without items.
    """
    student, teacher, shared = (statistics[..., 1 + part :: 3] for part in range(3))
    both = (student > 0) & (teacher > 0)
    orders = both.sum(axis=-1)
    precision, recall = (
        ratio(np.where(both, ratio(shared, side), 0.0).sum(axis=-1), orders) for side in (student, teacher)
    )
    score = 100 * (1 + _BETA_SQUARED) * ratio(precision * recall, _BETA_SQUARED * precision + recall)
    return np.where(statistics[..., 0] > 0, np.nan_to_num(score), np.nan)


_MEASURES = (
    Measure("bleu", 3 + 2 * BLEU_ORDER, bleu_score),
    mean_measure("sentence_bleu"),
    Measure("chrf", 1 + 3 * CHRF_ORDER, chrf_score),
    mean_measure("rouge_l"),
)


def pair_traces(teacher: PreparedTexts, student: PreparedTexts) -> Pairing:
    """Corpus BLEU, mean sentence BLEU and corpus chrF (0 to 100), and mean ROUGE-L F1 (0 to 1).

    ROUGE-L is that of rouge-score without stemming: words are runs of a-z and 0-9 in lower case.

    Raises:
        StatisticsError: There are no texts, or their numbers differ.
    """
    n, others = len(teacher.in_order), len(student.in_order)
    if n == 0 or n != others:
        raise StatisticsError(f"trace overlap needs as many student as teacher texts: {others}, {n}")
    word_orders = [word_order(words) for words in teacher.in_order]

    def contributions(order: Order) -> Values:
        every, bleu = np.ones((n, 1)), _bleu_statistics(teacher.words, student.words, order)
        rouge = [shared_in_order(t, student.in_order[i]) for t, i in zip(word_orders, order, strict=True)]
        sentences = bleu_score(np.hstack([every, bleu]), effective_order=True)
        characters = _chrf_statistics(teacher.characters, student.characters, order)
        parts = [bleu, sentences[:, np.newaxis], characters, np.array(rouge)[:, np.newaxis]]
        return np.hstack([block for part in parts for block in (every, part)])

    return Pairing(n, _MEASURES, contributions)


def _bleu_statistics(teacher: Sequence[NgramCounts], student: Sequence[NgramCounts], order: Order) -> Values:
    """Student's length, teacher's length, shared n-grams of each order, student's n-grams of each order: [n, 10]."""
    totals = [counts.totals[order] for counts in student]
    shared = [shared_ngrams(t, s, order) for t, s in zip(teacher, student, strict=True)]
    return np.stack([totals[0], teacher[0].totals, *shared, *totals], axis=1).astype(np.float64)


def _chrf_statistics(teacher: Sequence[NgramCounts], student: Sequence[NgramCounts], order: Order) -> Values:
    """Student's n-grams, teacher's n-grams and shared ones for each order: [n, 18].

    As in sacrebleu, a student's n-grams do not count where the teacher's text is too short to have any.
    """
    counts = []
    for t, s in zip(teacher, student, strict=True):
        counts += [np.where(t.totals > 0, s.totals[order], 0), t.totals, shared_ngrams(t, s, order)]
    return np.stack(counts, axis=1).astype(np.float64)


def _tokenized(models: Sequence[Sequence[str]]) -> list[list[list[int]]]:
    """The words of each text as BLEU's default tokenizer makes them, numbered alike for all models."""
    scorer = BLEU()
    numbers: dict[str, int] = {}
    return [
        [[numbers.setdefault(word, len(numbers)) for word in scorer.tokenizer(text.rstrip()).split()] for text in texts]
        for texts in models
    ]


def _word_texts(texts: Sequence[Sequence[int]]) -> TokenTexts:
    tokens = np.fromiter((word for text in texts for word in text), np.int64)
    return TokenTexts(tokens, np.array([len(text) for text in texts], np.int64))


def _character_texts(models: Sequence[Sequence[str]]) -> list[TokenTexts]:
    """The characters of each text that are no white space, numbered alike for all models."""
    bare = [["".join(text.split()) for text in texts] for texts in models]
    points = [
        np.frombuffer("".join(texts).encode("utf-32-le", "surrogatepass"), np.uint32).astype(np.int64) for texts in bare
    ]
    seen = np.zeros(1 + max((int(side.max(initial=0)) for side in points), default=0), np.bool_)
    for side in points:
        seen[side] = True
    number = seen.cumsum() - 1
    lengths = [np.array([len(text) for text in texts], np.int64) for texts in bare]
    return [TokenTexts(number[side], own) for side, own in zip(points, lengths, strict=True)]
