"""The rigorous protocol on item records: each row against the test it is made of, and a million of them in time."""

from __future__ import annotations

import math
import time

import numpy as np
import pandas as pd
import pytest
from scipy import stats

from kdscope.core.errors import StatisticsError
from kdscope.protocols.rigorous import rigorous_records
from kdscope.protocols.sentences import sentence
from kdscope.statistics.crossed import bootstrap_mean, grid_effect
from kdscope.statistics.multiplicity import holm

STUDENTS = ("S-0.5B", "S-1B", "S-3B")


def made(gain=0.0, seeds=(0,), temperatures=(1.0,), tasks=("x", "y", "z"), items=60, seed=0, methods=("gkd", "jsd")):
    """Records of three students, one teacher."""
    generator = np.random.default_rng(seed)
    share = generator.random((len(tasks), items)) * 0.5 + 0.2
    settings = [("sft", "", math.nan), *((m, "T-7B", t) for m in methods for t in temperatures)]
    parts = []
    for student in STUDENTS:
        for method, teacher, temperature in settings:
            for run in seeds:
                right = generator.random(share.shape) < share + (method != "sft") * gain
                place = {"task": np.repeat(tasks, items), "item": np.tile(np.arange(items), len(tasks))}
                parts.append(
                    pd.DataFrame({**place, "correct": right.ravel()}).assign(
                        model=f"{student} {method} {temperature} {run}", student=student, teacher=teacher,
                        method=method, temperature=temperature, seed=run,
                    )
                )  # fmt: skip
    return pd.concat(parts, ignore_index=True)


def ablated(records, words, loss, students=STUDENTS, method="gkd", seed=7):
    """The records, and the same runs of a method with an ablation that takes some of the answers."""
    rows = records[(records["method"] == method) & records["student"].isin(students)]
    lost = np.random.default_rng(seed).random(len(rows)) < loss
    rows = rows.assign(ablation=words, model=rows["model"] + words, correct=rows["correct"].to_numpy() & ~lost)
    return pd.concat([records, rows], ignore_index=True)


def wide(records, student, method, **other):
    rows = records[(records["student"] == student) & (records["method"] == method)]
    for name, value in other.items():
        rows = rows[rows[name] == value]
    return rows.groupby(["task", "item"], sort=False)["correct"].mean().to_numpy()


def one(frame, hypothesis, group, sensitivity=False):
    rows = frame[(frame["hypothesis"] == hypothesis) & (frame["group"] == group)]
    rows = rows[(rows["role"] == "sensitivity") == sensitivity]
    assert len(rows) == 1
    return rows.iloc[0]


def test_a_single_task_and_method_is_the_paired_t_test():
    records = made(gain=0.1, tasks=("x",), methods=("gkd",))
    found = rigorous_records(records, draws=99)
    for student in STUDENTS:
        expected = stats.ttest_rel(wide(records, student, "gkd"), wide(records, student, "sft"))
        row = one(found, "H1-student", student)
        assert (row["statistic"], row["p_value"]) == pytest.approx((expected.statistic, expected.pvalue))
        assert row["n"] == 60
        assert "checkpoints" in row["note"]
    primary = found[found["role"] == "confirmatory"]
    assert primary["p_adjusted"].to_numpy() == pytest.approx(holm(primary["p_value"]))


def test_the_same_by_resampling():
    records = made(gain=0.1, tasks=("x",), methods=("gkd",))
    found = rigorous_records(records)
    for student in STUDENTS:
        difference = 100 * (wide(records, student, "gkd") - wide(records, student, "sft"))
        row = one(found, "H1-student", student, sensitivity=True)
        expected = stats.bootstrap((difference,), np.mean, method="BCa", rng=np.random.default_rng(1))
        limits = expected.confidence_interval.low, expected.confidence_interval.high
        assert (row["low"], row["high"]) == pytest.approx(limits, abs=0.15 * expected.standard_error)
        flips = stats.permutation_test((difference,), np.mean, permutation_type="samples", rng=np.random.default_rng(1))
        assert row["p_value"] == pytest.approx(flips.pvalue, abs=0.02)
        assert row["estimate"] == pytest.approx(difference.mean())


