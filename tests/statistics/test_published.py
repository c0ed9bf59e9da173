"""The published H1: the authors' printed numbers, a hand-worked table, and undefined cells."""

from __future__ import annotations

import json
import math
import subprocess
import sys
from io import StringIO

import numpy as np
import pandas as pd
import pytest
from scipy.stats import f, t

from kdscope.errors import StatisticsError
from kdscope.statistics import h1_gain_positive, h1_methods_differ, published_gains, published_h1

TABLE = """Teacher,Student,Method,gsm8k,Average
-,S,BaseModel,5,5
-,S,SFT,20,30
-,B,SFT,40,50
T_ckpt2400,S,student_KD_temp_1.0,21,31
T,S,student_KD_temp_2.0,25,29
T,S,student_KD_base_teacher_temp_1.0,99,99
T,S,student_RevKD_temp_1.0,26,33
T,S,student_GKD_temp_1.0,19,34
T,B,student_RevKD_temp_1.0,44,51
U,S,student_KD_temp_1.0,10,10
"""


@pytest.fixture
def table():
    return pd.read_csv(StringIO(TABLE))


def test_gains_of_a_hand_worked_table(table):
    gains = published_gains(table)
    worked = {
        ("T", "S", "SeqKD", "gsm8k"): 5.0,
        ("T", "S", "SeqKD", "Average"): 1.0,
        ("T", "S", "RevKD", "gsm8k"): 6.0,
        ("T", "S", "RevKD", "Average"): 3.0,
        ("T", "S", "GKD", "gsm8k"): -1.0,
        ("T", "S", "GKD", "Average"): 4.0,
        ("T", "B", "RevKD", "gsm8k"): 4.0,
        ("T", "B", "RevKD", "Average"): 1.0,
        ("U", "S", "SeqKD", "gsm8k"): -10.0,
        ("U", "S", "SeqKD", "Average"): -20.0,
    }
    found = gains.set_index(["teacher", "student", "family", "task"])["gain"].to_dict()
    assert found == worked
    assert list(gains["task"].unique()) == ["gsm8k", "Average"]


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (lambda table: table.drop(columns="Method"), "lacks the column Method"),
        (lambda table: table[~((table.Student == "B") & (table.Method == "SFT"))], "B: .* found 0"),
        (lambda table: pd.concat([table, table]), "S: .* found 2"),
    ],
)
def test_tables_that_cannot_give_a_gain(table, change, message):
    with pytest.raises(StatisticsError, match=message):
        published_gains(change(table))


def test_h1_of_a_hand_worked_table(table):
    results = {(r.test, r.group, r.task): r for r in published_h1(published_gains(table))}
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
    assert anova.n == 5
    assert math.isnan(results["ttest_1samp", "GKD", "gsm8k"].p_value)
    assert len(results) == 2 * (4 + 1)


def test_h1_equals_what_the_authors_printed(shared_data):
    folder = shared_data / "published"
    tables = [pd.read_csv(folder / name) for name in ("math_results_main.csv", "llama_math_results.csv")]
    results = published_h1(published_gains(pd.concat(tables)))
    spelled = {"gsm8k": "GSM8k", "ttest_1samp": "TtestResult", "f_oneway": "F_onewayResult"}
    found = {(r.group, spelled.get(r.task, r.task), spelled[r.test]): (r.statistic, r.p_value) for r in results}
    printed = {tuple(row[:3]): tuple(row[3:]) for row in json.loads((folder / "math_statistics.json").read_text())["1"]}
    assert len(printed) == 35
    assert found.keys() == printed.keys()
    for key, values in printed.items():
        assert found[key] == pytest.approx(values, rel=1e-9, abs=1e-12), key


def test_commonsense_tables_go_through_the_same_protocol(shared_data):
    folder = shared_data / "published"
    tables = [pd.read_csv(folder / name) for name in ("cs_results_main.csv", "llama_cs_results.csv")]
    wide = pd.concat(tables)
    results = published_h1(published_gains(wide))
    assert len(results) == (wide.shape[1] - 3) * 5
    assert all(0 <= r.p_value <= 1 for r in results)


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


def test_statistics_do_not_load_torch():
    code = "import sys, kdscope.statistics; sys.exit('torch' in sys.modules)"
    assert subprocess.run([sys.executable, "-c", code], check=False).returncode == 0
