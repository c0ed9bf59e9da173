"""The rigorous protocol on a table worked by hand, on the published tables, and on what cannot be answered."""

from __future__ import annotations

import math

import numpy as np
import pandas as pd
import pytest
from scipy import stats
from statsmodels.formula.api import ols

from kdscope.core.errors import StatisticsError
from kdscope.protocols.published import load_published
from kdscope.protocols.results import RigorousResult
from kdscope.protocols.results_table import results_table
from kdscope.protocols.rigorous import rigorous_protocol
from kdscope.protocols.table_runs import KnownNoise
from kdscope.statistics.multiplicity import benjamini_yekutieli, holm

PROMISED = ["protocol", "domain", "hypothesis", "group", "task", "test", "statistic", "p_value", "n"]
STUDENTS = {"S-0.5B": ["T-3B", "T-7B"], "S-1B": ["T-3B", "T-7B"], "S-2B": ["T-7B"], "S-4B": ["T-3B", "T-7B"]}
CONTROL = {"S-0.5B": 40.0, "S-1B": 48.0, "S-2B": 57.0, "S-4B": 69.0, "T-3B": 71.0, "T-7B": 80.0}


def small_table(tasks=("gsm8k", "SVAMP"), temperatures=(1.0, 2.0)):
    generator, rows = np.random.default_rng(11), []
    for task in tasks:
        for student, value in CONTROL.items():
            rows.append((student, "", "sft", math.nan, task, value + generator.normal()))
        rows += [
            (student, teacher, method, temperature, task, CONTROL[student] + 3 + 2 * generator.normal() - temperature)
            for student, teachers in STUDENTS.items()
            for teacher in teachers
            for method in ("forward_kl", "reverse_kl", "gkd")
            for temperature in temperatures
        ]
    frame = pd.DataFrame(rows, columns=["student", "teacher", "method", "temperature", "task", "value"])
    return results_table(frame, unit="percent").table


@pytest.fixture(scope="module")
def table():
    return small_table()


@pytest.fixture(scope="module")
def found(table):
    return rigorous_protocol(table)


@pytest.fixture(scope="module")
def published():
    return rigorous_protocol(load_published())


def one(frame, hypothesis, group="all", task="Average", **where):
    rows = frame[(frame["hypothesis"] == hypothesis) & (frame["group"] == group) & (frame["task"] == task)]
    for name, value in where.items():
        rows = rows[rows[name] == value]
    assert len(rows) == 1
    return rows.iloc[0]


def cells_at_one(table):
    """Mean over tasks of every cell at temperature 1, and of every control."""
    mean = table[table["task"] != "Average"].groupby(
        ["student", "teacher", "method", "family", "temperature"], dropna=False
    )["value"].mean().reset_index()  # fmt: skip
    control = mean[mean["method"] == "sft"].set_index("student")["value"]
    return mean[mean["temperature"] == 1.0], control


def test_the_columns_are_those_promised(found):
    assert found.columns[:9].tolist() == PROMISED
    assert set(found.columns) == set(RigorousResult.__slots__)
    assert set(found["protocol"]) == {"rigorous"}


def test_students_are_the_units_of_the_mean_gain(table, found):
    cells, control = cells_at_one(table)
    gains = [cells.loc[cells["student"] == s, "value"].mean() - control[s] for s in STUDENTS]
    expected, row = stats.ttest_1samp(gains, 0), one(found, "H1", role="exploratory")
    limits = expected.confidence_interval()
    assert (row["statistic"], row["p_value"]) == pytest.approx((expected.statistic, expected.pvalue))
    assert (row["low"], row["high"]) == pytest.approx((limits.low, limits.high))
    assert row["n"] == 4


def test_one_run_of_each_setting_has_an_interval_and_no_test(table, found):
    cells, control = cells_at_one(table)
    variance = ols("value ~ C(student) + C(family)", cells).fit().mse_resid
    df = len(cells) - 4 - 3 + 1
    for student, teachers in STUDENTS.items():
        row, m = one(found, "H1-student", student), 3 * len(teachers)
        gain = cells.loc[cells["student"] == student, "value"].mean() - control[student]
        margin = stats.t.isf(0.025, df) * math.sqrt(variance * (1 + 1 / m))
        assert (row["estimate"], row["low"], row["high"]) == pytest.approx((gain, gain - margin, gain + margin))
        assert math.isnan(row["p_value"])
        assert math.isnan(row["p_adjusted"])
        assert "the luck of the SFT run is unknown" in row["note"]


def test_size_is_related_over_students(table, found):
    cells, control = cells_at_one(table)
    gains = [cells.loc[cells["student"] == s, "value"].mean() - control[s] for s in STUDENTS]
    expected = stats.linregress(np.log2([0.5, 1, 2, 4]), gains)
    row = one(found, "H3", role="exploratory")
    assert (row["estimate"], row["p_value"]) == pytest.approx((expected.slope, expected.pvalue))
    assert row["per"] == "doubling of size"


