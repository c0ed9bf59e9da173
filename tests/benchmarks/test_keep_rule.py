"""The comparison of rules for which checkpoint is kept: its study, and the table made of a run."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pandas as pd
import pytest

from kdscope.study.load import load_study
from tests.report.builders import cell_row

Load = Callable[[str], Any]


def test_one_study_is_asked_under_both_rules(load: Load) -> None:
    program = load("keep_rule")
    study = load_study(program.STUDY)
    asked = [program.under_rule(study, rule) for rule in program.RULES]
    assert [one.training.keep for one in asked] == ["last", "best_loss"]
    assert len({one.name for one in asked}) == 2
    # Everything else is equal, the teacher included.
    for one in asked:
        same = one.model_copy(update={"name": study.name, "training": study.training})
        assert same == study
        assert one.teacher_training.keep == "last"
    assert program.under_rule(study, "last", [3, 4]).seeds == (3, 4)


def test_the_table_of_a_run(load: Load) -> None:
    program = load("keep_rule")
    shares = {("sft", 0): 0.60, ("sft", 1): 0.64, ("reverse_kl", 0): 0.70, ("reverse_kl", 1): 0.78}
    cells = pd.DataFrame(
        [
            cell_row(f"{method}/{seed}", "student", method, seed=seed, distilled=None if method == "sft" else seed == 0)
            for method, seed in shares
        ]
    )
    rows = [
        {
            "cell": f"{method}/{seed}",
            "task": task,
            "scoring": scoring,
            "accuracy": share if scoring == "robust" else 0.0,
        }
        for (method, seed), share in shares.items()
        for task in ("average", "mini-one-step")
        for scoring in ("robust", "published")
    ]
    lines = program.lines_of("last", cells, pd.DataFrame(rows))
    assert "| sft | 60.0 | 64.0 | 62.0 |" in lines
    assert "| reverse_kl | 70.0 | 78.0 | 74.0 |" in lines
    # Differences of 10 and 14: mean 12, standard error 2, and 12.706 of them on either side.
    assert "reverse_kl - sft: +12.0 points, 95% t interval -13.4 to +37.4" in lines
    assert lines[-1] == "students kept in their warm start: 1"


def test_only_seeds_of_both_methods_are_compared(load: Load) -> None:
    first, second = {0: 0.5, 1: 0.7, 2: 0.9}, {1: 0.5, 0: 0.4, 5: 0.1}
    assert load("keep_rule").paired(first, second)[0] == pytest.approx(15.0)
