"""Distributions and confidences of a student beside its teacher on the same texts, and their fidelity rows."""

from __future__ import annotations

import math
import os
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

import numpy as np

from kdscope.core.seeds import derive_seed
from kdscope.data.examples import Item
from kdscope.evaluation.confidence import ConfidenceRow, confidence_rows
from kdscope.evaluation.continuations import PREFIXES, continuations_of
from kdscope.evaluation.distributions import DistributionRow, ForcedPair, compare_distributions
from kdscope.evaluation.fidelity_per_task import CONTROL, STUDENT, Sampling, TaskFidelity
from kdscope.evaluation.fidelity_table import FidelityRow, rows_of_tasks
from kdscope.evaluation.records import Record, read_row_file, write_row_file
from kdscope.fidelity.calibration import pair_confidences
from kdscope.fidelity.measures import Measure, Values, mean_measure
from kdscope.models.limits import padding_id
from kdscope.results.measures import DISTRIBUTION_STEMS
from kdscope.tasks import Task

_Part = tuple[list[str], tuple[Measure, ...], dict[str, Values]]


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
        """Read what `save` wrote.

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
    rows = compare_distributions(pair, texts, padding_id(pair.student.states.model, tokenizer), progress)
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


def compare_readings(
    student: PairReading, control: PairReading | None, clusters: Mapping[str, str], sampling: Sampling
) -> list[FidelityRow]:
    """Distributions and calibration of a student beside its teacher, on each task and on all items together.

    Distributions are means over the positions of the texts of all items, so that long texts count for what they are;
    intervals are over items. A control is used on the items that it has read too.

    Args:
        student: The teacher and the student.
        control: The same teacher and a student trained without it.
        clusters: Equal for items that are copies of each other, by item id.
        sampling: Draws, and their seed.
    """
    tasks = list(dict.fromkeys(row.task for row in student.distributions))
    found = {task: _measured(task, student, control, clusters, sampling) for task in tasks}
    return rows_of_tasks(found, tasks)


def _measured(
    task: str, student: PairReading, control: PairReading | None, clusters: Mapping[str, str], sampling: Sampling
) -> TaskFidelity:
    """The measures of one task: distributions, and calibration on the items where all wrote an answer."""
    roles = {STUDENT: student} | ({} if control is None else {CONTROL: control})
    seed = derive_seed(sampling.seed, "reading", task)
    parts = [
        TaskFidelity.resampled(kinds, columns, [clusters.get(item, item) for item in ids], sampling.draws, seed)
        for ids, kinds, columns in (_distributions(task, roles), *_calibration(task, roles))
    ]
    return TaskFidelity(
        measures={name: kind for part in parts for name, kind in part.measures.items()},
        entered={name: items for part in parts for name, items in part.entered.items()},
        sums={role: {name: sums for part in parts for name, sums in part.sums[role].items()} for role in roles},
    )


def _distributions(task: str, roles: Mapping[str, PairReading]) -> _Part:
    """Item ids, measures, and each model's contributions: tokens, and tokens times the mean over them."""
    tables = {
        role: {(row.item_id, row.prefix): row for row in reading.distributions if row.task == task}
        for role, reading in roles.items()
    }
    ids = sorted(item for item in {i for i, _ in tables[STUDENT]} if all((item, "gold") in t for t in tables.values()))
    kinds, found = [], {role: [np.zeros((len(ids), 0))] for role in roles}
    for prefix in PREFIXES:
        for name in DISTRIBUTION_STEMS:
            kinds.append(mean_measure(f"{name}_{prefix}"))
            for role, table in tables.items():
                texts = [table.get((item, prefix)) for item in ids]
                tokens = np.array([0 if text is None else text.tokens for text in texts], np.float64)
                values = np.array([0.0 if text is None else float(getattr(text, name)) for text in texts])
                found[role].append(np.column_stack([tokens, np.where(tokens > 0, tokens * values, 0.0)]))
    return ids, tuple(kinds), {role: np.hstack(own) for role, own in found.items()}


def _calibration(task: str, roles: Mapping[str, PairReading]) -> Iterator[_Part]:
    """Confidences of the models in the answers they wrote, on the items where all of them wrote one."""
    sure = {role: _confidences(task, reading.confidence) for role, reading in roles.items()}
    ids = sorted(set.intersection(*(set(side) for own in sure.values() for side in own)))
    if not ids:
        return
    found: dict[str, Values] = {}
    kinds: tuple[Measure, ...] = ()
    for role, (teacher, student) in sure.items():
        columns_of = [[side[item][place] for item in ids] for place in (0, 1) for side in (teacher, student)]
        pairing = pair_confidences(*columns_of)
        kinds, found[role] = pairing.measures, pairing.paired()
    yield ids, kinds, found


def _confidences(task: str, rows: Sequence[ConfidenceRow]) -> tuple[dict[str, tuple[float, bool]], ...]:
    """By item: the confidence in the answer written, and whether that is right; of the teacher, then of the student."""
    return tuple(
        {
            row.item_id: (row.stated_confidence, row.stated_correct)
            for row in rows
            if row.task == task
            and row.model == model
            and row.stated_correct is not None
            and not math.isnan(row.stated_confidence)
        }
        for model in ("teacher", "student")
    )
