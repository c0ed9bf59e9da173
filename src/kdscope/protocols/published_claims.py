"""Claims of the published study as numbers of its tables, and how far the rigorous protocol confirms them."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator
from dataclasses import asdict, dataclass
from typing import Any

import numpy as np
import pandas as pd

from kdscope.protocols.published_gains import mean_by, model_size, published_gains, with_average
from kdscope.results.column_names import ACCURACY, ADAPTED, AVERAGE, SFT, UNADAPTED, is_distilled
from kdscope.results.formatting import format_p
from kdscope.results.hypotheses import (
    CONFIRMATORY,
    EXPLORATORY,
    H1,
    H1_ANOVA,
    H1_STUDENT,
    H2,
    H3,
    H3_2,
    H4,
    H5,
    LARGEST_GAIN,
    TEMPERATURE,
    UNADAPTED_TEACHER,
    is_significant,
)

GAIN_BY_STUDENT = "gain_by_student"
"""A claim of the paper that no hypothesis stands for."""
_PAIR = ["domain", "teacher", "student", "family"]


@dataclass(frozen=True, slots=True)
class Claim:
    """One number behind a claim.

    Attributes:
        domain: domain of the table.
        claim: ``gain_by_student``, ``largest_gain``, ``temperature`` or ``unadapted_teacher``.
        subject: student, cell or setting that it is about.
        task: its task.
        value: in percentage points.
        low: smallest of the values it summarises; NaN where it is the largest of them.
        high: largest of them; NaN likewise.
        n: how many they are.
        definition: how it is computed.
    """

    domain: str
    claim: str
    subject: str
    task: str
    value: float
    low: float
    high: float
    n: int
    definition: str


def published_claims(table: pd.DataFrame) -> pd.DataFrame:
    """The derived claims of the published study, on a tidy table.

    Gains are those of `published_gains`, maxima over temperatures included; accuracies are on `Average`, the unweighted
    mean over tasks, unless the task is named. Nothing here is tested: these are the numbers as the paper reads them.

    - ``gain_by_student``: mean gain over the cells (teacher, family) of each student, students by size.
    - ``largest_gain``: the largest gain of any cell on any single task, and the largest on the average.
    - ``temperature``: mean gain at each temperature over the pairs of teacher and student that a family was run with at
      all of its temperatures: no maximum, the same pairs at each.
    - ``unadapted_teacher``: mean difference in accuracy when the teacher was not trained on the task, same teacher,
      student, family and temperature.

    Args:
        table: a tidy table of one study in percent.

    Returns:
        One row per number, columns the attributes of `Claim`.

    Raises:
        StatisticsError: as `published_gains`.
    """
    gains, runs = published_gains(table), _runs(table)
    rows: list[Claim] = []
    for domain, cells in gains.groupby("domain", sort=False):
        own = runs[runs["domain"] == domain]
        rows += [
            *_by_student(str(domain), cells[cells["task"] == AVERAGE]),
            *_largest(str(domain), cells),
            *_temperatures(str(domain), own[own["teacher_condition"] != UNADAPTED]),
            *_unadapted(str(domain), own),
        ]
    return pd.DataFrame([asdict(row) for row in rows], columns=list(Claim.__slots__))


def compare_with_abstract(claims: pd.DataFrame) -> pd.DataFrame:
    """Numbers of the paper's abstract beside those of its tables, domain by domain and reading by reading.

    The abstract does not say which students, cells or domains its numbers are of, so every reading that could be meant
    has a row; ``agrees`` says whether it rounds to what is printed. Numbers of ``ramesh2025`` only.

    Args:
        claims: of `published_claims`.

    Returns:
        Columns ``statement``, ``published``, ``domain``, ``reading``, ``value``, ``agrees``.
    """
    told = ["statement", "published", "domain", "reading", "value", "agrees"]
    rows = [
        (statement, published, domain, reading, (value := compute(own)), abs(value - published) <= tolerance)
        for statement, published, tolerance, reading, compute in _abstract()
        for domain, own in claims.groupby("domain", sort=False)
    ]
    return pd.DataFrame(rows, columns=told)


def _runs(table: pd.DataFrame) -> pd.DataFrame:
    """Average accuracy of every single run of a distilled student, seeds averaged; no maximum over anything."""
    table = with_average(table)
    rows = table[(table["metric"] == ACCURACY) & (table["task"] == AVERAGE)]
    runs = mean_by(rows[is_distilled(rows)], [*_PAIR, "temperature", "teacher_condition"])
    control = mean_by(rows[rows["method"] == SFT], ["domain", "student"])
    both: pd.DataFrame = runs.merge(control.rename(columns={"value": "control"}), on=["domain", "student"])
    return both.assign(gain=both["value"] - both["control"])


def _by_student(domain: str, cells: pd.DataFrame) -> Iterator[Claim]:
    measured = cells.dropna(subset="gain")
    for student in sorted(measured["student"].unique(), key=_by_size):
        gains = measured.loc[measured["student"] == student, "gain"]
        definition = "mean over cells (teacher, family) of the student's gain"
        yield _summary(domain, GAIN_BY_STUDENT, student, AVERAGE, gains, definition)


def _by_size(name: str) -> tuple[float, str]:
    size = model_size(name)
    return (math.inf if math.isnan(size) else size), name


def _largest(domain: str, cells: pd.DataFrame) -> Iterator[Claim]:
    for some, what in ((cells[cells["task"] != AVERAGE], "any task"), (cells[cells["task"] == AVERAGE], "the average")):
        measured = some.dropna(subset="gain")
        if measured.empty:
            continue
        cell = measured.iloc[int(measured["gain"].argmax())]
        subject = f"{cell['family']}, {cell['teacher']} to {cell['student']}"
        definition = f"largest gain of any cell on {what}"
        where = (domain, LARGEST_GAIN, subject, str(cell["task"]))
        yield Claim(*where, float(cell["gain"]), math.nan, math.nan, len(measured), definition)


def _temperatures(domain: str, runs: pd.DataFrame) -> Iterator[Claim]:
    for family, some in runs.groupby("family", sort=False):
        wide = some.pivot_table(index=["teacher", "student"], columns="temperature", values="gain").dropna()
        if wide.shape[1] < 2 or wide.empty:
            continue
        definition = "mean gain of the same pairs of teacher and student at each temperature"
        for temperature, gains in wide.items():
            yield _summary(domain, TEMPERATURE, f"{family} at {temperature:g}", AVERAGE, gains, definition)


def _unadapted(domain: str, runs: pd.DataFrame) -> Iterator[Claim]:
    keys = [*_PAIR, "temperature"]
    adapted = runs[runs["teacher_condition"] == ADAPTED]
    both = runs[runs["teacher_condition"] == UNADAPTED].merge(adapted, on=keys, suffixes=("", "_adapted"))
    for (family, temperature), some in both.groupby(["family", "temperature"], dropna=False):
        definition = "accuracy under the unadapted teacher minus that under the adapted one"
        subject = f"{family} at {temperature:g}"
        yield _summary(domain, UNADAPTED_TEACHER, subject, AVERAGE, some["value"] - some["value_adapted"], definition)


def _summary(domain: str, claim: str, subject: str, task: str, values: pd.Series[float], definition: str) -> Claim:
    numbers = values.to_numpy(dtype=np.float64)
    mean, low, high = float(numbers.mean()), float(numbers.min()), float(numbers.max())
    return Claim(domain, claim, subject, task, mean, low, high, numbers.size, definition)


def _abstract() -> Iterator[tuple[str, float, float, str, Callable[[pd.DataFrame], float]]]:
    """What the abstract says, its number in points, how far one may be off that rounds to it, a reading, and that."""
    smaller = ("smaller models improve by up to 10% on average", 10.0, 0.5)
    yield *smaller, "best cell of the smallest student", lambda claims: float(_students(claims)["high"].iloc[0])
    yield *smaller, "best cell of any student", lambda claims: float(_students(claims)["high"].max())
    yield *smaller, "mean of the student that gains most", lambda claims: float(_students(claims)["value"].max())
    yield "a peak task-specific gain of 22%", 22.0, 0.5, "largest gain on any task", _peak
    largest = "mean of the largest student"
    yield "about 1.3% for larger models", 1.3, 0.1, largest, lambda claims: float(_students(claims)["value"].iloc[-1])


def _students(claims: pd.DataFrame) -> pd.DataFrame:
    return claims[claims["claim"] == GAIN_BY_STUDENT]


def _peak(claims: pd.DataFrame) -> float:
    return float(claims.loc[(claims["claim"] == LARGEST_GAIN) & (claims["task"] != AVERAGE), "value"].iloc[0])


HOLDS, BEFORE = "holds", "only before adjustment"
CONTRADICTED, OPEN = "contradicted", "cannot be told"


@dataclass(frozen=True, slots=True)
class TestedClaim:
    """One claim of the paper, tested.

    Attributes:
        claim: what the paper says.
        domain: domain it is tested in.
        hypothesis: row of the protocols it stands for.
        group: its group.
        published_p: p-value by the paper's own protocol; NaN where it has no test.
        estimate: in percentage points, or points per unit of a slope.
        low: lower limit of 95%.
        high: upper limit.
        p_value: by the rigorous protocol, two-sided.
        p_one_sided: of the direction claimed; NaN for a claim without one.
        p_exact: two-sided, by all flips of the students' signs; NaN where students are not the units.
        p_adjusted: two-sided, after adjustment.
        verdict: ``holds``, ``only before adjustment``, ``contradicted`` or ``cannot be told``.
    """

    claim: str
    domain: str
    hypothesis: str
    group: str
    published_p: float
    estimate: float
    low: float
    high: float
    p_value: float
    p_one_sided: float
    p_exact: float
    p_adjusted: float
    verdict: str


EITHER, ANY = None, ""
_CLAIMS: tuple[tuple[str, str, str, int | None], ...] = (
    ("Distillation improves students over fine-tuning", H1, "all", 1),
    ("The smallest student gains (the abstract: up to 10% on average)", H1_STUDENT, "Qwen2.5-0.5B", 1),
    ("The largest student gains little (the abstract: about 1.3%)", H1_STUDENT, "Qwen2.5-7B", 1),
    ("On one task some student gains much (the abstract: 22%)", LARGEST_GAIN, ANY, 1),
    ("SeqKD (forward KL) improves students", H1, "SeqKD", 1),
    ("RevKD (reverse KL) improves students", H1, "RevKD", 1),
    ("GKD improves students", H1, "GKD", 1),
    ("Methods do not differ", H1_ANOVA, "all", 0),
    ("The teacher's performance has minimal impact on the gain", H2, "all", 0),
    ("Task expertise matters: a teacher that was not trained on it teaches worse", UNADAPTED_TEACHER, "SeqKD", -1),
    ("Smaller students gain more, larger ones less", H3, "all", -1),
    ("Students that are worse under SFT gain more", H3_2, "all", -1),
    ("Agreement with the teacher goes with the gain", H4, "all", 1),
    ("Gains are not aligned with fidelity to the teacher's reasoning", H5, "all", 0),
    ("Smoothing the logits matters: SeqKD at temperature 2", TEMPERATURE, "SeqKD at 2 instead of 1", EITHER),
    ("Smoothing the logits matters: SeqKD at temperature 5", TEMPERATURE, "SeqKD at 5 instead of 1", EITHER),
    ("Smoothing the logits matters: RevKD at temperature 2", TEMPERATURE, "RevKD at 2 instead of 1", EITHER),
    ("Smoothing the logits matters: RevKD at temperature 5", TEMPERATURE, "RevKD at 5 instead of 1", EITHER),
)
"""What is claimed, by which test, of whom, and in which direction (0: that there is no effect; EITHER: some effect)."""


def reanalyse(published: pd.DataFrame, rigorous: pd.DataFrame) -> pd.DataFrame:
    """Claim by claim, both protocols' results on the average over tasks.

    A claim of an effect holds where the adjusted two-sided p-value is at most .05 in the direction claimed (if one is),
    and is contradicted where it is in the other one. Otherwise it holds only before adjustment, or cannot be told: the
    interval then contains the claim as well as no effect, or there is no test. A claim of *no* effect is contradicted
    where there is one; that none is found proves nothing, so that otherwise it cannot be told. Beside the two-sided
    p-value, on which the verdict rests, stand the one-sided one of a claim with a direction and the exact one.

    Args:
        published: of `published_protocol`.
        rigorous: of `rigorous_protocol`.

    Returns:
        Columns are the attributes of `TestedClaim`.
    """
    rows = [asdict(verdict) for verdict in _verdicts(published, rigorous)]
    return pd.DataFrame(rows, columns=list(TestedClaim.__slots__))


def _verdicts(published: pd.DataFrame, rigorous: pd.DataFrame) -> Iterator[TestedClaim]:
    main = rigorous[rigorous["role"].isin([CONFIRMATORY, EXPLORATORY])]
    for claim, hypothesis, group, direction in _CLAIMS:
        rows = main[(main["hypothesis"] == hypothesis) & ((main["group"] == group) | (group == ANY))]
        for row in rows.to_dict("records"):
            yield TestedClaim(
                *(claim, row["domain"], hypothesis, row["group"], _published_p(published, row)),
                *(row["estimate"], row["low"], row["high"], row["p_value"]),
                *(_one_sided(row, direction), row["p_exact"], row["p_adjusted"]),
                verdict=_verdict(row, direction),
            )


def _published_p(published: pd.DataFrame, row: dict[Any, Any]) -> float:
    same = published[
        (published["domain"] == row["domain"])
        & (published["hypothesis"] == row["hypothesis"])
        & (published["group"] == row["group"])
        & (published["task"] == AVERAGE)
    ]
    return float(same["p_value"].iloc[0]) if len(same) else float("nan")


def _verdict(row: dict[Any, Any], direction: int | None) -> str:
    as_claimed = direction is EITHER or direction * row["statistic"] > 0
    if is_significant(row["p_adjusted"]):
        return HOLDS if as_claimed else CONTRADICTED
    if direction == 0:
        return OPEN
    return BEFORE if as_claimed and is_significant(row["p_value"]) else OPEN


def _one_sided(row: dict[Any, Any], direction: int | None) -> float:
    """P-value of an effect in the direction claimed, from the two-sided one of a symmetric statistic."""
    if not direction:
        return float("nan")
    half = float(row["p_value"]) / 2
    return half if direction * row["statistic"] > 0 else 1 - half


def verdict_row(verdict: dict[str, object]) -> list[str]:
    """A verdict as cells of a table, under `HEADINGS`."""
    estimate, low, high = (float(str(verdict[name])) for name in ("estimate", "low", "high"))
    interval = "-" if low != low else f"{low:.2f} to {high:.2f}"
    p_values = [
        float(str(verdict[name])) for name in ("published_p", "p_value", "p_one_sided", "p_exact", "p_adjusted")
    ]
    published, *shown = ("-" if p != p else format_p(p) for p in p_values)
    told = "-" if estimate != estimate else f"{estimate:+.2f}"
    claim, outcome = str(verdict["claim"]), str(verdict["verdict"])
    return [claim, str(verdict["hypothesis"]), published, told, interval, *shown, outcome]


HEADINGS = (
    *("claim", "test", "published p", "estimate", "95% interval", "p", "one-sided p", "exact p", "adjusted p"),
    "verdict",
)
"""Of a table of verdicts."""
