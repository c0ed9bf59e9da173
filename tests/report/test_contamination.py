"""What the page says of evaluation items that stand in training sets."""

from __future__ import annotations

from dataclasses import replace

import pandas as pd

from kdscope.report.contamination import contamination_caution, contamination_overview, decontaminated_overview
from kdscope.report.page import render_page
from kdscope.results.tables import ReportTables
from tests.report.builders import build_facts, build_tables

FOUND = pd.DataFrame(
    [
        {"training_set": "a", "task": "gsm8k", "items": 200, "exact": 2, "near": 1, "some": 9, "examples": "x; y"},
        {"training_set": "b", "task": "boolq", "items": 100, "exact": 0, "near": 0, "some": 4, "examples": "<z>"},
    ]
)


def with_contamination(tables: ReportTables) -> ReportTables:
    cell = str(tables.accuracy["cell"].iloc[0])
    numbers = {"items_all": 200, "accuracy_all": 0.5, "items_clean": 197, "accuracy_clean": 0.25}
    clean = pd.DataFrame([{"cell": cell, "task": "gsm8k", "scoring": "robust", **numbers}])
    return replace(tables, contamination=FOUND, clean=clean.reindex(columns=tables.clean.columns))


def test_the_numbers_and_their_use_are_told() -> None:
    tables = with_contamination(build_tables())
    assert contamination_caution(tables, excluded=False) == (
        "3 of 200 items of gsm8k are in a (2 word for word, 1 nearly: at least half of their 8-grams). The conclusions "
        "use them; tasks.exclude_contaminated leaves them out."
    )
    assert contamination_caution(tables, excluded=True).endswith("The conclusions leave them out.")
    assert contamination_caution(build_tables(), excluded=False) == ""


def test_one_that_is_near_is_not_called_held() -> None:
    near = FOUND[:1].assign(training_set="the training data of teacher big", exact=0)
    assert contamination_caution(replace(build_tables(), contamination=near), excluded=False) == (
        "1 of 200 items of gsm8k is nearly in the training data of teacher big (at least half of its 8-grams; none "
        "word for word). The conclusions use it; tasks.exclude_contaminated leaves it out."
    )
    exact = contamination_caution(replace(build_tables(), contamination=FOUND[:1].assign(near=0)), excluded=True)
    assert exact == "2 of 200 items of gsm8k are in a word for word. The conclusions leave them out."


def test_the_worst_pairs_are_named_and_the_others_counted() -> None:
    many = pd.concat([FOUND[:1].assign(task=f"task {number}", exact=number) for number in range(7)])
    told = contamination_caution(replace(build_tables(), contamination=many), excluded=False)
    assert told.startswith("7 of 200 items of task 6 are in a (6 word for word")
    assert "task 2" in told
    assert "task 1" not in told
    assert "; and so for 2 more pairs of training set and task. The conclusions" in told


def test_contaminated_counts_stand_out() -> None:
    rows = contamination_overview(with_contamination(build_tables())).rows
    assert [[entry.shown for entry in row] for row in rows] == [
        ["a", "gsm8k", "200", "2", "1", "9", "x"],
        ["b", "boolq", "100", "0", "0", "4", "<z>"],
    ]
    assert [[entry.flagged for entry in row[3:6]] for row in rows] == [[True, True, False], [False, False, False]]


def test_both_results_stand_side_by_side() -> None:
    (row,) = decontaminated_overview(with_contamination(build_tables()), "robust").rows
    assert [entry.shown for entry in row[2:]] == ["200", "50.0", "–", "197", "25.0", "–"]
    assert decontaminated_overview(build_tables(), "robust").rows == ()


def test_the_page_shows_it_escaped() -> None:
    page = render_page(with_contamination(build_tables()), build_facts())
    assert "3 of 200 items of gsm8k are in a (2 word for word" in page
    assert "&lt;z&gt;" in page
    assert "<z>" not in page
    assert "No evaluation item stands in a training set" in render_page(build_tables(), build_facts())
