"""Verdicts: what holds, what fails, what cannot be told, from rows that are made up."""

from __future__ import annotations

import math
import subprocess
import sys
from pathlib import Path

import pandas as pd
import pytest

from kdscope.protocols.published import load_published, published_protocol
from kdscope.protocols.reanalysis import HEADINGS, reanalyse, verdict_row
from kdscope.protocols.results import RigorousResult
from kdscope.protocols.rigorous import rigorous_protocol


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
