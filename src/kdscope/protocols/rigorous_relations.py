"""What gains go with: each relation at the level at which it has independent units, shared parts taken out."""

from __future__ import annotations

from collections.abc import Iterator, Mapping

import numpy as np
import pandas as pd

from kdscope.protocols.likeness import chance_corrected
from kdscope.protocols.published_gains import model_size
from kdscope.protocols.results import RigorousResult, few, noted, result_of
from kdscope.protocols.rigorous_gains import headline
from kdscope.protocols.table_runs import PAIR, DomainRuns, TableRuns, over
from kdscope.results.column_names import AGREEMENT, ANY_FAMILY, AVERAGE, FIDELITY, UNADAPTED, is_distilled
from kdscope.results.hypotheses import DETAIL, EXPLORATORY, H2, H3, H3_2, H4, H5, SENSITIVITY
from kdscope.statistics.crossed import teacher_effects
from kdscope.statistics.estimates import Estimate
from kdscope.statistics.run_noise import RunNoise
from kdscope.statistics.slopes import ancova_slope, corrected_slope, slope_over_units

_CONFOUNDED = "Students differ in size as well, and so few cannot tell the two apart."


def relations(domain: DomainRuns, options: Mapping[str, int]) -> Iterator[RigorousResult]:
    """H2 to H5, on the average (exploratory) and on each task (detail), over all families.

    - ``H2``: effects of teachers, students' own levels taken out (`crossed.teacher_effects`), on the teacher's SFT
      accuracy; units are teachers.
    - ``H3``: the student's mean gain on the binary logarithm of its size; as sensitivity at equal SFT accuracy
      (`slopes.ancova_slope`).
    - ``H3.2``: its gain on its SFT accuracy, the error of that accuracy taken out (`slopes.corrected_slope`).
    - ``H4``: its mean gain on its agreement with its teachers beyond chance (`slopes.chance_corrected`).
    - ``H5``: its mean gain on the fidelity of its solutions.
    """
    for task in domain.tasks:
        yield _of_teachers(domain, task)
    gains = domain.of_students(domain.gains())
    size = np.log2([model_size(str(name)) for name in gains.index])
    for task in map(str, gains):
        found = slope_over_units(size, gains[task].to_numpy())
        yield _result(domain, H3, task, "slope over students", found, "doubling of size")
    yield from _at_equal_baseline(domain)
    for task in map(str, gains):
        yield _of_baseline(domain, task)
    for hypothesis, metric in ((H4, AGREEMENT), (H5, FIDELITY)):
        yield from _of_pairs(domain, gains, hypothesis, metric, options)


def _of_teachers(domain: DomainRuns, task: str) -> RigorousResult:
    pairs = over(domain.runs[domain.runs["task"] == task], PAIR)
    effects = teacher_effects(pairs["value"].to_numpy(), pairs["student"].tolist(), pairs["teacher"].tolist())
    own = domain.controls[domain.controls["task"] == task].groupby("student")["value"].mean()
    names = [str(name) for name in effects if name in own.index]
    found = slope_over_units([float(own[name]) for name in names], [effects[name] for name in names])
    note = few(found.n, "teachers with common students", slope=True)
    return _result(domain, H2, task, "slope over teachers", found, "point of the teacher's accuracy", note, "teachers")


def _of_baseline(domain: DomainRuns, task: str) -> RigorousResult:
    cells, noise, error = _baselines(domain, task)
    found = corrected_slope(cells["control"].to_numpy(), cells["value"].to_numpy(), error)
    naive = slope_over_units(cells["control"].to_numpy(), (cells["value"] - cells["control"]).to_numpy())
    note = f"Uncorrected slope {naive.value:+.3f}." if np.isfinite(naive.value) else ""
    note = note if noise.df > 0 else "Uncorrected: no repetition tells the noise."
    if np.isnan(found.value):
        note = noted(note, "The students' SFT accuracies differ too little beside the noise of single runs.")
    return _result(domain, H3_2, task, "Blomqvist's slope over students", found, "point of SFT accuracy", note)


