"""A tidy table of results as a report: the published one, and one small enough to be worked out by hand."""

from __future__ import annotations

import math
import re
from functools import cache
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from statsmodels.stats.proportion import confint_proportions_2indep, proportion_confint

from kdscope.figures.style import method_styles
from kdscope.protocols.published import load_published
from kdscope.protocols.results_table import read_results_table, results_table
from kdscope.report.page import paragraphs
from kdscope.report.published import PUBLISHED, About, TableReport, table_reports, with_published_sizes, write_index
from kdscope.report.published_tables import decimals_of, share_of
from kdscope.results.tables import load_tables, save_tables
from kdscope.statistics.means import newcombe_difference

ABOUT = About("mine", "My results.", {"source": "mine.csv"})
OWN = """student,method,teacher,temperature,task,metric,value,items
small-0.5B,base,,,sums,accuracy,10,200
small-0.5B,sft,,,sums,accuracy,40,200
small-0.5B,sft,,,words,accuracy,50,50
small-0.5B,forward_kl,big-7B,1,sums,accuracy,44,200
small-0.5B,forward_kl,big-7B,1,words,accuracy,60,50
small-0.5B,forward_kl,big-7B,2,sums,accuracy,47.3,200
small-0.5B,gkd,big-7B,1,sums,accuracy,41,200
small-0.5B,gkd,big-7B,1,words,accuracy,54,50
big-7B,sft,,,sums,accuracy,90,200
big-7B,sft,,,words,accuracy,80,50
small-0.5B,sft,big-7B,,sums,agreement,30,200
small-0.5B,gkd,big-7B,1,sums,agreement,35,200
"""


def report_of(text: str, tmp_path: Path) -> TableReport:
    (tmp_path / "mine.csv").write_text(text)
    (report,) = table_reports(read_results_table(tmp_path / "mine.csv", unit="percent").table, ABOUT)
    return report


@cache
def published() -> tuple[TableReport, ...]:
    return table_reports(with_published_sizes(load_published()), PUBLISHED["ramesh2025"])


def test_the_cells_of_a_table(tmp_path: Path) -> None:
    cells = report_of(OWN, tmp_path).tables.cells
    told = cells[["cell", "role", "student", "teacher", "teacher_condition", "method", "kd_temperature", "parameters"]]
    rows = told.astype(object).where(told.notna(), None).to_numpy().tolist()
    size = 500_000_000
    assert rows == [
        ["teacher/big-7B", "teacher", None, "big-7B", "adapted", "adapt", None, 7_000_000_000],
        ["small-0.5B/base", "base", "small-0.5B", None, None, "base", None, size],
        ["small-0.5B/sft", "student", "small-0.5B", None, None, "sft", None, size],
        ["small-0.5B/forward_kl-T1/big-7B", "student", "small-0.5B", "big-7B", "adapted", "forward_kl", 1.0, size],
        ["small-0.5B/forward_kl-T2/big-7B", "student", "small-0.5B", "big-7B", "adapted", "forward_kl", 2.0, size],
        ["small-0.5B/gkd-T1/big-7B", "student", "small-0.5B", "big-7B", "adapted", "gkd", 1.0, size],
    ]
    assert set(cells["state"]) == {"done"}


def test_accuracy_has_an_interval_where_it_is_a_share_of_the_items(tmp_path: Path) -> None:
    table = report_of(OWN, tmp_path).tables.accuracy.set_index(["cell", "task"])
    whole = table.loc[("small-0.5B/gkd-T1/big-7B", "words")]
    assert (whole["items"], whole["correct"], whole["accuracy"]) == (50, 27, 0.54)
    assert (whole["low"], whole["high"]) == pytest.approx(proportion_confint(27, 50, method="wilson"))
    # 47.3% of 200 are 94.6 items.
    broken = table.loc[("small-0.5B/forward_kl-T2/big-7B", "sums")]
    assert broken["accuracy"] == pytest.approx(0.473)
    assert pd.isna(broken["correct"])
    assert math.isnan(broken["low"])
    assert table.loc[("teacher/big-7B", "average"), "accuracy"] == pytest.approx(0.85)
    assert set(table["scoring"]) == {"published"}


