"""Claims of the published study: as numbers of its tables, and tested."""

from __future__ import annotations

import math
import subprocess
import sys
from pathlib import Path

import pandas as pd
import pytest

from kdscope.protocols.published import load_published, published_protocol
from kdscope.protocols.published_claims import HEADINGS, compare_with_abstract, published_claims, reanalyse, verdict_row
from kdscope.protocols.results import RigorousResult
from kdscope.protocols.results_table import results_table
from kdscope.protocols.rigorous import rigorous_protocol

ROWS = [
    ("", "S-1B", "sft", None, "", 20, 40),
    ("", "B-7B", "sft", None, "", 50, 60),
    ("T", "S-1B", "forward_kl", 1, "", 22, 44),
    ("T", "S-1B", "forward_kl", 2, "", 26, 42),
    ("T", "B-7B", "forward_kl", 1, "", 51, 61),
    ("T", "B-7B", "forward_kl", 2, "", 49, 59),
    ("U", "B-7B", "forward_kl", 1, "", 53, 63),
    ("T", "S-1B", "gkd", 1, "", 30, 40),
    ("T", "S-1B", "forward_kl", 1, "base", 12, 24),
]


@pytest.fixture(scope="module")
def worked():
    columns = ["teacher", "student", "method", "temperature", "teacher_condition", "a", "b"]
    wide = pd.DataFrame(ROWS, columns=columns)
    return published_claims(results_table(wide.melt(id_vars=columns[:5], var_name="task")).table)


@pytest.fixture(scope="module")
def published():
    return published_claims(load_published())


def number(claims, claim, subject, domain=None, column="value"):
    rows = claims[(claims["claim"] == claim) & (claims["subject"] == subject)]
    return (rows if domain is None else rows[rows["domain"] == domain])[column].item()


def test_gain_by_student(worked):
    # Averages: control 30 and 55; cells of S-1B 34 (the better temperature) and 35, of B-7B 56 and 58.
    students = worked[worked["claim"] == "gain_by_student"]
    assert students["subject"].tolist() == ["S-1B", "B-7B"]
    assert students[["value", "low", "high", "n"]].to_numpy().tolist() == [[4.5, 4, 5, 2], [2, 1, 3, 2]]


def test_largest_gain(worked):
    largest = worked[worked["claim"] == "largest_gain"]
    assert largest[["subject", "task", "value", "n"]].to_numpy().tolist() == [
        ["GKD, T to S-1B", "a", 10.0, 8],
        ["GKD, T to S-1B", "Average", 5.0, 4],
    ]


def test_temperatures_are_compared_on_the_same_pairs(worked):
    # T to S-1B gains 3 and 4, T to B-7B gains 1 and -1; U was run at one temperature only, GKD likewise.
    rows = worked[worked["claim"] == "temperature"]
    assert rows[["subject", "value", "low", "high", "n"]].to_numpy().tolist() == [
        ["SeqKD at 1", 2.0, 1.0, 3.0, 2],
        ["SeqKD at 2", 1.5, -1.0, 4.0, 2],
    ]


def test_unadapted_teacher(worked):
    rows = worked[worked["claim"] == "unadapted_teacher"]
    assert rows[["subject", "value", "n"]].to_numpy().tolist() == [["SeqKD at 1", -15.0, 1]]


def test_students_without_a_size_come_last(worked):
    table = load_published()
    renamed = table.assign(student=table["student"].replace("Qwen2.5-0.5B", "small"))
    claims = published_claims(renamed[renamed["domain"] == "math"])
    assert claims.loc[claims["claim"] == "gain_by_student", "subject"].tolist()[-1] == "small"


def test_the_papers_tables(published):
    assert number(published, "gain_by_student", "Qwen2.5-0.5B", "math") == pytest.approx(7.38, abs=0.005)
    assert number(published, "gain_by_student", "Qwen2.5-0.5B", "math", "high") == pytest.approx(10.37)
    assert number(published, "gain_by_student", "Qwen2.5-7B", "math") < 0
    peak = published[(published["claim"] == "largest_gain") & (published["domain"] == "math")].iloc[0]
    assert (peak["subject"], peak["task"]) == ("GKD, Llama-3.1-8B to Llama-3.2-1B", "MultiArith")
    assert peak["value"] == pytest.approx(86.33 - 64.0)
    assert number(published, "temperature", "SeqKD at 5", "math") < -20
    assert number(published, "unadapted_teacher", "SeqKD at 1", "commonsense") == pytest.approx(-39.91, abs=0.005)
    assert published.loc[published["claim"] == "unadapted_teacher", "n"].tolist() == [5, 5]


def test_temperature_2_is_not_best_everywhere(published):
    """It is for SeqKD; for RevKD in mathematics 1 is better, and in commonsense all three lose on average."""
    for domain in ("math", "commonsense"):
        seqkd = {t: number(published, "temperature", f"SeqKD at {t}", domain) for t in (1, 2, 5)}
        assert max(seqkd, key=seqkd.get) == 2
    assert number(published, "temperature", "RevKD at 1", "math") > number(
        published, "temperature", "RevKD at 2", "math"
    )
    assert all(number(published, "temperature", f"RevKD at {t}", "commonsense") < 0 for t in (1, 2, 5))


