"""Does the student reason in its teacher's words?"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from sacrebleu.metrics.bleu import BLEU
from sacrebleu.metrics.chrf import CHRF

from kdscope.errors import StatisticsError


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


def corpus_bleu(student_texts: Sequence[str], teacher_texts: Sequence[str]) -> float:
    """`TraceBleu.corpus` alone.

    Raises:
        StatisticsError: as `trace_bleu`.
    """
    _check_pairs(student_texts, teacher_texts)
    return float(BLEU(force=True).corpus_score(list(student_texts), [list(teacher_texts)]).score)


def corpus_chrf(student_texts: Sequence[str], teacher_texts: Sequence[str]) -> float:
    """`TraceBleu.chrf` alone.

    Raises:
        StatisticsError: as `trace_bleu`.
    """
    _check_pairs(student_texts, teacher_texts)
    return float(CHRF().corpus_score(list(student_texts), [list(teacher_texts)]).score)


def trace_bleu(student_texts: Sequence[str], teacher_texts: Sequence[str]) -> TraceBleu:
    """BLEU (Papineni 2002) and chrF (Popovic 2015) of the student with the teacher as the only reference.

    Computed by sacrebleu (Post 2018) with its defaults. An empty text shares no n-gram with anything and scores 0,
    also against another empty text.

    Args:
        student_texts: the student's completions, length n.
        teacher_texts: the teacher's completions of the same items, length n.

    Raises:
        StatisticsError: if there are no texts or the numbers differ.

    Example:
        >>> trace_bleu(["3 + 4 = 7 so seven"], ["3 + 4 = 7 so seven"]).sentence_mean > 99.99
        True
    """
    _check_pairs(student_texts, teacher_texts)
    # force only silences the advice about text that looks tokenized: calculations like "3 + 4 = 7 ." do.
    corpus, sentence, characters = BLEU(force=True), BLEU(force=True, effective_order=True), CHRF()
    students, references = list(student_texts), [list(teacher_texts)]
    scores = tuple(float(sentence.sentence_score(s, [t]).score) for s, t in zip(students, references[0], strict=True))
    return TraceBleu(
        corpus=float(corpus.corpus_score(students, references).score),
        sentence_mean=sum(scores) / len(scores),
        sentence_scores=scores,
        signature=str(corpus.get_signature()),
        sentence_signature=str(sentence.get_signature()),
        chrf=float(characters.corpus_score(students, references).score),
        chrf_signature=str(characters.get_signature()),
    )


def _check_pairs(student_texts: Sequence[str], teacher_texts: Sequence[str]) -> None:
    if not student_texts or len(student_texts) != len(teacher_texts):
        raise StatisticsError(
            f"trace overlap needs as many student as teacher texts: {len(student_texts)}, {len(teacher_texts)}"
        )
