"""The answer, one row per student."""

from __future__ import annotations

from dataclasses import replace

import pandas as pd
import pytest

from kdscope.report.conclusions import conclusions
from kdscope.report.verdicts import headline, interval_mark, student_rows
from kdscope.statistics.mcnemar import detectable_difference

from .builders import build_tables, designed_tables, empty_tables, stated


@pytest.fixture(scope="module")
def tables():
    return build_tables()


def test_only_an_established_gain_is_called_better(tables):
    tiny, small = student_rows(tables, "robust")
    assert (tiny.student, tiny.kind, tiny.verdict) == ("tiny", "open", "no gain shown")
    assert (small.student, small.kind, small.verdict, small.method) == (
        "small",
        "good",
        "better than SFT",
        "seqkd, T=1",
    )
    row = tables.gains.query("cell == 'small/seqkd/teacher/s0' and task == 'pooled' and scoring == 'robust'").iloc[0]
    assert small.gain.text.startswith(f"+{100 * row['gain']:.1f} [")
    assert headline(tables, "robust").endswith("for small; it is not shown to for tiny.")


def test_the_smallest_gain_allows_for_the_number_of_comparisons(tables):
    _, small = student_rows(tables, "robust")
    row = tables.gains.query("cell == 'small/seqkd/teacher/s0' and task == 'pooled' and scoring == 'robust'").iloc[0]
    comparisons = len(tables.gains.query("task == 'pooled' and scoring == 'robust'"))
    discordance = (row["only_cell"] + row["only_control"]) / row["items"]
    expected = 100 * detectable_difference(int(row["items"]), discordance, 0.05 / comparisons, 0.8)
    assert small.detectable == (f"{expected:.1f}",)


def test_every_domain_of_the_primary_question_is_a_row(tables):
    two = [stated(), stated(domain="commonsense", detectable=7.0, estimate=-3.0, low=-5.0, high=-1.0)]
    math, other = student_rows(replace(tables, statistics=pd.DataFrame(two)), "robust")
    assert [(row.student, row.domain, row.detectable) for row in (math, other)] == [
        ("small", "math", ("4.2",)),
        ("small", "commonsense", ("7.0",)),
    ]
    assert (other.method, other.fidelity.text) == ("", "")  # over all items: told once
    assert math.method.startswith("largest single gain, over all items: ")
    told = headline(replace(tables, statistics=pd.DataFrame(two)), "robust")
    assert "small (math)" in told
    assert "small (commonsense)" in told


@pytest.mark.parametrize(
    ("changes", "said"),
    [
        (
            {"gain": 0.05, "low": 0.02, "high": 0.08, "p_holm": 0.001},
            "Distillation beat plain fine-tuning (SFT) for tiny.",
        ),
        (
            {"gain": 0.05, "low": 0.02, "high": 0.08, "p_holm": 0.2},
            "Distillation is not shown to beat plain fine-tuning (SFT).",
        ),
        ({"gain": -0.05, "low": -0.08, "high": -0.02, "p_holm": 0.001}, "Distillation is not shown to beat plain"),
        ({"low": None, "high": None}, "no intervals"),
    ],
)
def test_headlines(changes, said):
    designed = designed_tables()
    assert said in headline(replace(designed, gains=designed.gains.assign(**changes)), "robust")


def test_without_gains_nothing_can_be_said():
    assert "cannot say" in headline(empty_tables(), "robust")
    assert student_rows(empty_tables(), "robust") == []


def test_fidelity_lies_between_control_and_ceiling(tables):
    known = tables.fidelity.assign(normalised=0.4, normalised_low=0.3, normalised_high=0.55, control=0.5)
    _, small = student_rows(replace(tables, fidelity=known), "robust")
    assert small.fidelity.text == "0.40 [0.30, 0.55]"
    assert "(SFT 50.0%)" in small.fidelity.note
    assert student_rows(tables, "robust")[1].fidelity.text.endswith("%")


def test_marks_of_one_reach_line_up_and_stay_inside():
    mark = interval_mark(-9.0, 0.0, 9.0, (-1.0, 1.0), (0.0,))
    assert 'x1="4.0" x2="128.0"' in mark
    assert 'cx="66.0"' in mark
    assert 'class="at" x1="66.0"' in mark
    assert "over" not in interval_mark(float("nan"), 0.0, 1.0, (-1.0, 1.0), ())


def test_sentences_are_grouped_by_what_they_may_be_used_for(tables):
    rows = [
        stated(role="detail", sentence="D."),
        stated(),
        stated(role="exploratory", sentence="E."),
        stated(sentence=""),
    ]
    found = conclusions(replace(tables, statistics=pd.DataFrame(rows)))
    assert [(group.role, group.sentences) for group in found] == [
        ("confirmatory", ("Distillation gained 3.0. One run.",)),
        ("exploratory", ("E.",)),
        ("detail", ("D.",)),
    ]
    assert conclusions(tables) == []


def test_the_largest_of_several_gains_is_no_answer():
    """One cell of many may shine: where the study asked its question, that answers."""
    designed = designed_tables()
    asked = stated(group="tiny", estimate=-0.1, low=-34.6, high=34.5, p_adjusted=1.0)
    [row] = student_rows(replace(designed, statistics=pd.DataFrame([asked])), "robust")
    assert (row.verdict, row.gain.text) == ("no gain shown", "−0.1 [−34.6, +34.5]")
    assert "not shown" in headline(replace(designed, statistics=pd.DataFrame([asked])), "robust")
    found = stated(group="tiny", estimate=3.0, low=1.0, high=5.0, p_adjusted=0.02)
    [row] = student_rows(replace(designed, statistics=pd.DataFrame([found])), "robust")
    assert (row.kind, row.gain.text, row.gain.note) == ("good", "+3.0 [+1.0, +5.0]", "adjusted p .02")
    assert row.method.startswith("largest single gain, over all items: +5.0, forward_kl")
