"""What the page says of evaluation items that stand in training sets."""

from __future__ import annotations

from dataclasses import replace

import pandas as pd

from kdscope.report.contamination import clean_view, contamination_caution, contamination_view
from kdscope.report.page import render_page
from kdscope.report.tables import ReportTables
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
        "Training sets hold 3 evaluation items: 3 of 200 of gsm8k. The conclusions use them; "
        "tasks.exclude_contaminated leaves them out."
    )
    assert contamination_caution(tables, excluded=True).endswith("The conclusions leave them out.")
    assert contamination_caution(build_tables(), excluded=False) == ""


def test_contaminated_counts_stand_out() -> None:
    rows = contamination_view(with_contamination(build_tables())).rows
    assert [[entry.text for entry in row] for row in rows] == [
        ["a", "gsm8k", "200", "2", "1", "9", "x"],
        ["b", "boolq", "100", "0", "0", "4", "<z>"],
    ]
    assert [[entry.flagged for entry in row[3:6]] for row in rows] == [[True, True, False], [False, False, False]]


def test_both_results_stand_side_by_side() -> None:
    (row,) = clean_view(with_contamination(build_tables()), "robust").rows
    assert [entry.text for entry in row[2:]] == ["200", "50.0", "–", "197", "25.0", "–"]
    assert clean_view(build_tables(), "robust").rows == ()


def test_the_page_shows_it_escaped() -> None:
    page = render_page(with_contamination(build_tables()), build_facts())
    assert "Training sets hold 3 evaluation items" in page
    assert "&lt;z&gt;" in page
    assert "<z>" not in page
    assert "No evaluation item stands in a training set" in render_page(build_tables(), build_facts())
