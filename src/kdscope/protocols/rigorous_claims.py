"""The published study's ablations and its largest gain, with the uncertainty that belongs to them."""

from __future__ import annotations

import math
from collections.abc import Iterator
from dataclasses import replace

import pandas as pd

from kdscope.protocols.results import RigorousResult, few, noted, result_of
from kdscope.protocols.rigorous_gains import headline
from kdscope.protocols.table_runs import CELL, LUCK_UNKNOWN, DomainRuns, TableRuns
from kdscope.results.column_names import AVERAGE, UNADAPTED
from kdscope.results.hypotheses import EXPLORATORY, LARGEST_GAIN, TEMPERATURE, UNADAPTED_TEACHER
from kdscope.statistics.estimates import mean_over_units, sign_flips
from kdscope.statistics.run_noise import largest_of


def ablations(domain: DomainRuns) -> Iterator[RigorousResult]:
    """Other temperatures and unadapted teachers against the chosen setting: the same cells, students as units."""
    cells = domain.every[domain.every["task"] == headline(domain)]
    adapted = cells[cells["teacher_condition"] != UNADAPTED]
    chosen = adapted[adapted["temperature"] == domain.temperature]
    for (family, temperature), some in adapted.groupby(["family", "temperature"]):
        if temperature != domain.temperature:
            group = f"{family!s} at {temperature:g} instead of {domain.temperature:g}"
            yield from _contrast(domain, TEMPERATURE, group, some, chosen, CELL)
    keys = [*CELL, "temperature"]
    for family, some in cells[cells["teacher_condition"] == UNADAPTED].groupby("family"):
        yield from _contrast(domain, UNADAPTED_TEACHER, str(family), some, adapted, keys)


def largest_gain(domain: DomainRuns) -> Iterator[RigorousResult]:
    """The largest gain of any cell on any task, with limits that hold for all cells and tasks at once."""
    gains = domain.gains()
    gains = gains[gains["task"] != AVERAGE].dropna(subset="gain")
    if gains.empty:
        return
    best = gains.iloc[int(gains["gain"].argmax())]
    task, controls = str(best["task"]), domain.controls[domain.controls["student"] == best["student"]]
    runs = TableRuns(domain, task)
    found = largest_of(len(gains), float(best["gain"]), runs.noise(), max(1, int((controls["task"] == task).sum())))
    single = "" if runs.several_seeds else LUCK_UNKNOWN
    found = replace(found, p_value=math.nan) if single else found
    yield result_of(
        *(found, domain.name, LARGEST_GAIN, f"{best['family']}, {best['teacher']} to {best['student']}", task),
        "simultaneous t over run noise",
        unit="gains",
        role=EXPLORATORY,
        p_adjusted=found.p_value,
        note=noted(
            f"The largest of {len(gains)} gains is too large on average; the limits allow for the search.", single
        ),
    )


def _contrast(
    domain: DomainRuns, hypothesis: str, group: str, some: pd.DataFrame, reference: pd.DataFrame, keys: list[str]
) -> Iterator[RigorousResult]:
    """Mean difference of the same cells under two settings, one value a student."""
    means = [rows.groupby(keys, dropna=False)["value"].mean() for rows in (some, reference)]
    difference = (means[0] - means[1]).dropna()
    if difference.empty:
        return
    by_student = difference.groupby("student").mean().to_numpy()
    found, exact = mean_over_units(by_student), sign_flips(by_student)
    where = (domain.name, hypothesis, group, headline(domain), "t over students")
    yield result_of(found, *where, note=noted(few(found.n, "students")), p_exact=exact)