def test_size_at_equal_accuracy_under_sft_is_a_sensitivity(published):
    row = one(published[published["domain"] == "math"], "H3", role="sensitivity")
    assert row["test"] == "analysis of covariance over students"
    assert row["note"] == "At equal accuracy under SFT."
    assert row["n"] == 6


def test_only_the_primary_question_is_confirmatory_and_families_are_adjusted_together(published):
    confirmatory = published[published["role"] == "confirmatory"]
    assert set(confirmatory["hypothesis"]) == {"H1-student"}
    assert len(confirmatory) == 12
    assert confirmatory["p_value"].isna().all()
    screen = published[
        published["hypothesis"].isin(["H2", "H3", "H3.2", "H4", "H5"])
        & (published["role"] == "exploratory")
        & (published["domain"] == "math")
    ]
    assert screen["p_adjusted"].to_numpy() == pytest.approx(benjamini_yekutieli(screen["p_value"]))
    assert len(screen) == 5
    gains = published[
        published["hypothesis"].isin(["H1", "H1-anova"])
        & (published["role"] == "exploratory")
        & (published["domain"] == "math")
    ]
    assert gains["p_adjusted"].to_numpy() == pytest.approx(holm(gains["p_value"]))
    assert len(gains) == 5


def test_a_family_that_collapses_does_not_hide_another(published):
    row = one(published, "H1-student", "Qwen2.5-1.5B (SeqKD)", domain="commonsense")
    table = load_published()
    runs = table[
        (table["domain"] == "commonsense") & (table["task"] == "Average") & (table["family"] == "SeqKD")
        & (table["temperature"] == 1.0) & (table["teacher_condition"] == "adapted") & (table["metric"] == "accuracy")
    ]  # fmt: skip
    within = runs.groupby("student")["value"].agg(lambda v: ((v - v.mean()) ** 2).sum()).sum() / 5
    assert row["high"] - row["low"] == pytest.approx(2 * stats.t.isf(0.025, 5) * math.sqrt(within * (1 + 1 / 3)))
    assert row["role"] == "detail"


def test_other_temperatures_do_not_enter(table, found):
    kept = ["H1-student", "H1-grid", "H1-anova", "equivalence", "H2", "H3", "H3.2", "largest_gain"]
    other = rigorous_protocol(_scaled(table, 2.0, 99.0))
    drop = {"p_adjusted", "low_simultaneous", "high_simultaneous"}  # families hold the tests of temperatures as well
    columns = [name for name in found if name not in drop]
    first, second = (f.loc[f["hypothesis"].isin(kept), columns].reset_index(drop=True) for f in (found, other))
    pd.testing.assert_frame_equal(first, second)


def _scaled(table, temperature, value):
    """The table with every value at one temperature replaced."""
    changed = table.copy()
    changed.loc[changed["temperature"] == temperature, "value"] = value
    return changed


def test_runs_below_guessing_are_warned_of(published):
    primary = published[published["role"] == "confirmatory"]
    notes = primary[primary["domain"] == "commonsense"]["note"]
    assert notes.str.contains("below the 35% of guessing").all()
    assert not primary[primary["domain"] == "math"]["note"].str.contains("guessing").any()


def test_three_teachers_are_called_few(published):
    row = one(published, "H2", domain="math")
    assert (row["n"], row["unit"]) == (3, "teachers")
    assert "3 teachers" in row["note"]


def test_the_largest_gain_is_that_of_the_table_at_temperature_one(published):
    table = load_published()
    rows = table[(table["metric"] == "accuracy") & (table["domain"] == "math") & (table["task"] != "Average")]
    control = rows[rows["method"] == "sft"].set_index(["student", "task"])["value"]
    runs = rows[(rows["temperature"] == 1.0) & (rows["teacher_condition"] == "adapted")]
    gains = [v - control[s, t] for s, t, v in zip(runs["student"], runs["task"], runs["value"], strict=True)]
    row = published[(published["hypothesis"] == "largest_gain") & (published["domain"] == "math")].iloc[0]
    assert row["estimate"] == pytest.approx(max(gains))
    assert row["n"] == len(gains)


def test_a_table_of_one_student_answers_what_it_can():
    table = small_table()
    alone = table[table["student"].isin(["S-0.5B", "T-3B", "T-7B"])]
    found = rigorous_protocol(alone)
    assert math.isnan(one(found, "H1", role="exploratory")["p_value"])
    assert math.isnan(one(found, "H3")["p_value"])
    assert math.isfinite(one(found, "H1-student", "S-0.5B")["low"])


def test_one_task_has_no_average():
    found = rigorous_protocol(small_table(tasks=("gsm8k",)))
    assert set(found["task"]) == {"gsm8k"}
    assert "H1-grid" not in set(found["hypothesis"])


