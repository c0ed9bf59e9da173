"""The pooled gains over SFT of single checkpoints, item by item; verdicts on methods come from `findings`.

In tables for papers a gain is marked only where its 95% interval excludes 0 and its Holm-adjusted p-value is below .05.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from enum import Enum

from kdscope.results.formatting import is_missing, points
from kdscope.results.labels import CellName
from kdscope.results.tables import ReportTables, pooled, records, select

LEVEL = 0.05
"""The level of Holm's adjusted p-values at which a gain counts as established."""


class Verdict(Enum):
    """What a gain's interval and adjusted p-value allow to be said."""

    BETTER = "better"
    WORSE = "worse"
    ALONE = "excludes 0 alone"
    UNCLEAR = "includes 0"
    UNKNOWN = "no interval"


def verdict_of(low: float, high: float, p_holm: float) -> Verdict:
    """What may be said of a gain with these limits and this adjusted p-value.

    >>> verdict_of(0.01, 0.03, 0.002).value, verdict_of(-0.03, -0.01, 0.2).value
    ('better', 'excludes 0 alone')
    """
    if is_missing(low) or is_missing(high):
        return Verdict.UNKNOWN
    if low <= 0 <= high:
        return Verdict.UNCLEAR
    if is_missing(p_holm) or p_holm >= LEVEL:
        return Verdict.ALONE
    return Verdict.BETTER if low > 0 else Verdict.WORSE


@dataclass(frozen=True)
class Gain:
    """One pooled comparison with SFT."""

    name: CellName
    gain: float
    low: float
    high: float
    p_holm: float
    items: int

    @property
    def without_test(self) -> str:
        """The gain with its pointwise interval."""
        if is_missing(self.low) or is_missing(self.high):
            return f"{points(self.gain)} (no interval)"
        return f"{points(self.gain)} (95% CI {points(self.low)} to {points(self.high)})"


def pooled_gains(tables: ReportTables, scoring: str, names: Mapping[str, CellName]) -> list[Gain]:
    """The comparisons with SFT over all items together, in the order of their cells."""
    rows = pooled(select(tables.gains, scoring=scoring))
    return [
        Gain(names[row["cell"]], row["gain"], row["low"], row["high"], row["p_holm"], int(row["items"]))
        for row in records(rows[rows["gain"].notna()])
    ]
