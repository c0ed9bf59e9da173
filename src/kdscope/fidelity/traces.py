"""Does the student reason in its teacher's words? Overlap of completions, each pair of texts looked at once."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from sacrebleu.metrics.bleu import BLEU
from sacrebleu.metrics.chrf import CHRF

from kdscope.core.errors import StatisticsError
from kdscope.fidelity.common_words import rouge_words, shared_in_order, word_order
from kdscope.fidelity.measures import Measure, Order, Pairing, Values, mean_measure, values_of
from kdscope.fidelity.ngrams import NgramCounts, TokenTexts, count_ngrams, shared_ngrams
from kdscope.fidelity.overlap_scores import BLEU_ORDER, CHRF_ORDER, bleu_score, chrf_score


@dataclass(frozen=True, slots=True)
class TraceBleu:
    """Overlap of the student's completions with the teacher's, each score from 0 to 100.

    Attributes:
        corpus: corpus BLEU, which weighs long traces more.
        sentence_mean: mean of ``sentence_scores``.
        sentence_scores: sentence BLEU of each item, orders without n-grams left out.
        signature: sacrebleu's own description of ``corpus``.
        sentence_signature: the same for the sentence scores.
        chrf: corpus chrF, character n-grams.
        chrf_signature: the same for ``chrf``.
    """

    corpus: float
    sentence_mean: float
    sentence_scores: tuple[float, ...]
    signature: str
    sentence_signature: str
    chrf: float
    chrf_signature: str


@dataclass(frozen=True, slots=True)
class PreparedTexts:
    """Texts cut into everything that overlap is measured by, once.

    Attributes:
        words: n-grams of words, one entry per order.
        characters: n-grams of characters, one entry per order.
        in_order: the words of each text in order, as ROUGE counts words.
    """

    words: tuple[NgramCounts, ...]
    characters: tuple[NgramCounts, ...]
    in_order: tuple[list[str], ...]


def trace_bleu(student_texts: Sequence[str], teacher_texts: Sequence[str]) -> TraceBleu:
    """BLEU (Papineni 2002) and chrF (Popovic 2015) of the student with the teacher as the only reference.

    The scores are those of sacrebleu (Post 2018) with its defaults, to the last bits. An empty text shares no n-gram
    with anything and scores 0, also against another empty text.

    Args:
        student_texts: the student's completions, length n.
        teacher_texts: the teacher's completions of the same items, length n.

    Raises:
        StatisticsError: if there are no texts or the numbers differ.

    Example:
        >>> trace_bleu(["3 + 4 = 7 so seven"], ["3 + 4 = 7 so seven"]).sentence_mean > 99.99
        True
    """
    pairing = pair_traces(*prepare_texts([teacher_texts, student_texts]))
    found, rows = values_of(pairing), pairing.paired()
    signatures = trace_signatures()
    return TraceBleu(
        corpus=found["bleu"],
        sentence_mean=found["sentence_bleu"],
        sentence_scores=tuple(rows[:, _BLEU_WIDTH + 1].tolist()),
        signature=signatures["bleu"],
        sentence_signature=signatures["sentence_bleu"],
        chrf=found["chrf"],
        chrf_signature=signatures["chrf"],
    )


def trace_signatures() -> dict[str, str]:
    """How each of sacrebleu's measures is computed, in sacrebleu's notation."""
    scorers = {"bleu": BLEU(), "sentence_bleu": BLEU(effective_order=True), "chrf": CHRF()}
    for scorer in scorers.values():
        scorer.corpus_score(["one text"], [["one text"]])  # only then does a scorer know its number of references
    return {name: str(scorer.get_signature()) for name, scorer in scorers.items()}


def prepare_texts(models: Sequence[Sequence[str]]) -> list[PreparedTexts]:
    """Cut the texts of several models, so that any two of them can be paired."""
    words = _ngrams([_word_texts(texts) for texts in _tokenized(models)], BLEU_ORDER)
    characters = _ngrams(_character_texts(models), CHRF_ORDER)
    orders = [tuple(rouge_words(text) for text in texts) for texts in models]
    return [PreparedTexts(*parts) for parts in zip(words, characters, orders, strict=True)]


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


_BLEU_WIDTH = 3 + 2 * BLEU_ORDER
_MEASURES = (
    Measure("bleu", _BLEU_WIDTH, bleu_score),
    mean_measure("sentence_bleu"),
    Measure("chrf", 1 + 3 * CHRF_ORDER, chrf_score),
    mean_measure("rouge_l"),
)


def _bleu_statistics(teacher: Sequence[NgramCounts], student: Sequence[NgramCounts], order: Order) -> Values:
    """Student's length, teacher's length, shared n-grams of each order, student's n-grams of each order: [n, 10]."""
    totals = [counts.totals[order] for counts in student]
    shared = [shared_ngrams(t, s, order) for t, s in zip(teacher, student, strict=True)]
    return np.stack([totals[0], teacher[0].totals, *shared, *totals], axis=1).astype(np.float64)


def _chrf_statistics(teacher: Sequence[NgramCounts], student: Sequence[NgramCounts], order: Order) -> Values:
    """Student's n-grams, teacher's n-grams and shared ones for each order: [n, 18].

    As in sacrebleu, a student's n-grams do not count where the teacher's text is too short to have any.
    """
    found = []
    for t, s in zip(teacher, student, strict=True):
        found += [np.where(t.totals > 0, s.totals[order], 0), t.totals, shared_ngrams(t, s, order)]
    return np.stack(found, axis=1).astype(np.float64)


def _ngrams(sides: Sequence[TokenTexts], highest: int) -> list[tuple[NgramCounts, ...]]:
    return [tuple(counts) for counts in count_ngrams(sides, highest)]


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
