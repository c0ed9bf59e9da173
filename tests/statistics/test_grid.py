"""Grid effects against REML by statsmodels, and errors of crossed factors against their own formula."""

from __future__ import annotations

import math

import numpy as np
import pandas as pd
import pytest
from statsmodels.regression.mixed_linear_model import MixedLM

from kdscope.errors import StatisticsError
from kdscope.statistics.estimates import mean_over_units
from kdscope.statistics.grid import grid_effect, two_way_bootstrap


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


@pytest.mark.parametrize("values", [[[1.0, 2.0]], [[1.0], [2.0]], [[1.0, math.nan], [1.0, 2.0]], [1.0, 2.0]])
def test_no_grid_is_refused(values):
    with pytest.raises(StatisticsError, match="grid"):
        grid_effect(values)
    with pytest.raises(StatisticsError, match="grid"):
        two_way_bootstrap(values)
