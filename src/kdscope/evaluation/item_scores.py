"""Scores item by item, averaged over decoding seeds, and clusters of items that are copies of one question."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from kdscope.core.errors import DataError
from kdscope.evaluation.records import Record, value_of
from kdscope.results.measures import POOLED_OF, Metric
from kdscope.tasks import Task, TaskRegistry


@dataclass(frozen=True, eq=False)
class ItemScores:
    """Scores of one model on each of n items.

    Attributes:
        values: Mean over decoding seeds of the item's value, shape [n].
        clusters: Equal for items that ask the same, shape [n].
        single: Every item was answered once, right or wrong: each value is 0 or 1.
    """

    values: NDArray[np.float64]
    clusters: tuple[str, ...]
    single: bool

    @property
    def items(self) -> int:
        """Number of items."""
        return len(self.clusters)


def metric_of(task: Task) -> Metric:
    """The metric of a task."""
    return "rouge_l" if task.is_text else "accuracy"


def item_scores(task: Task, records: Sequence[Record], scoring: str) -> ItemScores:
    """The values of the items of one task, in the order of their first records.

    An item's unit is the item, not the completion: several decoding seeds are averaged within it first. Items with the
    same prompt are copies of one question; where the prompt is not known, items with the same content are.

    Raises:
        DataError: There are no records, the items were not all answered with the same seeds, or a free text was not
            scored.
    """
    metric = metric_of(task)
    if metric == "rouge_l" and (unscored := [r for r in records if r.rouge_l is None]):
        raise DataError(f"the answer to {unscored[0].item_id} has no ROUGE-L; score the completions again")
    answers = by_item(records)
    values = [np.mean([value_of(record, scoring) for record in same]) for same in answers]
    single = metric == "accuracy" and len(answers[0]) == 1
    return ItemScores(np.array(values), tuple(cluster_of(same[0]) for same in answers), single)


def scores_by_task(records: Mapping[str, Sequence[Record]], scoring: str, tasks: TaskRegistry) -> dict[str, ItemScores]:
    """The item values of each task, then those of all items of each metric that has several tasks.

    Raises:
        DataError: As `item_scores`.
    """
    values = {task: item_scores(tasks.get(task), answers, scoring) for task, answers in records.items()}
    by_metric: dict[Metric, list[ItemScores]] = {}
    for task in records:
        by_metric.setdefault(metric_of(tasks.get(task)), []).append(values[task])
    return values | {POOLED_OF[metric]: _joined(parts) for metric, parts in by_metric.items() if len(parts) > 1}


def _joined(parts: Sequence[ItemScores]) -> ItemScores:
    return ItemScores(
        np.concatenate([part.values for part in parts]),
        tuple(cluster for part in parts for cluster in part.clusters),
        all(part.single for part in parts),
    )


def by_item(records: Sequence[Record]) -> list[list[Record]]:
    """Records grouped by item, seeds ascending, items in the order of their first records.

    Raises:
        DataError: There are no records, or the items were not all answered once with each of the same seeds.
    """
    groups: dict[str, list[Record]] = {}
    for record in records:
        groups.setdefault(record.item_id, []).append(record)
    if not groups:
        raise DataError("there are no answers")
    answers = [sorted(group, key=lambda record: record.decoding_seed) for group in groups.values()]
    seeds = _seeds(answers[0])
    for group in answers:
        own = _seeds(group)
        if len(set(own)) < len(own):
            raise DataError(f"{group[0].item_id} is answered more than once with the same decoding seed")
        if own != seeds:
            raise DataError(
                f"{group[0].item_id} is answered with decoding seeds {_list(own)}, {answers[0][0].item_id} with "
                f"{_list(seeds)}: give every item the same seeds"
            )
    return answers


def item_index(record: Record) -> int:
    """The position of a record's item in its task's file, from 0: the end of its id."""
    return int(record.item_id.rsplit("/", 1)[1])


def check_same_items(task: str, first: Sequence[Record], second: Sequence[Record]) -> None:
    """Two models can be compared item by item only if they answered the same items, in the same order.

    Raises:
        DataError: They did not; names the first item that differs.
    """
    own, other = _identities(first), _identities(second)
    if own == other:
        return
    where = next((i for i, (one, two) in enumerate(zip(own, other, strict=False)) if one != two), None)
    if where is None:
        detail = f"one answered {len(own)}, the other {len(other)}"
    elif own[where][0] == other[where][0]:
        detail = f"{own[where][0]} has another question or another right answer"
    else:
        detail = f"where one has {own[where][0]}, the other has {other[where][0]}"
    raise DataError(f"the two models did not answer the same items of {task}: {detail}")


def _identities(records: Sequence[Record]) -> list[tuple[str, str]]:
    """Id and content hash of every item, once, in order."""
    return list(dict.fromkeys((record.item_id, record.item_hash) for record in records))


def cluster_of(record: Record) -> str:
    """Equal for items that ask the same: the prompt, or where it is not known the content of the item."""
    return record.prompt or record.item_hash


def _seeds(records: Sequence[Record]) -> list[int]:
    return [record.decoding_seed for record in records]


def _list(seeds: Sequence[int]) -> str:
    return ", ".join(str(seed) for seed in seeds)
