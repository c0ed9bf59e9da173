"""Crossed designs: blocked permutation and teacher effects, and the grid of students by tasks."""

from __future__ import annotations

import itertools
import math

import numpy as np
import pandas as pd
import pytest
from scipy import stats
from statsmodels.formula.api import ols
from statsmodels.regression.mixed_linear_model import MixedLM
from statsmodels.stats.anova import anova_lm

from kdscope.core.errors import StatisticsError
from kdscope.statistics.crossed import (
    blocked_permutation,
    bootstrap_mean,
    grid_effect,
    teacher_effects,
    two_way_bootstrap,
)
from kdscope.statistics.estimates import mean_over_units


def brute_force(values):
    """F of every permutation within every row, by statsmodels' sums of squares written out."""

    def f(table):
        columns, rows = table.mean(axis=0), table.mean(axis=1, keepdims=True)
        residual = table - columns - rows + table.mean()
        between = len(table) * np.sum((columns - table.mean()) ** 2)
        return (len(table) - 1) * between / np.sum(residual**2)

    ways = itertools.product(*(list(itertools.permutations(row)) for row in values))
    found = np.array([f(np.array(way)) for way in ways])
    return f(values), float(np.mean(found >= f(values) * (1 - 1e-9)))


@pytest.mark.parametrize("shape", [(3, 3), (5, 2), (2, 4)])
def test_all_permutations(shape):
    values = np.random.default_rng(3).normal(size=shape)
    assert blocked_permutation(values) == pytest.approx(brute_force(values))


def test_f_is_that_of_two_way_anova():
    values = np.random.default_rng(1).normal(size=(5, 3))
    rows = pd.DataFrame([(i, j, values[i, j]) for i in range(5) for j in range(3)], columns=["b", "m", "y"])
    expected = anova_lm(ols("y ~ C(b) + C(m)", rows).fit()).loc["C(m)", "F"]
    assert blocked_permutation(values)[0] == pytest.approx(expected)


def test_drawn_permutations_are_close_to_all_of_them():
    values = np.random.default_rng(7).normal(size=(6, 3)) + np.array([0, 0.4, 0.8])
    exact, drawn = blocked_permutation(values)[1], blocked_permutation(values, draws=7000, seed=1)[1]
    assert drawn != exact
    assert drawn == pytest.approx(exact, abs=4 * math.sqrt(exact * (1 - exact) / 7000))


def test_what_blocks_differ_by_makes_no_difference():
    values = np.random.default_rng(2).normal(size=(4, 3))
    shifted = values + np.array([[100.0], [-50.0], [3.0], [0.0]])
    assert blocked_permutation(shifted) == pytest.approx(blocked_permutation(values))


def test_incomplete_blocks_are_left_out_and_nothing_to_vary_is_no_test():
    values = np.array([[1.0, 2], [3, 5], [2, math.nan]])
    assert blocked_permutation(values) == blocked_permutation(values[:2])
    assert all(map(math.isnan, blocked_permutation([[1.0, 1.0], [2.0, 2.0]])))
    assert all(map(math.isnan, blocked_permutation([[1.0, 2.0]])))


def test_teachers_are_compared_within_students():
    students, teachers = ["a", "a", "a", "b", "b", "b", "c", "c", "d", "e"], [*"xyzxyzyzwz"]
    effect, level = {"x": -2.0, "y": 0.5, "z": 1.5, "w": 9.0}, {"a": 50, "b": 60, "c": 70, "d": 10, "e": 80}
    values = [level[s] + effect[t] for s, t in zip(students, teachers, strict=True)]
    assert teacher_effects(values, students, teachers) == pytest.approx({"x": -2.0, "y": 0.5, "z": 1.5})


def test_teachers_without_common_students_cannot_be_compared():
    assert teacher_effects([1.0, 2.0], "ab", "xy") == {}


def test_no_matrix_is_refused():
    with pytest.raises(StatisticsError, match="matrix"):
        blocked_permutation([1.0, 2.0])


def crossed(rows, columns, seed=0):
    generator = np.random.default_rng(seed)
    return (
        2.0
        + generator.normal(0, 3, (rows, 1))
        + generator.normal(0, 2, columns)
        + generator.normal(0, 1, (rows, columns))
    )


