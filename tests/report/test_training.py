from __future__ import annotations

import numpy as np
import pandas as pd
import pytest

from kdscope.report.training import learning_view, training_rules

from .builders import build_tables, cell_row, designed_cells, empty_tables, taught_row

WORDS = "the teacher's own words"
REFERENCES = "reference answers"


def rows(*cells, frame=None):
    """The table's rows by their first column, as texts."""
    view = learning_view(empty_tables(cells=pd.DataFrame(list(cells)) if frame is None else frame))
    assert {len(row) for row in view.rows} <= {len(view.headings)}
    return {row[0].shown: [entry.shown for entry in row[1:]] for row in view.rows}


def test_every_sort_of_model_is_told_apart():
    answered = f"{REFERENCES}, for unlabelled prompts {WORDS}"
    own = "the student's own samples in about 50% of the steps after any warm start"
    assert rows(frame=designed_cells()) == {
        "teacher big, adapted": ["2,400", "0", REFERENCES, "no", "450"],
        "teacher big, as it came": ["–", "–", "–", "–", "–"],
        "students: sft (the control)": ["300", "0", REFERENCES, "no", "120"],
        "students: seqkd": ["300", "1,800", WORDS, "no", "120"],
        "students: forward_kl, reverse_kl": ["300", "1,800", answered, "yes", "120"],
        "students: gkd": ["300", "1,800", f"{answered}; {own}", "yes", "120"],
    }


def test_without_unlabelled_prompts_nobody_is_said_to_have_answered_them():
    frame = designed_cells()
    known = frame["unlabelled_prompts"].notna()
    found = rows(frame=frame.assign(unlabelled_prompts=frame["unlabelled_prompts"].where(~known, 0)))
    assert found["students: forward_kl, reverse_kl"] == ["300", "0", REFERENCES, "yes", "120"]
    assert not any("unlabelled" in text for texts in found.values() for text in texts)


def test_where_cells_differ_the_range_is_shown():
    found = rows(
        taught_row("a", "jsd", labelled_examples=298, steps=1100),
        taught_row("b", "skew_kl", unlabelled_prompts=1795),
        taught_row("c", "total_variation", steps=None, labelled_examples=None, unlabelled_prompts=None),
    )
    [(name, texts)] = found.items()
    assert name == "students: jsd, skew_kl, total_variation"
    assert (texts[0], texts[1], texts[4]) == ("298 to 300", "1,795 to 1,800", "120 to 1,100")


@pytest.mark.parametrize(
    ("variant", "group", "share"),
    [
        (None, "students: gkd", "in about 50% of the steps after any warm start"),
        ("", "students: gkd", "in about 50% of the steps after any warm start"),
        ("beta0.1-on_policy_probability0.25", "students: gkd", "in about 25% of the steps after any warm start"),
        (
            "on_policy_probability1e-05-t2_scale_true",
            "students: gkd",
            "in about 0.001% of the steps after any warm start",
        ),
        ("on_policy_probability1-sampling_temperature0.7", "students: gkd", ""),
        ("on_policy_probability0", "students: forward_kl, gkd", None),
    ],
)
def test_the_share_of_own_samples_is_that_of_the_variant(variant, group, share):
    found = rows(taught_row("a", "forward_kl"), taught_row("b", "gkd", variant=variant))
    text = found[group][2]
    assert ("own samples" in text) == (share is not None)
    assert text.endswith(share or "")
    assert (text == "the student's own samples") == (share == "")


@pytest.mark.parametrize(("weights", "used"), [((1.0, 0.5), "yes"), ((0.0,), "no"), ((0.5, 0.0), "yes or no")])
def test_without_weight_the_teachers_probabilities_are_not_used(weights, used):
    found = rows(*(taught_row(f"w{weight}", "forward_kl", kd_weight=weight) for weight in weights))
    assert found["students: forward_kl"][3] == used
    assert rows(taught_row("n", "forward_kl", kd_weight=np.nan))["students: forward_kl"][3] == "yes"


@pytest.mark.parametrize(
    ("method", "variant", "responses"),
    [
        ("skew_kl", "skew0.5-text_teacher", WORDS),
        ("skew_kl", "text_both", f"{REFERENCES} and {WORDS}"),
        ("skew_kl", "skew0.5-text_gold", f"{REFERENCES}, for unlabelled prompts {WORDS}"),
        ("seqkd", "text_both", f"{REFERENCES} and {WORDS}"),
    ],
)
def test_responses_are_of_the_text_in_the_variant(method, variant, responses):
    assert rows(taught_row("a", method, variant=variant))[f"students: {method}"][2] == responses


def test_divergences_on_other_texts_have_rows_of_their_own():
    found = rows(taught_row("a", "jsd"), taught_row("b", "skew_kl", variant="text_teacher"))
    assert list(found) == ["students: jsd", "students: skew_kl"]


def test_a_method_that_is_not_known_is_not_described():
    assert rows(taught_row("a", "osmosis"))["students: osmosis"] == ["300", "1,800", "–", "–", "120"]


def test_what_failed_in_training_learned_nothing():
    nothing = {"state": "failed", "steps": None, "labelled_examples": None, "unlabelled_prompts": None}
    assert rows(taught_row("a", "seqkd", **nothing))["students: seqkd"] == ["–"] * 5


def test_older_tables_have_steps_but_no_counts():
    cells = build_tables().cells.drop(columns=["labelled_examples", "unlabelled_prompts"])
    found = rows(frame=cells)
    assert found["students: seqkd"] == ["–", "–", WORDS, "no", "200"]
    assert next(iter(found)) == "teacher big, adapted"


def test_an_empty_study_says_so():
    view = learning_view(empty_tables())
    assert (view.rows, view.empty) == ((), "The study trains nothing.")


RUN = {"keep": "last", "kept_step": 120, "learning_rate": 0.003, "tuning_runs": 0}
SWEPT = RUN | {"tuning_runs": 3, "rates_tried": "0.0005, 0.001, 0.002"}
BUDGET = (
    "Learning rates: every arm, the control included, tried 0.0005, 0.001, 0.002 with a seed of its own (3 runs) and "
    "took the one that scored best on greedy answers to the validation split."
)


@pytest.mark.parametrize("own", [[RUN], [{}]], ids=["a run", "an older run"])
def test_what_was_kept_and_chosen_is_told(own):
    cells = [taught_row(f"a{number}", "jsd", **values) for number, values in enumerate(own)]
    tables = empty_tables(cells=pd.DataFrame(cells))
    sentences = training_rules(tables.cells)
    view = learning_view(tables)
    assert view.how_to_read.endswith(" ".join(sentences))
    assert ("step kept" in view.headings) == bool(sentences) == bool(own[0])


def test_steps_kept_and_rates_stand_in_the_table():
    found = rows(
        taught_row("a", "jsd", **RUN | {"kept_step": 60}),
        taught_row("b", "skew_kl", **RUN | {"learning_rate": 0.0005}),
        cell_row("c", "student", "sft", student="tiny", **RUN),
        cell_row("d", "teacher", "base", teacher="big"),
    )
    assert {name: texts[-2:] for name, texts in found.items()} == {
        "students: jsd, skew_kl": ["60 to 120", "0.0005, 0.003"],
        "students: sft (the control)": ["120", "0.003"],
        "teacher big, as it came": ["–", "–"],
    }