def test_gains_are_over_sft_of_the_same_student(tmp_path: Path) -> None:
    report = report_of(OWN, tmp_path)
    table = report.tables.gains.set_index(["cell", "task"])
    assert set(table["control"]) == {"small-0.5B/sft"}
    gkd = table.loc["small-0.5B/gkd-T1/big-7B"]
    assert gkd["gain"].round(6).to_dict() == {"sums": 0.01, "words": 0.04, "pooled": round(4 / 250, 6)}
    assert gkd["items"].to_dict() == {"sums": 200, "words": 50, "pooled": 250}
    # 109 of 250 items right against 105: the pairs are not known, so the two count as independent.
    limits = confint_proportions_2indep(82 + 27, 250, 80 + 25, 250, method="newcomb", compare="diff")
    assert tuple(gkd.loc["pooled", ["low", "high"]]) == pytest.approx(limits, abs=1e-12)
    assert table["p_value"].isna().all()
    # One task only, and no whole number of items: a gain without an interval, and nothing to pool.
    other = table.loc["small-0.5B/forward_kl-T2/big-7B"]
    assert other["gain"].round(6).to_dict() == {"sums": 0.073}
    assert other["low"].isna().all()
    assert any("cannot be a share of all items" in warning for warning in report.facts.warnings)


def test_fidelity_stands_beside_the_control(tmp_path: Path) -> None:
    table = report_of(OWN, tmp_path).tables.fidelity.set_index("cell")
    assert list(table.index) == ["small-0.5B/sft", "small-0.5B/gkd-T1/big-7B"]
    gkd = table.loc["small-0.5B/gkd-T1/big-7B"]
    assert (gkd["teacher_cell"], gkd["measure"], gkd["value"], gkd["control"]) == (
        "teacher/big-7B",
        "agreement",
        0.35,
        0.3,
    )
    assert (gkd["low"], gkd["high"]) == pytest.approx(proportion_confint(70, 200, method="wilson"))
    assert pd.isna(gkd["normalised"])
    assert gkd["reason"] == "no second run of the teacher was published"


def test_without_sizes_nothing_has_an_interval(tmp_path: Path) -> None:
    bare = "\n".join(line.rpartition(",")[0] for line in OWN.strip().split("\n"))
    report = report_of(bare, tmp_path)
    assert report.tables.accuracy[["items", "correct", "low"]].isna().all(axis=None)
    pooled = report.tables.gains.set_index(["cell", "task"]).loc[("small-0.5B/gkd-T1/big-7B", "pooled")]
    assert pooled["gain"] == pytest.approx((0.01 + 0.04) / 2)
    assert math.isnan(pooled["low"])
    assert report.facts.data_facts["intervals"].startswith("none")


def test_seeds_meet_the_control_of_their_own_seed(tmp_path: Path) -> None:
    rows = [("sft", 0, 40), ("sft", 1, 44), ("gkd", 0, 50), ("gkd", 1, 51)]
    text = "student,method,seed,task,value\n" + "".join(f"a,{m},{seed},sums,{value}\n" for m, seed, value in rows)
    report = report_of(text, tmp_path)
    gains = report.tables.gains.set_index("cell")
    assert gains["control"].to_dict() == {"a/gkd/s0": "a/sft/s0", "a/gkd/s1": "a/sft/s1"}
    assert gains["gain"].round(6).to_dict() == {"a/gkd/s0": 0.10, "a/gkd/s1": 0.07}
    assert list(report.facts.seeds) == [0, 1]
    # A seed without a control of its own has none when there are two to choose from.
    lonely = report_of(text + "a,gkd,2,sums,70\n", tmp_path)
    assert "a/gkd/s2" not in set(lonely.tables.gains["cell"])


