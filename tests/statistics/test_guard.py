"""Studies whose cells differ only by noise, several temperatures each: the whole protocol concludes nothing.

What is guarded is the primary question: one family over all students and domains, which may err in 5% of studies. How
often it errs in a number of studies is binomial; the tests allow for what 5% gives in 97.5 of 100 such numbers.
"""

from __future__ import annotations

from importlib import import_module
from pathlib import Path

import numpy as np
import pytest
from scipy.stats import binom

BENCHMARKS = Path(__file__).resolve().parents[2] / "benchmarks"
PRIMARY = ("records: primary question, any student (Holm)", "table: primary question, any student (Holm)")


@pytest.fixture
def studies(monkeypatch):
    monkeypatch.syspath_prepend(str(BENCHMARKS))
    return import_module("simulated_studies")


def rates(studies, count, layout, draws=199):
    found = [studies.noise_outcomes(np.random.default_rng([1, n]), layout, draws) for n in range(count)]
    return {name: sum(one.get(name, 0.0) for one in found) for name in found[0]}


def test_a_simulated_study_asks_everything(studies):
    records = studies.make_records(np.random.default_rng(0), studies.Layout(tasks=2, items=30))
    assert records.groupby("model")["student"].first().ne("").sum() == 3 * (1 + 2 * (2 * 3 + 1))
    assert records["fidelity"].notna().sum() == 3 * 2 * 7 * 60
    found = studies.rigorous_records(records, pairs=studies.make_pairs(records), draws=99)
    assert set(studies.FAMILIES) - set(found["hypothesis"]) == {"H1", "H1-anova", "largest_gain"}
    table = studies.as_table(records)
    assert len(table) == 3 * (1 + 2 * 2 * 3) * 2
    both = [frame[frame["role"] == "confirmatory"] for frame in (found, studies.rigorous_protocol(table))]
    assert both[0]["estimate"].to_numpy() == pytest.approx(both[1]["estimate"].to_numpy())


def test_noise_concludes_nothing_in_few_studies(studies):
    count = 10
    found = rates(studies, count, studies.Layout(tasks=2, items=40))
    for name in PRIMARY:
        assert found[name] <= binom.ppf(0.975, count, 0.05)
    assert found["published H1, maxima over temperatures"] > binom.ppf(0.975, count, 0.05)


@pytest.mark.slow
@pytest.mark.parametrize("runs", [{}, {"seeds": 3, "run_sd": 1.0}])
def test_noise_concludes_nothing_in_95_of_100_studies(studies, runs):
    found = rates(studies, 200, studies.Layout(**runs), draws=499)
    limit = binom.ppf(0.975, 200, 0.05)
    assert limit == 16
    assert all(found[name] <= limit for name in PRIMARY)
