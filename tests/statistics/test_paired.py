"""Paired comparisons against published examples, statsmodels, and plain enumeration."""

from __future__ import annotations

import itertools
import math

import numpy as np
import pytest
import statsmodels.api as sm
from hypothesis import assume, given, settings
from hypothesis import strategies as st
from scipy.stats import binomtest, multinomial, norm
from statsmodels.stats.contingency_tables import mcnemar

from kdscope.core.errors import StatisticsError
from kdscope.statistics.paired import (
    cluster_sums,
    compare_paired,
    robust_standard_error,
    sign_flip_p_value,
    tango_interval,
    wilson_interval,
)

CELLS = st.tuples(*[st.integers(0, 12)] * 4).filter(lambda cells: sum(cells) > 0)


def outcomes(both, only_first, only_second, neither):
    """Correctness arrays of the two models with these cell counts."""
    first = [1] * both + [1] * only_first + [0] * only_second + [0] * neither
    second = [1] * both + [0] * only_first + [1] * only_second + [0] * neither
    return np.array(first, dtype=bool), np.array(second, dtype=bool)


@pytest.mark.parametrize(
    ("cells", "confidence", "low", "high", "digits"),
    [
        # Tango 1998, Stat Med 17:891; cells are (both, only first, only second, neither).
        ((4, 9, 3, 16), 0.95, -0.027, 0.390, 3),
        ((43, 0, 1, 0), 0.90, -0.096, 0.037, 3),
        # Agresti and Min 2005, Stat Med 24:729.
        ((53, 16, 8, 9), 0.95, -0.020, 0.207, 3),
        # Fagerland, Lydersen and Laake 2014, Stat Med 33:2850; the second to four digits from R, contingencytables.
        ((1, 1, 7, 12), 0.95, -0.517, -0.026, 3),
        ((59, 6, 16, 80), 0.95, -0.1240, -0.0054, 4),
        # Every item discordant the same way; from R, contingencytables.
        ((0, 3, 0, 0), 0.95, -0.1230, 1.0, 4),
    ],
)
def test_interval_equals_published_examples(cells, confidence, low, high, digits):
    result = compare_paired(*outcomes(*cells), confidence)
    assert round(result.low, digits) == low
    assert round(result.high, digits) == high
    assert "Tango" in result.method


@given(CELLS)
def test_table_difference_and_exact_p_value(cells):
    both, only_first, only_second, neither = cells
    result = compare_paired(*outcomes(*cells))
    assert (result.both, result.only_first, result.only_second, result.neither) == cells
    assert result.items == sum(cells)
    assert result.difference == pytest.approx((only_first - only_second) / sum(cells), abs=1e-15)
    expected = mcnemar([[both, only_first], [only_second, neither]], exact=True).pvalue
    assert result.p_value == pytest.approx(expected, rel=1e-9)
    assert -1 <= result.low <= result.difference <= result.high <= 1


@given(CELLS)
def test_swapping_the_models_mirrors_the_result(cells):
    first, second = outcomes(*cells)
    one, other = compare_paired(first, second), compare_paired(second, first)
    assert (one.low, one.high, one.p_value) == (-other.high, -other.low, other.p_value)


def most_likely_nuisance(difference, both, only_first, only_second, neither):
    """The probability of "only second" that maximises the likelihood, from a grid: no formula is shared."""
    q21 = np.linspace(max(0.0, -difference), (1 - difference) / 2, 400_001)[1:-1]
    q12, rest = q21 + difference, 1 - 2 * q21 - difference
    terms = only_first * np.log(q12) + only_second * np.log(q21) + (both + neither) * np.log(rest)
    return q21[np.argmax(terms)]


