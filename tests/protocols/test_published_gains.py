"""Gains of a table worked by hand: the best temperature, the control, and what is attached to each cell."""

from __future__ import annotations

import math

import pandas as pd
import pytest

from kdscope.core.errors import StatisticsError
from kdscope.protocols.published import load_published, published_gains
from kdscope.protocols.published_gains import model_size, with_average
from kdscope.protocols.results_table import results_table

HEADER = ["teacher", "student", "method", "temperature", "teacher_condition", "task", "value"]
ROWS = [
    ("", "S-1B", "base", None, "", "gsm8k", 5),
    ("", "S-1B", "sft", None, "", "gsm8k", 20),
    ("", "B-3B", "sft", None, "", "gsm8k", 40),
    ("", "T-8B", "sft", None, "", "gsm8k", 70),
    ("T-8B", "S-1B", "forward_kl", 1, "", "gsm8k", 21),
    ("T-8B", "S-1B", "forward_kl", 2, "", "gsm8k", 25),
    ("T-8B", "S-1B", "forward_kl", 1, "base", "gsm8k", 99),
    ("T-8B", "S-1B", "reverse_kl", 1, "", "gsm8k", 26),
    ("T-8B", "B-3B", "reverse_kl", 1, "", "gsm8k", 44),
    ("U", "S-1B", "my_way", None, "", "gsm8k", 10),
    ("", "S-1B", "sft", None, "", "AQuA", 30),
    ("T-8B", "S-1B", "forward_kl", 1, "", "AQuA", 32),
    ("T-8B", "S-1B", "forward_kl", 2, "", "AQuA", 31),
]


def tidy(rows=ROWS, **columns):
    return results_table(pd.DataFrame(rows, columns=HEADER).assign(**columns)).table


def cell(gains, teacher, student, family, task):
    keys = gains[["teacher", "student", "family", "task"]].apply(tuple, axis=1)
    return gains[keys == (teacher, student, family, task)].squeeze()


def test_gains_of_a_hand_worked_table():
    gains = published_gains(tidy(domain="math"))
    found = gains.set_index(["teacher", "student", "family", "task"])["gain"].to_dict()
    del found["T-8B", "S-1B", "SeqKD", "Average"]
    assert found == {
        ("T-8B", "S-1B", "SeqKD", "gsm8k"): 5.0,
        ("T-8B", "S-1B", "RevKD", "gsm8k"): 6.0,
        ("T-8B", "B-3B", "RevKD", "gsm8k"): 4.0,
        ("U", "S-1B", "my_way", "gsm8k"): -10.0,
        ("T-8B", "S-1B", "SeqKD", "AQuA"): 2.0,
    }
    best = cell(gains, "T-8B", "S-1B", "SeqKD", "gsm8k")
    assert (best["temperature"], best["teacher_condition"]) == (2.0, "adapted")
    assert (best["accuracy"], best["sft_accuracy"], best["teacher_accuracy"]) == (25.0, 20.0, 70.0)
    assert best["student_size"] == 1.0
    assert math.isnan(cell(gains, "U", "S-1B", "my_way", "gsm8k")["teacher_accuracy"])


def test_the_average_is_a_task_with_a_maximum_of_its_own():
    """On the tasks the best are 25 (temperature 2) and 32 (temperature 1); no single run has their mean, 28.5."""
    average = cell(published_gains(tidy(domain="math")), "T-8B", "S-1B", "SeqKD", "Average")
    assert (average["accuracy"], average["sft_accuracy"], average["gain"]) == (28.0, 25.0, 3.0)


@pytest.mark.parametrize(("domain", "best", "condition"), [("math", 25.0, "adapted"), ("commonsense", 99.0, "base")])
def test_unadapted_teachers_count_in_commonsense_alone(domain, best, condition):
    found = cell(published_gains(tidy(domain=domain)), "T-8B", "S-1B", "SeqKD", "gsm8k")
    assert (found["accuracy"], found["teacher_condition"]) == (best, condition)