def _at_equal_baseline(domain: DomainRuns) -> Iterator[RigorousResult]:
    """H3 by analysis of covariance: does size matter at equal accuracy under SFT?"""
    cells, noise, error = _baselines(domain, headline(domain))
    if noise.df > 0:
        size = np.log2([model_size(str(name)) for name in cells.index])
        found = ancova_slope(size, cells["control"], cells["value"], error)
        if np.isnan(found.p_value):
            return
        where = (domain.name, H3, "all", headline(domain), "analysis of covariance over students")
        note = noted("At equal accuracy under SFT.", few(found.n, "students"))
        yield result_of(found, *where, role=SENSITIVITY, per="doubling of size", note=note)


def _baselines(domain: DomainRuns, task: str) -> tuple[pd.DataFrame, RunNoise, float]:
    """Each student's accuracy distilled and under SFT, the noise of runs, and the error variance of the latter."""
    cells = domain.gains()
    cells = cells[cells["task"] == task].groupby("student", sort=False)[["value", "control"]].mean()
    runs = domain.controls[domain.controls["task"] == task].groupby("student").size()
    noise = TableRuns(domain, task).noise()
    return cells, noise, noise.variance * float((1 / runs.reindex(cells.index)).mean()) if noise.df > 0 else 0.0


def _of_pairs(
    domain: DomainRuns, gains: pd.DataFrame, hypothesis: str, metric: str, options: Mapping[str, int]
) -> Iterator[RigorousResult]:
    """H4 or H5: gains on what is told per pair of student and teacher, each student's pairs as one value."""
    told = _told(domain, metric)
    if told.empty:
        return
    told = _corrected(domain, told, options) if metric == AGREEMENT else told
    wide = domain.of_students(told, "value")
    if AVERAGE in gains and AVERAGE not in wide:
        wide[AVERAGE] = wide.mean(axis=1, skipna=False)
    for task in [name for name in domain.tasks if name in wide]:
        found = slope_over_units(wide[task].reindex(gains.index).to_numpy(), gains[task].to_numpy())
        per = "point of agreement beyond chance" if metric == AGREEMENT else "point of fidelity"
        yield _result(domain, hypothesis, task, "slope over students", found, per, _CONFOUNDED)


def _told(domain: DomainRuns, metric: str) -> pd.DataFrame:
    """Mean of the metric over the runs (or the one value for all) of each pair at the chosen temperature."""
    rows = domain.other[(domain.other["metric"] == metric) & is_distilled(domain.other)]
    rows = rows[rows["teacher_condition"] != UNADAPTED]
    at_it = (rows["temperature"] == domain.temperature) | rows["temperature"].isna()
    some = rows[at_it & (rows["family"] != ANY_FAMILY)]
    return over(some if not some.empty else rows[at_it], [*PAIR, "task"])


def _corrected(domain: DomainRuns, told: pd.DataFrame, options: Mapping[str, int]) -> pd.DataFrame:
    """Agreement beyond what the accuracies of student and teacher give, in percent."""
    student = over(domain.runs, [*PAIR, "task"]).rename(columns={"value": "own"})
    teacher = over(domain.controls, ["student", "task"]).rename(columns={"student": "teacher", "value": "its"})
    both = told.merge(student, on=[*PAIR, "task"]).merge(teacher, on=["teacher", "task"])
    both = both[both["task"] != AVERAGE]
    wrong = np.array([1 / (options[task] - 1) if task in options else 0.0 for task in both["task"]])
    kappa = chance_corrected(both["value"] / 100, both["own"] / 100, both["its"] / 100, wrong)
    return both.assign(value=100 * kappa)


def _result(
    domain: DomainRuns,
    hypothesis: str,
    task: str,
    test: str,
    found: Estimate,
    per: str,
    note: str = "",
    unit: str = "students",
) -> RigorousResult:
    role = EXPLORATORY if task == headline(domain) else DETAIL
    few_units = few(found.n, unit, slope=True) if unit == "students" else ""
    where = (domain.name, hypothesis, "all", task, test)
    return result_of(found, *where, role=role, unit=unit, per=per, note=noted(few_units, note))
