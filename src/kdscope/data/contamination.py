"""Which evaluation items a training set holds: the same question, or long runs of its words.

An item is contaminated by a training set if its question is one of the set's, letter case, punctuation and spacing
aside, or if one training example has at least half of its 8-grams of words. 8-grams that touch a task's own wording
(every BoolQ question begins alike) are no evidence and are left out first.
"""

from __future__ import annotations

import math
import re
import unicodedata
from collections import Counter
from collections.abc import Collection, Iterable, Mapping, Sequence
from dataclasses import dataclass

from kdscope.data.examples import Example, Item

NGRAM_WORDS = 8
"""Length of the runs of words that are compared."""
CONTAMINATED_SHARE = 0.5
"""An item with this share of its 8-grams in one training example counts as contaminated."""
# Four words in a row that so many items of a task have are how that task is put, not what an item asks.
_WORDING_WORDS = 4
_WORDING_SHARE = 0.05
_WORDING_ITEMS = 5
_WORD = re.compile(r"\w+")


@dataclass(frozen=True, slots=True)
class Overlap:
    """What one training set has of one evaluation item.

    Attributes:
        training_set: Its name.
        training_row: Row of the example that has most of the item, as `Example.row` counts.
        task: Task of the item.
        item_id: The item.
        exact: Whether the example asks the same question.
        share: Share of the item's 8-grams that stand in that example; 1 where `exact`.
    """

    training_set: str
    training_row: int
    task: str
    item_id: str
    exact: bool
    share: float

    @property
    def contaminated(self) -> bool:
        """Whether the item should not be believed of a model trained on that set."""
        return self.exact or self.share >= CONTAMINATED_SHARE


@dataclass(frozen=True, slots=True)
class Tally:
    """One training set against one task, in numbers of items.

    Attributes:
        training_set: Its name.
        task: The task.
        items: Items of the task.
        exact: Those whose question is in the training set.
        near: Those with at least half of their 8-grams in one example, the exact ones not counted.
        some: Those with any 8-gram in common, the others not counted.
        examples: The worst of them, at most three: (item id, row of the training set).
    """

    training_set: str
    task: str
    items: int
    exact: int
    near: int
    some: int
    examples: tuple[tuple[str, int], ...]

    @property
    def contaminated(self) -> int:
        """Items that count as contaminated."""
        return self.exact + self.near


def audit_contamination(
    training: Mapping[str, Sequence[Example]], items: Mapping[str, Sequence[Item]]
) -> list[Overlap]:
    """Every overlap of every training set with every item, in the order of sets and items.

    Args:
        training: Examples by the name of their set; question, input and response are all looked at for 8-grams.
        items: Items by task; their question and input are.
    """
    flat = [item for answered in items.values() for item in answered]
    questions: dict[str, list[int]] = {}
    grams: dict[int, list[int]] = {}
    sizes = [0] * len(flat)
    place = 0
    for answered in items.values():
        for found in _telling_ngrams([_words(_question(item)) for item in answered]):
            item = flat[place]
            questions.setdefault(normalized_question(item.instruction, item.input), []).append(place)
            sizes[place] = len(found)
            for gram in found:
                grams.setdefault(gram, []).append(place)
            place += 1
    return [
        overlap
        for name, examples in training.items()
        for overlap in _overlaps(name, examples, flat, questions, grams, sizes)
    ]


def tally_contamination(
    overlaps: Iterable[Overlap], training_sets: Iterable[str], items: Mapping[str, int]
) -> list[Tally]:
    """The numbers of every training set and task, zeros included.

    Args:
        overlaps: From `audit_contamination`.
        training_sets: Names of all sets that were looked at.
        items: Number of items by task.
    """
    by_pair: dict[tuple[str, str], list[Overlap]] = {}
    for overlap in overlaps:
        by_pair.setdefault((overlap.training_set, overlap.task), []).append(overlap)
    return [
        _tally(name, task, count, by_pair.get((name, task), []))
        for name in training_sets
        for task, count in items.items()
    ]


