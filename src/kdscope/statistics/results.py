"""One row of the rigorous protocol: a number, how sure it is, and what it may be used for."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from dataclasses import asdict, dataclass, replace

import pandas as pd

from kdscope.statistics.estimates import Estimate
from kdscope.statistics.multiplicity import benjamini_yekutieli, holm

CONFIRMATORY, EXPLORATORY, DETAIL, SENSITIVITY = "confirmatory", "exploratory", "detail", "sensitivity"
"""Roles: the one primary question; other questions asked of a study; the same by method or task; other choices."""
EQUIVALENCE, EFFECT = "equivalence", "effect_size"
WITHIN = "within students"
"""The group of a relation over cells, each student's own level taken out."""
TWO_WAY = "two-way bootstrap"
"""The test that answers ``H1-grid`` once more."""
CORRELATIONS = ("H2", "H3", "H3.2", "H4", "H5")


@dataclass(frozen=True, slots=True)
class RigorousResult:
    """One test with its estimate.

    Attributes:
        protocol: ``rigorous``.
        domain: domain of the table.
        hypothesis: ``H1`` to ``H5`` as in the published protocol; ``H1-student`` (the primary question),
            ``H1-grid``, ``equivalence``, ``temperature``, ``unadapted_teacher``, ``largest_gain``; on item records
            ``cell``, ``method``, ``ablation``, ``best_temperature``; ``effect_size`` is no test: ``test`` names the
            effect (`effects.EffectSize`) that ``estimate`` and limits are of.
        group: whom it is about: ``all``, a method family, a student, a cell, or `WITHIN`.
        task: task, `Average` where it is the mean over tasks.
        test: name of the test.
        statistic: t or F; NaN where the test is not defined.
        p_value: two-sided; NaN where the test is not defined.
        n: independent units.
        estimate: in percentage points (per ``per`` for a slope).
        low: lower limit of 95% (90% for equivalence).
        high: upper limit.
        p_adjusted: within the row's family (`results_frame`): by Holm's method, for correlations by Benjamini and
            Yekutieli's, for cells of item records by max-T, or by Holm's with several training seeds.
        note: warnings, a sentence each.
        unit: what ``n`` counts.
        per: what a slope is per; empty for a difference.
        role: ``confirmatory``, ``exploratory``, ``detail`` or ``sensitivity``.
        detectable: smallest difference that would have been found with power 0.8 at the level after adjustment.
        margin: of equivalence; NaN elsewhere.
    """

    protocol: str
    domain: str
    hypothesis: str
    group: str
    task: str
    test: str
    statistic: float
    p_value: float
    n: int
    estimate: float
    low: float
    high: float
    p_adjusted: float = float("nan")
    note: str = ""
    unit: str = "students"
    per: str = ""
    role: str = EXPLORATORY
    detectable: float = float("nan")
    margin: float = float("nan")


def result_of(
    found: Estimate, domain: str, hypothesis: str, group: str, task: str, test: str, **more: object
) -> RigorousResult:
    """A result from an estimate; ``more`` are further attributes."""
    row = RigorousResult(
        *("rigorous", domain, hypothesis, group, task, test, found.statistic, found.p_value),
        *(found.n, found.value, found.low, found.high),
    )
    return replace(row, **more)  # type: ignore[arg-type]


def results_frame(results: Iterable[RigorousResult]) -> pd.DataFrame:
    """One row per result, p-values adjusted within families.

    Families: all confirmatory rows together (Holm); of each domain and role the questions on mean gains, on students,
    on equivalence and on ablations, each by itself (Holm), and the correlations (Benjamini and Yekutieli). The two-way
    bootstrap asks nothing that is not asked already: it counts by itself, and makes no other row stricter. An adjusted
    p-value that a row brings along stays.
    """
    frame = pd.DataFrame([asdict(result) for result in results], columns=list(RigorousResult.__slots__))
    for rows in _families(frame[frame["p_adjusted"].isna()]):
        adjust = benjamini_yekutieli if rows["hypothesis"].iloc[0] in CORRELATIONS else holm
        frame.loc[rows.index, "p_adjusted"] = adjust(rows["p_value"].to_numpy())
    return frame


def _families(frame: pd.DataFrame) -> Iterator[pd.DataFrame]:
    domain = frame["domain"].where(frame["role"] != CONFIRMATORY, "")
    families = dict.fromkeys(CORRELATIONS, "screen") | dict.fromkeys(("H1", "H1-grid", "H1-anova", "method"), "gain")
    families |= dict.fromkeys(("temperature", "unadapted_teacher", "ablation"), "ablation")
    kind = frame["hypothesis"].map(lambda name: families.get(name, name)).mask(frame["test"] == TWO_WAY, TWO_WAY)
    for _, rows in frame.groupby([domain, frame["role"], kind], sort=False):
        yield rows


def noted(*sentences: str) -> str:
    """Warnings as one text, empty ones left out."""
    return " ".join(sentence for sentence in sentences if sentence)


def few(count: int, what: str, enough: int = 5, *, slope: bool = False) -> str:
    """A warning that there are few units for a mean or a slope, or nothing; ``what`` begins with their plural.

    Example:
        >>> few(1, "students")
        'One student: nothing can be said about students in general.'
    """
    if count >= enough:
        return ""
    if slope and count == 2:
        return f"Only 2 {what}: a slope needs three."
    if count > 1:
        return f"Only {count} {what}: the interval is wide and rests on normality."
    units, _, rest = what.partition(" ")
    none = "One" if count else "No"
    return f"{none} {units[:-1]}{' ' * bool(rest)}{rest}: nothing can be said about {units} in general."


def in_points(found: Estimate) -> Estimate:
    """An estimate of a fraction in percentage points."""
    return Estimate(
        *(100 * found.value, 100 * found.stderr, found.df, 100 * found.low, 100 * found.high),
        *(found.p_value, found.n, found.confidence),
    )
