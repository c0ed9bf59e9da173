from __future__ import annotations

import re
from xml.etree import ElementTree

import pytest

from kdscope.figures.catalogue import appendix_figures, main_figures
from kdscope.figures.fidelity import decomposition_figure
from kdscope.figures.gains import gain_figure
from kdscope.figures.run import accuracy_figure, answer_rates, rates_figure
from kdscope.figures.style import STEP, method_legend, method_styles
from kdscope.results.methods import MUTED
from tests.figures.renderer import render_svg
from tests.report.builders import BELOW_CHANCE, build_tables, empty_tables, only


@pytest.fixture(scope="module")
def tables():
    return build_tables()


def rows_of(chart):
    """The largest data set of a chart: its marks."""
    return max(chart.to_dict()["datasets"].values(), key=len)


def test_gain_panels_show_the_tables_numbers(tables):
    figure = gain_figure(tables, "robust")
    assert list(figure.panels) == ["tiny", "small"]
    expected = tables.gains.query("task == 'pooled' and scoring == 'robust'").set_index("cell")
    seen = [row for panel in figure.panels.values() for row in rows_of(panel)]
    assert {row["cell"] for row in seen} == set(expected.index)
    for row in seen:
        assert row["gain"] == pytest.approx(100 * expected["gain"][row["cell"]], abs=1e-9)
        assert row["low"] == pytest.approx(100 * expected["low"][row["cell"]], abs=1e-9)


def test_gain_marks_are_filled_only_where_the_interval_excludes_zero(tables):
    for panel in gain_figure(tables, "robust").panels.values():
        for row in rows_of(panel):
            assert (row["fill"] == "transparent") == (row["low"] <= 0 <= row["high"])


def test_a_gain_without_interval_has_a_mark_of_its_own(tables):
    labels = {entry.label for entry in gain_figure(tables, "robust").legend}
    assert labels == {"interval above 0", "interval below 0", "interval includes 0"}
    gains = tables.gains.copy()
    gains.loc[gains["cell"].str.startswith("tiny/"), ["low", "high"]] = None
    figure = gain_figure(empty_tables(cells=tables.cells, gains=gains), "robust")
    rows = [row for panel in figure.panels.values() for row in rows_of(panel)]
    looks = {row["model"]: {(r["shape"], r["size"]) for r in rows if r["model"] == row["model"]} for row in rows}
    assert looks == {"tiny": {("cross", 30)}, "small": {("circle", 60)}}
    assert {(row["colour"], row["fill"]) for row in rows if row["model"] == "tiny"} == {(MUTED, MUTED)}
    assert [entry.label for entry in figure.legend][-1] == "no interval known"
    unknown = empty_tables(cells=tables.cells, gains=gains.assign(low=None, high=None))
    assert [(e.label, e.shape) for e in gain_figure(unknown, "robust").legend] == [("no interval known", "cross")]


def test_all_gain_panels_share_one_scale_that_holds_zero(tables):
    domains = {
        str(p.to_dict()["layer"][1]["encoding"]["x"]["scale"]) for p in gain_figure(tables, "robust").panels.values()
    }
    assert len(domains) == 1
    low, high = gain_figure(tables, "robust").panels["tiny"].to_dict()["layer"][1]["encoding"]["x"]["scale"]["domain"]
    assert low < 0 < high


def test_heat_map_prints_percent_and_marks_results_below_chance(tables):
    panels = accuracy_figure(tables, "robust").panels
    assert list(panels) == ["big", "tiny", "small"]
    marked = [row for row in rows_of(panels["tiny"]) if "▼" in row["printed"]]
    assert [(row["cell"], row["task"]) for row in marked] == [(BELOW_CHANCE, "ARC-Easy")]
    svg = render_svg(panels["tiny"], "x", "")
    for row in rows_of(panels["tiny"]):
        assert f">{row['printed']}</text>" in svg


def test_decomposition_adds_up_to_all_items(tables):
    for panel in decomposition_figure(tables).panels.values():
        totals: dict[str, float] = {}
        for row in rows_of(panel):
            totals[row["cell"]] = totals.get(row["cell"], 0) + row["share"]
        assert all(total == pytest.approx(100) for total in totals.values())


