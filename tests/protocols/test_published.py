"""The published tests against hand-worked numbers, the authors' printed ones, and cells where none is defined."""

from __future__ import annotations

import json
import math
import subprocess
import sys

import numpy as np
import pandas as pd
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy.stats import f, t

from kdscope.core.errors import StatisticsError
from kdscope.protocols.published import (
    h1_gain_positive,
    h1_methods_differ,
    load_published,
    published_gains,
    published_h1,
    published_protocol,
    rank_correlation,
)

COLUMNS = ["protocol", "domain", "hypothesis", "group", "task", "test", "statistic", "p_value", "n"]
GAINS = pd.DataFrame(
    {
        "task": ["gsm8k"] * 5 + ["AQuA"] * 2,
        "family": ["SeqKD", "RevKD", "GKD", "RevKD", "SeqKD", "SeqKD", "RevKD"],
        "gain": [5.0, 6.0, -1.0, 4.0, -10.0, 1.0, 3.0],
    }
)


@pytest.fixture(scope="module")
def protocol():
    return published_protocol(load_published())


def one(protocol, domain, hypothesis, task, group="all"):
    rows = protocol[
        (protocol["domain"] == domain)
        & (protocol["hypothesis"] == hypothesis)
        & (protocol["task"] == task)
        & (protocol["group"] == group)
    ]
    assert len(rows) == 1
    return rows.iloc[0]


def test_h1_of_hand_worked_gains():
    results = {(r.test, r.group, r.task): r for r in published_h1(GAINS)}
    everything = results["ttest_1samp", "all", "gsm8k"]
    gains = [5.0, 6.0, -1.0, 4.0, -10.0]
    statistic = 0.8 / math.sqrt(sum((g - 0.8) ** 2 for g in gains) / 4 / 5)
    assert everything.statistic == pytest.approx(statistic, rel=1e-12)
    assert everything.p_value == pytest.approx(t.sf(statistic, 4), rel=1e-12)
    assert (everything.n, everything.hypothesis) == (5, "H1")

    anova = results["f_oneway", "all", "gsm8k"]
    # Groups SeqKD {5, -10}, RevKD {6, 4}, GKD {-1}: between and within sums of squares by hand.
    between = 2 * (-2.5 - 0.8) ** 2 + 2 * (5 - 0.8) ** 2 + (-1 - 0.8) ** 2
    statistic = (between / 2) / ((112.5 + 2) / 2)
    assert anova.statistic == pytest.approx(statistic, rel=1e-12)
    assert anova.p_value == pytest.approx(f.sf(statistic, 2, 2), rel=1e-12)
    assert (anova.n, anova.hypothesis) == (5, "H1-anova")
    assert math.isnan(results["ttest_1samp", "GKD", "gsm8k"].p_value)
    assert len(results) == 2 * (4 + 1)


@settings(deadline=None)
@given(st.permutations(range(8)))
def test_rank_correlation_is_the_textbook_formula_without_ties(order):
    n, differences = 8, sum((i - rank) ** 2 for i, rank in enumerate(order))
    rho = 1 - 6 * differences / (n * (n**2 - 1))
    result = rank_correlation(np.exp(order), np.arange(n) ** 3, "H2", group="GKD", task="AQuA")
    assert result.statistic == pytest.approx(rho, abs=1e-12)
    if abs(rho) < 1:
        expected = 2 * t.sf(abs(rho) * math.sqrt((n - 2) / (1 - rho**2)), n - 2)
        assert result.p_value == pytest.approx(expected, rel=1e-9)
    assert (result.hypothesis, result.group, result.task, result.n) == ("H2", "GKD", "AQuA", 8)


def test_ties_share_their_rank():
    # Ranks 1.5 1.5 3 4 and 1 2 3 4: Pearson's r of the ranks by hand.
    assert rank_correlation([1, 1, 2, 3], [1, 2, 3, 4], "H3").statistic == pytest.approx(4.5 / math.sqrt(4.5 * 5))


@pytest.mark.parametrize(
    ("gains", "values", "n"),
    [
        ([], [], 0),
        ([1.0, 2.0], [3.0, 4.0], 2),
        ([1.0, 1.0, 1.0], [1.0, 2.0, 3.0], 3),
        ([1.0, 2.0, 3.0], [7.0, 7.0, 7.0], 3),
        ([1.0, math.nan, 3.0], [1.0, 2.0, math.nan], 1),
    ],
)
def test_no_rank_correlation_without_three_pairs_that_differ(gains, values, n):
    result = rank_correlation(gains, values, "H2")
    assert math.isnan(result.statistic)
    assert math.isnan(result.p_value)
    assert result.n == n


def test_mathematics_equals_what_the_authors_printed(protocol, shared_data):
    spelled = {"gsm8k": "GSM8k"}
    kinds = {"ttest_1samp": "TtestResult", "f_oneway": "F_onewayResult", "spearmanr": "SignificanceResult"}
    found = {
        (row.hypothesis[1:].removesuffix("-anova"), row.group, spelled.get(row.task, row.task), kinds[row.test]): (
            row.statistic,
            row.p_value,
        )
        for row in protocol[protocol["domain"] == "math"].itertuples()
    }
    file = json.loads((shared_data / "published" / "math_statistics.json").read_text())
    printed = {(hypothesis, *row[:3]): tuple(row[3:]) for hypothesis, rows in file.items() for row in rows}
    assert len(printed) == 167
    assert found.keys() == printed.keys()
    for key, values in printed.items():
        assert found[key] == pytest.approx(values, rel=1e-9, abs=1e-9), key


