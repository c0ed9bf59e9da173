"""Verbs about saved answers: compare two models, measure a student's fidelity, score again."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import pandas as pd

from kdscope.core.errors import DataError
from kdscope.data.examples import Item
from kdscope.evaluation.accuracy import accuracy_table
from kdscope.evaluation.compare import DEFAULT_MARGIN, Comparison, compare_evaluated
from kdscope.evaluation.completions import read_completions
from kdscope.evaluation.fidelity_table import fidelity_table
from kdscope.evaluation.records import Record
from kdscope.evaluation.score import Changes, group_by_task, rescore, summarise_changes
from kdscope.stages.rows import read_task_items, task_place
from kdscope.study.fields import PointsOrZero
from kdscope.study.problems import check_argument
from kdscope.study.schema import Tasks
from kdscope.tasks import TaskRegistry, registry_with


def compare_models(
    a: Path,
    b: Path,
    *,
    teacher: Path | None = None,
    control: Path | None = None,
    margin: float = DEFAULT_MARGIN,
    scoring: str = "robust",
    tasks_dir: Path | None = None,
    data_dir: Path | None = None,
) -> Comparison:
    """Compare two evaluated models item by item, and their fidelity to a teacher.

    Args:
        a: Records or completions of the first: a folder of `evaluate_model`, a parquet or JSONL file, or a folder of
            JSONL files named after tasks.
        b: The same of the second.
        teacher: The same of a teacher.
        control: The same of a student trained without the teacher, the control of both.
        margin: By how many percentage points A may be less faithful than B and still not inferior.
        scoring: Which answers are compared: robust or published.
        tasks_dir: Folder with a person's own tasks.
        data_dir: Folder with the tasks' files: completions from elsewhere are then scored against them.

    Raises:
        StudyError: The margin is out of its bounds.
        DataError: A file cannot be used, or they did not answer the same items.
    """
    check_argument(PointsOrZero, margin, "margin")
    registry = registry_with(tasks_dir)
    first, second = (_answers(path, registry, tasks_dir, data_dir) for path in (a, b))
    taught, alone = (
        None if path is None else _answers(path, registry, tasks_dir, data_dir) for path in (teacher, control)
    )
    return compare_evaluated(first, second, taught, control=alone, margin=margin, scoring=scoring, registry=registry)


def measure_fidelity(
    student: Path,
    teacher: Path,
    *,
    control: Path | None = None,
    ceiling: Path | None = None,
    scoring: str = "robust",
    tasks_dir: Path | None = None,
    data_dir: Path | None = None,
) -> pd.DataFrame:
    """How like a teacher a student answers and reasons, from what they wrote: one row for each measure and task.

    Args:
        student: Records or completions, as in `compare_models`.
        teacher: The same of the teacher.
        control: The same of a student trained without the teacher: what likeness is there anyway?
        ceiling: The same of another run of the teacher: what likeness is there between two of its runs?
        scoring: Which answers are compared: robust or published.
        tasks_dir: Folder with a person's own tasks.
        data_dir: Folder with the tasks' files, for completions from elsewhere.

    Raises:
        DataError: A file cannot be used, they have no task in common, or did not answer the same items.
    """
    registry = registry_with(tasks_dir)
    paths = {"student": student, "teacher": teacher, "control": control, "ceiling": ceiling}
    sides = {side: _answers(path, registry, tasks_dir, data_dir) for side, path in paths.items() if path is not None}
    common = [task for task in sides["student"] if task in sides["teacher"]]
    if not common:
        raise DataError(f"{student} and {teacher} have no task in common")
    shared = {side: {task: records[task] for task in common if task in records} for side, records in sides.items()}
    return fidelity_table(
        shared["student"],
        shared["teacher"],
        control=shared.get("control"),
        ceiling=shared.get("ceiling"),
        scoring=scoring,
        registry=registry,
    )


def _answers(
    path: Path, registry: TaskRegistry, tasks_dir: Path | None, data_dir: Path | None
) -> dict[str, list[Record]]:
    """Records by task; what was not scored by kdscope is scored now."""
    saved = read_completions(path, registry=registry).answers
    records = [answer for answer in saved if isinstance(answer, Record)]
    if len(records) < len(saved):
        records = list(rescore_answers(path, tasks_dir=tasks_dir, data_dir=data_dir).records)
    return group_by_task(records)


@dataclass(frozen=True)
class Rescored:
    """Saved completions scored again.

    Attributes:
        records: One for each.
        changes: How many are scored otherwise than before, by task.
        accuracy: One row a task and scoring, and their averages.
        notes: What had to be assumed.
    """

    records: Sequence[Record]
    changes: Sequence[Changes]
    accuracy: pd.DataFrame
    notes: Sequence[str]


def rescore_answers(
    path: Path,
    *,
    task: str | None = None,
    tasks_dir: Path | None = None,
    data_dir: Path | None = None,
    finish_reason: str = "stop",
) -> Rescored:
    """Score saved completions by both rules, without generating.

    Args:
        path: Records or completions, a file or a folder.
        task: The task, where neither file name nor rows tell it.
        tasks_dir: Folder with a person's own tasks.
        data_dir: Folder with the tasks' files, for completions that come without question or right answer.
        finish_reason: Taken where a row does not say why its completion ended.

    Raises:
        DataError: A file or a row cannot be used.
    """
    registry = registry_with(tasks_dir)
    saved = read_completions(path, task=task, registry=registry, finish_reason=finish_reason)
    items = None
    if data_dir is not None:
        names = tuple(dict.fromkeys(answer.task for answer in saved.answers))
        asked = Tasks(folder=data_dir, names=names)
        items = [item for name in names for item in task_items(asked, registry, name)]
    records = rescore(saved.answers, registry, items)
    accuracy = accuracy_table({Path(path).stem: group_by_task(records)}, registry=registry)
    return Rescored(records, summarise_changes(saved.answers, records), accuracy, saved.notes)


def task_items(tasks: Tasks, registry: TaskRegistry, name: str) -> list[Item]:
    """The items of one task.

    Raises:
        DataError: Its file is missing, or a row cannot be used.
    """
    task = registry.get(name)
    return read_task_items(task, task_place(tasks, task))
