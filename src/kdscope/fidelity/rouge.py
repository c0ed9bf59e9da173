"""ROUGE-L: of an answer against its references, and between thousands of pairs of texts."""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass

from kdscope.core.errors import StatisticsError

_WORDS = re.compile(r"[a-z0-9]+")


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


@dataclass(frozen=True, slots=True)
class WordOrder:
    """Positions of the words of a text.

    Attributes:
        words: number of words.
        places: for each different word an integer whose bit i is set where word i is that word.
    """

    words: int
    places: dict[str, int]


def rouge_words(text: str) -> list[str]:
    """Runs of a-z and 0-9 in lower case, as ROUGE counts words; not stemmed.

    >>> rouge_words("She makes $26.50 a day.")
    ['she', 'makes', '26', '50', 'a', 'day']
    """
    return _WORDS.findall(text.lower())


def word_order(words: Sequence[str]) -> WordOrder:
    """A text ready to be compared with many others."""
    places: dict[str, int] = {}
    for place, word in enumerate(words):
        places[word] = places.get(word, 0) | 1 << place
    return WordOrder(len(words), places)


def shared_in_order(teacher: WordOrder, student: Sequence[str]) -> float:
    """ROUGE-L F1 (Lin 2004, W04-1013): ``2 L / (m + n)``, L words in the longest common subsequence of m and n words.

    0 where either text has no word. L by one integer addition per word (Hyyrö 2004, after Crochemore 2001, Inf Process
    Lett 80:279): a bit is cleared wherever the subsequence grows.

    >>> shared_in_order(word_order("a b c d".split()), "b d c d".split())
    0.75
    """
    longest = teacher.words
    if not longest or not student:
        return 0.0
    every = (1 << longest) - 1
    row = every
    for word in student:
        match = row & teacher.places.get(word, 0)
        row = ((row + match) | (row - match)) & every
    return 2 * (longest - row.bit_count()) / (longest + len(student))