def test_the_mean_gain_is_the_grid_of_students_and_tasks():
    records = made(gain=0.05)
    gains = np.stack(
        [(wide(records, s, "gkd") + wide(records, s, "jsd")) / 2 - wide(records, s, "sft") for s in STUDENTS]
    )
    expected = grid_effect(100 * gains.reshape(3, 3, 60).mean(axis=2)).mean
    row = one(rigorous_records(records, draws=99), "H1-grid", "all")
    assert (row["estimate"], row["p_value"]) == pytest.approx((expected.value, expected.p_value))


def test_the_mean_gain_is_resampled_too():
    records = made(gain=0.05)
    found = rigorous_records(records, draws=499, seed=3)
    main = one(found, "H1-grid", "all")
    [again] = found[found["test"] == "two-way bootstrap"].to_dict("records")
    gains = np.stack(
        [(wide(records, s, "gkd") + wide(records, s, "jsd")) / 2 - wide(records, s, "sft") for s in STUDENTS]
    )
    expected = bootstrap_mean(100 * gains.reshape(3, 3, 60).mean(axis=2), 499, 3)
    assert (again["estimate"], again["low"], again["high"]) == pytest.approx(
        (expected.value, expected.low, expected.high)
    )
    assert (again["hypothesis"], again["role"], again["unit"], again["n"]) == ("H1-grid", "sensitivity", "students", 3)
    assert again["estimate"] == pytest.approx(main["estimate"])
    assert again["p_adjusted"] == again["p_value"], "it is no further question"
    said = sentence(again)
    assert said.startswith("Distillation gained")
    assert "adjusted" not in said


@pytest.mark.parametrize("kind", ["one student", "one task"])
def test_what_is_no_grid_is_not_resampled(kind):
    assert "two-way bootstrap" not in set(rigorous_records(SMALL[kind](made()), draws=99)["test"])


def test_methods_are_compared_and_found_equal():
    found = rigorous_records(made(items=400), draws=99, margin=10.0)
    difference, same = one(found, "method", "gkd - jsd"), one(found, "equivalence", "gkd - jsd")
    assert difference["estimate"] == same["estimate"]
    assert same["p_adjusted"] <= 0.05
    assert same["high"] - same["low"] < difference["high"] - difference["low"]


def test_methods_of_one_seed_are_compared_over_items_for_these_students():
    records = made(tasks=("x",))
    found = rigorous_records(records, draws=99)
    difference = np.mean([wide(records, s, "gkd") - wide(records, s, "jsd") for s in STUDENTS], axis=0)
    expected = stats.ttest_1samp(difference, 0.0)
    row = one(found, "method", "gkd - jsd")
    assert (row["p_value"], row["n"], row["scope"]) == (pytest.approx(expected.pvalue), 60, "checkpoints")
    assert (row["method"], row["reference"]) == ("gkd", "jsd")
    over_students = one(found, "method", "gkd - jsd", sensitivity=True)
    assert over_students["estimate"] == pytest.approx(row["estimate"])
    assert (over_students["unit"], over_students["n"]) == ("students", 3)


def test_seeds_put_training_runs_into_the_interval():
    found = rigorous_records(made(seeds=(0, 1, 2)), draws=99)
    row = one(found, "H1-student", "S-1B")
    assert (row["test"], row["scope"]) == ("t over items and runs", "runs")
    assert (row["runs"], row["control_runs"]) == (6, 3)
    assert row["run_sd"] > 0
    assert "checkpoints" not in row["note"]
    assert not ((found["role"] == "sensitivity") & (found["hypothesis"] == "H1-student")).any()


