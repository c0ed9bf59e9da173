"""The figures of gain against a setting, and of cost."""

from __future__ import annotations

from dataclasses import replace

import pandas as pd
import pytest

from kdscope.figures.run import cost_figure
from kdscope.figures.settings import noise_figure, size_figure, teacher_figure, temperature_figure
from tests.report.builders import build_tables, designed_tables, empty_tables


def marks(panel):
    """The rows behind the marks of a panel."""
    return max(panel.to_dict()["datasets"].values(), key=len)


@pytest.fixture(scope="module")
def tables():
    plain = build_tables()
    sizes = plain.cells["student"].map({"tiny": 10_000_000, "small": 80_000_000}).fillna(500_000_000)
    return replace(plain, cells=plain.cells.assign(parameters=sizes.astype(int)))


def test_students_stand_at_their_size_without_hiding_each_other(tables):
    rows = marks(size_figure(tables, "robust").panels["all students"])
    pooled = tables.gains.query("scoring == 'robust' and task == 'pooled'").set_index("cell")
    assert {row["cell"]: row["gain"] for row in rows} == pytest.approx((100 * pooled["gain"]).to_dict())
    assert len({(row["student"], row["slot"]) for row in rows}) == len(rows)
    assert {row["student"] for row in rows} == {"tiny\n10.0 M", "small\n80.0 M"}


def test_students_come_in_the_order_of_their_sizes(tables):
    sizes = tables.cells["student"].map({"tiny": 900_000_000, "small": 80_000_000}).astype("Int64")
    figure = size_figure(replace(tables, cells=tables.cells.assign(parameters=sizes)), "robust")
    [layer, *_] = [
        layer for layer in figure.panels["all students"].to_dict()["layer"] if "xOffset" in layer["encoding"]
    ]
    assert layer["encoding"]["x"]["sort"] == ["small\n80.0 M", "tiny\n900.0 M"]


def test_gains_against_size_tell_unadapted_teachers_apart(tables):
    cells = tables.cells.copy()
    cells.loc[(cells["role"] == "student") & (cells["method"] == "seqkd"), "teacher_condition"] = "base"
    figure = size_figure(replace(tables, cells=cells), "robust")
    for row in marks(figure.panels["all students"]):
        assert (row["fill"] == "transparent") == (row["method"] == "seqkd")
    assert figure.legend[-1].label == "hollow: teacher not adapted"


def test_one_size_is_no_curve():
    figure = size_figure(build_tables(), "robust")
    assert not figure.panels
    assert "two sizes" in figure.empty


def test_lines_join_cells_that_differ_in_temperature_alone():
    figure = temperature_figure(designed_tables(), "robust")
    rows = marks(figure.panels["tiny"])
    assert {row["cell"]: row["kd_temperature"] for row in rows} == {"tiny/fkl-T1": 1.0, "tiny/fkl-T2": 2.0}
    assert len({row["line"] for row in rows}) == 1


def test_a_temperature_of_another_teacher_is_another_line():
    designed = designed_tables()
    cells = designed.cells.copy()
    cells.loc[cells["cell"] == "tiny/fkl-T2", "teacher_condition"] = "base"
    figure = temperature_figure(replace(designed, cells=cells), "robust")
    assert not figure.panels
    assert figure.empty.endswith("temperature.")


def test_a_study_without_noise_has_no_noise_figure():
    designed = designed_tables()
    assert noise_figure(designed, "robust") is None
    noisy = designed.cells.assign(
        teacher_noise_std=designed.cells["cell"].map({"tiny/fkl-T1": 0.0, "tiny/fkl-T2": 0.5})
    )
    noisy["kd_temperature"] = noisy["kd_temperature"].where(noisy["kd_temperature"].isna(), 1.0)
    figure = noise_figure(replace(designed, cells=noisy), "robust")
    assert [row["teacher_noise_std"] for row in marks(figure.panels["tiny"])] == [0.0, 0.5]


def test_gains_stand_at_the_accuracy_of_their_teacher():
    designed = designed_tables()
    row = {"task": "average", "scoring": "robust", "items": 10, "correct": 5, "unparsed_rate": 0.0}
    row |= {"truncated_rate": 0.0, "chance": 0.0, "below_chance": False, "low": None, "high": None}
    accuracy = pd.DataFrame([row | {"cell": "big", "accuracy": 0.9}, row | {"cell": "big@base", "accuracy": 0.4}])
    figure = teacher_figure(replace(designed, accuracy=accuracy), "robust")
    found = {row["cell"]: row["teacher_accuracy"] for row in marks(figure.panels["tiny"])}
    assert found["tiny/seqkd@base"] == pytest.approx(40)
    assert found["tiny/seqkd"] == pytest.approx(90)
    assert not teacher_figure(replace(designed, accuracy=accuracy[:1]), "robust").panels


def test_costs_are_those_of_the_cells(tables):
    cells = tables.cells.assign(training_seconds=90.0, peak_memory_bytes=3 * 2**30)
    figure = cost_figure(replace(tables, cells=cells))
    assert "tiny, target tokens" in figure.panels
    assert {row["amount"] for row in marks(figure.panels["small, training time (s)"])} == {90.0}
    long = cost_figure(replace(tables, cells=cells.assign(training_seconds=7200.0)))
    assert {row["amount"] for row in marks(long.panels["small, training time (minutes)"])} == {120.0}
    longest = cost_figure(replace(tables, cells=cells.assign(training_seconds=360_000.0)))
    assert {row["amount"] for row in marks(longest.panels["small, training time (hours)"])} == {100.0}
    assert {row["told"] for row in marks(figure.panels["small, peak memory (GiB)"])} == {"3.00"}
    assert "tiny/base" not in set(figure.data["cell"])
    assert not cost_figure(empty_tables()).panels
    assert "small, peak memory (GiB)" not in cost_figure(tables).panels
