"""Does distillation beat fine-tuning: the primary question for each student, and what is asked beside it."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import replace
from itertools import combinations
from typing import Any

import pandas as pd

from kdscope.protocols.results import (
    RigorousResult,
    contrast_result,
    effects_over_students,
    few,
    noted,
    resampled_mean,
    result_of,
)
from kdscope.protocols.table_runs import (
    LUCK_UNKNOWN,
    PAIR,
    DomainRuns,
    KnownNoise,
    TableRuns,
    below_chance,
    over,
    over_temperatures,
)
from kdscope.results.column_names import AVERAGE, SFT
from kdscope.results.hypotheses import (
    CONFIRMATORY,
    DETAIL,
    EQUIVALENCE,
    EXPLORATORY,
    H1,
    H1_ANOVA,
    H1_GRID,
    H1_STUDENT,
    SENSITIVITY,
)
from kdscope.statistics.crossed import blocked_permutation, grid_effect
from kdscope.statistics.equivalence import Equivalence, tost_of_units
from kdscope.statistics.estimates import mean_over_units, sign_flips
from kdscope.statistics.run_contrasts import CHECKPOINTS, Contrast
from kdscope.statistics.run_noise import detectable_gain


def headline(domain: DomainRuns) -> str:
    """The task conclusions are drawn on: the average, or the only task there is."""
    return domain.tasks[-1]


def student_gains(
    domain: DomainRuns, tests: int, options: Mapping[str, int], known: KnownNoise | None = None
) -> Iterator[RigorousResult]:
    """The primary question: each student's gain over SFT, training runs random; ``tests`` in the family."""
    runs, warning = TableRuns(domain, headline(domain), known), below_chance(domain, headline(domain), options)
    for student in domain.runs.loc[domain.runs["task"] == headline(domain), "student"].unique():
        gain = runs.gain(str(student))
        if gain is not None:
            yield _student_gain(
                *(domain, runs, gain, str(student), str(student)),
                role=CONFIRMATORY,
                detectable=detectable_gain(gain.found.stderr, gain.found.df, 0.05 / max(1, tests)),
                warning=warning,
            )


def student_gains_by_family(domain: DomainRuns, known: KnownNoise | None = None) -> Iterator[RigorousResult]:
    """The same for each family by itself."""
    runs = TableRuns(domain, headline(domain), known)
    for family in sorted(domain.runs["family"].unique()):
        some = domain.runs[(domain.runs["task"] == headline(domain)) & (domain.runs["family"] == family)]
        for student in some["student"].unique():
            gain = runs.gain(str(student), str(family))
            if gain is not None:
                power = detectable_gain(gain.found.stderr, gain.found.df)
                named = f"{student} ({family})"
                yield _student_gain(
                    domain, runs, gain, str(student), named, role=DETAIL, detectable=power, method=str(family)
                )


def _student_gain(
    domain: DomainRuns, runs: TableRuns, gain: Contrast, student: str, group: str, *, warning: str = "", **more: Any
) -> RigorousResult:
    single = ""
    if gain.scope == CHECKPOINTS:
        single = f"{LUCK_UNKNOWN} The interval takes it to vary as the distilled runs do."
    row = contrast_result(
        *(gain, domain.name, H1_STUDENT, group, headline(domain)),
        note=noted(single, runs.without_items(student), warning),
        student=student,
        reference=SFT,
        **more,
    )
    return replace(row, unit="runs", test=row.test.replace("items", "pooled run noise") if single else row.test)


def count_students(domain: DomainRuns) -> int:
    """How many students have a gain: the size of the confirmatory family's part."""
    return int(domain.gains()["student"].nunique())