@pytest.mark.parametrize(
    ("domain", "hypothesis", "task", "group", "statistic", "p_value"),
    # As the two notebooks released with the paper print them.
    [
        ("math", "H1", "Average", "all", 8.465316, 5.650478e-10),
        ("math", "H1", "AQuA", "SeqKD", 1.201501, 1.286197e-01),
        ("math", "H1-anova", "gsm8k", "all", 5.620112, 8.452857e-03),
        ("math", "H2", "SingleEq", "all", 0.351213, 4.505650e-02),
        ("math", "H3", "MultiArith", "GKD", -0.834000, 1.416926e-03),
        ("math", "H3.2", "AddSub", "RevKD", -0.872580, 4.568851e-04),
        ("math", "H4", "MultiArith", "all", -0.632041, 7.965654e-05),
        ("math", "H5", "MultiArith", "all", -0.459993, 7.072613e-03),
        ("commonsense", "H1", "Average", "all", 3.862162, 2.575184e-04),
        ("commonsense", "H1", "hellaswag", "all", 0.659150, 2.572575e-01),
        ("commonsense", "H1-anova", "social_i_qa", "all", 1.121172, 3.391717e-01),
        ("commonsense", "H2", "ARC-Challenge", "all", -0.414521, 1.646475e-02),
        ("commonsense", "H3", "ARC-Easy", "all", -0.776383, 1.095305e-07),
        ("commonsense", "H3.2", "Average", "all", -0.614568, 1.417963e-04),
        ("commonsense", "H4", "openbookqa", "all", -0.319353, 7.005214e-02),
    ],
)
def test_numbers_of_the_notebooks(protocol, domain, hypothesis, task, group, statistic, p_value):
    row = one(protocol, domain, hypothesis, task, group)
    assert row["statistic"] == pytest.approx(statistic, abs=6e-7)
    assert row["p_value"] == pytest.approx(p_value, rel=6e-7)


def test_shape_of_the_protocol(protocol):
    assert list(protocol.columns) == COLUMNS
    assert set(protocol["protocol"]) == {"published"}
    assert not protocol.isna().any(axis=None)
    counts = protocol.groupby(["domain", "hypothesis"]).size()
    correlations = dict.fromkeys(("H1", "H2", "H3", "H3.2"))
    assert counts["math"].to_dict() == {**dict.fromkeys(correlations, 28), "H1-anova": 7, "H4": 24, "H5": 24}
    assert counts["commonsense"].to_dict() == {**dict.fromkeys(correlations, 36), "H1-anova": 9, "H4": 32}
    assert set(protocol.loc[protocol["group"] == "all", "n"]) == {33}
    assert set(protocol.loc[protocol["group"] != "all", "n"]) == {11}
    assert set(protocol["group"]) == {"all", "SeqKD", "RevKD", "GKD"}


def test_rows_that_enter_nothing_change_nothing(protocol):
    """Untrained models enter no test; unadapted teachers none in mathematics, and no maximum in commonsense."""
    table = load_published()
    fewer = table[(table["method"] != "base") & (table["teacher_condition"] != "base")]
    assert len(fewer) < len(table) - 200
    pd.testing.assert_frame_equal(published_protocol(fewer), protocol)


def test_a_quantity_that_was_not_measured_makes_no_rows():
    table = load_published()
    found = published_protocol(table[(table["metric"] == "accuracy") & (table["domain"] == "math")])
    assert sorted(set(found["hypothesis"])) == ["H1", "H1-anova", "H2", "H3", "H3.2"]


def test_h2_is_about_teachers_with_a_score_of_their_own():
    table = load_published()
    unknown = (table["student"] == "Qwen2.5-14B") & (table["method"] == "sft")
    found = published_protocol(table[~unknown])
    assert one(found, "math", "H2", "gsm8k")["n"] == 33 - 12
    assert one(found, "math", "H3", "gsm8k")["n"] == 33


@pytest.mark.parametrize("gains", [[], [1.5], [2.0, 2.0, 2.0], [0.0, 0.0], [0.1 + 0.2, 0.3], [math.nan, 1.0]])
def test_a_group_without_variance_has_no_test(gains):
    result = h1_gain_positive(gains, group="gkd", task="SVAMP")
    assert math.isnan(result.statistic)
    assert math.isnan(result.p_value)
    assert result.n == np.isfinite(gains).sum()


@pytest.mark.parametrize(
    "gains",
    [{}, {"a": [1.0, 2.0]}, {"a": [1.0, 1.0], "b": [2.0, 2.0]}, {"a": [1.0], "b": [2.0]}, {"a": [1.0, 3.0], "b": []}],
)
def test_methods_without_variance_have_no_anova(gains):
    result = h1_methods_differ(gains)
    assert math.isnan(result.statistic)
    assert result.n == sum(map(len, gains.values()))


def test_a_cell_that_was_not_measured_is_left_out():
    assert h1_gain_positive([1.0, math.nan, 3.0]) == h1_gain_positive([1.0, 3.0])


def test_missing_gain_column():
    with pytest.raises(StatisticsError, match="lacks the column gain"):
        published_h1(pd.DataFrame({"task": [], "family": []}))


def test_a_table_of_two_studies_is_refused():
    table = load_published()
    with pytest.raises(StatisticsError, match="one study at a time"):
        published_gains(pd.concat([table, table.assign(study="another")]))


def test_statistics_do_not_load_torch():
    code = "import sys, kdscope.statistics; sys.exit('torch' in sys.modules)"
    assert subprocess.run([sys.executable, "-c", code], check=False).returncode == 0
