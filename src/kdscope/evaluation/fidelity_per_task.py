"""Fidelity on one task, item by item: a student, its control and its ceiling beside the same teacher.

Shapes: n items, M measures, K columns of all their contributions.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace

import numpy as np
from numpy.typing import NDArray

from kdscope.answers.quantities import number_key
from kdscope.core.errors import DataError
from kdscope.core.seeds import derive_seed
from kdscope.evaluation.item_scores import by_item, check_same_items, cluster_of
from kdscope.evaluation.records import Record, answer_of, is_correct
from kdscope.fidelity.agreement import count_answers, encode_answers, pair_answers
from kdscope.fidelity.bootstrap import ResampledSums, resample, select_columns
from kdscope.fidelity.controls import shuffled_orders
from kdscope.fidelity.measures import (
    ITEM_MEASURES,
    ItemResponse,
    Measure,
    Pairing,
    Values,
    joined,
    named_columns,
    pair_responses,
    with_both_right,
)
from kdscope.fidelity.steps import Trace, pair_steps, parse_trace
from kdscope.fidelity.traces import PreparedTexts, pair_traces, prepare_texts
from kdscope.results.measures import ITEM_MEASURE
from kdscope.tasks import Task

STUDENT, CONTROL, CEILING, SECOND = "student", "control", "ceiling", "second"


@dataclass(frozen=True)
class Sampling:
    """Resampling settings.

    Attributes:
        draws: Bootstrap draws of every interval.
        shuffles: Pairings with others' answers of every floor.
        seed: Of both.
    """

    draws: int = 2000
    shuffles: int = 5
    seed: int = 0


@dataclass(frozen=True, eq=False)
class TaskFidelity:
    """Everything that one task contributes to its own rows and to the pooled ones.

    Attributes:
        measures: What was measured, by name.
        entered: How many items enter each measure, for the student.
        sums: The resampled sums of each measure's columns, by role and measure.
        shuffles: The sums of each measure's columns in each shuffle of the student's answers, by measure.
        likeness: `ITEM_MEASURE` of the student on every item, by its id, from 0 to 1.
    """

    measures: Mapping[str, Measure]
    entered: Mapping[str, int]
    sums: Mapping[str, Mapping[str, ResampledSums]]
    shuffles: Mapping[str, Sequence[Values]] = field(default_factory=dict)
    likeness: Mapping[str, float] = field(default_factory=dict)

    @classmethod
    def resampled(
        cls,
        measures: Sequence[Measure],
        contributions: Mapping[str, Values],
        clusters: Sequence[str],
        draws: int,
        seed: int,
    ) -> TaskFidelity:
        """Measures whose columns are resampled side by side for all roles, and cut apart again.

        Args:
            measures: What was measured.
            contributions: Of each role, the columns of all measures, [n, K].
            clusters: Equal for items that are copies of each other, length n.
            draws: Bootstrap draws.
            seed: Of the draws.
        """
        together = resample(np.hstack(list(contributions.values())), clusters, draws, seed)
        places, own = named_columns(measures), contributions[STUDENT]
        width = own.shape[1]
        parts = {
            role: select_columns(together, slice(number * width, (number + 1) * width))
            for number, role in enumerate(contributions)
        }
        return cls(
            measures={measure.name: measure for measure in measures},
            entered={name: int(np.count_nonzero(own[:, place.start])) for name, place in places.items()},
            sums={
                role: {name: select_columns(part, place) for name, place in places.items()}
                for role, part in parts.items()
            },
        )


def measure_task(
    task: Task, teacher: Sequence[Record], others: Mapping[str, Sequence[Record]], scoring: str, sampling: Sampling
) -> TaskFidelity:
    """Measure the student, and its control and ceiling where there are any, against the teacher.

    Several decoding seeds: each of a model's is paired with one of the teacher's, in ascending order (all with the only
    one where one side has one), and an item's contributions are the mean over these pairs.

    Args:
        task: The task.
        teacher: The teacher's records.
        others: The records of the student and, where they are there, control and ceiling, by role.
        scoring: Which answers are compared: robust or published.
        sampling: Draws and shuffles.

    Raises:
        DataError: Two models did not answer the same items, or cannot be paired seed by seed.
    """
    for records in others.values():
        check_same_items(task.name, records, teacher)
    runs = {"teacher": _runs(teacher), **{role: _runs(records) for role, records in others.items()}}
    readings = _read(task, runs, scoring)
    # One number for all models: their columns are resampled side by side.
    different = count_answers([reading.answers for own in readings.values() for reading in own])
    pairings = {role: _pairings(task, readings["teacher"], readings[role], different) for role in others}
    found = {role: _mean([pairing.paired() for pairing in own]) for role, own in pairings.items()}
    clusters = [cluster_of(record) for record in runs["teacher"][0]]
    seed = derive_seed(sampling.seed, "fidelity", task.name)
    measures = pairings[STUDENT][0].measures
    task_fidelity = TaskFidelity.resampled(measures, found, clusters, sampling.draws, seed)
    shuffles = [
        _mean([pairing.contributions(order).sum(axis=0) for pairing in pairings[STUDENT]])
        for order in shuffled_orders(clusters, sampling.shuffles, seed)
    ]
    places = named_columns(measures)
    alike = found[STUDENT][:, places[ITEM_MEASURE]][:, 1] / 100
    return replace(
        task_fidelity,
        shuffles={name: [sums[place] for sums in shuffles] for name, place in places.items()},
        likeness=dict(zip([record.item_id for record in runs["teacher"][0]], alike, strict=True)),
    )


def other_runs(records: Mapping[str, Sequence[Record]]) -> dict[str, list[Record]]:
    """A model's answers with every decoding seed in the place of the one before: its own ceiling as a teacher.

    Compared with the model itself, each of its runs meets another of its runs.

    Raises:
        DataError: A task was answered with one decoding seed only.
    """
    return {task: _rotated(task, answers) for task, answers in records.items()}


def _rotated(task: str, records: Sequence[Record]) -> list[Record]:
    seeds = sorted({record.decoding_seed for record in records})
    if len(seeds) < 2:
        raise DataError(f"{task} is answered once: a ceiling needs another run, with another decoding seed")
    before = dict(zip(seeds, seeds[-1:] + seeds[:-1], strict=True))
    return [replace(record, decoding_seed=before[record.decoding_seed]) for record in records]


@dataclass(frozen=True, eq=False)
class _Reading:
    """One run of one model on the items of a task, read for every family once."""

    right: NDArray[np.bool_]
    answers: NDArray[np.int64]
    texts: PreparedTexts
    steps: Sequence[Trace]
    responses: Sequence[ItemResponse]


def _runs(records: Sequence[Record]) -> list[list[Record]]:
    """The records of each decoding seed, items in the order of their ids, so that no result depends on their order."""
    by_name = sorted(by_item(records), key=lambda same: same[0].item_id)
    return [list(run) for run in zip(*by_name, strict=True)]


def _read(task: Task, runs: Mapping[str, Sequence[Sequence[Record]]], scoring: str) -> dict[str, list[_Reading]]:
    """All runs read together, so that equal answers and words have equal numbers."""
    every = [run for own in runs.values() for run in own]
    answers = encode_answers([[_answer_key(record, scoring, task) for record in run] for run in every])
    texts = prepare_texts([[record.completion for record in run] for run in every])
    stepped = task.is_number
    readings = iter(
        _Reading(
            np.array([is_correct(record, scoring) for record in run]),
            own,
            words,
            [parse_trace(record.completion) for record in run] if stepped else (),
            [
                ItemResponse(answer_of(record, scoring), record.completion, is_correct(record, scoring))
                for record in run
            ],
        )
        for run, own, words in zip(every, answers, texts, strict=True)
    )
    return {role: [next(readings) for _ in own] for role, own in runs.items()}


def _answer_key(record: Record, scoring: str, task: Task) -> str | None:
    """The answer in a form that is equal for equal answers."""
    value = answer_of(record, scoring)
    return number_key(value) if value is not None and task.is_number else value


def _pairings(task: Task, teacher: Sequence[_Reading], other: Sequence[_Reading], different: int) -> list[Pairing]:
    """One pairing for every decoding seed."""
    if len(teacher) != len(other) and 1 not in (len(teacher), len(other)):
        raise DataError(
            f"{task.name} is answered with {len(other)} and with {len(teacher)} decoding seeds, which do not pair"
        )
    number = max(len(teacher), len(other))
    return [_pair(task, teacher[i % len(teacher)], other[i % len(other)], different) for i in range(number)]


def _pair(task: Task, teacher: _Reading, other: _Reading, different: int) -> Pairing:
    """Every family that the task's answers allow; free text has words only, and is neither right nor wrong."""
    traces = pair_traces(teacher.texts, other.texts)
    added = [*ITEM_MEASURES.values()]
    extra = [pair_responses(teacher.responses, other.responses, added)] if added else []
    if task.is_text:
        return joined([traces, *extra])
    right = (teacher.right, other.right)
    few = not task.is_number
    answers = pair_answers(
        teacher.answers, other.answers, *right, chance=task.chance, categories=different if few else None
    )
    reasoning = traces if few else joined([traces, pair_steps(teacher.steps, other.steps)])
    return joined([answers, with_both_right(reasoning, *right), *extra])


def _mean(seeds: Sequence[Values]) -> Values:
    """The mean over decoding seeds."""
    mean: Values = np.mean(seeds, axis=0)
    return mean
