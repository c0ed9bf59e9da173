from __future__ import annotations

from dataclasses import replace

import pandas as pd
import pytest

from kdscope.report.fidelity_tables import fidelity_overview, probes_overview
from kdscope.report.result_tables import accuracy_overview, gains_overview
from kdscope.report.statistics_tables import published_tests_overview
from kdscope.report.training_tables import cells_overview, models_overview

from .builders import BELOW_CHANCE, FAILED, build_tables, empty_tables, only

EMPTY = empty_tables()


@pytest.fixture(scope="module")
def tables():
    return build_tables()


def row(view, cell):
    [found] = [row for row in view.rows if row[0].shown == cell]
    return dict(zip(view.headings, found, strict=True))


def test_accuracy_shows_value_and_interval_and_flags_below_chance(tables):
    view = accuracy_overview(tables, "robust")
    expected = tables.accuracy.query("scoring == 'robust' and task == 'gsm8k' and cell == 'small/sft/s0'").iloc[0]
    shown = row(view, "small/sft/s0")
    numbers = [f"{100 * expected[name]:.1f}" for name in ("accuracy", "low", "high")]
    assert shown["gsm8k (n=400)"].shown == f"{numbers[0]} [{numbers[1]}, {numbers[2]}]"
    assert float(shown["gsm8k (n=400)"].sort) == expected["accuracy"]
    assert "[" not in shown["average"].shown
    assert row(view, BELOW_CHANCE)["ARC-Easy (n=500)"].flagged
    assert [entry.shown for entry in view.rows[-1]] == ["chance", "0.0", "0.0", "25.0", "–"]
    assert FAILED not in [entry[0].shown for entry in view.rows]


def test_gains_show_the_test_and_every_task(tables):
    view = gains_overview(tables, "robust")
    expected = tables.gains.query("scoring == 'robust' and task == 'pooled' and cell == 'small/seqkd/teacher/s0'").iloc[
        0
    ]
    shown = row(view, "small/seqkd/teacher/s0")
    assert (shown["control"].shown, shown["items"].shown) == ("small/sft/s0", "1,200")
    assert float(shown["only cell"].sort) - float(shown["only control"].sort) == pytest.approx(1200 * expected["gain"])
    assert shown["pooled difference"].shown.startswith(f"+{100 * expected['gain']:.1f} [")
    assert shown["Holm p"].shown == "< .001"
    assert "McNemar exact" in view.how_to_read
    assert "item-level statements about single checkpoints" in view.how_to_read
    assert {"gsm8k", "SVAMP", "ARC-Easy"} <= set(view.headings)


def test_gains_of_one_task_stand_for_all_items(tables):
    one = empty_tables(cells=tables.cells, gains=tables.gains.query("task == 'gsm8k'"))
    shown = row(gains_overview(one, "robust"), "small/seqkd/teacher/s0")
    assert shown["items"].shown == "400"
    assert shown["pooled difference"].shown == shown["gsm8k"].shown != "–"


def test_fidelity_units_and_what_to_read_them_against(tables):
    known = tables.fidelity.assign(low=0.1, high=0.3, control=0.2, ceiling=0.9)
    known = known.assign(normalised=0.25, normalised_low=-0.5, normalised_high=1.0)
    view = fidelity_overview(replace(tables, fidelity=known))
    shown = {
        entries[2].shown: dict(zip(view.headings, entries, strict=True))
        for entries in view.rows
        if "small/sft" in entries[0].shown
    }
    rows = tables.fidelity.query("cell == 'small/sft/s0' and task == 'pooled'").set_index("measure")["value"]
    agreement = shown["agreement"]
    assert agreement["value"].shown == f"{100 * rows['agreement']:.1f} [10.0, 30.0]"
    assert [agreement[name].shown for name in ("floor", "SFT", "ceiling")] == ["11.0", "20.0", "90.0"]
    assert agreement["normalised"].shown == "0.25 [\u22120.50, 1.00]"
    assert shown["bleu"]["floor"].shown == "3.0"
    assert shown["error consistency kappa"]["value"].shown.startswith("0.21")


def test_fidelity_without_control_or_ceiling(tables):
    entries = dict(zip(fidelity_overview(tables).headings, fidelity_overview(tables).rows[0], strict=True))
    assert [entries[name].shown for name in ("SFT", "ceiling", "normalised")] == ["\u2013"] * 3


def test_probes(tables):
    rows = [
        {"cell": "small/sft/s0", "task": "pooled", "measure": name, "value": 0.5, "low": 0.25, "high": 0.75, "items": 9}
        for name in ("early_answer_area", "mistake_changed")
    ]
    extra = [row | {"task": "gsm8k"} for row in rows]
    view = probes_overview(replace(tables, probes=pd.DataFrame([*rows, *extra])))
    assert view.headings == ("cell", "early answer area", "mistake changed")
    assert [[entry.shown for entry in row] for row in view.rows] == [["small/sft/s0", *["50.0 [25.0, 75.0]"] * 2]]
    assert probes_overview(tables).rows == ()


def test_models_and_cells(tables):
    view = models_overview(tables)
    tiny = row(view, "tiny")
    assert (tiny["as"].shown, tiny["parameters"].shown, tiny["cells done"].shown) == ("student", "80.0 M", "5 of 6")
    assert tiny["cells done"].flagged
    assert row(view, "big")["as"].shown == "teacher"
    failed = row(cells_overview(tables), FAILED)
    assert (failed["state"].shown, failed["state"].flagged, failed["T"].shown) == ("failed", True, "1")


def test_tests_are_shown_as_given(tables):
    first = dict(zip(published_tests_overview(tables).headings, published_tests_overview(tables).rows[0], strict=True))
    assert (first["statistic"].shown, first["p"].shown, first["n"].shown) == ("1.750", ".087", "6")


@pytest.mark.parametrize("make", [models_overview, cells_overview, fidelity_overview, published_tests_overview])
def test_empty_views_say_why(make):
    assert make(EMPTY).rows == ()
    assert make(EMPTY).empty


@pytest.mark.parametrize("make", [accuracy_overview, gains_overview])
def test_empty_views_by_scoring_say_why(make):
    assert make(EMPTY, "published").rows == ()


def test_rows_are_as_long_as_their_heads(tables):
    part = only(tables, ["small/sft/s0", "small/seqkd/teacher/s0"])
    for view in (
        accuracy_overview(part, "robust"),
        gains_overview(part, "robust"),
        models_overview(part),
        cells_overview(part),
    ):
        assert view.rows
        assert {len(row) for row in view.rows} == {len(view.headings)}
