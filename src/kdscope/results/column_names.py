"""Column names of a tidy table of results, and the values that mean something in them."""

from __future__ import annotations

from typing import TYPE_CHECKING

from kdscope.results.methods import BASE as BASE
from kdscope.results.methods import SFT as SFT

if TYPE_CHECKING:
    import pandas as pd

REQUIRED = ("student", "method", "task", "value")
COLUMNS = (
    *("study", "domain", "teacher", "student", "method", "family"),
    *("temperature", "teacher_condition", "seed", "task", "metric", "value"),
)
MODEL = ("study", "domain", "teacher", "student", "method", "temperature", "teacher_condition", "seed")
"""What tells one trained model from another."""
CELL = (*MODEL, "task", "metric")
"""What tells one value of a table from another."""
ITEMS = "items"
"""Optional column of a table: how many items the task's test set has."""
ITEM_STDERR = "item_stderr"
"""Optional column of a table, at the task that conclusions are drawn on: standard error, in points, that the choice of
items leaves in the student's mean gain."""
TEACHER = "teacher"
"""A teacher itself among item records, in the column ``method``."""
ACCURACY, AGREEMENT, FIDELITY = "accuracy", "agreement", "fidelity"
"""Metrics that the published protocol knows."""
AVERAGE = "Average"
"""The task that is a mean over tasks."""
ADAPTED, UNADAPTED = "adapted", "base"
"""Whether the teacher was trained on the students' task, in the column ``teacher_condition``."""
ANY_FAMILY = "any"
"""The family of a value that stands for every way of distilling this student from this teacher."""


def is_distilled(table: pd.DataFrame) -> pd.Series[bool]:
    """Which rows are of distilled students: neither the control nor the untrained model."""
    return ~table["method"].isin([SFT, BASE])
