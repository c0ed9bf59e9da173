"""McNemar's mid-p against scipy's and its exact size and power against complete enumeration."""

from __future__ import annotations

import math

import pytest
from hypothesis import given
from hypothesis import strategies as st
from scipy import stats

from kdscope.core.errors import StatisticsError
from kdscope.statistics.paired import mcnemar_mid_p
from tests.statistics.mcnemar_power import detectable_difference, mcnemar_power


@given(st.integers(0, 40), st.integers(0, 40))
def test_mid_p_is_the_exact_test_minus_half_of_both_points(b, c):
    exact = stats.binomtest(b, b + c).pvalue if b + c else 1.0
    points = stats.binom.pmf(b, b + c, 0.5) + (stats.binom.pmf(c, b + c, 0.5) if b != c else 0.0)
    expected = exact - points / 2 if b + c else 1.0
    assert mcnemar_mid_p(b, c) == pytest.approx(expected, abs=1e-12)
    assert mcnemar_mid_p(b, c) == mcnemar_mid_p(c, b)


def enumerated(items, discordance, difference, alpha):
    """Probability that the test rejects, over every table."""
    total = 0.0
    for d in range(items + 1):
        for b in range(d + 1):
            share = (1 + difference / discordance) / 2
            weight = stats.binom.pmf(d, items, discordance) * stats.binom.pmf(b, d, share)
            total += weight * (mcnemar_mid_p(b, d - b) <= alpha)
    return total


@pytest.mark.parametrize(("discordance", "difference", "alpha"), [(0.3, 0.2, 0.05), (0.5, 0.0, 0.05), (0.4, 0.3, 0.01)])
def test_power_is_the_sum_over_all_tables(discordance, difference, alpha):
    expected = enumerated(30, discordance, difference, alpha)
    assert mcnemar_power(30, discordance, difference, alpha) == pytest.approx(expected, abs=1e-9)


@pytest.mark.parametrize("items", [30, 100, 500, 1319])
@pytest.mark.parametrize("discordance", [0.05, 0.2, 0.5])
def test_the_size_is_near_its_level(items, discordance):
    size = mcnemar_power(items, discordance, 0.0)
    assert size < 0.055
    assert size > 0.03 or items * discordance < 10


def test_the_detectable_difference_has_just_the_power():
    found = detectable_difference(500, 0.2, alpha=0.05 / 12)
    assert mcnemar_power(500, 0.2, found, 0.05 / 12) >= 0.8
    assert mcnemar_power(500, 0.2, found - 2e-4, 0.05 / 12) < 0.8


def test_large_samples_agree_with_the_normal_approximation():
    # Miettinen (1968, Biometrics 24:339): n = (z sqrt(psi) + z' sqrt(psi - delta^2))^2 / delta^2.
    found = detectable_difference(20_000, 0.2)
    needed = (1.959964 * math.sqrt(0.2) + 0.841621 * math.sqrt(0.2 - found**2)) ** 2 / found**2
    assert needed == pytest.approx(20_000, rel=0.01)


def test_too_few_items_find_nothing():
    assert math.isnan(detectable_difference(5, 0.2))


@pytest.mark.parametrize("arguments", [(0, 0.2), (10, 0.0), (10, 1.2), (10, 0.2, 0.0)])
def test_bad_settings_are_refused(arguments):
    with pytest.raises(StatisticsError):
        detectable_difference(*arguments)
    with pytest.raises(StatisticsError):
        mcnemar_power(100, 0.1, 0.2)
    with pytest.raises(StatisticsError):
        mcnemar_mid_p(-1, 2)