def test_one_control_run_and_one_student_claim_nothing():
    records = made(seeds=(0, 1, 2))
    alone = records[(records["student"] == "S-1B") & ((records["method"] != "sft") | (records["seed"] == 0))]
    found = rigorous_records(alone, draws=99)
    row = one(found, "H1-student", "S-1B")
    assert math.isnan(row["p_value"])
    assert math.isfinite(row["estimate"])
    assert "No claim: SFT trained only once" in row["note"]
    assert row["run_sd"] > 0
    assert math.isfinite(one(found, "method", "gkd - jsd")["p_value"])


def test_a_known_run_variance_makes_one_seed_a_statement_about_methods():
    records = made(tasks=("x",), methods=("gkd",))
    row = one(rigorous_records(records, draws=99, run_sd={"all": (2.0, math.inf)}), "H1-student", "S-1B")
    items = stats.ttest_rel(wide(records, "S-1B", "gkd"), wide(records, "S-1B", "sft"))
    expected = math.hypot(abs(row["estimate"] / items.statistic), 2.0 * math.sqrt(2))
    assert (row["scope"], row["stderr"]) == ("runs", pytest.approx(expected))


def test_simultaneous_limits_are_bonferronis():
    found = rigorous_records(made(seeds=(0, 1, 2)), draws=99)
    rows = found[found["role"] == "confirmatory"]
    for row in rows.to_dict("records"):
        margin = stats.t.isf(0.025 / len(rows), row["df"]) * row["stderr"]
        assert (row["low_simultaneous"], row["high_simultaneous"]) == pytest.approx(
            (row["estimate"] - margin, row["estimate"] + margin)
        )


@pytest.mark.parametrize("gain", [0.0, 0.06, 0.12])
@pytest.mark.parametrize("seeds", [(0,), (0, 1, 2)])
def test_simultaneous_limits_say_what_adjusted_p_values_say(gain, seeds):
    found = rigorous_records(made(gain=gain, seeds=seeds, items=100), draws=199)
    known = found[found["p_adjusted"].notna() & found["low_simultaneous"].notna()]
    difference = ~known["hypothesis"].isin(["equivalence", "fidelity_noninferiority"])
    for row in known[difference & (known["hypothesis"] != "largest_gain")].to_dict("records"):
        excluded = row["low_simultaneous"] >= 0 or row["high_simultaneous"] <= 0
        touches = 0 in (row["low_simultaneous"], row["high_simultaneous"])
        assert excluded == (row["p_adjusted"] <= 0.05) or touches, row["group"]
    assert found.loc[found["p_value"].isna(), "p_adjusted"].isna().all()
    assert found.loc[found["hypothesis"].isin(["H2", "H3", "H3.2"]), "low_simultaneous"].isna().all()


def test_a_real_gain_is_found_in_every_cell_and_the_primary_question():
    found = rigorous_records(made(gain=0.25, items=150, temperatures=(1.0, 2.0)), draws=999)
    assert (found.loc[found["role"] == "confirmatory", "p_adjusted"] <= 0.05).all()
    cells = found[found["hypothesis"] == "cell"]
    assert len(cells) == 3 * 2 * 2
    assert (cells["p_adjusted"] <= 0.05).all()
    best = found[found["hypothesis"] == "best_temperature"]
    assert len(best) == 3 * 2
    assert (best["estimate"] > 10).all()


def test_warnings_go_with_the_results():
    records = made(gain=-0.15, tasks=("boolq",)).assign(contaminated=lambda r: r["item"] < 5)
    notes = rigorous_records(records, draws=99)["note"]
    assert notes.str.contains("5 items stand in training data, word for word or nearly").any()
    assert notes.str.contains("Below guessing on boolq").any()


def test_domains_are_apart_but_one_confirmatory_family():
    records = pd.concat([made().assign(domain="a"), made(seed=1).assign(domain="b")])
    found = rigorous_records(records, draws=99)
    primary = found[found["role"] == "confirmatory"]
    again = found[(found["role"] == "sensitivity") & (found["hypothesis"] == "H1-student")]
    assert len(primary) == len(again) == 6
    assert primary["p_adjusted"].to_numpy() == pytest.approx(holm(primary["p_value"]))


