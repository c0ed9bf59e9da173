"""One row of the rigorous protocol: a number, how sure it is, and what it may be used for."""

from __future__ import annotations

import math
from collections.abc import Iterable, Iterator
from dataclasses import asdict, dataclass, replace
from typing import Any

import numpy as np
import pandas as pd
from numpy.typing import ArrayLike, NDArray
from scipy import stats

from kdscope.results.hypotheses import (
    BENJAMINI_YEKUTIELI,
    CONFIRMATORY,
    DETAIL,
    EFFECT,
    EQUIVALENCE,
    EXPLORATORY,
    H1_GRID,
    LARGEST_GAIN,
    NONINFERIORITY,
    SENSITIVITY,
    hypothesis,
    is_significant,
)
from kdscope.statistics.crossed import bootstrap_mean
from kdscope.statistics.effects import EffectSize, cliffs_delta, hedges_g, matched_odds_ratio
from kdscope.statistics.estimates import Estimate
from kdscope.statistics.multiplicity import benjamini_yekutieli, holm
from kdscope.statistics.run_contrasts import CHECKPOINTS, RUNS, Contrast
from kdscope.statistics.run_noise import detectable_gain

WITHIN = "within students"
"""The group of a relation over cells, each student's own level taken out."""
TWO_WAY = "two-way bootstrap"
"""The test that answers ``H1-grid`` once more."""