def test_rates_are_weighted_by_items(tables):
    changed = tables.accuracy.copy()
    rows = (changed["cell"] == "small/sft/s0") & (changed["scoring"] == "robust")
    changed.loc[rows & (changed["task"] == "gsm8k"), "unparsed_rate"] = 0.5
    rates = answer_rates(only(build_tables(), ["small/sft/s0"]), "robust")
    assert rates["unparsed"].iloc[0] == pytest.approx(0.03)
    edited = empty_tables(cells=tables.cells, accuracy=changed)
    rate = answer_rates(edited, "robust").set_index("cell")["unparsed"]["small/sft/s0"]
    assert rate == pytest.approx((400 * 0.5 + 800 * 0.03) / 1200)


def test_rates_show_both_kinds(tables):
    rows = rows_of(rates_figure(tables, "robust").panels["tiny"])
    assert {row["rate"] for row in rows} == {"unparsed", "truncated"}


def test_without_rows_every_figure_says_why():
    for figure in (*main_figures(empty_tables(), "robust"), *appendix_figures(empty_tables(), "robust")):
        assert not figure.panels
        assert figure.empty.endswith(".")


def test_average_comes_last(tables):
    assert tables.tasks == ["gsm8k", "SVAMP", "ARC-Easy", "average"]


def test_method_styles_differ_and_unknown_methods_get_one():
    known = ["sft", "seqkd", "forward_kl", "reverse_kl", "jsd", "gkd", "skew_kl", "skew_reverse_kl", "total_variation"]
    styles = method_styles([*known, "novel", "newer"])
    assert len(set(styles.values())) == len(known) + 2
    assert len({shape for _, shape in styles.values()}) >= 6
    assert [entry.label for entry in method_legend(["sft", "jsd", "sft"])] == ["sft", "jsd"]


def test_marks_and_names_tell_what_they_are_about(tables):
    root = ElementTree.fromstring(render_svg(accuracy_figure(tables, "robust").panels["small"], "x", ""))
    tagged = [element for element in root.iter() if element.get("data-row") or element.get("data-column")]
    names = {text.text: text for text in tagged if text.get("class") is None}
    assert names["seqkd"].get("data-method") == "seqkd"
    assert names["sft"].get("data-method") is None
    assert names["gsm8k"].get("data-task") == "gsm8k"
    cell = next(e for e in tagged if e.get("data-method") == "seqkd" and e.get("data-task") == "gsm8k" and len(e))
    assert (cell.get("data-row"), cell.get("data-column")) == (
        names["seqkd"].get("data-row"),
        names["gsm8k"].get("data-column"),
    )
    assert cell[0].text.startswith("seqkd on gsm8k: ")
    assert float(root.get("data-step")) == pytest.approx(STEP, abs=0.3)
    assert float(root.get("data-pace")) >= 48


def test_gains_come_for_every_task_alone(tables):
    variants = gain_figure(tables, "robust").variants
    assert list(variants) == ["gsm8k", "SVAMP", "ARC-Easy"]
    expected = tables.gains.query("task == 'SVAMP' and scoring == 'robust'").set_index("cell")["gain"]
    rows = [row for panel in variants["SVAMP"].values() for row in rows_of(panel)]
    assert {row["cell"]: row["gain"] for row in rows} == pytest.approx((100 * expected).to_dict())


def test_svg_is_the_same_every_time_and_carries_hover_titles(tables):
    panel = gain_figure(tables, "robust").panels["small"]
    first, second = (render_svg(panel, "gain", 'a "title" & more') for _ in range(2))
    assert first == second
    assert 'aria-label="a &quot;title&quot; &amp; more"' in first
    titles = re.findall(r"<title>(seqkd: [^<]*)</title>", first)
    assert len(titles) == 1
    assert re.fullmatch(
        r"seqkd: \+\d+\.\d \[\+\d+\.\d, \+\d+\.\d\] points, Holm p &lt; \.001, 1200 items \(.*\)", titles[0]
    )
