"""A tidy table of results as tables of a report: its models as cells, and accuracy, gains and fidelity with intervals.

Where the size of a test set is known and a number is a whole number of its items, the number has an interval: Wilson's
for a share. Of two models' answers a table does not say on which items they fell together. The interval of a gain is
that of two independent shares, which is wider than a paired one as long as two models of one family tend to fail on the
same items; there is no p-value, which would need the pairs. Both are about which items were asked, not about training.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from itertools import chain, count
from typing import Any

import numpy as np
import pandas as pd
from statsmodels.stats.proportion import proportion_confint

from kdscope.protocols.published_gains import model_size
from kdscope.results.column_names import (
    ACCURACY,
    ADAPTED,
    AGREEMENT,
    ANY_FAMILY,
    BASE,
    ITEMS,
    SFT,
    UNADAPTED,
    is_distilled,
)
from kdscope.results.column_names import AVERAGE as TIDY_AVERAGE
from kdscope.results.formatting import is_missing
from kdscope.results.measures import AVERAGE, POOLED
from kdscope.results.methods import ADAPT
from kdscope.results.tables import records
from kdscope.statistics.means import newcombe_difference
from kdscope.tasks import default_registry

UNPAIRED = "two shares taken as independent (Newcombe 1998, method 10), as the pairs are not known; no test"
_NO_CEILING = "no second run of the teacher was published"
Key = tuple[str, ...]
PAIR = "any method"
"""The variant of a cell that stands for every way of distilling a student from a teacher."""


@dataclass(frozen=True)
class Cells:
    """The cells of one domain.

    Attributes:
        frame: Table `cells` of a report.
        labels: The label of every model by `model_key`.
        teachers: The label of every teacher by name and condition.
    """

    frame: pd.DataFrame
    labels: Mapping[Key, str]
    teachers: Mapping[tuple[str, str], str]


def find_cells(table: pd.DataFrame) -> Cells:
    """The cells of the rows of one domain: teachers first, then student by student in the table's order.

    A teacher is a cell of its own: what the table tells of it as a fine-tuned (or untrained) model is its accuracy.
    """
    taken: set[str] = set()
    rows: list[dict[str, Any]] = []

    def add(label: str, role: str, method: str, model: str, **told: Any) -> str:
        label = unused(label, taken.__contains__)
        taken.add(label)
        size = model_size(model)
        parameters = None if np.isnan(size) else round(size * 1e9)
        about = {"cell": label, "role": role, "method": method, "state": "done", "parameters": parameters}
        rows.append(about | told)
        return label

    teachers = {
        (name, condition): add(
            f"teacher/{name}" if condition == ADAPTED else f"teacher/{name}@{condition}",
            *("teacher", ADAPT if condition == ADAPTED else BASE, name),
            teacher=name,
            teacher_condition=condition,
        )
        for name, condition in _teachers(table)
    }
    labels = {
        model_key(row): add(
            _label(row),
            *("base" if row["method"] == BASE else "student", row["method"], row["student"]),
            student=row["student"],
            seed=int(row["seed"]) if str(row["seed"]).lstrip("-").isdecimal() else None,
            **(_teaching(row) if row["method"] not in (SFT, BASE) else {}),
        )
        for row in _models(table, {name for name, _ in teachers})
    }
    return Cells(pd.DataFrame(rows), labels, teachers)


def unused(wanted: str, is_taken: Callable[[str], bool], form: str = "{} ({})") -> str:
    """The name, or it with the first number from 2 that makes it another than those taken.

    >>> unused("a", {"a", "a (2)"}.__contains__)
    'a (3)'
    """
    numbered = (form.format(wanted, number) for number in count(2))
    return next(name for name in chain([wanted], numbered) if not is_taken(name))


def model_key(row: Mapping[str, Any]) -> Key:
    """What tells the models of a domain apart. A control has no teacher, whoever it is compared with."""
    model = (row["student"], row["method"], row["seed"])
    if row["method"] in (SFT, BASE):
        return tuple(map(str, model))
    return tuple(map(str, (*model, row["teacher"], row["teacher_condition"], row["temperature"])))


def _teachers(table: pd.DataFrame) -> Iterator[tuple[str, str]]:
    """Every teacher, adapted and, where the table has it untrained or teaching so, as it came."""
    untrained = set(table.loc[table["method"] == BASE, "student"])
    unadapted = set(table.loc[table["teacher_condition"] == UNADAPTED, "teacher"])
    for name in dict.fromkeys(name for name in table["teacher"] if name):
        yield name, ADAPTED
        if name in untrained | unadapted:
            yield name, UNADAPTED


def _models(table: pd.DataFrame, teachers: set[str]) -> Iterator[dict[str, Any]]:
    """A row of every student, its untrained model and control first; models that only teach are no students."""
    students = set(table.loc[is_distilled(table), "student"])
    known: dict[str, dict[Key, dict[str, Any]]] = {}
    for row in records(table):
        if row["student"] in students or row["student"] not in teachers:
            known.setdefault(row["student"], {}).setdefault(model_key(row), row)
    first = {BASE: 0, SFT: 1}
    for models in known.values():
        yield from sorted(models.values(), key=lambda row: first.get(row["method"], 2))


def _label(row: Mapping[str, Any]) -> str:
    seed = f"/s{row['seed']}" if row["seed"] else ""
    if row["method"] in (SFT, BASE):
        return f"{row['student']}/{row['method']}{seed}"
    temperature = "" if is_missing(row["temperature"]) else f"-T{row['temperature']:g}"
    teacher = f"/{row['teacher']}" if row["teacher"] else ""
    condition = f"@{UNADAPTED}" if row["teacher_condition"] == UNADAPTED else ""
    return f"{row['student']}/{row['method']}{temperature}{teacher}{condition}{seed}"


def _teaching(row: Mapping[str, Any]) -> dict[str, Any]:
    condition = row["teacher_condition"] if row["teacher_condition"] in (ADAPTED, UNADAPTED) else None
    variant = PAIR if row["family"] == ANY_FAMILY else None
    teaching = {"teacher": row["teacher"] or None, "teacher_condition": condition, "variant": variant}
    return {**teaching, "kd_temperature": row["temperature"]}


@dataclass(frozen=True)
class Share:
    """A percentage as a share of items.

    Attributes:
        value: Between 0 and 1.
        items: Of the test set; None if not known.
        correct: How many of them; None where the number is not a whole number of them.
        low: Of Wilson's 95% interval; NaN where `correct` is None.
        high: Likewise.
    """

    value: float
    items: int | None
    correct: int | None
    low: float
    high: float

    @property
    def limits(self) -> tuple[float, float, float]:
        """The accuracy with its interval."""
        return self.value, self.low, self.high


def share_of(percent: float, items: int | None, decimals: int) -> Share:
    """The share that a percentage tells, where it is rounded to so many decimals.

    >>> found = share_of(31.24, 1319, 2)
    >>> found.correct, round(found.low, 4), round(found.high, 4)
    (412, 0.2879, 0.3379)
    >>> share_of(31.20, 1319, 2).correct is None
    True
    """
    correct = None if items is None else round(percent * items / 100)
    if items is None or correct is None or abs(100 * correct / items - percent) > 0.5 * 10**-decimals + 1e-9:
        return Share(percent / 100, items, None, math.nan, math.nan)
    low, high = proportion_confint(correct, items, method="wilson")
    return Share(percent / 100, items, correct, float(low), float(high))


def decimals_of(values: Sequence[float]) -> int:
    """To how many decimals the most exact of these numbers is told, up to six.

    >>> decimals_of([31.2, 6.82, 50.0])
    2
    """
    return max((len(f"{value:.6f}".rstrip("0").partition(".")[2]) for value in values), default=0)


def shares(table: pd.DataFrame) -> dict[tuple[Key, str], Share]:
    """The accuracy of every model on every task of a domain, means over tasks included."""
    rows = table[table["metric"] == ACCURACY]
    decimals = decimals_of(rows.loc[rows["task"] != TIDY_AVERAGE, "value"].tolist())
    return {
        (model_key(row), row["task"]): share_of(
            row["value"], None if row["task"] == TIDY_AVERAGE else _items(row), decimals
        )
        for row in records(rows)
    }


def shares_of_pairs(table: pd.DataFrame, temperature: float = 1.0) -> dict[tuple[Key, str], Share]:
    """For what is told of a pair of teacher and student, not of a method: the mean accuracy of its methods.

    Those of the adapted teacher at one temperature (or without any). The mean is no share of items and has no interval.
    """
    accuracy = table[(table["metric"] == ACCURACY) & is_distilled(table) & (table["teacher_condition"] != UNADAPTED)]
    accuracy = accuracy[(accuracy["temperature"] == temperature) | accuracy["temperature"].isna()]
    pairs = {model_key(row): row for row in records(table[table["family"] == ANY_FAMILY])}
    shares: dict[tuple[Key, str], Share] = {}
    for key, pair in pairs.items():
        same = (accuracy["student"] == pair["student"]) & (accuracy["teacher"] == pair["teacher"])
        for task, rows in accuracy[same].groupby("task", sort=False):
            items = None if task == TIDY_AVERAGE else _items(rows.iloc[0])
            shares[key, str(task)] = Share(float(rows["value"].mean()) / 100, items, None, math.nan, math.nan)
    return shares


def accuracy_rows(cells: Cells, shares: Mapping[tuple[Key, str], Share]) -> Iterator[dict[str, Any]]:
    """Table `accuracy`: students as the table tells them, and teachers as the fine-tuned and untrained models."""
    by_model: dict[Key, dict[str, Share]] = {}
    for (key, task), share in shares.items():
        by_model.setdefault(key, {})[task] = share
    for (teacher, condition), label in cells.teachers.items():
        method = SFT if condition == ADAPTED else BASE
        models = [key for key in by_model if key[:2] == (teacher, method)]
        # Of several runs of a model the table does not say which one taught.
        yield from _accuracies(label, by_model[models[0]]) if len(models) == 1 else ()
    for key, label in cells.labels.items():
        yield from _accuracies(label, by_model.get(key, {}))


def _accuracies(label: str, shares: Mapping[str, Share]) -> Iterator[dict[str, Any]]:
    of_tasks = {task: share for task, share in shares.items() if task != TIDY_AVERAGE}
    for task, share in shares.items():
        whole = task == TIDY_AVERAGE
        levels = [_chance(one) for one in of_tasks] if whole else [_chance(task)]
        chance = None if not levels or None in levels else float(np.mean([level or 0.0 for level in levels]))
        counts = [one.items for one in of_tasks.values()]
        items = (None if not counts or None in counts else sum(n or 0 for n in counts)) if whole else share.items
        yield {
            "cell": label,
            "task": AVERAGE if whole else task,
            "scoring": "published",
            "metric": "accuracy",
            "items": items,
            "correct": share.correct,
            "accuracy": share.value,
            "stderr": _stderr(share),
            "low": share.low,
            "high": share.high,
            "chance": chance,
            "below_chance": chance is not None and share.high < chance,
        }


def gain_rows(cells: Cells, shares: Mapping[tuple[Key, str], Share]) -> Iterator[dict[str, Any]]:
    """Table `gains`: every distilled student against SFT of the same student (and seed, if that has one)."""
    tasks = list(dict.fromkeys(task for _, task in shares if task != TIDY_AVERAGE))
    for key, label in cells.labels.items():
        control = _control(key, cells)
        if control is None:
            continue
        pairs = {
            task: (shares[key, task], shares[control, task])
            for task in tasks
            if (key, task) in shares and (control, task) in shares
        }
        named = {"cell": label, "control": cells.labels[control], "scoring": "published", "method_of_test": UNPAIRED}
        for task, (first, second) in pairs.items():
            yield {**named, "task": task, **_gain(first.items or 0, newcombe_difference(first.limits, second.limits))}
        if len(pairs) > 1:
            items, difference = _pooled_gain(list(pairs.values()))
            yield {**named, "task": POOLED, **_gain(items, difference)}


def _gain(items: int, difference: tuple[float, float, float]) -> dict[str, Any]:
    return {"items": items, **dict(zip(("gain", "low", "high"), difference, strict=True))}


def _pooled_gain(pairs: Sequence[tuple[Share, Share]]) -> tuple[int, tuple[float, float, float]]:
    """Over all items together; over tasks, each counting the same, where their sizes are not known."""
    sizes = [first.items for first, _ in pairs if first.items is not None]
    weights = sizes if len(sizes) == len(pairs) else None
    difference = float(np.average([first.value - second.value for first, second in pairs], weights=weights))
    counts = [(first.correct, second.correct) for first, second in pairs]
    if weights is None or any(None in pair for pair in counts):
        return sum(weights or [0]), (difference, math.nan, math.nan)
    total = sum(weights)
    first, second = (share_of(100 * sum(pair[side] or 0 for pair in counts) / total, total, 6) for side in (0, 1))
    return total, newcombe_difference(first.limits, second.limits)


def _control(key: Key, cells: Cells) -> Key | None:
    """SFT of the same student and seed; the only SFT run of the student otherwise."""
    student, method, seed = key[:3]
    runs = [other for other in cells.labels if other[:2] == (student, SFT)]
    if method in (SFT, BASE) or not runs:
        return None
    same = [run for run in runs if run[2] == seed]
    return same[0] if same else runs[0] if len(runs) == 1 else None


def fidelity_rows(table: pd.DataFrame, cells: Cells) -> Iterator[dict[str, Any]]:
    """Table `fidelity`: what the table tells of students and their teachers, the control's value beside it."""
    rows = [
        row for row in records(table[table["metric"] != ACCURACY]) if row["teacher"] and row["task"] != TIDY_AVERAGE
    ]
    decimals = decimals_of([row["value"] for row in rows])
    by_place: dict[tuple[str, str, str], dict[str, Share]] = {}
    for row in rows:
        condition = UNADAPTED if row["teacher_condition"] == UNADAPTED else ADAPTED
        place = (cells.labels[model_key(row)], cells.teachers[row["teacher"], condition], row["metric"])
        by_place.setdefault(place, {})[row["task"]] = share_of(row["value"], _items(row), decimals)
    controls = {label: cells.labels.get(_control(key, cells) or ()) for key, label in cells.labels.items()}
    for (cell, teacher, measure), of_student in by_place.items():
        of_control = by_place.get((str(controls[cell]), teacher, measure), {})
        both = _with_pool(of_student), _with_pool(of_control)
        for task, share in both[0].items():
            yield _fidelity((cell, teacher, measure), task, share, both[1].get(task))