def pooled_gains(domain: DomainRuns, options: Mapping[str, int]) -> Iterator[RigorousResult]:
    """Mean gain with students as units: over all cells, by family and task, as effect sizes, and over temperatures."""
    gains = domain.gains()
    families = [("all", gains), *((str(name), cells) for name, cells in gains.groupby("family"))]
    for group, cells in families:
        wide = domain.of_students(cells)
        for task in wide:
            role = EXPLORATORY if task == headline(domain) else DETAIL
            yield _pooled(domain, group, str(task), wide[task], role, below_chance(domain, str(task), options))
    means = gains[gains["task"] == headline(domain)].groupby("student", sort=False)[["value", "control"]].mean()
    yield from effects_over_students(domain.name, headline(domain), means["value"], means["control"])
    averaged = domain.of_students(domain.gains(over_temperatures(domain.every)))
    note = f"Mean over all temperatures of a cell instead of temperature {domain.temperature:g}."
    yield _pooled(domain, "all", headline(domain), averaged[headline(domain)], SENSITIVITY, note)


def _pooled(
    domain: DomainRuns, group: str, task: str, gains: pd.Series[float], role: str, warning: str
) -> RigorousResult:
    found = mean_over_units(gains.to_numpy())
    power = detectable_gain(found.stderr, found.df)
    notes = noted(few(found.n, "students"), warning)
    where = (domain.name, H1, group, task, "t over students")
    return result_of(found, *where, role=role, detectable=power, note=notes, p_exact=sign_flips(gains.to_numpy()))


def gains_of_grid(domain: DomainRuns) -> Iterator[RigorousResult]:
    """Mean gain with students and tasks both random, over the students measured on all tasks; resampled too."""
    wide = domain.of_students(domain.gains()).drop(columns=AVERAGE, errors="ignore").dropna()
    if min(wide.shape) < 2:
        return
    found = grid_effect(wide.to_numpy())
    note = noted(
        few(found.students, "students"),
        f"Over {found.tasks} tasks. Standard deviations in points: student:method {found.student_variance**0.5:.1f}, "
        f"task:method {found.task_variance**0.5:.1f}, residual {found.residual_variance**0.5:.1f}; "
        f"{found.mean.df:.1f} degrees of freedom.",
    )
    yield result_of(
        *(found.mean, domain.name, H1_GRID, "all", headline(domain), "two-way random effects"),
        role=SENSITIVITY,
        detectable=detectable_gain(found.mean.stderr, found.mean.df),
        note=note,
    )
    yield resampled_mean(domain.name, headline(domain), wide.to_numpy())


def methods_differ(domain: DomainRuns) -> Iterator[RigorousResult]:
    """Whether families differ: permuted within students, each student's cells of a family as one value."""
    for task in domain.tasks:
        wide = _by_family(domain, task)
        f, p_value = blocked_permutation(wide.to_numpy())
        blocks = int(wide.notna().all(axis=1).sum())
        nan = float("nan")
        yield RigorousResult(
            *("rigorous", domain.name, H1_ANOVA, "all", task, "F permuted within students"),
            *(f, p_value, blocks, nan, nan, nan),
            role=EXPLORATORY if task == headline(domain) else DETAIL,
            note=few(blocks, "students"),
        )


def methods_equivalent(domain: DomainRuns, margin: float) -> Iterator[RigorousResult]:
    """Each two families within the margin of each other, students as units, the same teachers under both."""
    wide = _by_family(domain, headline(domain))
    for first, second in combinations(wide.columns, 2):
        found = tost_of_units((wide[first] - wide[second]).to_numpy(), margin)
        yield _equivalence(domain, f"{first} - {second}", found)


def _equivalence(domain: DomainRuns, group: str, found: Equivalence) -> RigorousResult:
    return RigorousResult(
        *("rigorous", domain.name, EQUIVALENCE, group, headline(domain), "two one-sided t tests"),
        *(float("nan"), found.p_value, found.n, found.difference, found.low, found.high),
        margin=found.margin,
        note=few(found.n, "students"),
    )


def _by_family(domain: DomainRuns, task: str) -> pd.DataFrame:
    """Accuracy by student and family, over the teachers that a student has all families of."""
    cells = over(domain.runs[domain.runs["task"] == task], [*PAIR, "family"])
    wide = cells.pivot_table(index=PAIR, columns="family", values="value", dropna=False).dropna()
    return wide.groupby("student", sort=False).mean()