def test_the_published_study_is_all_there() -> None:
    math_report, commonsense = published()
    assert [report.title for report in published()] == ["mathematics", "commonsense"]
    table = load_published()
    for report in published():
        own = table[(table["domain"] == report.domain) & (table["metric"] == "accuracy")]
        told = report.tables.accuracy
        students = told[told["cell"].map(lambda cell: not cell.startswith("teacher/"))]
        students = students[~students["cell"].str.contains("/kd/")]
        # Every accuracy of a student once; those of models that only teach stand with the teachers.
        only_teach = own["student"].isin({"Qwen2.5-14B", "Llama-3.1-8B"})
        assert sorted(students["accuracy"].mul(100).round(9)) == sorted(own.loc[~only_teach, "value"].round(9))
        known = told[told["correct"].notna()]
        assert (100 * known["correct"] / known["items"] - 100 * known["accuracy"]).abs().max() <= 0.00501
    sft = math_report.tables.accuracy.set_index(["cell", "task"]).loc["Qwen2.5-0.5B/sft"]
    assert (sft.loc["gsm8k", "correct"], sft.loc["gsm8k", "items"]) == (310, 1319)
    assert sft.loc["average", "accuracy"] == pytest.approx(0.5284, abs=1e-4)
    assert len(math_report.tables.cells) == len(commonsense.tables.cells) == 89
    assert set(commonsense.tables.gains["task"]) == set(table.loc[table["domain"] == "commonsense", "task"]) - {
        "Average"
    } | {"pooled"}


def test_a_published_gain_by_hand() -> None:
    gains = published()[0].tables.gains.set_index(["cell", "task"])
    row = gains.loc[("Qwen2.5-0.5B/RevKD-T1/Qwen2.5-7B", "gsm8k")]
    # 35.18% (464 of 1319) against 23.50% (310): with confint_proportions_2indep as the oracle.
    assert row["gain"] == pytest.approx(0.3518 - 0.2350)
    own = proportion_confint(464, 1319, method="wilson")
    other = proportion_confint(310, 1319, method="wilson")
    d, p, q = 0.3518 - 0.2350, 0.3518, 0.2350
    assert row["low"] == pytest.approx(d - math.hypot(p - own[0], other[1] - q))
    assert row["high"] == pytest.approx(d + math.hypot(own[1] - p, q - other[0]))


def test_what_is_told_of_pairs_is_a_cell_of_its_own() -> None:
    tables = published()[0].tables
    pairs = tables.cells[tables.cells["variant"] == "any method"]
    assert len(pairs) == 11
    assert set(tables.gains["cell"]).isdisjoint(pairs["cell"])
    cell = "Qwen2.5-0.5B/kd/Qwen2.5-7B"
    row = tables.fidelity.set_index(["cell", "measure", "task"]).loc[(cell, "agreement", "SingleEq")]
    assert row["value"] == pytest.approx(0.86023622)
    assert row["control"] == pytest.approx(0.74606299)
    accuracy = tables.accuracy.set_index(["cell", "task"])["accuracy"]
    methods = [f"Qwen2.5-0.5B/{method}-T1/Qwen2.5-7B" for method in ("SeqKD", "RevKD", "GKD")]
    assert accuracy[cell, "gsm8k"] == pytest.approx(np.mean([accuracy[method, "gsm8k"] for method in methods]))
    names = tables.names
    assert len({(name.model, name.short) for name in names.values()}) == len(names)


def test_statistics_come_with_their_sentences() -> None:
    for report in published():
        statistics = report.tables.statistics
        assert set(statistics["domain"]) == {report.domain}
        primary = statistics[statistics["role"] == "confirmatory"]
        assert len(primary) == 6
        assert primary["sentence"].str.contains(f"({report.domain})", regex=False).all()
    first = published()[0].tables.statistics["sentence"].iloc[0]
    # As docs/reanalysis.md has it.
    assert first.startswith("Distillation: +6.6 points over SFT on Qwen2.5-0.5B (math), 95% CI 2.4 to 10.8, without a")
    h1 = published()[0].tables.tests.set_index(["hypothesis", "group", "task"]).loc[("H1", "all", "Average")]
    assert round(h1["statistic"], 3) == 8.465


