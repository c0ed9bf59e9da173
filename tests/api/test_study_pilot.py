"""The noise of a study like a finished one: read from its tables, or told."""

from __future__ import annotations

import math
from dataclasses import asdict
from pathlib import Path
from typing import Any

import pandas as pd
import pytest

from kdscope.api import planning_noise
from kdscope.core.errors import DataError
from kdscope.protocols.results import RigorousResult
from kdscope.results.tables import ReportTables, save_tables
from kdscope.statistics.planning import Noise, Runs, detectable_over_runs
from tests.api.test_analyze_run import cells


def statistics(**spreads: float) -> pd.DataFrame:
    nan = math.nan

    def row(hypothesis: str, group: str, estimate: float, **more: Any) -> dict[str, Any]:
        result = RigorousResult(
            *("rigorous", "math", hypothesis, group, "Average", "t", nan, nan, 400, estimate, nan, nan),
            **{"role": "detail", **more},
        )
        return {**asdict(result), "sentence": ""}

    rows = [row("variance", f"runs of {group}", value) for group, value in spreads.items()]
    return pd.DataFrame([*rows, row("cell", "kd", 0.0, scope="runs", item_stderr=1.0)])


def pilot(folder: Path, told: pd.DataFrame) -> Path:
    gains = pd.DataFrame(
        {
            "cell": ["tiny/kd-T1"], "control": ["tiny/sft"], "scoring": ["robust"], "task": ["gsm8k"], "items": [400],
            "gain": [0.0], "low": [-0.1], "high": [0.1], "p_value": [1.0], "p_holm": [1.0],
            "only_cell": [50], "only_control": [50], "method_of_test": ["McNemar"],
        }
    )  # fmt: skip
    none = pd.DataFrame()
    save_tables(ReportTables(cells(), none, gains, none, none, none, statistics=told), folder / "tables")
    return folder


def test_noise_is_read_from_a_pilot(tmp_path: Path) -> None:
    run = pilot(tmp_path, statistics(**{"SFT": 3.0, "the other methods": 2.0}))
    found = planning_noise(run)
    assert found.discordance == pytest.approx(0.25)
    # Lasting differences: a standard error of 1 point on 400 items is a variance of .04 an item.
    assert found.repeated == pytest.approx(1 - 0.04 / 0.25)
    single = 1e4 * 0.25 * found.repeated / 2 / 400
    assert (found.control_sd, found.run_sd) == pytest.approx((math.sqrt(9 - single), math.sqrt(4 - single)))


def test_what_is_told_wins(tmp_path: Path) -> None:
    run = pilot(tmp_path, statistics(**{"SFT": 3.0, "the other methods": 2.0}))
    found = planning_noise(run, run_sd=1.0, discordance=0.1)
    assert (found.run_sd, found.control_sd, found.discordance) == (1.0, None, 0.1)
    assert planning_noise() == Noise()


def test_a_pilot_of_one_seed_does_not_tell_the_run_variance(tmp_path: Path) -> None:
    run = pilot(tmp_path, statistics())
    with pytest.raises(DataError, match="trained with one seed"):
        planning_noise(run)
    assert planning_noise(run, run_sd=2.5).run_sd == 2.5


def test_a_noisier_pilot_makes_a_larger_detectable_gain(tmp_path: Path) -> None:
    gains = [
        detectable_over_runs(
            600, planning_noise(pilot(tmp_path / str(sd), statistics(**{"SFT": sd, "the other methods": sd}))), Runs(5)
        )
        for sd in (2.0, 4.0)
    ]
    assert gains[1] > gains[0]