@pytest.mark.parametrize("cells", [(4, 9, 3, 16), (20, 5, 2, 3), (10, 6, 0, 30), (300, 41, 17, 142)])
def test_limits_are_where_the_score_test_rejects(cells):
    """At each limit the numerically maximised score statistic is the normal quantile."""
    result = compare_paired(*outcomes(*cells), 0.9)
    for limit, sign in ((result.low, 1), (result.high, -1)):
        q21 = most_likely_nuisance(limit, *cells)
        variance = (2 * q21 + limit - limit**2) / result.items
        statistic = (result.difference - limit) / math.sqrt(variance)
        assert statistic == pytest.approx(sign * norm.ppf(0.95), abs=2e-4)


@pytest.mark.parametrize("n", [1, 7, 1319])
def test_without_discordance_the_interval_has_a_closed_form(n):
    result = compare_paired([True] * n, [True] * n)
    width = norm.ppf(0.975) ** 2 / (n + norm.ppf(0.975) ** 2)
    assert (result.difference, result.p_value) == (0.0, 1.0)
    assert (result.low, result.high) == pytest.approx((-width, width), abs=1e-10)


@pytest.mark.parametrize(("only_first", "only_second"), [(0.30, 0.10), (0.15, 0.15), (0.05, 0.02)])
def test_coverage_by_enumerating_every_table(only_first, only_second):
    """The exact probability that the interval holds the truth, over all tables of 40 items."""
    n, truth, covered = 40, only_first - only_second, 0.0
    law = multinomial(n, [only_first, only_second, 1 - only_first - only_second])
    for b, c in itertools.product(range(n + 1), repeat=2):
        if b + c > n or (weight := law.pmf([b, c, n - b - c])) < 1e-7:
            continue
        low, high = tango_interval(b, c, n, 0.95)
        covered += weight * (low <= truth <= high)
    assert 0.93 < covered < 0.995


def test_independent_clusters_change_nothing():
    first, second = outcomes(5, 6, 1, 4)
    assert compare_paired(first, second, clusters=[f"item {i}" for i in range(16)]) == compare_paired(first, second)


@given(st.lists(st.integers(-3, 3), min_size=1, max_size=9))
def test_sign_flips_equal_full_enumeration(sums):
    values = np.array(sums)
    flips = np.array(list(itertools.product((-1, 1), repeat=len(sums))))
    expected = np.mean(np.abs(flips @ values) >= abs(values.sum()))
    assert sign_flip_p_value(values) == pytest.approx(expected, rel=1e-12)


@given(st.integers(0, 60), st.integers(0, 60))
def test_sign_flips_of_single_items_are_mcnemar(b, c):
    assume(b + c > 0)
    sums = np.array([1] * b + [-1] * c)
    assert sign_flip_p_value(sums) == pytest.approx(binomtest(b, b + c, 0.5).pvalue, rel=1e-9)


def duplicated(seed, clusters=40):
    """Correctness of two models on items that repeat one to four times, copies mostly alike."""
    generator = np.random.default_rng(seed)
    ids = np.repeat(np.arange(clusters), generator.integers(1, 5, clusters))
    first = (generator.random(clusters) < 0.7)[ids] ^ (generator.random(ids.size) < 0.05)
    second = (generator.random(clusters) < 0.5)[ids] ^ (generator.random(ids.size) < 0.05)
    return first, second, ids


def test_clustered_p_value_is_the_limit_of_drawn_sign_flips():
    first, second, ids = duplicated(3)
    result = compare_paired(first, second, clusters=ids)
    sums = np.array([(first[ids == i].astype(int) - second[ids == i]).sum() for i in range(40)])
    drawn = np.random.default_rng(0).choice([-1, 1], size=(99_999, 40)) @ sums
    estimate = (1 + np.sum(np.abs(drawn) >= abs(sums.sum()))) / 100_000
    assert result.p_value == pytest.approx(estimate, abs=5 * math.sqrt(estimate / 1e5))
    assert "sign-flip" in result.method


