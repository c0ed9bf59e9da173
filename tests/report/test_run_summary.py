"""The terminal's table: a row a model, numbers as the tables have them, nothing made up for what is missing."""

from __future__ import annotations

import json
from dataclasses import replace

import pandas as pd

from kdscope.report.answer import answer
from kdscope.report.run_summary import run_answers, run_numbers, run_table
from kdscope.results.tables import ReportTables
from tests.report.builders import FAILED, build_tables, empty_tables
from tests.report.statistics_builders import about_setting, student_cells


def run_rows(tables: ReportTables, scoring: str) -> list[list[str]]:
    return [[cell.text for cell in row] for row in run_table(tables, scoring).rows]


def tables_with_runs() -> ReportTables:
    """A student with two runs of two methods and of its control, and what the statistics say of it."""
    rows = [*about_setting(5.0, 0.01, fidelity=2.0), *about_setting(-1.0, 0.6, method="gkd")]
    cells = pd.DataFrame(student_cells("seqkd", "gkd", seeds=2))
    shares = {cell: 0.4 + place / 100 for place, cell in enumerate(cells["cell"])}
    accuracy = [{"cell": cell, "task": "average", "scoring": "robust", "accuracy": a} for cell, a in shares.items()]
    rest = dict.fromkeys(("items", "correct", "low", "high", "unparsed_rate", "truncated_rate", "chance"))
    plain = empty_tables(cells=cells, accuracy=pd.DataFrame(accuracy).assign(**rest, below_chance=None))
    return replace(plain, statistics=pd.DataFrame(rows))


def test_a_setting_has_a_row_over_all_its_runs() -> None:
    rows = run_rows(tables_with_runs(), "robust")
    assert rows == [
        ["s", "sft", "2", "40.5", "–", "–", "–", "–"],
        ["s", "seqkd", "2", "42.5", "+5.0 [+0.5, +9.5]", ".01", "+2.0 [+0.5, +3.5]", "+1.0 [−0.5, +2.5]"],
        ["s", "gkd", "2", "44.5", "−1.0 [−5.5, +3.5]", ".6", "+2.0 [+0.5, +3.5]", "+1.0 [−0.5, +2.5]"],
    ]


def test_a_domain_more_is_a_line_more() -> None:
    tables = tables_with_runs()
    more = pd.DataFrame([*about_setting(5.0, 0.01), *about_setting(1.0, 0.9, domain="commonsense")])
    rows = run_rows(replace(tables, statistics=more), "robust")
    assert [row[1] for row in rows] == ["sft", "seqkd", "", "gkd"]
    assert [row[4] for row in rows[1:3]] == ["+5.0 [+0.5, +9.5] (math)", "+1.0 [−3.5, +5.5] (commonsense)"]


def test_no_claim_has_no_p() -> None:
    tables = tables_with_runs()
    unknown = tables.statistics.assign(p_value=float("nan"))
    assert [row[5] for row in run_rows(replace(tables, statistics=unknown), "robust")] == ["–"] * 3


def test_who_was_left_in_the_warm_start_says_so() -> None:
    tables = tables_with_runs()
    left = replace(tables, cells=tables.cells.assign(distilled=tables.cells["method"] != "gkd"))
    assert run_rows(left, "robust")[-1] == ["s", "gkd (not distilled)", "2", "44.5", "–", "–", "–", "–"]
    assert [row["distilled"] for row in run_numbers(left, "robust")] == [None, None, True, True, False, False]


def test_programs_get_numbers() -> None:
    rows = run_numbers(tables_with_runs(), "robust")
    assert [row["cell"] for row in rows] == [
        f"s/{method}/{seed}" for method in ("sft", "seqkd", "gkd") for seed in (0, 1)
    ]
    assert rows[0]["settings"] == []
    [setting] = rows[3]["settings"]
    assert (setting["gain"], setting["gain_low"], setting["p_adjusted"], setting["scope"]) == (5.0, 0.5, 0.01, "runs")
    assert (setting["fidelity"], setting["inherited"], setting["runs"]) == (2.0, 1.0, 5)
    assert json.loads(json.dumps(rows)) == rows


def test_what_failed_says_so_and_claims_nothing() -> None:
    tables = build_tables()
    row = run_rows(tables, "robust")[tables.cells["cell"].tolist().index(FAILED)]
    assert row[2:] == ["0", "failed", "–", "–", "–", "–"]


def test_the_answers_are_those_of_the_page() -> None:
    tables = tables_with_runs()
    found = answer(tables)
    assert run_answers(tables) == [found.headline, *found.sentences]
    assert run_answers(tables)[0] == "Reliable gain over SFT: seqkd for s."


def test_nothing_to_tell() -> None:
    assert run_rows(empty_tables(), "robust") == []
    assert run_numbers(empty_tables(), "robust") == []