def test_warnings_are_about_their_own_domain() -> None:
    mathematics, commonsense = (report.facts.warnings for report in published())
    assert any("math_10k overlaps" in warning for warning in mathematics)
    assert not any("math_10k" in warning for warning in commonsense)
    assert any(warning.startswith("15 accuracies cannot be a share") for warning in mathematics)
    first, names = paragraphs(published()[0].facts.description)
    assert first.startswith("The results of “On the Generalization")
    assert names.startswith("Methods have the paper's names: its SeqKD is token-level forward KL")


def test_methods_have_the_papers_names_everywhere() -> None:
    own = {"forward_kl", "reverse_kl", "gkd"}
    for report in published():
        assert set(report.tables.cells["method"]) == {"adapt", "base", "sft", "kd", "SeqKD", "RevKD", "GKD"}
        told = [
            *report.tables.cells["cell"],
            *report.tables.statistics["sentence"],
            *report.tables.statistics["group"],
            *report.facts.warnings,
            *report.facts.data_facts.values(),
        ]
        assert not [text for text in told if any(name in str(text) for name in own)]
    assert method_styles(["SeqKD", "RevKD", "GKD", "kd"]) == {
        **dict(
            zip(("SeqKD", "RevKD", "GKD"), method_styles(["forward_kl", "reverse_kl", "gkd"]).values(), strict=True)
        ),
        **method_styles(["kd"]),
    }


def test_reports_are_saved_and_read_back(tmp_path: Path) -> None:
    for report in published():
        save_tables(report.tables, tmp_path / report.folder)
        again = load_tables(tmp_path / report.folder)
        pd.testing.assert_frame_equal(again.gains, report.tables.gains)
        pd.testing.assert_frame_equal(again.statistics, report.tables.statistics)


def test_the_page_in_front(tmp_path: Path) -> None:
    frame = pd.DataFrame(
        [
            {"student": student, "method": method, "task": "t", "domain": domain, "value": value}
            for domain in ("<script>", "../up")
            for student, base in (("a-1B", 40), ("b-2B", 50))
            for method, value in (("sft", base), ("gkd", base + 5))
        ]
    )
    reports = table_reports(results_table(frame, unit="percent").table, ABOUT)
    write_index(reports, ABOUT, tmp_path / "report.html")
    html = (tmp_path / "report.html").read_text(encoding="utf-8")
    assert "&lt;script&gt;" in html
    assert "<script" not in html
    assert re.findall(r'<h2><a href="([^"]*)">', html) == ["script/report.html", "up/report.html"]
    assert "http" not in html.replace("http-equiv", "")


@settings(max_examples=20, deadline=None)
@given(
    st.lists(st.text(min_size=1, max_size=12).filter(lambda t: bool(t.strip())), min_size=1, max_size=3, unique=True)
)
def test_folders_are_plain_names_and_different(domains: list[str]) -> None:
    from kdscope.report.published import _folders

    folders = list(_folders(domains).values())
    assert all(re.fullmatch(r"[A-Za-z0-9_-]+", folder) for folder in folders)
    assert len({folder.lower() for folder in folders}) == len(domains)


@given(st.integers(1, 5000).flatmap(lambda n: st.tuples(st.integers(0, n), st.just(n))))
def test_a_rounded_share_is_recognised(counts: tuple[int, int]) -> None:
    correct, items = counts
    found = share_of(round(100 * correct / items, 2), items, 2)
    assert found.correct == correct
    assert 0 <= found.low <= found.value + 5e-5
    difference, low, high = newcombe_difference(found.limits, found.limits)
    assert difference == 0
    assert low <= 0 <= high


def test_decimals() -> None:
    assert decimals_of([]) == 0
    assert decimals_of([50.0, 7.0]) == 0
    assert decimals_of([33.333333333]) == 6
