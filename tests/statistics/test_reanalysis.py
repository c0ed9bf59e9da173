"""Verdicts: what holds, what fails, what cannot be told, from rows that are made up."""

from __future__ import annotations

import math

import pandas as pd
import pytest

from kdscope.statistics.reanalysis import reanalyse, verdict_row
from kdscope.statistics.results import RigorousResult


def rows(hypothesis, statistic, p_adjusted, n=6, group="all"):
    result = RigorousResult(
        "rigorous", "math", hypothesis, group, "Average", "t", statistic, p_adjusted, n, statistic, -1.0, 1.0, p_adjusted
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
        ("H1", 3.0, 0.2, 6, "does not hold"),
        ("H1", -3.0, 0.01, 6, "does not hold"),
        ("H1", 3.0, 0.2, 3, "cannot be told"),
        ("H1", math.nan, math.nan, 6, "cannot be told"),
        ("H3", -3.0, 0.01, 6, "holds"),
        ("H3", 3.0, 0.01, 6, "does not hold"),
        ("H2", 1.0, 0.9, 6, "cannot be told"),
        ("H2", 5.0, 0.01, 6, "does not hold"),
        ("H1-anova", 9.0, 0.01, 6, "does not hold"),
    ],
)
def test_verdicts(hypothesis, statistic, p_adjusted, n, verdict):
    found = reanalyse(*rows(hypothesis, statistic, p_adjusted, n))
    assert found["verdict"].tolist() == [verdict]
    assert found["published_p"].tolist() == [0.001]


def test_a_row_in_words_has_no_nan():
    published, rigorous = rows("H1", math.nan, math.nan)
    cells = verdict_row(reanalyse(published.iloc[:0], rigorous).to_dict("records")[0])
    assert len(cells) == 8
    assert not any("nan" in cell for cell in cells)