def test_no_control_is_refused():
    records = made()
    with pytest.raises(StatisticsError, match="control"):
        rigorous_records(records[records["method"] != "sft"])
    with pytest.raises(StatisticsError, match="temperature 7"):
        rigorous_records(records, temperature=7.0)


def test_ablations_enter_no_question_but_their_own():
    records = made(gain=0.1, temperatures=(1.0, 2.0))
    main, both = rigorous_records(records, draws=99), rigorous_records(ablated(records, "noise 2", 0.5), draws=99)
    own = ["cell", "ablation", "effect_size"]
    same, expected = (
        frame[~frame["hypothesis"].isin([*own, "temperature"])].reset_index(drop=True) for frame in (both, main)
    )
    pd.testing.assert_frame_equal(same, expected)
    assert set(main["hypothesis"]).isdisjoint(["ablation"])
    cells = both[both["hypothesis"] == "cell"]
    assert len(cells) == 3 * 2 * 2 + 3 * 2
    assert "gkd at 2, T-7B to S-1B (noise 2)" in set(cells["group"])


def test_an_ablation_is_a_paired_test_against_the_same_without_it():
    records = ablated(made(tasks=("x",)), "noise 2", 0.4)
    found = rigorous_records(records, draws=99)
    expected = stats.ttest_rel(
        wide(records, "S-1B", "gkd", ablation="noise 2"),
        wide(records[records["ablation"].isna()], "S-1B", "gkd"),
    )
    row = one(found, "ablation", "noise 2: gkd at 1, T-7B to S-1B")
    assert (row["statistic"], row["p_value"]) == pytest.approx((expected.statistic, expected.pvalue))
    rows = found[found["hypothesis"] == "ablation"]
    assert rows["p_adjusted"].to_numpy() == pytest.approx(holm(rows["p_value"]))
    assert (rows["role"] == "exploratory").all()
    assert "checkpoints" in sentence(row)
    repeated = rigorous_records(ablated(made(tasks=("x",), seeds=(0, 1)), "noise 2", 0.4), draws=99)
    said = sentence(one(repeated, "ablation", "noise 2: gkd at 1, T-7B to S-1B"))
    assert said.startswith('The ablation "noise 2" of GKD at 1, T-7B to S-1B lost')
    assert "the same without it (x)" in sentence(row)


def test_other_temperatures_are_held_against_the_one_chosen_beforehand():
    records = made(tasks=("x",), temperatures=(1.0, 2.0), methods=("gkd",))
    row = one(rigorous_records(records, draws=99), "temperature", "gkd at 2 instead of 1, T-7B to S-3B")
    expected = stats.ttest_rel(
        wide(records, "S-3B", "gkd", temperature=2.0), wide(records, "S-3B", "gkd", temperature=1.0)
    )
    assert row["p_value"] == pytest.approx(expected.pvalue)
    assert sentence(row).startswith("The checkpoints of GKD at 2 instead of 1, T-7B to S-3B ")
    other_way = rigorous_records(records, temperature=2.0, draws=99)
    assert one(other_way, "temperature", "gkd at 1 instead of 2, T-7B to S-3B")["estimate"] == -row["estimate"]


def test_an_ablation_with_fewer_runs_is_compared_with_all_of_the_main_setting():
    records = made(seeds=(0, 1, 2), tasks=("x", "y"))
    some = ablated(records[records["seed"] < 2], "no teacher", 0.3)
    row = one(
        rigorous_records(pd.concat([records[records["seed"] == 2], some]), draws=99),
        *("ablation", "no teacher: gkd at 1, T-7B to S-1B"),
    )
    gone = some[(some["student"] == "S-1B") & some["ablation"].eq("no teacher")]["correct"].mean()
    kept = records[(records["student"] == "S-1B") & (records["method"] == "gkd")]
    assert row["estimate"] == pytest.approx(100 * (gone - kept["correct"].mean()))
    assert (row["scope"], row["runs"], row["control_runs"]) == ("runs", 2, 3)


