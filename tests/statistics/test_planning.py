"""What a study could see, against the exact power of McNemar's test."""

from __future__ import annotations

import math
import subprocess
import sys

import numpy as np
import pytest

from kdscope.core.errors import StatisticsError
from kdscope.statistics.estimates import t_estimate
from kdscope.statistics.planning import Noise, Runs, detectable_by_normal, detectable_over_runs, plan_comparisons
from kdscope.statistics.run_variance import RunDesign, with_runs
from tests.statistics.mcnemar_power import detectable_difference


@pytest.mark.parametrize("items", [150, 500, 1319, 10042])
@pytest.mark.parametrize("discordance", [0.1, 0.2, 0.4])
@pytest.mark.parametrize(("alpha", "power"), [(0.05, 0.8), (0.05 / 12, 0.8), (0.05, 0.95)])
def test_it_is_close_to_the_exact_power(items: int, discordance: float, alpha: float, power: float) -> None:
    exact = detectable_difference(items, discordance, alpha, power)
    found = detectable_by_normal(items, discordance, alpha, power)
    # Few discordant items: the normal approximation is coarse, and optimistic by less than a tenth.
    assert found == pytest.approx(exact, rel=0.1 if items * discordance < 100 else 0.03)


def test_the_equation_holds_at_low_power_too() -> None:
    for power in (0.3, 0.5, 0.9):
        d = detectable_by_normal(400, 0.3, 0.05, power)
        z, w = 1.959964, {0.3: -0.524401, 0.5: 0.0, 0.9: 1.281552}[power]
        assert d * 20 == pytest.approx(z * math.sqrt(0.3) + w * math.sqrt(0.3 - d * d), abs=1e-5)


def test_too_few_items_find_nothing() -> None:
    assert math.isnan(detectable_by_normal(10, 0.05))


def test_adjusted_and_unadjusted_comparisons() -> None:
    plan = {found.name: found for found in plan_comparisons({"a": 500, "b": 500, "c": 500}, confirmatory=["a", "b"])}
    assert plan["a"].comparisons == 2
    assert plan["c"].comparisons == 1
    assert plan["a"].detectable == pytest.approx(100 * detectable_by_normal(500, 0.2, 0.025))
    assert plan["c"].detectable < plan["a"].detectable


def test_what_cannot_be_planned() -> None:
    with pytest.raises(StatisticsError, match="power needs items"):
        plan_comparisons({"a": 0})
    with pytest.raises(StatisticsError, match="two seeds or more"):
        detectable_over_runs(100, Noise(), Runs(1))


def test_more_seeds_and_less_noise_see_more() -> None:
    by_seeds = [plan_comparisons({"a": 600}, runs=Runs(seeds, 4, 2))[0] for seeds in (2, 3, 5)]
    assert by_seeds[0].detectable > by_seeds[1].detectable > by_seeds[2].detectable
    assert [found.seeds for found in by_seeds] == [2, 3, 5]
    quiet = detectable_over_runs(600, Noise(run_sd=0.5), Runs(5, 4, 2))
    assert quiet < by_seeds[2].detectable
    assert detectable_over_runs(600, Noise(control_sd=4.0), Runs(5, 4, 2)) > by_seeds[2].detectable


def test_many_runs_of_no_variance_leave_what_items_leave() -> None:
    noise = Noise(discordance=0.1, repeated=0.0, run_sd=1e-9)
    error = 100 * math.sqrt(0.1 / 900)
    expected = (1.959964 + 0.841621) * error
    assert detectable_over_runs(900, noise, Runs(5, 1, 4)) == pytest.approx(expected, rel=5e-3)


@pytest.mark.parametrize("runs", [Runs(2, 4, 2), Runs(3, 1, 1), Runs(5, 4, 3)])
def test_the_power_at_the_detectable_gain_is_what_was_asked(runs: Runs) -> None:
    """Studies with that true gain, analysed by the components of their runs."""
    noise, items, generator = Noise(run_sd=2.0, control_sd=3.0), 600, np.random.default_rng(0)
    least = detectable_over_runs(items, noise, runs)
    rows = [(s, m, k) for s in range(runs.students) for m in range(runs.settings + 1) for k in range(runs.seeds)]
    student, method, seed = (np.array(column) for column in zip(*rows, strict=True))
    design = RunDesign(student.tolist(), method.tolist(), method == 0, seed.tolist())
    weights = np.where(student == 0, np.where(method == 0, -1.0, 1 / runs.settings) / runs.seeds, 0.0)
    own = noise.discordance * (1 - noise.repeated) / 2 / items
    lasting = 100 * math.sqrt(own + own / runs.settings)
    single = 100 * math.sqrt(noise.discordance * noise.repeated / 2 / items)
    rejected = 0
    for _ in range(2000):
        y = generator.normal(0, np.hypot(np.where(method == 0, 3.0, 2.0), single)) + least * (method > 0)
        value = float(weights @ y) + generator.normal(0, lasting)
        share = design.components(y, split=False).share(weights)
        rejected += with_runs(t_estimate(value, lasting, items - 1, items), share).p_value < 0.05
    assert 0.77 < rejected / 2000 < 0.86


def test_planning_imports_no_library() -> None:
    code = "import sys, kdscope.statistics.planning; print({'numpy', 'scipy', 'pandas'} & {*sys.modules})"
    assert subprocess.run([sys.executable, "-c", code], capture_output=True, text=True).stdout.strip() == "set()"
