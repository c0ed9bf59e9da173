"""All that is learnt of a teacher and a student as both read the texts of a task."""

from __future__ import annotations

import os
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

from kdscope.data.sources import Item
from kdscope.evaluation.confidence import ConfidenceRow, confidence_rows
from kdscope.evaluation.distributions import DistributionRow, ForcedPair, compare_distributions
from kdscope.evaluation.prefixes import continuations_of
from kdscope.evaluation.records import Record
from kdscope.evaluation.row_files import read_row_file, write_row_file
from kdscope.tasks import Task


@dataclass(frozen=True)
class PairReading:
    """Two tables: distributions.parquet and confidence.parquet."""

    distributions: Sequence[DistributionRow]
    confidence: Sequence[ConfidenceRow]

    @classmethod
    def joined(cls, parts: Iterable[PairReading]) -> PairReading:
        """The readings of several tasks."""
        every = list(parts)
        return cls([row for p in every for row in p.distributions], [row for p in every for row in p.confidence])

    @classmethod
    def load(cls, folder: Path) -> PairReading:
        """What `save` wrote.

        Raises:
            DataError: A table cannot be read.
        """
        return cls(
            read_row_file(DistributionRow, folder / "distributions.parquet"),
            read_row_file(ConfidenceRow, folder / "confidence.parquet"),
        )

    def save(self, folder: Path) -> None:
        """Both tables into a folder that is there."""
        write_row_file(self.distributions, DistributionRow, folder / "distributions.parquet")
        write_row_file(self.confidence, ConfidenceRow, folder / "confidence.parquet")


def read_pair(
    pair: ForcedPair,
    task: Task,
    items: Sequence[Item],
    prompts: Sequence[Sequence[int]],
    records: Mapping[Literal["teacher", "student"], Sequence[Record]],
    tokenizer: Any,
    progress: Callable[[int, int], None] = lambda done, total: None,
) -> PairReading:
    """Distributions on the three texts of every item, and how sure either model is of its answers.

    Args:
        pair: The models.
        task: The task.
        items: Some or all of it.
        prompts: Token ids of each item's prompt: the student's prompt, which the teacher reads too.
        records: What both answered.
        tokenizer: Of both, a Hugging Face one.
        progress: Called with (texts done, texts in all).

    Raises:
        DataError: A model has not answered one of the items.
        ModelError: The logits of a model are not numbers.
    """
    texts = continuations_of(items, prompts, records, tokenizer)
    rows = compare_distributions(pair, texts, int(tokenizer.pad_token_id), progress)
    sides: Any = {"teacher": pair.teacher, "student": pair.student}
    sure = [
        row
        for side, model in sides.items()
        for row in confidence_rows(model, side, task, items, prompts, records[side], rows, tokenizer)
    ]
    return PairReading(rows, sure)


def kept_reading(folder: Path, read: Callable[[], PairReading]) -> PairReading:
    """A reading that is made once: whole in its folder, or not there."""
    if not folder.exists():
        building = folder.with_suffix(".tmp")
        building.mkdir(exist_ok=True)
        read().save(building)
        os.replace(building, folder)
    return PairReading.load(folder)
