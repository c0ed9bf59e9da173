"""The terminal's table: a row a model, numbers as the tables have them, nothing made up for what is missing."""

from __future__ import annotations

import json
from dataclasses import replace

import pandas as pd

from kdscope.report.run_summary import HEADINGS, run_answers, run_numbers, run_rows
from tests.report.builders import FAILED, build_tables, empty_tables


def test_every_model_has_a_row_with_its_numbers() -> None:
    tables = build_tables()
    rows = run_rows(tables, "robust")
    assert len(rows) == len(tables.cells)
    assert {len(row) for row in rows} == {len(HEADINGS)}
    where = tables.cells["cell"].tolist().index("small/seqkd/teacher/s0")
    gain = tables.gains.set_index(["cell", "scoring", "task"]).loc[("small/seqkd/teacher/s0", "robust", "pooled")]
    accuracy = tables.accuracy.set_index(["cell", "scoring", "task"]).loc[
        ("small/seqkd/teacher/s0", "robust", "average"), "accuracy"
    ]
    assert rows[where][0] == "small"
    assert rows[where][2] == f"{100 * accuracy:.1f}"
    assert rows[where][3] == f"+{100 * gain['gain']:.1f} [+{100 * gain['low']:.1f}, +{100 * gain['high']:.1f}]"


def test_programs_get_numbers() -> None:
    tables = build_tables()
    rows = run_numbers(tables, "robust")
    where = tables.cells["cell"].tolist().index("small/seqkd/teacher/s0")
    gain = tables.gains.set_index(["cell", "scoring", "task"]).loc[("small/seqkd/teacher/s0", "robust", "pooled")]
    assert rows[where]["gain"] == gain["gain"]
    assert rows[0]["gain"] is None
    assert json.loads(json.dumps(rows)) == rows


def test_what_failed_says_so_and_claims_nothing() -> None:
    tables = build_tables()
    row = run_rows(tables, "robust")[tables.cells["cell"].tolist().index(FAILED)]
    assert row[2:] == ["failed", "–", "–", "–"]


def test_only_the_primary_question_is_answered_here() -> None:
    told = {"protocol": "rigorous", "hypothesis": "H1-student", "test": "t", "group": "tiny", "task": "Average"}
    numbers = dict.fromkeys(
        ("statistic", "p_value", "n", "estimate", "low", "high", "p_adjusted", "detectable", "margin")
    )
    text = {"domain": "math", "note": "", "unit": "items", "per": ""}
    rows = [
        told | numbers | text | {"role": role, "sentence": f"It is {role}."} for role in ("confirmatory", "exploratory")
    ]
    tables = replace(build_tables(), statistics=pd.DataFrame(rows))
    assert run_answers(tables) == ["It is confirmatory."]


def test_nothing_to_tell() -> None:
    assert run_rows(empty_tables(), "robust") == []
    assert run_answers(empty_tables()) == []