def contaminated_items(overlaps: Iterable[Overlap]) -> frozenset[str]:
    """Ids of the items that some training set contaminates."""
    return frozenset(overlap.item_id for overlap in overlaps if overlap.contaminated)


def describe_contamination(tallies: Iterable[Tally]) -> list[str]:
    """A sentence for every training set that contaminates a task, with the numbers; none where all is well.

    >>> describe_contamination([Tally("math_10k", "AddSub", 395, 2, 1, 9, (("AddSub/7", 12),))])
    ['math_10k holds 3 of the 395 items of AddSub (2 word for word, 1 by half of their 8-grams; AddSub/7 is in row 12)']
    """
    return [
        f"{t.training_set} holds {t.contaminated:,} of the {t.items:,} items of {t.task} ({t.exact:,} word for word, "
        f"{t.near:,} by half of their 8-grams; {t.examples[0][0]} is in row {t.examples[0][1]})"
        for t in tallies
        if t.contaminated
    ]


def normalized_question(instruction: str, context: str = "") -> str:
    """A question without letter case, punctuation and spacing.

    >>> normalized_question("How many?  Ten apples ", "“RED”")
    'how many ten apples red'
    """
    return " ".join(_words(f"{instruction} {context}"))


def _question(item: Item) -> str:
    return f"{item.instruction} {item.input}"


def _words(text: str) -> list[str]:
    return _WORD.findall(unicodedata.normalize("NFKC", text).casefold())


def _runs(words: Sequence[str], length: int) -> list[int]:
    """Hashes of all runs of so many words; of 64 bits, so that two different runs practically never share one."""
    return [hash(tuple(words[start : start + length])) for start in range(len(words) - length + 1)]


def _telling_ngrams(texts: Sequence[Sequence[str]]) -> list[set[int]]:
    """The 8-grams of each item of a task that hold nothing of the task's wording."""
    short = [_runs(words, _WORDING_WORDS) for words in texts]
    counts = Counter(run for runs in short for run in set(runs))
    most = max(_WORDING_ITEMS, math.floor(_WORDING_SHARE * len(texts)))
    inside = NGRAM_WORDS - _WORDING_WORDS + 1
    return [
        {
            gram
            for start, gram in enumerate(_runs(words, NGRAM_WORDS))
            if all(counts[run] <= most for run in runs[start : start + inside])
        }
        for words, runs in zip(texts, short, strict=True)
    ]


def _overlaps(
    name: str,
    examples: Sequence[Example],
    items: Sequence[Item],
    questions: Mapping[str, Collection[int]],
    grams: Mapping[int, Collection[int]],
    sizes: Sequence[int],
) -> list[Overlap]:
    """The best match of each item in one training set."""
    best: dict[int, Overlap] = {}
    for example in examples:
        same = questions.get(normalized_question(example.instruction, example.input), ())
        words = _words(f"{example.instruction} {example.input} {example.output}")
        shared = Counter(place for gram in set(_runs(words, NGRAM_WORDS)) for place in grams.get(gram, ()))
        for place in {*same, *shared}:
            exact, item = place in same, items[place]
            share = 1.0 if exact else shared[place] / sizes[place]
            if place not in best or (exact, share) > (best[place].exact, best[place].share):
                best[place] = Overlap(name, example.row, item.task, item.item_id, exact, share)
    return [best[place] for place in sorted(best)]


def _tally(name: str, task: str, items: int, overlaps: Sequence[Overlap]) -> Tally:
    exact = sum(overlap.exact for overlap in overlaps)
    near = sum(overlap.contaminated for overlap in overlaps) - exact
    worst = sorted(overlaps, key=lambda overlap: (not overlap.exact, -overlap.share))[:3]
    shown = tuple((overlap.item_id, overlap.training_row) for overlap in worst)
    return Tally(name, task, items, exact, near, len(overlaps) - exact - near, shown)
