"""The simulation of noisy runs: a part of it in seconds, so that the program stays alive."""

from __future__ import annotations

from typing import Any

import pytest

from tests.benchmarks.conftest import Load


@pytest.fixture
def simulation(load: Load) -> Any:
    return load("simulate_runs")


def test_a_setting_holds_its_level(simulation: Any) -> None:
    found = simulation.simulate(simulation.Setting(2, 3), 300)
    for question in simulation.QUESTIONS:
        assert found.rejected[question] <= 30, question
        assert 0 < found.width(question) < 20
    assert found.equivalent <= 30


def test_a_control_without_repetition_declines(simulation: Any) -> None:
    found = simulation.simulate(simulation.Setting(1, 2, control_seeds=1), 5)
    assert found.declined == {"student": 5, "cell": 5}
    assert found.width("student") == float("inf")


def test_the_power_is_that_of_the_plan(simulation: Any) -> None:
    least, hits = simulation.simulate_power(simulation.Setting(2, 5), 300)
    assert 4 < least < 6
    assert 0.7 < hits / 300 < 0.9


def test_records_and_their_table_say_the_same(simulation: Any) -> None:
    layout = simulation.Layout(tasks=2, items=60, seeds=2, run_sd=1.0)
    for number in range(2):
        assert simulation.run_verdicts(layout, 12.0, number)["same"]
