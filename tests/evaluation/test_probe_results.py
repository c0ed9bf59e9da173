"""Probes as a table: means over items, worked by hand."""

from __future__ import annotations

import pytest

from kdscope.evaluation.probe_results import COLUMNS, probe_table
from kdscope.evaluation.probes import ProbeRow


def probed(task: str, item: int, probe: str, same: bool | None, fraction: float = 0.5) -> ProbeRow:
    return ProbeRow(task, f"{task}/{item}", probe, fraction, 4, "7", same is True, "7", same, None, None)


def test_means_over_items_by_task_and_together() -> None:
    rows = [probed("gsm8k", i, "mistake", same) for i, same in enumerate([True, False, False, True])]
    rows += [probed("SVAMP", i, "mistake", same) for i, same in enumerate([True, True])]
    rows += [probed("SVAMP", 2, "mistake", None)]
    table = probe_table(rows).set_index(["task", "measure"])
    assert table.loc[("gsm8k", "mistake_changed"), "value"] == 0.5
    assert table.loc[("SVAMP", "mistake_changed"), "value"] == 0.0
    pooled = table.loc[("pooled", "mistake_changed")]
    assert (pooled["value"], pooled["items"]) == (pytest.approx(2 / 6), 6)
    assert 0 <= pooled["low"] < pooled["value"] < pooled["high"] <= 1


def test_one_task_needs_no_row_for_all_and_no_probe_no_row() -> None:
    table = probe_table([probed("gsm8k", 0, "mistake", True), probed("gsm8k", 1, "mistake", False)])
    assert set(table["task"]) == {"gsm8k"}
    assert (table["low"].min(), table["high"].max()) == (0.0, 1.0)
    assert list(probe_table([]).columns) == list(COLUMNS)
