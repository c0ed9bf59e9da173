"""The first screen: which method, in at most 120 words, and nothing that the statistics do not carry."""

from __future__ import annotations

from dataclasses import replace

import pandas as pd
import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st

from kdscope.report.answer import MOST_WORDS, QUESTION, answer, detectable_text
from kdscope.results.findings import findings_of

from .builders import build_tables, empty_tables, stated
from .statistics_builders import NAN, about_setting, interval, mean_of, measured, result, student_cells, study


def told(tables):
    found = answer(tables)
    return " ".join([found.headline, *found.sentences])


def test_the_method_with_a_gain_and_the_one_with_a_loss_are_named():
    rows = [*about_setting(5.0, 0.01), *about_setting(-4.0, 0.02, method="gkd"), *about_setting(1.0, 0.6, method="jsd")]
    found = answer(study(rows))
    assert found.headline == "Reliable gain over SFT: seqkd for s. Significantly worse than SFT: gkd for s."
    assert found.sentences[0] == "s: significantly better: seqkd (+5.0 points); significantly worse: gkd (−4.0 points)."
    assert "jsd" not in told(study(rows))


def test_no_gain_is_said_in_plain_words():
    rows = [*about_setting(1.0, 0.6), *about_setting(0.5, 0.6, domain="commonsense")]
    found = answer(study(rows))
    assert found.headline == "No reliable gain over SFT for s on math tasks and s on commonsense tasks."
    assert not [line for line in found.sentences if line.startswith("No reliable")], "once is enough"
    assert "Minimum detectable gain (80% power): 4.0 points." in found.sentences


def test_every_domain_has_its_answer():
    rows = [*about_setting(5.0, 0.01), *about_setting(0.5, 0.6, domain="commonsense")]
    found = answer(study(rows))
    assert found.headline == "Reliable gain over SFT: seqkd for s on math tasks; none elsewhere."
    assert "No reliable gain for s on commonsense tasks." in found.sentences


@pytest.mark.parametrize("p_adjusted", [0.001, 0.6])
def test_one_seed_speaks_of_these_two_checkpoints_and_claims_nothing_of_a_method(p_adjusted):
    rows = [row | {"scope": "checkpoints"} for row in about_setting(5.0, p_adjusted)]
    text = told(study(rows))
    assert text.startswith("These two checkpoints, distilled and SFT, d")
    assert "nothing is claimed about a method" in text
    for word in ("beat", "gain", "better", "worse"):
        assert word not in text


def test_where_runs_cannot_be_estimated_that_is_said_and_nothing_else():
    rows = [row | {"p_value": NAN, "p_adjusted": NAN} for row in about_setting(9.0, 0.5)]
    found = answer(study(rows))
    assert found.headline == "No claim about a method: the variation between training runs cannot be estimated."
    assert found.sentences == ("No claim, as the variation between training runs cannot be estimated for s.",)


def test_older_statistics_and_none_at_all_claim_nothing():
    older = replace(build_tables(), statistics=pd.DataFrame([stated(group="small")]))
    assert answer(older).headline.startswith("No claim about a method: these statistics do not say")
    assert "small" not in told(older)
    assert "cannot say whether distillation helps" in answer(empty_tables()).headline


def test_checkpoints_beside_runs_are_no_part_of_what_is_said_of_methods():
    alone = [row | {"scope": "checkpoints"} for row in about_setting(9.0, 0.001, method="gkd")]
    text = told(study([*about_setting(5.0, 0.01), *alone]))
    assert "seqkd" in text
    assert "gkd" not in text


def test_a_mean_over_methods_counts_where_no_single_method_does():
    rows = [
        mean_of(**interval(3.0, 1.0), p_adjusted=0.01),
        *about_setting(3.0, 0.2),
        *about_setting(2.0, 0.3, method="gkd"),
    ]
    text = told(study(rows))
    assert "s: +3.0 points on average over methods, significant; no single method's difference is." in text
    assert "No reliable gain for s." not in text


