"""The plane of gain against normalised fidelity."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest

from kdscope.report.fidelity_figures import paradox_figure
from kdscope.report.plane import plane_figure
from kdscope.report.style import method_styles
from kdscope.report.tables import ReportTables
from tests.report.builders import build_tables


@pytest.fixture(scope="module")
def tables() -> ReportTables:
    plain = build_tables()
    known = plain.fidelity.assign(normalised=0.4, normalised_low=-9.0, normalised_high=0.8)
    known.loc[known["cell"].str.contains("sft"), "normalised"] = np.nan
    return replace(plain, fidelity=known)


def marks(tables: ReportTables) -> list[dict[str, object]]:
    """The rows behind the points of every panel."""
    found = []
    for panel in plane_figure(tables, "robust").panels.values():
        told = panel.to_dict(format="vega-lite")
        for layer in told["layer"]:
            if layer["mark"]["type"] == "point":
                data = layer["data"]
                found += data["values"] if "values" in data else told["datasets"][data["name"]]
    return found


def test_every_distilled_cell_stands_at_its_gain_and_its_fidelity(tables: ReportTables) -> None:
    rows = marks(tables)
    gains = tables.gains.query("scoring == 'robust' and task == 'pooled'").set_index("cell")["gain"]
    measured = tables.fidelity[
        tables.fidelity["measure"].isin(["agreement", "bleu"]) & (tables.fidelity["task"] == "pooled")
    ]
    expected = {(cell, m) for cell, m in zip(measured["cell"], measured["measure"], strict=True) if cell in gains.index}
    assert {(row["cell"], row["measure"]) for row in rows} == expected
    assert expected
    for row in rows:
        assert row["gain"] == pytest.approx(100 * gains[row["cell"]])
        assert row["place"] == 0.4


def test_marks_without_an_adapted_teacher_are_hollow_beside_others(tables: ReportTables) -> None:
    assert {row["fill"] == "transparent" for row in marks(tables)} == {False}
    cells = tables.cells.copy()
    taught = cells["role"] == "student"
    cells.loc[taught & (cells["method"] == "jsd"), "teacher_condition"] = "base"
    mixed = replace(tables, cells=cells)
    jsd = method_styles(["jsd"])["jsd"]
    for row in marks(mixed):
        assert (row["fill"] == "transparent") == (row["method"] == "jsd")
        if row["method"] == "jsd":
            assert (row["colour"], row["shape"]) == jsd
    for figure in (plane_figure(mixed, "robust"), paradox_figure(mixed, "robust")):
        assert [entry.label for entry in figure.legend][-1] == "hollow: teacher not adapted"
    for same in (
        tables,
        replace(tables, cells=cells.assign(teacher_condition=cells["teacher_condition"].replace("adapted", "base"))),
    ):
        assert {row["fill"] == "transparent" for row in marks(same)} == {False}
        assert "hollow: teacher not adapted" not in {entry.label for entry in plane_figure(same, "robust").legend}


def test_intervals_without_bound_do_not_stretch_the_axis(tables: ReportTables) -> None:
    assert {row["left"] for row in marks(tables)} == {-1.5}
    assert all("\u22129.00 to 0.80" in str(row["hover"]) for row in marks(tables))


def test_nothing_to_normalise_by_is_said() -> None:
    figure = plane_figure(build_tables(), "robust")
    assert not figure.panels
    assert "clearly apart" in figure.empty
