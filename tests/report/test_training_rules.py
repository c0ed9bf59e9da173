"""Which checkpoint was kept and how rates were chosen, as the cells tell it."""

from __future__ import annotations

import pandas as pd
import pytest

from kdscope.report.training import training_rules

from .builders import build_cells, empty_tables
from .statistics_builders import student_cells

TUNED = {"tuning_runs": 3, "rates_tried": "0.0005, 0.001, 0.002", "learning_rate": 0.001}


def rules(rows):
    return training_rules(empty_tables(cells=pd.DataFrame(rows)).cells)


@pytest.mark.parametrize(
    ("keep", "said"),
    [
        ("last", "Last checkpoint of every run."),
        ("best_accuracy", "Checkpoint with the best validation accuracy of every run."),
        ("best_loss", "Checkpoint with the lowest validation loss of every run."),
    ],
)
def test_the_rule_of_checkpoints(keep, said):
    assert rules(student_cells("seqkd", keep=keep)) == [said]


def test_several_rules_are_all_told():
    rows = [*student_cells("seqkd", keep="last"), *student_cells("gkd", student="u", keep="best_loss")]
    assert rules(rows) == ["Checkpoints by several rules: last, best loss."]


def test_an_equal_budget_includes_the_control():
    assert rules(student_cells("seqkd", **TUNED)) == [
        "Learning rate chosen per method from 0.0005, 0.001, 0.002 on validation accuracy, 3 runs each, the control "
        "included."
    ]


def test_an_unequal_budget_is_called_one():
    control, taught = student_cells("seqkd", **TUNED)
    [said] = rules([control | {"tuning_runs": 0, "rates_tried": None}, taught])
    assert "an unequal budget of 3 runs, 1 model not tuned" in said
    [more] = rules([control | {"tuning_runs": 6}, taught])
    assert "an unequal budget of 3 to 6 runs" in more
    assert "control included" not in said + more


def test_one_rate_is_not_tuned():
    assert rules(student_cells("seqkd", learning_rate=0.001)) == ["Learning rate not tuned (0.001 for every method)."]
    control, taught = student_cells("seqkd", learning_rate=0.001)
    assert rules([control, taught | {"learning_rate": 0.002}]) == ["Learning rate not tuned."]


def test_what_the_other_rule_would_have_kept():
    control, taught = student_cells("seqkd", keep="best_accuracy", kept_step=40, other_rule_step=70)
    assert rules([control, taught | {"kept_step": 70}])[1] == (
        "Keeping the lowest validation loss instead would have kept another step in 1 of 2 runs."
    )
    same = [row | {"kept_step": 70} for row in (control, taught)]
    assert rules(same)[1] == "Keeping the lowest validation loss instead would have kept the same steps."


def test_failed_runs_and_older_tables_tell_nothing():
    assert rules(student_cells("seqkd", state="failed", **TUNED)) == []
    assert training_rules(empty_tables(cells=build_cells()).cells) == []