def _with_pool(shares: Mapping[str, Share]) -> dict[str, Share]:
    """The shares with that over all items; over tasks where sizes are not known."""
    if len(shares) < 2:
        return dict(shares)
    sizes = [share.items for share in shares.values() if share.items is not None]
    weights = sizes if len(sizes) == len(shares) else None
    value = float(np.average([share.value for share in shares.values()], weights=weights))
    counts = [share.correct for share in shares.values()]
    if weights is None or None in counts:
        pool = Share(value, sum(weights) if weights else None, None, math.nan, math.nan)
    else:
        pool = share_of(100 * value, sum(weights), 6)
    return {**shares, POOLED: pool}


def _fidelity(place: tuple[str, str, str], task: str, share: Share, control: Share | None) -> dict[str, Any]:
    """Agreement is a share of items; other measures stay on the scale from 0 to 100 on which they are told."""
    cell, teacher, measure = place
    of_items = measure.startswith(AGREEMENT)
    scale = 1.0 if of_items else 100.0
    return {
        "cell": cell,
        "teacher_cell": teacher,
        "task": task,
        "family": "answers" if measure == AGREEMENT else None,
        "measure": measure,
        "value": scale * share.value,
        "low": share.low if of_items else None,
        "high": share.high if of_items else None,
        "items": share.items,
        "control": None if control is None else scale * control.value,
        "reason": "no control" if control is None else _NO_CEILING,
    }


def _items(row: Mapping[str, Any]) -> int | None:
    items = row.get(ITEMS)
    return None if items is None or is_missing(items) or not str(items).isdecimal() or not int(items) else int(items)


def _chance(task: str) -> float | None:
    registry = default_registry()
    return registry.get(task).chance if task in registry else None


def _stderr(share: Share) -> float:
    if share.correct is None or share.items is None or share.items < 2:
        return math.nan
    return math.sqrt(share.value * (1 - share.value) / (share.items - 1))