def test_the_grid_is_resampled_beside_the_mixed_model(published):
    rows = published[(published["domain"] == "math") & (published["hypothesis"] == "H1-grid")]
    model, again = rows.to_dict("records")
    assert (model["test"], again["test"]) == ("two-way random effects", "two-way bootstrap")
    assert again["estimate"] == model["estimate"]
    assert again["role"] == "sensitivity"
    assert again["high"] - again["low"] == pytest.approx(model["high"] - model["low"], rel=0.1)
    others = published[(published["domain"] == "math") & (published["role"] == "sensitivity")]
    others = others[others["hypothesis"].isin(["H1", "H1-grid"]) & (others["test"] != "two-way bootstrap")]
    assert others["p_adjusted"].to_numpy() == pytest.approx(holm(others["p_value"])), "it makes no other row stricter"
    assert again["p_adjusted"] == again["p_value"]


def repeated_table(seeds=3, sd=1.0):
    """The small table with independent runs of every setting."""
    generator, once = np.random.default_rng(5), small_table()
    parts = [
        once.assign(seed=str(seed), value=once["value"] + generator.normal(0, sd, len(once))) for seed in range(seeds)
    ]
    return pd.concat(parts, ignore_index=True)


def test_repeated_runs_of_a_table_are_tested_with_their_own_variance():
    table = repeated_table()
    found = rigorous_protocol(table)
    primary = found[found["role"] == "confirmatory"]
    assert (primary["scope"] == "runs").all()
    assert primary["p_adjusted"].to_numpy() == pytest.approx(holm(primary["p_value"]))
    # The paired differences of the seeds, pooled over students: what the estimate is where all have the same seeds.
    means = table[table["temperature"].isna() | (table["temperature"] == 1.0)]
    means = means[means["student"].isin(list(STUDENTS))].groupby(["student", "method", "seed"])["value"].mean()
    control = means.xs("sft", level="method")
    kd = means[means.index.get_level_values("method") != "sft"].groupby(["student", "seed"]).mean()
    difference = (kd - control).unstack("seed")
    squares = ((difference.T - difference.mean(axis=1)) ** 2).sum()
    row = one(found, "H1-student", "S-1B")
    assert row["estimate"] == pytest.approx(difference.loc["S-1B"].mean())
    # Students with the same settings have the same components: with all of them the pool is theirs.
    some = table[table["student"].isin(["S-0.5B", "S-1B", "S-4B", "T-3B", "T-7B"])]
    alike = one(rigorous_protocol(some), "H1-student", "S-1B")
    pooled = squares[["S-0.5B", "S-1B", "S-4B"]].sum() / 6
    assert alike["stderr"] == pytest.approx(math.sqrt(pooled / 3), rel=1e-6)
    assert alike["df"] == pytest.approx(6, rel=1e-6)


def test_the_error_from_items_of_a_table_is_added():
    table = repeated_table()
    alone = one(rigorous_protocol(table), "H1-student", "S-1B")
    assert "how many items" in alone["note"]
    average = table.groupby(["student", "teacher", "method", "family", "temperature", "seed"], dropna=False, sort=False)
    means = average["value"].mean().reset_index().assign(task="Average", study="table", domain="all", metric="accuracy")
    told = pd.concat([table, means.assign(teacher_condition="")], ignore_index=True)
    told["item_stderr"] = np.where((told["task"] == "Average") & (told["method"] == "sft"), 1.5, np.nan)
    row = one(rigorous_protocol(told), "H1-student", "S-1B")
    assert row["stderr"] == pytest.approx(math.hypot(alone["stderr"], 1.5))
    assert "how many items" not in row["note"]
    counted = one(rigorous_protocol(table.assign(items=400), known=KnownNoise(discordance=0.2)), "H1-student", "S-1B")
    assert counted["stderr"] == pytest.approx(math.hypot(alone["stderr"], 100 * math.sqrt(2 * 0.2 / 400) / 2))
    known = one(rigorous_protocol(small_table(), known=KnownNoise(run_sd=2.0)), "H1-student", "S-1B")
    assert known["stderr"] == pytest.approx(2.0 * math.sqrt(1 + 1 / 6))
    assert known["p_value"] == pytest.approx(2 * stats.norm.sf(abs(known["statistic"])), rel=1e-4)


def test_bad_tables_are_refused(table):
    with pytest.raises(StatisticsError, match="student"):
        rigorous_protocol(table.drop(columns="student"))
    with pytest.raises(StatisticsError, match="one study"):
        rigorous_protocol(pd.concat([table, table.assign(study="other")]))
    with pytest.raises(StatisticsError, match="margin"):
        rigorous_protocol(table, margin=0.0)
    with pytest.raises(StatisticsError, match="distilled"):
        rigorous_protocol(table[table["method"] == "sft"])