def test_cells_with_several_seeds_have_runs_in_their_error():
    records = made(seeds=(0, 1, 2), tasks=("x", "y"))
    found = rigorous_records(records, draws=99)
    cells = found[found["hypothesis"] == "cell"]
    assert set(cells["test"]) == {"t over items and runs; Holm"}
    assert cells["p_adjusted"].to_numpy() == pytest.approx(holm(cells["p_value"]))
    assert "Holm-adjusted" in sentence(cells.iloc[0])
    row = one(found, "cell", "gkd at 1, T-7B to S-1B")
    expected = 100 * (wide(records, "S-1B", "gkd") - wide(records, "S-1B", "sft"))
    assert row["estimate"] == pytest.approx(expected.mean())
    assert (row["student"], row["teacher"], row["method"], row["reference"]) == ("S-1B", "T-7B", "gkd", "sft")
    single = rigorous_records(records[records["seed"] == 0], draws=99)
    assert set(single.loc[single["hypothesis"] == "cell", "test"]) == {"t over items; max-T"}
    assert "Max-T-adjusted" in sentence(single[single["hypothesis"] == "cell"].iloc[0])


@pytest.mark.parametrize("seeds", [(0,), (0, 1, 2)])
def test_the_best_temperature_is_judged_on_items_and_runs_it_was_not_chosen_on(seeds):
    """On a third of the items (and in the first run) temperature 2 is always right, elsewhere always wrong."""
    records = made(seeds=seeds, temperatures=(1.0, 2.0), tasks=("x",), methods=("gkd",))
    chosen_on = np.random.default_rng(0).permutation(60) < 20
    shines = chosen_on[records["item"]] & (records["seed"] == 0)
    records["correct"] = np.where(records["temperature"] == 2.0, shines, records["correct"])
    row = one(rigorous_records(records, draws=99), "best_temperature", "gkd, T-7B to S-1B")
    judged = records[~chosen_on[records["item"]] & records["seed"].isin(seeds[1:] or seeds)]
    control = judged[(judged["student"] == "S-1B") & (judged["method"] == "sft")]["correct"].mean()
    assert row["estimate"] == pytest.approx(-100 * control)
    assert row["scope"] == ("runs" if len(seeds) > 1 else "checkpoints")


def test_an_ablation_of_the_control_and_one_of_nothing():
    records = ablated(made(), "half the data", 0.2, method="sft")
    found = rigorous_records(records, draws=99)
    assert one(found, "ablation", "half the data: sft, S-1B")["estimate"] < 0
    alone = ablated(made(), "noise 2", 0.2).assign(
        temperature=lambda r: r["temperature"].where(r["ablation"].isna() | r["method"].eq("sft"), 3.0)
    )
    found = rigorous_records(alone, draws=99)
    assert "ablation" not in set(found["hypothesis"])
    assert "gkd at 3, T-7B to S-1B (noise 2)" in set(found["group"])


def test_fractions_are_values_like_any_other():
    records = made(tasks=("x",), methods=("gkd",))
    score = np.random.default_rng(5).random(len(records))
    found = rigorous_records(records.assign(correct=score, domain="texts"), draws=99)
    rows = records.assign(correct=score)
    expected = stats.ttest_rel(wide(rows, "S-1B", "gkd"), wide(rows, "S-1B", "sft"))
    assert one(found, "H1-student", "S-1B")["p_value"] == pytest.approx(expected.pvalue)
    assert set(found["domain"]) == {"texts"}