def test_seeds_are_averaged_before_the_maximum():
    one, other = tidy(seed="1"), tidy(seed="2")
    other.loc[(other["method"] == "forward_kl") & (other["temperature"] == 1), "value"] += 6
    other.loc[(other["method"] == "sft") & (other["student"] == "S-1B"), "value"] += 2
    found = cell(published_gains(pd.concat([one, other])), "T-8B", "S-1B", "SeqKD", "gsm8k")
    # Means 24 at temperature 1 and 25 at 2, control 21; the maximum of all runs would be 27.
    assert (found["accuracy"], found["gain"]) == (25.0, 4.0)


def test_a_student_without_a_control_on_a_task_has_no_gain_there():
    gains = published_gains(tidy([*ROWS, ("T-8B", "B-3B", "gkd", 1, "", "AQuA", 50)]))
    assert math.isnan(cell(gains, "T-8B", "B-3B", "GKD", "AQuA")["gain"])


def test_agreement_of_the_cell_goes_before_that_of_the_pair():
    of_cells = [("T-8B", "S-1B", "forward_kl", 2, "", "gsm8k", 80), ("T-8B", "S-1B", "forward_kl", 1, "", "gsm8k", 11)]
    of_pair = [("T-8B", "S-1B", "kd", None, "", "gsm8k", 60), ("T-8B", "S-1B", "kd", None, "", "AQuA", 61)]
    control = [("T-8B", "S-1B", "sft", None, "", "gsm8k", 12)]
    measured = [
        results_table(
            pd.DataFrame([*ROWS[:2], *ROWS[4:5], *rows], columns=HEADER).assign(
                metric=["accuracy"] * 3 + ["agreement"] * len(rows), family=[""] * 3 + [family] * len(rows)
            )
        ).table.iloc[3:]
        for family, rows in (("", of_cells), ("any", of_pair), ("", control))
    ]
    gains = published_gains(pd.concat([tidy(), *measured]))
    assert cell(gains, "T-8B", "S-1B", "SeqKD", "gsm8k")["agreement"] == 80.0
    assert cell(gains, "T-8B", "S-1B", "SeqKD", "AQuA")["agreement"] == 61.0
    assert cell(gains, "T-8B", "S-1B", "RevKD", "gsm8k")["agreement"] == 60.0
    assert math.isnan(cell(gains, "T-8B", "B-3B", "RevKD", "gsm8k")["agreement"])


def test_averages_are_added_where_there_are_none():
    added = with_average(tidy())
    averages = added[added["task"] == "Average"]
    # Only S-1B's control and its two runs with an adapted teacher were measured on both tasks.
    assert averages[["student", "method", "value"]].to_numpy().tolist() == [
        ["S-1B", "sft", 25.0],
        ["S-1B", "forward_kl", 26.5],
        ["S-1B", "forward_kl", 28.0],
    ]
    assert with_average(added).equals(added)
    one_task = tidy([row for row in ROWS if row[-2] == "gsm8k"])
    assert with_average(one_task).equals(one_task)


def test_the_published_cells():
    gains = published_gains(load_published())
    assert len(gains) == 33 * (7 + 9)
    assert not gains.drop(columns=["agreement", "fidelity"]).isna().any(axis=None)
    has = gains.groupby(["domain", "task"])[["agreement", "fidelity"]].agg(lambda column: column.notna().all())
    assert not has.loc["math"].loc["Average"].any()
    assert has.loc["math"].drop("Average").all(axis=None)
    assert has.loc["commonsense"].drop("Average")["agreement"].all()
    assert not has.loc["commonsense"]["fidelity"].any()
    assert set(gains["student_size"]) == {0.5, 1.0, 1.5, 3.0, 7.0}


@pytest.mark.parametrize(
    ("name", "size"),
    [
        ("Qwen2.5-0.5B", 0.5),
        ("Llama-3.2-1B-Instruct", 1.0),
        ("meta/Llama-3.1-8b", 8.0),
        ("SmolLM2-360M", 0.36),
        ("tiny-s", math.nan),
        ("Phi-3B2", math.nan),
    ],
)
def test_size_from_a_name(name, size):
    assert model_size(name) == pytest.approx(size, nan_ok=True)


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (lambda table: table.drop(columns="family"), "lacks the column family"),
        (lambda table: pd.concat([table, table]), "twice: .*S-1B"),
        (lambda table: table.iloc[:0], "the table has none"),
    ],
)
def test_tables_that_cannot_give_gains(change, message):
    with pytest.raises(StatisticsError, match=message):
        published_gains(change(tidy()))
