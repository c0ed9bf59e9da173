"""What a study could see, against the exact power of McNemar's test."""

from __future__ import annotations

import math
import subprocess
import sys

import pytest

from kdscope.errors import StatisticsError
from kdscope.statistics.mcnemar import detectable_difference
from kdscope.statistics.planning import detectable_by_normal, plan_comparisons


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
    with pytest.raises(StatisticsError, match="no expected discordance is told for b"):
        plan_comparisons({"a": 10, "b": 10}, discordance={"a": 0.2})
    with pytest.raises(StatisticsError, match="power needs items"):
        plan_comparisons({"a": 0})


def test_planning_imports_no_library() -> None:
    code = "import sys, kdscope.statistics.planning; print({'numpy', 'scipy', 'pandas'} & {*sys.modules})"
    assert subprocess.run([sys.executable, "-c", code], capture_output=True, text=True).stdout.strip() == "set()"
