"""How much of a reference text a free answer tells, in the same order."""

from __future__ import annotations

from collections.abc import Sequence

from kdscope.core.errors import StatisticsError


def rouge_l(prediction: str, references: Sequence[str]) -> float:
    """ROUGE-L F1 (Lin 2004, ACL W04-1013, section 3) against the reference where it is largest, from 0 to 1.

    With L words in the longest common subsequence, ``P = L / words of the prediction``, ``R = L / words of the
    reference`` and ``F1 = 2 P R / (P + R)``: Lin's F with beta = 1. Computed by Google's rouge-score with Porter
    stemming, and the maximum over references, as the instruction sets of MiniLLM are scored (Gu 2024,
    arXiv 2306.08543). Words are runs of a-z and 0-9 in lower case, so text in another script scores 0, as does an
    empty prediction.

    Raises:
        StatisticsError: There is no reference.

    Example:
        >>> rouge_l("the cat sat", ["a dog ran", "The cat was sitting."])
        0.5714285714285715
    """
    # Late, because rouge-score loads nltk, which takes seconds and is needed by no other task.
    from rouge_score.rouge_scorer import RougeScorer

    if not references:
        raise StatisticsError("ROUGE-L needs at least one reference")
    scorer = RougeScorer(["rougeL"], use_stemmer=True)
    return max(float(scorer.score(reference, prediction)["rougeL"].fmeasure) for reference in references)
