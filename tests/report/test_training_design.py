from __future__ import annotations

import pandas as pd
import pytest

from kdscope.report.summary import summary_sentences
from kdscope.report.training import design_sentence

from .builders import build_tables, cell_row, designed_cells, designed_tables, empty_tables, taught_row

TEACHER = cell_row("t", "teacher", "adapt", teacher="t", labelled_examples=300, unlabelled_prompts=0, steps=90)
CONTROL = cell_row("s/sft", "student", "sft", student="s", labelled_examples=300, unlabelled_prompts=0, steps=120)


def sentence(*cells):
    return design_sentence(empty_tables(cells=pd.DataFrame(list(cells))).cells)


def test_the_design_in_one_sentence():
    told = (
        "Who saw what: the teacher learned from 2,400 labelled examples; every student had 300; distilled students "
        "also saw 1,800 prompts without answers, which the teacher answered; the SFT control had the same 300 and as "
        "many steps (120)."
    )
    assert design_sentence(empty_tables(cells=designed_cells()).cells) == told
    assert summary_sentences(designed_tables(), "robust")[1] == told


@pytest.mark.parametrize(
    "cells",
    [
        [],
        [TEACHER],
        [TEACHER, CONTROL, taught_row("s/jsd", "jsd", unlabelled_prompts=0)],
        [CONTROL, taught_row("s/jsd", "jsd", unlabelled_prompts=None)],
    ],
)
def test_nothing_is_said_where_nothing_is_special(cells):
    assert sentence(*cells) == ""


def test_older_tables_tell_no_design():
    assert design_sentence(build_tables().cells) == ""


def test_equal_numbers_are_not_called_a_students_own():
    text = sentence(TEACHER, CONTROL, taught_row("s/jsd", "jsd"))
    assert text.startswith("Who saw what: the teacher learned from 300 labelled examples; every student also had 300;")


def test_a_teacher_as_it_came_learned_from_nothing():
    raw = cell_row("t@base", "teacher", "base", teacher="t", labelled_examples=None)
    assert sentence(raw, CONTROL, taught_row("s/jsd", "jsd")).startswith(
        "Who saw what: every student learned from 300 labelled examples; distilled students also saw 1,800 prompts"
    )


def test_a_teacher_with_other_data_is_enough_to_say_so():
    text = sentence(TEACHER | {"labelled_examples": 2400}, CONTROL, taught_row("s/jsd", "jsd", unlabelled_prompts=0))
    assert "prompts without answers" not in text
    assert text.endswith("every student had 300; the SFT control had the same 300 and as many steps (120).")


def test_differences_are_ranges_and_never_called_the_same():
    other = {"teacher": "u", "cell": "u", "labelled_examples": 1000}
    text = sentence(
        TEACHER,
        TEACHER | other,
        CONTROL,
        CONTROL | {"cell": "s2/sft", "student": "s2", "labelled_examples": 290},
        taught_row("s/jsd", "jsd", teacher="t", steps=150, unlabelled_prompts=1700),
        taught_row("s/gkd", "gkd", teacher="u", steps=160),
        taught_row("s/seqkd", "seqkd", teacher="u", unlabelled_prompts=0),
    )
    assert text == (
        "Who saw what: the teachers learned from 300 to 1,000 labelled examples; students had 290 to 300; some "
        "distilled students also saw 1,700 to 1,800 prompts without answers, which their teacher answered; every SFT "
        "control had 290 to 300, and 120 steps where distilled students had 120 to 160."
    )


def test_a_study_without_control_or_steps_claims_nothing_about_them():
    assert "SFT" not in sentence(TEACHER, taught_row("s/jsd", "jsd"))
    text = sentence(TEACHER, CONTROL | {"steps": None}, taught_row("s/jsd", "jsd"))
    assert text.endswith("the SFT control had the same 300.")