@dataclass(frozen=True, slots=True)
class RigorousResult:
    """One test with its estimate.

    Attributes:
        protocol: ``rigorous``.
        domain: domain of the table.
        hypothesis: ``H1`` to ``H5`` as in the published protocol; ``H1-student`` (the primary question),
            ``H1-grid``, ``equivalence``, ``temperature``, ``unadapted_teacher``, ``largest_gain``; on item records
            ``cell``, ``method``, ``ablation``, ``best_temperature`` and the likeness to the teacher
            (`fidelity_gains`). Two are no tests: of ``effect_size``, ``test`` names the effect (`effects.EffectSize`)
            that ``estimate`` and limits are of; of ``variance``, ``estimate`` is the standard deviation of ``group``.
        group: whom it is about: ``all``, a method family, a student, a cell, or `WITHIN`.
        task: task, `Average` where it is the mean over tasks.
        test: name of the test.
        statistic: t or F; NaN where the test is not defined.
        p_value: two-sided; NaN where the test is not defined. Of ``equivalence`` and ``fidelity_noninferiority``: of
            the hypothesis that the margin is reached.
        n: independent units.
        estimate: in percentage points (per ``per`` for a slope).
        low: lower limit of 95% (90% for equivalence and non-inferiority).
        high: upper limit.
        p_adjusted: within the row's family (`results_frame`): by Holm's method, for correlations by Benjamini and
            Yekutieli's, for cells of item records by max-T, or by Holm's with several training seeds.
        note: warnings, a sentence each.
        unit: what ``n`` counts.
        per: what a slope is per; empty for a difference.
        role: ``confirmatory``, ``exploratory``, ``detail`` or ``sensitivity``.
        detectable: smallest difference that would have been found with power 0.8 at the level after adjustment.
        margin: of equivalence and non-inferiority; NaN elsewhere.
        low_simultaneous: lower limit that holds for the whole family at once with 95%, beside ``p_adjusted``.
        high_simultaneous: upper limit.
        scope: ``runs`` (items and training runs are random), ``checkpoints`` (items are: it is about these trained
            models), or empty (students are the units, or it is no difference of models).
        student: whom the row is about, if one.
        teacher: likewise.
        method: likewise; of two methods the first.
        reference: the second of two methods, or ``sft``.
        temperature: likewise; NaN where there is none.
        ablation: what is different from a main setting; empty for one.
        runs: training runs of the first side; 0 where that says nothing.
        control_runs: of the other side.
        run_sd: standard deviation of one training run, in points, of the noisiest group in the interval; where the run
            variance of a side is not known, that of the groups where it is.
        item_stderr: standard error from items alone, without what runs vary by from item to item.
        p_exact: two-sided, by all flips of the units' signs (`estimates.sign_flips`), where units are students and few
            enough; it assumes no normal distribution, and cannot be below ``2^(1 - units)``.
        stderr: standard error of the estimate.
        df: degrees of freedom of the error.
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
    low_simultaneous: float = float("nan")
    high_simultaneous: float = float("nan")
    scope: str = ""
    student: str = ""
    teacher: str = ""
    method: str = ""
    reference: str = ""
    temperature: float = float("nan")
    ablation: str = ""
    runs: int = 0
    control_runs: int = 0
    run_sd: float = float("nan")
    item_stderr: float = float("nan")
    p_exact: float = float("nan")
    stderr: float = float("nan")
    df: float = float("nan")


def result_of(
    found: Estimate, domain: str, hypothesis: str, group: str, task: str, test: str, **more: object
) -> RigorousResult:
    """A result from an estimate; ``more`` are further attributes."""
    row = RigorousResult(
        *("rigorous", domain, hypothesis, group, task, test, found.statistic, found.p_value),
        *(found.n, found.value, found.low, found.high),
        stderr=found.stderr,
        df=found.df,
    )
    return replace(row, **more)  # type: ignore[arg-type]


def contrast_result(
    contrast: Contrast, domain: str, hypothesis: str, group: str, task: str, **more: object
) -> RigorousResult:
    """A result from a contrast of runs in points: its scope, its test and its runs, and what limits it as a note."""
    test = "t over items and runs" if contrast.scope == RUNS else "t over items"
    note = noted(scope_note(contrast), str(more.pop("note", "")))
    told = {"scope": contrast.scope, "runs": contrast.runs, "control_runs": contrast.reference_runs}
    told |= {"run_sd": contrast.run_sd, "item_stderr": contrast.item_stderr, "unit": "items", "note": note}
    return result_of(contrast.found, domain, hypothesis, group, task, str(more.pop("test", test)), **(told | more))


_ABOUT_CHECKPOINTS = "this is about these checkpoints, not about the method."


def scope_note(contrast: Contrast) -> str:
    """What a reader must know of the runs behind a contrast."""
    if contrast.reason:
        least = f" Runs of other settings have a standard deviation of {contrast.run_sd:.1f} points or more."
        return f"No claim: {contrast.reason}.{least if contrast.run_sd == contrast.run_sd else ''}"
    if contrast.scope == CHECKPOINTS:
        single = contrast.runs == contrast.reference_runs == 1
        return f"One training run {'a side' if single else 'of each setting'}: {_ABOUT_CHECKPOINTS}"
    if contrast.found.df < 8 and min(contrast.runs, contrast.reference_runs) < 5:
        return f"Few runs were repeated: {contrast.found.df:.1f} degrees of freedom."
    return ""


def results_frame(results: Iterable[RigorousResult]) -> pd.DataFrame:
    """One row per result, p-values adjusted within families.

    Families: all confirmatory rows together (Holm); of each domain and role the questions on mean gains, on students,
    on equivalence and on ablations, each by itself (Holm), and the correlations (Benjamini and Yekutieli). The two-way
    bootstrap asks nothing that is not asked already: it counts by itself, and makes no other row stricter. An adjusted
    p-value that a row brings along stays. Rows without a p-value are not in a family.

    Simultaneous limits are Bonferroni's (Dunn 1961, JASA 56:52) over the family's rows, made to say the same as the
    adjusted p-value: where Holm's method, which is sharper, rejects, they end at 0 (for equivalence and non-inferiority
    at the margin), and where max-T does not they reach it (Guilbaud 2008, Biom J 50:678, on limits beside step-down
    tests). Correlations have none: a false discovery rate has no simultaneous limits. A row that brings its adjusted
    p-value along brings its limits too.
    """
    frame = pd.DataFrame([asdict(result) for result in results], columns=list(RigorousResult.__slots__))
    frame.loc[frame["p_value"].isna(), "p_adjusted"] = float("nan")
    own = frame["p_adjusted"].notna() & (frame["hypothesis"] == LARGEST_GAIN)
    for rows in _families(frame):
        asked = rows[rows["p_value"].notna()]
        open_rows = asked[asked["p_adjusted"].isna()]
        screen = hypothesis(rows["hypothesis"].iloc[0]).adjustment == BENJAMINI_YEKUTIELI
        if len(open_rows):
            adjust = benjamini_yekutieli if screen else holm
            frame.loc[open_rows.index, "p_adjusted"] = adjust(open_rows["p_value"].to_numpy())
        if not screen:
            limits = [_simultaneous(frame.loc[index], len(asked)) for index in asked.index if not own[index]]
            columns = ["low_simultaneous", "high_simultaneous"]
            frame.loc[[index for index in asked.index if not own[index]], columns] = np.array(limits).reshape(-1, 2)
    return frame


def _simultaneous(row: pd.Series[Any], tests: int) -> tuple[float, float]:
    """Limits of one row of a family of so many, consistent with its adjusted p-value."""
    estimate, margin, rejected = float(row["estimate"]), float(row["margin"]), is_significant(row["p_adjusted"])
    tail = round(1 - hypothesis(row["hypothesis"]).confidence / 100, 12) / 2
    reach = float(row["stderr"]) * float(stats.t.isf(tail / tests, row["df"]))
    low, high = estimate - reach, estimate + reach
    if row["hypothesis"] == EQUIVALENCE:
        inside = max(low, -margin), min(high, margin)
        return inside if rejected else (low, high)
    if row["hypothesis"] == NONINFERIORITY:
        return (max(low, -margin) if rejected else low), high
    if rejected:
        return (max(low, 0.0), high) if estimate > 0 else (low, min(high, 0.0))
    return min(low, 0.0), max(high, 0.0)


def _families(frame: pd.DataFrame) -> Iterator[pd.DataFrame]:
    domain = frame["domain"].where(frame["role"] != CONFIRMATORY, "")
    family = (
        frame["hypothesis"].map(lambda name: hypothesis(name).family or name).mask(frame["test"] == TWO_WAY, TWO_WAY)
    )
    for _, rows in frame.groupby([domain, frame["role"], family], sort=False):
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


def effects_over_students(domain: str, task: str, distilled: ArrayLike, control: ArrayLike) -> Iterator[RigorousResult]:
    """Hedges' g of the students' gains, and Cliff's delta of distilled against fine-tuned students.

    Args:
        domain: of the table or records.
        task: that the accuracies are on.
        distilled: accuracy of each student distilled, shape [n]; NaN = not measured, left out.
        control: the same under SFT, shape [n].
    """
    both = np.column_stack([np.asarray(distilled, dtype=np.float64), np.asarray(control, dtype=np.float64)])
    both = both[~np.isnan(both).any(axis=1)]
    gains = both[:, 0] - both[:, 1]
    if len(gains) < 2:
        return
    if np.ptp(gains) > 1e-9 * np.abs(gains).max():
        yield _row(hedges_g(gains), domain, task, "all", len(gains), "students")
    yield _row(cliffs_delta(both[:, 0], both[:, 1]), domain, task, "all", len(gains), "students")


def effect_of_pair(
    domain: str, task: str, group: str, first: NDArray[np.float64], second: NDArray[np.float64]
) -> Iterator[RigorousResult]:
    """Matched odds ratio of two models on the same items, shape [N]; none unless all values are right or wrong."""
    known = ~np.isnan(first) & ~np.isnan(second)
    a, b = first[known], second[known]
    if not np.isin(a, (0, 1)).all() or not np.isin(b, (0, 1)).all() or np.array_equal(a, b):
        return
    found = matched_odds_ratio(int(np.sum(a > b)), int(np.sum(b > a)))
    yield _row(found, domain, task, group, int(known.sum()), "items")


def _row(found: EffectSize, domain: str, task: str, group: str, n: int, unit: str) -> RigorousResult:
    nan = math.nan
    return RigorousResult(
        *("rigorous", domain, EFFECT, group, task, found.name, nan, nan, n, found.value, found.low, found.high),
        unit=unit,
        role=DETAIL,
    )


def resampled_mean(
    domain: str, task: str, grid: NDArray[np.float64], draws: int = 1999, seed: int = 0
) -> RigorousResult:
    """``H1-grid`` by `crossed.bootstrap_mean`.

    Args:
        domain: of the table or records.
        task: that the gains are on.
        grid: gain in points for each student and task, shape [S, T], complete, two or more each way.
        draws: resamples.
        seed: of the resamples.
    """
    found = bootstrap_mean(grid, draws, seed)
    return result_of(
        *(found, domain, H1_GRID, "all", task, TWO_WAY),
        role=SENSITIVITY,
        detectable=detectable_gain(found.stderr, found.df),
        note="Students and tasks drawn again, without a model of what varies: too wide an interval where single "
        "results vary more than students and tasks do.",
    )