def test_clustered_interval_is_the_cluster_robust_one_of_statsmodels():
    first, second, ids = duplicated(5)
    difference = first.astype(float) - second
    fit = sm.OLS(difference, np.ones(ids.size)).fit(cov_type="cluster", cov_kwds={"groups": ids})
    result = compare_paired(first, second, 0.9, clusters=[f"q{i}" for i in ids])
    assert (result.low, result.high) == pytest.approx(tuple(fit.conf_int(0.1)[0]), abs=1e-12)
    assert "cluster-robust" in result.method


def test_copies_add_no_evidence():
    first, second = outcomes(10, 12, 3, 15)
    once = compare_paired(first, second)
    copied = compare_paired(np.repeat(first, 6), np.repeat(second, 6), clusters=np.repeat(np.arange(40), 6))
    believed = compare_paired(np.repeat(first, 6), np.repeat(second, 6))
    assert copied.p_value == pytest.approx(once.p_value, rel=1e-12)
    assert believed.p_value < 1e-6 < copied.p_value
    assert copied.high - copied.low > 2 * (believed.high - believed.low)


@pytest.mark.parametrize("clusters", [1, 2, 30])
def test_clusters_without_discordance_are_as_wide_as_that_many_items(clusters):
    answers = np.ones(5 * clusters, dtype=bool)
    result = compare_paired(answers, answers, clusters=np.repeat(np.arange(clusters), 5))
    width = norm.ppf(0.975) ** 2 / (clusters + norm.ppf(0.975) ** 2)
    assert (result.difference, result.p_value) == (0.0, 1.0)
    assert (result.low, result.high) == pytest.approx((-width, width), abs=1e-10)
    assert result.method == "cluster sign-flip exact; Tango score interval on clusters"


def test_one_cluster_is_one_observation():
    result = compare_paired([1, 1, 1, 1], [0, 0, 0, 0], clusters=[7, 7, 7, 7])
    alone = compare_paired([1], [0])
    assert (result.low, result.high, result.p_value) == (alone.low, alone.high, 1.0)


@given(st.permutations(list(range(20))))
@settings(max_examples=20)
def test_order_of_items_does_not_matter(order):
    first, second, ids = (array[:20] for array in duplicated(1))
    index = np.array(order)
    assert compare_paired(first, second, clusters=ids) == compare_paired(
        first[index], second[index], clusters=ids[index]
    )


def test_cluster_sums_and_a_single_cluster():
    sums, sizes = cluster_sums(np.array([1, -1, 1, 0]), np.array(["b", "a", "b", "a"]))
    assert (sums.tolist(), sizes.tolist()) == ([-1, 2], [2, 2])
    assert math.isnan(robust_standard_error(np.array([2]), np.array([3])))


@pytest.mark.parametrize(
    ("arguments", "keywords", "message"),
    [
        (([], []), {}, "at least one item"),
        (([1, 0], [1]), {}, "different numbers of items"),
        (([1, 2], [1, 0]), {}, "true or false"),
        (([1.0, math.nan], [1, 0]), {}, "true or false"),
        (([1, 0], [1, 0]), {"clusters": [1]}, "one cluster id each"),
        (([1, 0], [1, 0]), {"confidence": 95}, "between 0 and 1"),
    ],
)
def test_undefined_comparisons_are_refused(arguments, keywords, message):
    with pytest.raises(StatisticsError, match=message):
        compare_paired(*arguments, **keywords)


@pytest.mark.parametrize(
    ("correct", "n", "limits"),
    # Newcombe 1998, Stat Med 17:857, Table I, method 3.
    [(81, 263, (0.2553, 0.3662)), (15, 148, (0.0624, 0.1605)), (0, 20, (0.0, 0.1611)), (1, 29, (0.0061, 0.1718))],
)
def test_wilson_interval_equals_newcombes_table(correct, n, limits):
    assert tuple(round(limit, 4) for limit in wilson_interval(correct, n)) == limits


@pytest.mark.parametrize(("correct", "n"), [(0, 0), (3, 2), (-1, 4)])
def test_wilson_interval_of_an_impossible_count(correct, n):
    with pytest.raises(StatisticsError):
        wilson_interval(correct, n)