def test_it_is_the_mixed_model_fitted_by_reml():
    grid = crossed(6, 8)
    rows = pd.DataFrame(
        [(grid[i, j], f"s{i}", f"t{j}", 1) for i in range(6) for j in range(8)], columns=["y", "s", "t", "all"]
    )
    parts = {"s": "0 + C(s)", "t": "0 + C(t)"}
    model = MixedLM.from_formula("y ~ 1", rows, groups="all", vc_formula=parts, re_formula="0")
    fitted = model.fit(reml=True, method="lbfgs")
    found = grid_effect(grid)
    components = dict(zip(model.exog_vc.names, fitted.vcomp, strict=True))
    assert found.student_variance == pytest.approx(components["s"], rel=1e-3)
    assert found.task_variance == pytest.approx(components["t"], rel=1e-3)
    assert found.residual_variance == pytest.approx(fitted.scale, rel=1e-3)
    assert found.mean.value == pytest.approx(fitted.fe_params.iloc[0])
    assert found.mean.stderr == pytest.approx(fitted.bse_fe.iloc[0], rel=1e-3)


def test_where_only_students_differ_they_are_the_units():
    values = np.array([3.0, 5.0, 1.0, 4.0])
    found, expected = grid_effect(np.repeat(values[:, None], 5, axis=1)).mean, mean_over_units(values)
    assert (found.value, found.stderr, found.df) == pytest.approx((expected.value, expected.stderr, 3))
    assert found.p_value == pytest.approx(expected.p_value)


def test_degrees_of_freedom_are_not_those_of_cells():
    assert grid_effect(crossed(6, 8)).mean.df < 12


def test_students_and_tasks_are_alike():
    grid = crossed(4, 7, seed=3)
    one, other = grid_effect(grid), grid_effect(grid.T)
    assert one.mean.stderr == pytest.approx(other.mean.stderr)
    assert one.student_variance == pytest.approx(other.task_variance)


def test_the_bootstrap_error_is_that_of_the_mean_where_main_effects_dominate():
    grid = crossed(30, 30, seed=5)
    assert two_way_bootstrap(grid, draws=4000) == pytest.approx(grid_effect(grid).mean.stderr, rel=0.06)


def mean_squares(grid):
    """Of an analysis of variance of two ways, by statsmodels: mean squares and degrees of freedom."""
    rows = pd.DataFrame([(v, f"s{i}", f"t{j}") for (i, j), v in np.ndenumerate(grid)], columns=["y", "s", "t"])
    table = anova_lm(ols("y ~ C(s) + C(t)", rows).fit())
    return (table["sum_sq"] / table["df"]).to_numpy(), table["df"].to_numpy()


def test_the_bootstrap_is_a_sum_of_mean_squares_with_its_degrees_of_freedom():
    grid = crossed(5, 4, seed=1)
    squares, degrees = mean_squares(grid)
    found = bootstrap_mean(grid, draws=40_000)
    assert found.stderr == pytest.approx(math.sqrt(squares.sum() / 20), rel=0.02)
    df = squares.sum() ** 2 / np.sum(squares**2 / degrees)
    assert (found.value, found.df, found.n) == (pytest.approx(grid.mean()), pytest.approx(df), 5)
    assert found.high - found.value == pytest.approx(stats.t.isf(0.025, df) * found.stderr)


@pytest.mark.parametrize(("spreads", "most"), [((1, 1, 1), 0.98), ((2, 0, 1), 0.98), ((0, 2, 1), 0.99), ((0, 0, 1), 1)])
def test_bootstrap_intervals_hold_the_truth(spreads, most):
    """Where single results alone vary they are too wide, as the note of their row says; never too narrow."""
    generator, simulations = np.random.default_rng(0), 400
    students, tasks, rest = spreads
    held = 0
    for seed in range(simulations):
        grid = generator.normal(0, students, (6, 1)) + generator.normal(0, tasks, 8)
        found = bootstrap_mean(grid + generator.normal(0, rest, (6, 8)), draws=199, seed=seed)
        held += found.low <= 0 <= found.high
    noise = 2.5 * math.sqrt(0.05 * 0.95 / simulations)
    assert 0.95 - noise <= held / simulations <= most + noise


def test_a_grid_of_equal_values_has_no_error():
    found = bootstrap_mean(np.full((3, 4), 0.1))
    assert found.value == pytest.approx(0.1)
    assert math.isnan(found.p_value)


@pytest.mark.parametrize("values", [[[1.0, 2.0]], [[1.0], [2.0]], [[1.0, math.nan], [1.0, 2.0]], [1.0, 2.0]])
def test_no_grid_is_refused(values):
    with pytest.raises(StatisticsError, match="grid"):
        grid_effect(values)
    with pytest.raises(StatisticsError, match="grid"):
        two_way_bootstrap(values)
    with pytest.raises(StatisticsError, match="grid"):
        bootstrap_mean(values)
