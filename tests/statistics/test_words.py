"""Sentences: the numbers in them are the result's, and what must not be concluded is said."""

from __future__ import annotations

import math
import re

import pandas as pd
import pytest

from kdscope.statistics.published import load_published, published_protocol
from kdscope.statistics.results import RigorousResult
from kdscope.statistics.rigorous import rigorous_protocol
from kdscope.statistics.words import format_p, sentence

RESULT = RigorousResult(
    "rigorous", "math", "H1-student", "Qwen2.5-0.5B", "gsm8k", "t over items", 3.2, 0.002, 500, 4.1, 1.2, 7.0, 0.01,
    "", "items", "", "confirmatory", 3.9,
)  # fmt: skip


def test_a_gain_in_words():
    assert sentence(RESULT) == (
        "Distillation gained 4.1 points over SFT on Qwen2.5-0.5B (math, gsm8k), 95% CI 1.2 to 7.0, Holm-adjusted p "
        ".01; with 500 items this study could not have seen less than 3.9."
    )


@pytest.mark.parametrize(
    ("changes", "said"),
    [
        ({"p_adjusted": 0.2}, "which chance alone may produce among this many questions"),
        ({"estimate": -4.1}, "lost 4.1 points"),
        ({"low": -0.04}, "95% CI 0.0 to"),
        ({"p_adjusted": 0.2, "p_value": 0.2}, "within what chance alone produces"),
        ({"detectable": 5.0}, "true differences below 5.0 this study finds in less than four of five cases"),
        ({"p_value": math.nan}, "cannot tell"),
        ({"role": "exploratory"}, "Exploratory."),
        ({"note": "Only 3 students."}, "Only 3 students."),
        ({"hypothesis": "cell", "group": "forward_kl at 1, T to S"}, "Forward KL at 1, T to S gained"),
        ({"hypothesis": "method", "group": "gkd - reverse_kl"}, "GKD gained 4.1 points over reverse KL"),
        ({"hypothesis": "H3", "per": "doubling of size"}, "goes with the student's size"),
        ({"hypothesis": "H3", "per": "doubling of size", "p_adjusted": 0.3}, "No relation"),
        (
            {"hypothesis": "equivalence", "group": "gkd - jsd", "margin": 1.0},
            "GKD and JSD are the same within 1 points",
        ),
        ({"hypothesis": "equivalence", "group": "gkd - jsd", "margin": 1.0, "p_adjusted": 0.3}, "Not shown to be"),
        ({"hypothesis": "H1-anova", "p_adjusted": 0.3}, "No difference between the methods is shown"),
    ],
)
def test_other_results(changes, said):
    row = {name: getattr(RESULT, name) for name in RigorousResult.__slots__} | changes
    assert said in sentence(row)


def test_no_significance_is_claimed_that_is_not_there():
    row = {name: getattr(RESULT, name) for name in RigorousResult.__slots__} | {"p_adjusted": 0.0501}
    assert "chance" in sentence(row)
    assert "chance" not in sentence({**row, "p_adjusted": 0.05})


def test_the_published_protocol_gets_its_warning():
    row = published_protocol(load_published()).to_dict("records")[0]
    assert "maxima over temperatures" in sentence(row)


def test_every_result_of_the_published_study_has_a_sentence():
    for row in rigorous_protocol(load_published()).to_dict("records"):
        said = sentence(row)
        assert re.match(r"^[A-Z]", said)
        assert said.endswith(".")
        assert "nan" not in said.lower()


@pytest.mark.parametrize(
    ("p", "written"), [(0.05, ".05"), (0.0503, ".0503"), (0.0009, "< .001"), (1.0, "1"), (0.9999, "1"), (0.123, ".12")]
)
def test_p_values_are_written_as_in_papers(p, written):
    assert format_p(p) == written


def test_a_row_of_a_frame_is_a_result():
    row = pd.DataFrame([{name: getattr(RESULT, name) for name in RigorousResult.__slots__}]).iloc[0]
    assert sentence(row.to_dict()) == sentence(RESULT)
