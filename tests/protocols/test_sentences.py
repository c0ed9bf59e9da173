"""Sentences: the numbers in them are the result's, and what must not be concluded is said."""

from __future__ import annotations

import math
import re

import pandas as pd
import pytest

from kdscope.protocols.published import load_published, published_protocol
from kdscope.protocols.results import RigorousResult
from kdscope.protocols.rigorous import rigorous_protocol
from kdscope.protocols.sentences import sentence

RESULT = RigorousResult(
    "rigorous", "math", "H1-student", "Qwen2.5-0.5B", "gsm8k", "t over items", 3.2, 0.002, 500, 4.1, 1.2, 7.0, 0.01,
    "", "items", "", "confirmatory", 3.9,
)  # fmt: skip


def test_a_gain_in_words():
    assert sentence(RESULT) == (
        "Distillation gained 4.1 points over SFT on Qwen2.5-0.5B (math, gsm8k), 95% CI 1.2 to 7.0, Holm-adjusted p "
        ".01; minimum detectable difference 3.9 points (80% power)."
    )


@pytest.mark.parametrize(
    ("changes", "said"),
    [
        ({"p_adjusted": 0.2}, "Holm-adjusted p .2, not statistically significant"),
        ({"p_adjusted": 0.02, "low_simultaneous": 0.3, "high_simultaneous": 7.9}, "simultaneous 95% CI 0.3 to 7.9"),
        (
            {"scope": "checkpoints", "runs": 1},
            "The distilled checkpoint of Qwen2.5-0.5B scored 4.1 points above its SFT",
        ),
        (
            {"scope": "checkpoints", "hypothesis": "method", "group": "gkd - jsd"},
            "The checkpoints of GKD scored 4.1 points above those of JSD",
        ),
        (
            {"scope": "runs", "hypothesis": "fidelity", "group": "gkd, T to S", "estimate": -2.0},
            "beyond accuracy of GKD, T to S is lower by 2.0 points than that of its SFT control",
        ),
        (
            {"hypothesis": "fidelity_noninferiority", "group": "gkd - jsd", "margin": 2.0},
            "GKD is as faithful to its teacher as JSD within 2 points",
        ),
        (
            {"hypothesis": "variance", "group": "runs of SFT", "note": "x."},
            "Standard deviation of runs of SFT: 4.1 points.",
        ),
        ({"estimate": -4.1}, "lost 4.1 points"),
        ({"low": -0.04}, "95% CI 0.0 to"),
        ({"detectable": 293.0}, "no difference below 100 points would be detected with 80% power"),
        (
            {"p_value": math.nan},
            "Distillation: +4.1 points over SFT on Qwen2.5-0.5B (math, gsm8k), 95% CI 1.2 to 7.0, without a",
        ),
        ({"p_value": math.nan, "hypothesis": "H3"}, "cannot tell"),
        (
            {"p_value": math.nan, "hypothesis": "equivalence", "group": "gkd - jsd"},
            "GKD: +4.1 points against JSD",
        ),
        (
            {"scope": "checkpoints", "hypothesis": "equivalence", "group": "gkd - jsd", "margin": 1.0},
            "The checkpoints of GKD and JSD are equivalent within 1 points (math, gsm8k)",
        ),
        (
            {"scope": "checkpoints", "hypothesis": "ablation", "group": "noise 2: gkd at 1, T to S"},
            'ablation "noise 2" of',
        ),
        ({"role": "exploratory"}, "Exploratory."),
        ({"note": "Only 3 students."}, "Only 3 students."),
        ({"hypothesis": "cell", "group": "forward_kl at 1, T to S"}, "Forward KL at 1, T to S gained"),
        ({"hypothesis": "method", "group": "gkd - reverse_kl"}, "GKD gained 4.1 points over reverse KL"),
        ({"hypothesis": "H3", "per": "doubling of size"}, "goes with the student's size"),
        ({"hypothesis": "H3", "per": "doubling of size", "p_adjusted": 0.3}, "No relation"),
        (
            {"hypothesis": "equivalence", "group": "gkd - jsd", "margin": 1.0},
            "GKD and JSD are equivalent within 1 points",
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
    assert "not statistically significant" in sentence(row)
    assert "not statistically significant" not in sentence({**row, "p_adjusted": 0.05})


@pytest.mark.parametrize(
    "hypothesis",
    [
        "H1-student",
        "cell",
        "method",
        "fidelity",
        "inherited_errors",
        "ablation",
        "equivalence",
        "fidelity_noninferiority",
    ],
)
def test_checkpoints_gain_nothing_and_beat_nobody(hypothesis):
    row = {name: getattr(RESULT, name) for name in RigorousResult.__slots__}
    said = sentence({**row, "hypothesis": hypothesis, "scope": "checkpoints", "group": "gkd - jsd"})
    assert "checkpoint" in said
    assert not re.search(r"beat|gained|lost|Distillation", said)


def test_the_published_protocol_gets_its_warning():
    row = published_protocol(load_published()).to_dict("records")[0]
    assert "maxima over temperatures" in sentence(row)


def test_every_result_of_the_published_study_has_a_sentence():
    for row in rigorous_protocol(load_published()).to_dict("records"):
        said = sentence(row)
        assert re.match(r"^[A-Z]", said)
        assert said.endswith(".")
        assert "nan" not in said.lower()


def test_a_row_of_a_frame_is_a_result():
    row = pd.DataFrame([{name: getattr(RESULT, name) for name in RigorousResult.__slots__}]).iloc[0]
    assert sentence(row.to_dict()) == sentence(RESULT)
