"""What a table may mark: gains that are established, and the best method of a student where there is one.

Established: the 95% interval of the gain excludes 0, and its p-value, adjusted by Holm's method, is below .05. All
items together have one family of p-values, single tasks another: all of a study's students on all tasks.

Best: established, and the interval lies above those of all other students of the same model, of which there is at
least one. That is never too easy: two gains over one control differ by more than 1.96 (s1 + s2), which is at least
1.96 standard errors of their difference, however they are correlated.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import pandas as pd

from kdscope.report.gains import Verdict, verdict_of
from kdscope.report.paper import BETTER, WORSE
from kdscope.results.formatting import is_missing
from kdscope.results.labels import CellName
from kdscope.results.measures import POOLS
from kdscope.results.tables import records
from kdscope.statistics.multiplicity import holm

EXPLAINED = (
    f"{BETTER} ({WORSE}): better (worse) than SFT of the same student, by a 95% interval that excludes 0 and a "
    "Holm-adjusted p below .05 (on single tasks adjusted for all students and tasks). "
    "Bold: in addition, the student has other cells, and the interval of the gain lies above those of all of them. "
    "These are item-level statements about single checkpoints; what holds of methods is in the tables of statistics."
)
"""For captions."""


@dataclass(frozen=True)
class Mark:
    """What a gain is called."""

    sign: str = ""
    best: bool = False


def adjusted(gains: pd.DataFrame) -> pd.DataFrame:
    """The gains of one scoring, `p_holm` filled in for single tasks where it is missing: one family for all of them."""
    single = ~gains["task"].isin(POOLS) & gains["p_holm"].isna()
    filled = gains["p_holm"].astype("float64").copy()
    filled[single] = holm(gains.loc[single, "p_value"].to_numpy(dtype="float64"))
    return gains.assign(p_holm=filled)


def gain_marks(gains: pd.DataFrame, names: Mapping[str, CellName]) -> dict[tuple[str, str], Mark]:
    """The mark of every (cell, task), from `adjusted` gains."""
    found: dict[tuple[str, str], Mark] = {}
    model = gains["cell"].map({cell: name.model for cell, name in names.items()})
    for (_, task), part in gains.groupby([model, "task"], sort=False):
        rows = records(part)
        for row in rows:
            others = [other for other in rows if other["cell"] != row["cell"]]
            sign = _sign(row)
            found[str(row["cell"]), str(task)] = Mark(sign, sign == BETTER and _above(row, others))
    return found


def _sign(row: Mapping[str, Any]) -> str:
    verdict = verdict_of(row["low"], row["high"], row["p_holm"])
    return {Verdict.BETTER: BETTER, Verdict.WORSE: WORSE}.get(verdict, "")


def _above(row: Mapping[str, Any], others: list[dict[str, Any]]) -> bool:
    return bool(others) and all(not is_missing(other["high"]) and row["low"] > other["high"] for other in others)
