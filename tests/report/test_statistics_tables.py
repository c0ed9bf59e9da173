"""What varies, and the parts of fidelity, as tables."""

from __future__ import annotations

from kdscope.report.fidelity_tables import fidelity_parts
from kdscope.report.statistics_tables import variance_table

from .builders import empty_tables
from .statistics_builders import COMPONENTS, NAN, about_setting, study, variance_rows


def texts(view):
    return [[entry.shown for entry in row] for row in view.rows]


def test_every_component_of_variance_has_a_row():
    view = variance_table(study([*about_setting(1.0, 0.5), *variance_rows()]))
    assert view.headings == ("component", "SD, points", "degrees of freedom", "note")
    assert [row[0] for row in texts(view)] == list(COMPONENTS)
    assert texts(view)[1][1:3] == ["1.50", "11"]


def test_components_of_several_domains_are_told_apart():
    view = variance_table(study([*variance_rows(), *variance_rows("commonsense")]))
    assert view.headings[0] == "domain"
    assert {row[0] for row in texts(view)} == {"math", "commonsense"}


def test_what_could_not_be_estimated_has_a_dash():
    [row] = texts(variance_table(study([variance_rows()[0] | {"estimate": NAN, "note": "One run."}])))
    assert row[1:] == ["–", "10", "One run."]
    assert variance_table(empty_tables()).rows == ()


def test_the_parts_of_fidelity_stand_beside_it():
    view = fidelity_parts(study(about_setting(1.0, 0.5, fidelity=4.0)))
    [row] = texts(view)
    assert row[:3] == ["s", "seqkd", "t"]
    shown = dict(zip(view.headings, row, strict=True))
    assert shown["beyond accuracy"] == "+4.0 [+2.5, +5.5] (p .5)"
    assert shown["of which both right"].startswith("+2.0 [")
    assert shown["of which wrong alike"].startswith("+2.0 [")
    assert shown["inherited errors"].startswith("+1.0 [")
    assert fidelity_parts(empty_tables()).rows == ()