SMALL = {
    "one student": lambda r: r[r["student"] == "S-1B"],
    "one task": lambda r: r[r["task"] == "x"],
    "one method": lambda r: r[r["method"].isin(["sft", "gkd"])],
    "two items": lambda r: r[r["item"] < 2],
    "one item": lambda r: r[(r["item"] == 0) & (r["task"] == "x")],
    "one of each": lambda r: r[(r["student"] == "S-1B") & (r["task"] == "x") & (r["method"] != "jsd")],
    "no temperature": lambda r: r.assign(temperature=math.nan),
    "no seeds": lambda r: r.assign(seed=math.nan, teacher=None),
    "a student without control": lambda r: r[(r["student"] != "S-1B") | (r["method"] != "sft")],
    "a task without control": lambda r: r[(r["task"] != "x") | (r["method"] != "sft")],
    "no item in common": lambda r: r[(r["student"] != "S-1B") | ((r["task"] == "x") == (r["method"] == "sft"))],
    "names without sizes": lambda r: r.assign(student=r["student"].str.replace("B", "")),
    "one domain at another temperature": lambda r: pd.concat(
        [r.assign(domain="a"), r.assign(domain="b", temperature=2 * r["temperature"])]
    ),
    "one domain without control": lambda r: pd.concat(
        [r.assign(domain="a"), r[r["method"] != "sft"].assign(domain="b")]
    ),
}


@pytest.mark.parametrize("name", SMALL)
def test_small_studies_give_the_rows_they_can(name):
    records = SMALL[name](ablated(made(items=20, temperatures=(1.0, 2.0)), "noise 2", 0.3))
    found = rigorous_records(records, draws=99)
    assert len(found[found["hypothesis"] == "H1-student"])
    for row in found.to_dict("records"):
        assert "nan" not in sentence(row).replace("nano", "")


def test_what_a_small_study_cannot_say_is_said():
    alone = rigorous_records(SMALL["one student"](made()), draws=99)
    primary = alone[alone["role"] == "confirmatory"]
    assert primary["note"].str.contains("One student: nothing can be said about students in general").all()
    method = one(alone, "method", "gkd - jsd")
    assert (method["test"], method["unit"], method["n"]) == ("t over items", "items", 180)
    single = one(rigorous_records(SMALL["one task"](made()), draws=99), "H1-grid", "all")
    assert single["test"] == "t over students"
    assert "One task: nothing can be said about tasks in general" in single["note"]
    two = rigorous_records(made()[lambda r: r["student"] != "S-1B"], draws=99)
    assert one(two, "H3", "all")["note"] == "Only 2 students: a slope needs three."
    nameless = rigorous_records(SMALL["names without sizes"](made()), draws=99)
    assert "The size of 3 of 3 students is not known" in one(nameless, "H3", "all")["note"]
    partly = rigorous_records(made().replace({"student": {"S-1B": "nano"}}), draws=99)
    told = "The size of 1 of 3 students is not known. Only 2 students: a slope needs three."
    assert one(partly, "H3", "all")["note"] == told


def test_a_size_that_is_told_is_not_read_from_the_name():
    records = made(gain=0.1)
    sizes = {"S-0.5B": 8.0, "S-1B": 1.0, "S-3B": 2.0}
    counts = 1e9 * records["student"].map(sizes)
    told = one(rigorous_records(records.assign(parameters=counts), draws=99), "H3", "all")
    gains = [100 * (wide(records, s, "gkd") + wide(records, s, "jsd")).mean() / 2 - 100 * wide(records, s, "sft").mean()
             for s in STUDENTS]  # fmt: skip
    expected = stats.linregress(np.log2([sizes[s] for s in STUDENTS]), gains)
    assert told["estimate"] == pytest.approx(expected.slope)
    assert told["p_value"] == pytest.approx(expected.pvalue)
    some = rigorous_records(records.assign(parameters=counts.where(records["student"] != "S-1B")), draws=99)
    assert one(some, "H3", "all")["estimate"] == one(rigorous_records(records, draws=99), "H3", "all")["estimate"]


def test_a_model_has_one_ablation():
    records = ablated(made(), "noise 2", 0.3)
    records.loc[records.index[-1], "ablation"] = "noise 3"
    with pytest.raises(StatisticsError, match="more than one ablation"):
        rigorous_records(records)


@pytest.mark.slow
def test_a_million_records_take_less_than_a_minute():
    methods = tuple(f"m{i}" for i in range(20))
    records = made(items=1150, tasks=tuple(f"t{i}" for i in range(14)), methods=methods)
    assert len(records) > 1_000_000
    start = time.process_time()
    rigorous_records(records)
    assert time.process_time() - start < 60