def test_the_abstract_holds_under_some_readings(published):
    found = compare_with_abstract(published).set_index(["domain", "published", "reading"])["agrees"].to_dict()
    assert found == {
        ("math", 10.0, "best cell of the smallest student"): True,
        ("commonsense", 10.0, "best cell of the smallest student"): False,
        ("math", 10.0, "best cell of any student"): False,
        ("commonsense", 10.0, "best cell of any student"): False,
        ("math", 10.0, "mean of the student that gains most"): False,
        ("commonsense", 10.0, "mean of the student that gains most"): True,
        ("math", 22.0, "largest gain on any task"): True,
        ("commonsense", 22.0, "largest gain on any task"): False,
        ("math", 1.3, "mean of the largest student"): False,
        ("commonsense", 1.3, "mean of the largest student"): True,
    }


def test_every_number_says_how_it_is_computed(published):
    assert (published["definition"].str.len() > 20).all()
    assert not published.drop(columns=["low", "high"]).isna().any(axis=None)
    within = published.dropna()
    assert ((within["low"] <= within["value"]) & (within["value"] <= within["high"])).all()
    assert math.isnan(published.loc[published["claim"] == "largest_gain", "low"].iloc[0])


def rows(hypothesis, statistic, p_adjusted, n=6, group="all"):
    result = RigorousResult(
        "rigorous",
        "math",
        hypothesis,
        group,
        "Average",
        "t",
        statistic,
        p_adjusted,
        n,
        statistic,
        -1.0,
        1.0,
        p_adjusted,
    )
    frame = pd.DataFrame([{name: getattr(result, name) for name in RigorousResult.__slots__}])
    published = pd.DataFrame(
        [{"domain": "math", "hypothesis": hypothesis, "group": group, "task": "Average", "p_value": 0.001}]
    )
    return published, frame


@pytest.mark.parametrize(
    ("hypothesis", "statistic", "p_adjusted", "n", "verdict"),
    [
        ("H1", 3.0, 0.01, 6, "holds"),
        ("H1", 3.0, 0.2, 6, "cannot be told"),
        ("H1", -3.0, 0.01, 6, "contradicted"),
        ("H1", 3.0, 0.2, 3, "cannot be told"),
        ("H1", math.nan, math.nan, 6, "cannot be told"),
        ("H3", -3.0, 0.01, 6, "holds"),
        ("H3", 3.0, 0.01, 6, "contradicted"),
        ("H2", 1.0, 0.9, 6, "cannot be told"),
        ("H2", 5.0, 0.01, 6, "contradicted"),
        ("H1-anova", 9.0, 0.01, 6, "contradicted"),
        ("largest_gain", 3.0, 0.01, 198, "holds"),
    ],
)
def test_verdicts(hypothesis, statistic, p_adjusted, n, verdict):
    found = reanalyse(*rows(hypothesis, statistic, p_adjusted, n))
    assert found["verdict"].tolist() == [verdict]
    assert found["published_p"].tolist() == [0.001]


@pytest.mark.parametrize(("statistic", "p_adjusted", "verdict"), [(3.0, 0.01, "holds"), (-3.0, 0.01, "holds"),
                                                                   (-3.0, 0.2, "cannot be told")])  # fmt: skip
def test_a_claim_of_some_effect_has_no_direction(statistic, p_adjusted, verdict):
    found = reanalyse(*rows("temperature", statistic, p_adjusted, n=3, group="RevKD at 5 instead of 1"))
    assert found["verdict"].tolist() == [verdict]


def test_a_claim_about_nobody_by_name_takes_whom_the_tables_name():
    found = reanalyse(*rows("largest_gain", 3.0, 0.01, n=198, group="GKD, A to B"))
    assert found["group"].tolist() == ["GKD, A to B"]


def test_every_claim_has_a_test_in_the_published_tables():
    table = load_published()
    found = reanalyse(published_protocol(table), rigorous_protocol(table))
    assert len(found) == 2 * 18 - 1  # commonsense has no fidelity
    assert found.groupby("claim").size().min() == 1


def test_what_adjustment_takes_away_is_said():
    published, rigorous = rows("H1", 3.0, 0.2)
    assert reanalyse(published, rigorous.assign(p_value=0.02))["verdict"].tolist() == ["only before adjustment"]
    assert reanalyse(published, rigorous.assign(p_value=0.02, statistic=-3.0))["verdict"].tolist() == ["cannot be told"]


def test_claims_with_a_direction_have_a_one_sided_p_value():
    for statistic, expected in ((3.0, 0.01), (-3.0, 0.99)):
        published, rigorous = rows("H1", statistic, 0.02)
        assert reanalyse(published, rigorous)["p_one_sided"].tolist() == [pytest.approx(expected)]
    assert reanalyse(*rows("H2", 1.0, 0.9))["p_one_sided"].isna().all()


def test_a_row_in_words_has_no_nan():
    published, rigorous = rows("H1", math.nan, math.nan)
    cells = verdict_row(reanalyse(published.iloc[:0], rigorous).to_dict("records")[0])
    assert len(cells) == len(HEADINGS)
    assert not any("nan" in cell for cell in cells)


def test_the_page_is_what_the_code_gives():
    root = Path(__file__).resolve().parents[2]
    command = [sys.executable, str(root / "scripts" / "write_reanalysis.py"), "--check"]
    done = subprocess.run(command, cwd=root, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