def test_who_was_left_in_the_warm_start_is_named_once_without_a_number():
    cells = [
        row | ({"distilled": False, "kept_step": 35} if row["method"] == "reverse_kl" else {})
        for student in ("s", "u")
        for row in student_cells("seqkd", "reverse_kl", student=student)
    ]
    rows = [
        row
        for student in ("s", "u")
        for row in (
            *about_setting(3.0, 0.01, student=student),
            *about_setting(8.0, 0.001, method="reverse_kl", student=student),
        )
    ]
    text = told(study(rows, cells))
    assert text.count("reverse_kl") == 1
    assert "reverse_kl of s and u: not distilled (kept step 35 lies in its warm start)." in text


@pytest.mark.parametrize(
    ("p_values", "said"),
    [
        ((0.2, 0.9), "No significant difference between methods."),
        ((0.2, 0.01), "1 of 2 differences between methods significant."),
    ],
)
def test_methods_are_compared_with_each_other(p_values, said):
    pairs = [
        result("method", method="seqkd", reference="gkd", student="", teacher="", domain=f"d{p}", p_adjusted=p)
        for p in p_values
    ]
    assert said in answer(study([*about_setting(5.0, 0.01), *pairs])).sentences
    one_seed = [row | {"scope": "checkpoints"} for row in pairs]
    assert "between methods" not in told(study([*about_setting(5.0, 0.01), *one_seed]))


@pytest.mark.parametrize(
    ("values", "text"),
    [
        ((4.0,), "4.0 points"),
        ((8.8, 4.0), "4.0 to 8.8 points"),
        ((293.0,), "none within 100 points"),
        ((5.0, 293.0), "from 5.0 points to none within 100 points"),
        ((NAN,), ""),
    ],
)
def test_no_difference_above_a_hundred_points_is_called_detectable(values, text):
    rows = [result("cell", method=f"m{place}", detectable=value) for place, value in enumerate(values)]
    assert detectable_text(findings_of(study(rows), "cell")) == text


NAMES = st.text("ab ", min_size=1, max_size=30).map(lambda text: text.strip() or "a")
SETTINGS = st.tuples(st.floats(-50, 50), st.floats(0, 1), st.sampled_from(["runs", "checkpoints"]), st.booleans())


@example({"a": [(0.0, 0.0, "runs", True)]}, False)
@settings(max_examples=60, deadline=None)
@given(st.dictionaries(NAMES, st.lists(SETTINGS, min_size=1, max_size=6), min_size=1, max_size=12), st.booleans())
def test_the_answer_has_at_most_120_words_and_claims_no_more_than_its_rows(students, several):
    rows, cells = [], []
    for student, found in students.items():
        for place, (gain, p_adjusted, scope, known) in enumerate(found):
            about = {"student": student, "method": f"m{place}", "scope": scope}
            about |= {"domain": f"d{place % 2}" if several else "math"}
            about |= {} if known else {"p_value": NAN, "p_adjusted": NAN}
            rows.append(result("cell", **interval(gain, 2.0), **{"p_adjusted": p_adjusted} | about))
        cells += student_cells(*(f"m{place}" for place in range(len(found))), student=student)
    tables = study(rows, cells)
    text = told(tables)
    assert len(f"{QUESTION} {text}".split()) <= MOST_WORDS
    every = [entry for found in students.values() for entry in found]
    claims = {sign: any(s == "runs" and k and p <= 0.05 and sign * g > 0 for g, p, s, k in every) for sign in (1, -1)}
    assert claims[1] or "significantly better" not in text
    assert claims[1] or "Reliable gain over SFT:" not in text
    assert claims[-1] or "ignificantly worse than SFT" not in text
    assert claims[-1] or "significantly worse:" not in text
    if all(scope == "checkpoints" for _, _, scope, _ in every):
        assert "gain" not in text


def test_a_page_of_many_students_stays_within_its_words():
    assert len(f"{QUESTION} {told(measured(build_tables()))}".split()) <= MOST_WORDS
