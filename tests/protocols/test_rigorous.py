"""The list of questions: one more line of it is one more question, on tables and on item records alike."""

from __future__ import annotations

import numpy as np
import pandas as pd
import pytest

from kdscope.protocols import rigorous
from kdscope.protocols.results_table import results_table
from kdscope.protocols.rigorous import OF_RECORDS, OF_TABLES, rigorous_protocol, rigorous_records
from kdscope.protocols.sentences import sentence
from kdscope.results.hypotheses import EXPLORATORY
from kdscope.statistics.estimates import mean_over_units


def median_gain(sample):
    """A question of one's own: the mean gain without the largest and the smallest."""
    for task, gains in sample.gains_by_student():
        inner = sorted(gains.values())[1:-1]
        yield sample.row(mean_over_units(inner), "trimmed_gain", "all", "t over inner students", task=task)


@pytest.fixture
def table():
    generator = np.random.default_rng(5)
    rows = [
        {"student": f"s-{n}B", "teacher": "t", "method": method, "task": "x", "value": 40 + gain + generator.normal()}
        for n in range(1, 6)
        for method, gain in (("sft", 0.0), ("gkd", 4.0))
    ]
    return results_table(pd.DataFrame(rows), unit="percent").table


@pytest.fixture
def records():
    generator = np.random.default_rng(6)
    return pd.concat(
        [
            pd.DataFrame({"task": "x", "item": range(40), "correct": generator.random(40) < share}).assign(
                model=f"{n} {method}", student=f"s-{n}B", teacher="", method=method, temperature=np.nan, seed=0
            )
            for n in range(1, 6)
            for method, share in (("sft", 0.4), ("gkd", 0.6))
        ],
        ignore_index=True,
    )


@pytest.mark.parametrize("kind", ["table", "records"])
def test_a_question_is_one_function_and_one_line(kind, table, records, monkeypatch):
    monkeypatch.setattr(rigorous, "OF_TABLES", (*OF_TABLES, median_gain))
    monkeypatch.setattr(rigorous, "OF_RECORDS", (*OF_RECORDS, median_gain))
    found = rigorous_protocol(table) if kind == "table" else rigorous_records(records, draws=99)
    [row] = found[found["hypothesis"] == "trimmed_gain"].to_dict("records")
    assert (row["n"], row["role"], row["test"]) == (3, EXPLORATORY, "t over inner students")
    assert row["p_adjusted"] == row["p_value"]
    assert sentence(row).startswith("Distillation gained")


def test_both_kinds_of_sample_are_asked_the_primary_question_first(table, records):
    for found in (rigorous_protocol(table), rigorous_records(records, draws=99)):
        first = found.iloc[:5]
        assert first["hypothesis"].eq("H1-student").all()
        assert first["role"].eq("confirmatory").all()
        assert first["student"].tolist() == [f"s-{n}B" for n in range(1, 6)]
