"""The simulations: their studies are what the protocol is given, their rates those of their outcomes."""

from __future__ import annotations

import math

import numpy as np
import pandas as pd
import pytest

from kdscope.protocols.published import published_protocol
from kdscope.protocols.results_table import results_table
from kdscope.protocols.rigorous import rigorous_protocol

STUDENTS = ("S-0.5B", "S-1.5B", "S-3B", "S-7B", "L-1B", "L-3B")
TEACHERS = ("T0", "T1", "T2", "T3")


def as_table(grids, grid):
    """A simulated study as the table a person would have."""
    rows = [
        (STUDENTS[s], "", "sft", math.nan, f"t{task}", grid.control[s, task]) for s in range(6) for task in range(6)
    ]
    rows += [
        (STUDENTS[s], TEACHERS[t], method, temperature, f"t{task}", value)
        for pair, (s, t) in enumerate(grids.PAIRS)
        for m, method in enumerate(("forward_kl", "reverse_kl", "gkd"))
        for k, temperature in enumerate(grids.TEMPERATURES)
        for task, value in enumerate(grid.distilled[pair, m, k])
        if not math.isnan(value)
    ]
    frame = pd.DataFrame(rows, columns=["student", "teacher", "method", "temperature", "task", "value"])
    return results_table(frame, unit="percent").table


def test_what_is_simulated_is_what_the_protocols_do(load):
    grids, simulated = load("null_grids"), load("simulated_tests")
    grid = grids.make_grid(np.random.default_rng(3), grids.Truth(gain=2.0, student_gain_sd=1.0))
    table = as_table(grids, grid)
    rows = rigorous_protocol(table)
    main = rows[rows["role"] != "sensitivity"].set_index(["hypothesis", "group", "task"])
    found = main["p_value"]
    for student, estimate in zip(STUDENTS, simulated.student_estimates(grid), strict=True):
        limits = main.loc[("H1-student", student, "Average"), ["low", "high"]]
        assert limits.tolist() == pytest.approx([estimate.low, estimate.high])
    mean = simulated.mean_over_units(simulated.gains_of(grid))
    assert found["H1", "all", "Average"] == pytest.approx(mean.p_value)
    published = published_protocol(table).set_index(["hypothesis", "group", "task"])["p_value"]
    assert published["H1", "all", "Average"] == pytest.approx(simulated.published_h1(grid))


def test_the_layout_is_the_published_one(load):
    grids = load("null_grids")
    grid = grids.make_grid(np.random.default_rng(0), grids.Truth())
    run = ~np.isnan(grid.distilled[..., 0])
    assert run[:, :, 0].all()
    assert run.sum() == 33 + 5 * 2 * 2


@pytest.mark.parametrize("scenario", ["nothing", "heterogeneous", "items_without_gain", "several_seeds"])
def test_no_rate_is_far_from_nominal(load, scenario):
    program = load("simulate_statistics")
    rates = program.simulate(scenario, 200)
    assert rates
    assert all(rate.holds for rate in rates), [rate for rate in rates if not rate.holds]


def test_the_published_protocol_rejects_far_too_often(load):
    program = load("simulate_statistics")
    rate = next(rate for rate in program.simulate("nothing", 60) if rate.name.startswith("published"))
    assert rate.share > 0.2
    assert rate.compared


def test_the_program_prints_and_writes_a_table(load, tmp_path, capsys):
    program = load("simulate_statistics")
    program.main(["--simulations", "5", "--only", "teachers_differ,effect_sizes", "--out", str(tmp_path / "t.md")])
    written = (tmp_path / "t.md").read_text()
    row = "| Effect sizes | Hedges g, interval | coverage |"
    assert row in written
    assert row in capsys.readouterr().out


def test_a_rate_that_fails_says_so(load):
    program = load("simulate_statistics")
    bad = program.Rate("nothing", "a test", "level", 30, 100)
    short = program.Rate("nothing", "an interval", "coverage", 70, 100)
    assert not bad.holds
    assert not short.holds
    assert program.markdown([bad]).endswith("| NO |")
