"""Which method, as a table: one row per setting of a student."""

from __future__ import annotations

import re
from dataclasses import replace

import pandas as pd
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from kdscope.report.answer import conclusions
from kdscope.report.method_table import interval_mark, other_settings, student_tables

from .builders import build_tables, empty_tables, stated
from .statistics_builders import NAN, about_setting, interval, mean_of, measured, result, study

MARGIN, WIDTH = 5, 150


def test_a_setting_has_its_gain_fidelity_and_inherited_errors():
    rows = [mean_of(**interval(3.0, 1.0), p_adjusted=0.03), *about_setting(5.0, 0.01, fidelity=-2.0)]
    [table] = student_tables(study(rows))
    mean, row = table.rows
    assert (table.student, table.domain, mean.name) == ("s", "", "mean over methods")
    assert (mean.kind, mean.gain.text, mean.p_adjusted) == ("good", "+3.0 [+1.5, +4.5]", ".03")
    assert (row.name, row.runs, row.verdict) == ("seqkd", "5 runs, SFT 5", "better than SFT")
    assert (row.gain.text, row.p_adjusted, row.detectable) == ("+5.0 [+0.5, +9.5]", ".01", "4.0")
    assert (row.fidelity.text, row.inherited) == ("−2.0 [−3.5, −0.5]", "+1.0 [−0.5, +2.5]")
    assert row.gain.note == ""


def test_pointwise_intervals_are_labelled():
    rows = [row | {"low_simultaneous": NAN, "high_simultaneous": NAN} for row in about_setting(5.0, 0.01)]
    [table] = student_tables(study(rows))
    assert (table.rows[0].gain.text, table.rows[0].gain.note) == ("+5.0 [+2.0, +8.0]", "pointwise interval")


@pytest.mark.parametrize(
    ("scope", "p_adjusted", "badge"),
    [
        ("runs", 0.01, ("good", "better than SFT")),
        ("runs", 0.5, ("open", "not significant")),
        ("checkpoints", 0.01, ("good", "these two checkpoints: higher")),
        ("checkpoints", 0.5, ("open", "these two checkpoints: not significant")),
        ("checkpoints", NAN, ("open", "no claim")),
        (None, 0.01, ("open", "no claim")),
    ],
)
def test_badges_say_what_a_row_is_about(scope, p_adjusted, badge):
    rows = [row | {"scope": scope} for row in about_setting(5.0, p_adjusted)]
    [table] = student_tables(study(rows))
    assert (table.rows[0].kind, table.rows[0].verdict) == badge


def test_a_mean_over_methods_is_about_more_than_two_checkpoints():
    [table] = student_tables(study([mean_of(scope="checkpoints", p_adjusted=0.01), *about_setting(5.0, 0.01)]))
    assert table.rows[0].verdict == "these checkpoints: higher"


def test_a_row_without_a_p_value_says_why():
    rows = [row | {"p_value": NAN, "p_adjusted": NAN, "note": "One run of SFT."} for row in about_setting(5.0, 0.5)]
    [table] = student_tables(study(rows))
    assert (table.rows[0].p_adjusted, table.rows[0].gain.note) == ("–", "One run of SFT.")
    silent = [row | {"note": ""} for row in rows]
    assert "cannot be estimated" in student_tables(study(silent))[0].rows[0].gain.note


def test_without_a_control_a_level_stands_with_its_note():
    row = result("fidelity_level", **interval(7.0, 1.0), role="detail")
    [table] = student_tables(study([row]))
    [shown] = table.rows
    assert (shown.verdict, shown.gain.text, shown.fidelity.text) == ("no control", "–", "7.0 [5.5, 8.5]")
    assert "shared difficulty" in shown.fidelity.note


def test_a_detectable_difference_above_a_hundred_points_is_none():
    [table] = student_tables(study(about_setting(5.0, 0.5, detectable=293.0)))
    assert table.rows[0].detectable == "none within 100 points"


def test_ablations_and_other_temperatures_have_a_table_of_their_own():
    rows = [*about_setting(5.0, 0.01), *about_setting(-9.0, 0.01, ablation="unadapted teacher")]
    tables = study(rows)
    assert [[row.name for row in table.rows] for table in student_tables(tables)] == [["seqkd"]]
    [others] = other_settings(tables)
    assert [(row.name, row.kind) for row in others.rows] == [("seqkd, unadapted teacher", "bad")]
    assert other_settings(study(about_setting(5.0, 0.01))) == []


def test_nothing_to_show():
    assert student_tables(empty_tables()) == []
    assert student_tables(build_tables()) == []


def positions(mark):
    at = {name: [float(x) for x in re.findall(pattern, mark)] for name, pattern in (("dot", r'cx="([^"]+)"'),)}
    at["at"] = [float(x) for x in re.findall(r'class="at" x1="([^"]+)"', mark)]
    at["over"] = [float(x) for pair in re.findall(r'class="over" x1="([^"]+)" x2="([^"]+)"', mark) for x in pair]
    return at


NUMBERS = st.floats(-1000, 1000, allow_nan=False)


@settings(max_examples=200)
@given(NUMBERS, NUMBERS, NUMBERS, NUMBERS, st.floats(0.1, 500))
def test_every_part_of_an_interval_mark_stands_where_its_number_is(low, value, high, left, span):
    """Also outside of the reach: nothing is drawn at an edge that it does not reach."""
    found = positions(interval_mark(low, value, high, (left, left + span), (0.0,)))

    def at(number):
        return pytest.approx(MARGIN + (number - left) / span * (WIDTH - 2 * MARGIN), abs=0.006)

    assert found == {"dot": [at(value)], "at": [at(0.0)], "over": [at(low), at(high)]}


def test_what_is_no_number_is_not_drawn():
    infinite = interval_mark(float("-inf"), 0.0, float("inf"), (-1.0, 1.0), ())
    assert positions(infinite) == {"dot": [75.0], "at": [], "over": []}
    assert interval_mark(0.0, NAN, 1.0, (-1.0, 1.0), ()) == ""


@pytest.mark.parametrize("scope", ["runs", "checkpoints"])
def test_all_marks_of_a_column_share_a_reach_that_holds_them(scope):
    for table in student_tables(measured(build_tables(), scope)):
        for row in table.rows:
            for estimate in (row.gain, row.fidelity):
                found = positions(estimate.mark)
                assert all(0 <= place <= WIDTH for places in found.values() for place in places)


def test_sentences_are_grouped_by_what_they_may_be_used_for():
    rows = [
        stated(role="detail", sentence="D."),
        stated(),
        stated(role="exploratory", sentence="E."),
        stated(sentence=""),
    ]
    found = conclusions(replace(empty_tables(), statistics=pd.DataFrame(rows)))
    assert [(group.role, group.sentences) for group in found] == [
        ("confirmatory", ("Distillation gained 3.0. One run.",)),
        ("exploratory", ("E.",)),
        ("detail", ("D.",)),
    ]
    assert conclusions(empty_tables()) == []
