"""What limits conclusions from a table of results without making it useless: one sentence each."""

from __future__ import annotations

from collections.abc import Iterator

import pandas as pd

from kdscope.statistics.tidy import ACCURACY, AVERAGE, MODEL, SFT, is_distilled

_ROUNDING_PERCENT = 0.06
"""Tasks and average may each be rounded to one decimal."""


def table_warnings(table: pd.DataFrame) -> tuple[str, ...]:
    """Sentences on one student, students without a control on some task, and averages that are none.

    Args:
        table: A tidy table in percent; the index is what rows are called.
    """
    accuracy = table[table["metric"] == ACCURACY]
    return (*_few_students(accuracy), *_without_control(accuracy), *_wrong_averages(accuracy))


def _few_students(accuracy: pd.DataFrame) -> Iterator[str]:
    for domain, rows in accuracy[is_distilled(accuracy)].groupby("domain", sort=False):
        students = rows["student"].unique()
        if len(students) == 1:
            yield (
                f"{domain}: {students[0]} is the only distilled student, so nothing can be said about other students, "
                "or about the size of students."
            )


def _without_control(accuracy: pd.DataFrame) -> Iterator[str]:
    place = ["study", "domain", "student", "task"]
    known = pd.MultiIndex.from_frame(accuracy.loc[accuracy["method"] == SFT, place])
    distilled = accuracy[is_distilled(accuracy)]
    alone = distilled[~pd.MultiIndex.from_frame(distilled[place]).isin(known)]
    if not alone.empty:
        first = alone.iloc[0]
        yield (
            f"{len(alone)} values have no {SFT} value of their student and task and enter no gain "
            f"(row {alone.index[0]}: {first['student']}, {first['task']})."
        )


def _wrong_averages(accuracy: pd.DataFrame) -> Iterator[str]:
    # No temperature is 0 here: a missing one would not survive as part of an index.
    wide = accuracy.fillna({"temperature": 0}).set_index([*MODEL, "task"])["value"].unstack("task")
    if AVERAGE not in wide or wide.shape[1] < 2:
        return
    for domain, models in wide.groupby("domain", sort=False):
        tasks = models.drop(columns=AVERAGE).dropna(axis=1, how="all")
        difference = (tasks.mean(axis=1, skipna=False) - models[AVERAGE]).abs()
        wrong = difference[difference > _ROUNDING_PERCENT]
        if not wrong.empty:
            yield (
                f"{domain}: {len(wrong)} of {len(models)} models have an {AVERAGE} that is not the mean of their "
                f"tasks, off by up to {wrong.max():.2f}."
            )
