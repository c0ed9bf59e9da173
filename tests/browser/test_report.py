"""The report in a browser: what is drawn, what choices change, what can be saved, and that nothing else happens."""

from __future__ import annotations

import re
from dataclasses import replace
from xml.etree import ElementTree

import pandas as pd
import pytest

from kdscope.figures.style import STEP
from kdscope.report import save_tables, write_page
from tests.report.builders import TEACHER, build_facts, build_tables, only, stated
from tests.report.statistics_builders import measured

pytest.importorskip("playwright.sync_api", reason="playwright is not installed")

ATTACK = "<script>document.title = 'broken'</script><img src=x onerror=\"document.title = 'broken'\">"
STUDENTS = ("tiny", "small")
METHODS = ("seqkd", "jsd")


def small_tables():
    """Two students, three tasks, a control and two methods, with everything a figure of the page needs."""
    cells = [TEACHER, *(f"{student}/{end}" for student in STUDENTS for end in ("sft/s0", "seqkd/teacher/s0"))]
    tables = only(build_tables(), [*cells, *(f"{student}/jsd/teacher/s0" for student in STUDENTS)])
    sizes = tables.cells["student"].map({"tiny": 10_000_000, "small": 80_000_000}).fillna(500_000_000).astype(int)
    found = measured(replace(tables, cells=tables.cells.assign(parameters=sizes, training_seconds=60.0)))
    lead = pd.DataFrame([stated(role="exploratory", sentence=f"A lead {ATTACK}.")])
    return replace(found, statistics=pd.concat([found.statistics, lead.reindex(columns=found.statistics.columns)]))


@pytest.fixture(scope="module")
def file(tmp_path_factory):
    folder = tmp_path_factory.mktemp("run")
    tables = small_tables()
    save_tables(tables, folder / "tables")
    write_page(tables, build_facts(failures=[], stages={"adapt_teacher big": "c0ffee"}), folder / "report.html")
    return folder / "report.html"


@pytest.fixture
def report(page_of, file):
    found = page_of(file)
    yield found.page
    assert found.errors == []
    assert found.strangers == []


def shown(page, selector):
    return [part for part in page.query_selector_all(selector) if part.is_visible()]


def choose(page, key, wanted):
    """Opens a menu of the bar and leaves only one of its boxes on."""
    menu = page.locator("#choices details").filter(has=page.locator(f"input[name={key}]"))
    if not menu.evaluate("menu => menu.open"):
        menu.locator("summary").click()
    menu.get_by_role("button", name="none").click()
    menu.get_by_label(wanted, exact=True).check()


def test_every_figure_is_drawn(report):
    figures = report.query_selector_all("main > figure")
    assert len(figures) >= 9
    assert "two teachers" in report.locator("#absent").inner_text()
    for figure in figures:
        title = figure.query_selector("h3").inner_text()
        drawn = [panel for panel in figure.query_selector_all(".panels svg") if panel.is_visible()]
        assert drawn, title
        assert all(len(panel.query_selector_all(".mark")) for panel in drawn), title
        assert all(panel.get_attribute("aria-label") for panel in drawn), title


def test_the_answer_is_on_the_first_screen(report):
    answer = report.locator("#answer")
    assert len(answer.inner_text().split()) <= 120
    assert "SFT" in answer.locator(".headline").inner_text()
    box = answer.bounding_box()
    assert box["y"] + box["height"] < 900
    assert report.locator("#which tbody").first.bounding_box()["y"] < 900


def test_the_page_before_the_appendix_is_short(report):
    top = report.evaluate("document.getElementById('appendix').getBoundingClientRect().top + scrollY")
    assert 1000 < top < 8000


def test_text_of_figures_is_shown_with_at_least_thirteen_pixels(report):
    report.evaluate("document.querySelectorAll('details').forEach(part => part.open = true)")
    sizes = report.evaluate(
        """() => [...document.querySelectorAll(".panels svg")].filter((svg) => svg.clientWidth).flatMap((svg) => {
            const scale = svg.getBoundingClientRect().width / svg.viewBox.baseVal.width;
            return [...svg.querySelectorAll("text")].map((text) => scale * parseFloat(getComputedStyle(text).fontSize));
        })"""
    )
    legends = report.evaluate(
        "() => [...document.querySelectorAll('.legend li')].map((one) => parseFloat(getComputedStyle(one).fontSize))"
    )
    assert len(sizes) > 100
    assert legends
    assert min(sizes) >= 12.99
    assert min(legends) >= 13


def test_figures_use_the_width_of_the_column(report):
    """Panels of a figure reach from one side of the column to the other, one or two beside each other."""
    column = report.locator("main").evaluate("main => main.clientWidth - 40")
    for key in ("methods", "plane"):
        boxes = [panel.bounding_box() for panel in shown(report, f"#{key} .panel")]
        left, right = min(box["x"] for box in boxes), max(box["x"] + box["width"] for box in boxes)
        assert right - left > 0.97 * column


def test_a_student_chosen_hides_the_others(report):
    choose(report, "student", "small")
    panels = shown(report, "#gains-robust .panel[data-student]")
    assert {panel.get_attribute("data-student") for panel in panels} == {"small"}
    rows = [row.inner_text() for row in shown(report, "#gains-table-robust tbody th")]
    assert rows
    assert all(row.startswith("small/") for row in rows)
    marks = shown(report, "#size .mark[data-student]")
    assert {mark.get_attribute("data-student") for mark in marks} == {"small"}
    assert {row.get_attribute("data-student") for row in shown(report, "#which tbody")} == {"small"}
    assert "cells shown" in report.locator("#shown").inner_text()


def test_a_method_chosen_closes_the_ranks(report):
    panel = report.locator("#gains-robust .panels svg").first

    def below_top(text):
        return panel.locator("text", has_text=text).bounding_box()["y"] - panel.bounding_box()["y"]

    first, second, before = below_top("seqkd"), below_top("jsd"), panel.bounding_box()["height"]
    assert second == pytest.approx(first + STEP, abs=1)
    axis = below_top("difference from SFT (points)")
    choose(report, "method", "jsd")
    assert panel.bounding_box()["height"] == pytest.approx(before - STEP, abs=1)
    assert below_top("jsd") == pytest.approx(first, abs=1)
    assert below_top("difference from SFT (points)") == pytest.approx(axis - STEP, abs=1)
    assert not [row for row in shown(report, "#gains-table-robust tbody th") if "/seqkd/" in row.inner_text()]
    assert [row for row in shown(report, "#accuracy-table-robust tbody th") if "/sft/" in row.inner_text()]
    assert [entry.inner_text().strip() for entry in shown(report, "#training .legend li")] == ["adapt", "sft", "jsd"]


def test_a_task_chosen_changes_figures_and_tables(report):
    report.get_by_label("Task:").select_option("gsm8k")
    assert {panel.get_attribute("data-task") for panel in shown(report, "#gains-robust .panel")} == {"gsm8k"}
    heads = [head.inner_text() for head in shown(report, "#accuracy-table-robust thead th")]
    assert len(heads) == 2
    assert heads[1].startswith("gsm8k")
    columns = {text.text_content() for text in shown(report, "#accuracy-robust text[data-column]")}
    assert "gsm8k" in columns
    assert not columns & {"SVAMP", "ARC-Easy", "average"}
    assert report.locator("#plane .pooled").is_visible()
    assert not report.locator("#gains-robust .pooled").count()


def test_choices_live_in_the_address(report, page_of, file):
    choose(report, "student", "small")
    report.get_by_label("Task:").select_option("SVAMP")
    assert report.url.endswith("#student=small&task=SVAMP")
    again = page_of(report.url).page
    assert {p.get_attribute("data-student") for p in shown(again, "#gains-robust .panel[data-student]")} == {"small"}
    again.get_by_role("button", name="Reset").click()
    assert len(shown(again, "#gains-robust .panel[data-student]")) == 2
    assert "#" not in again.url
    assert again.get_by_role("button", name="Reset").is_disabled()


def test_nothing_chosen_is_said(report):
    menu = report.locator("#choices details").first
    menu.locator("summary").click()
    menu.get_by_role("button", name="none").click()
    assert report.locator("#gains-robust .left-out").is_visible()
    assert report.locator("#gains-table-robust .left-out").is_visible()


def test_marks_tell_their_numbers_by_pointer_and_by_keyboard(report):
    mark = report.locator("#gains-robust .mark[aria-label]").first
    mark.hover()
    tip = report.locator("#tip")
    assert tip.is_visible()
    assert tip.inner_text() == mark.get_attribute("aria-label")
    assert re.match(r"seqkd: \S+ \[.*\] points", tip.inner_text())
    report.mouse.move(2, 2)
    assert not tip.is_visible()
    report.locator("#gains-robust .files a").last.focus()
    report.keyboard.press("Tab")
    first = tip.inner_text()
    report.keyboard.press("ArrowDown")
    assert tip.is_visible()
    assert tip.inner_text() != first
    report.keyboard.press("Escape")
    assert not tip.is_visible()


def test_tables_sort_and_restore(report):
    def gains():
        cells = report.query_selector_all("#gains-table-robust tbody tr td:nth-child(6)")
        return [float(cell.get_attribute("data-sort")) for cell in cells]

    before = gains()
    head = report.locator("#gains-table-robust thead button").nth(5)
    head.click()
    assert gains() == sorted(before, reverse=True)
    assert head.locator("..").get_attribute("aria-sort") == "descending"
    head.press("Enter")
    assert gains() == sorted(before)
    head.click()
    assert gains() == before


@pytest.mark.parametrize("kind", ["SVG", "PNG", "PDF", "CSV"])
def test_figures_can_be_saved(report, tmp_path, kind):
    with report.expect_download() as waiting:
        report.locator("#gains-robust .files").get_by_text(kind, exact=True).click()
    found = waiting.value
    assert found.suggested_filename == f"smollm2-math-gains-robust.{kind.lower()}"
    found.save_as(tmp_path / "file")
    content = (tmp_path / "file").read_bytes()
    if kind == "SVG":
        assert ElementTree.fromstring(content).tag.endswith("svg")
    elif kind == "CSV":
        assert set(pd.read_csv(tmp_path / "file")["cell"]) >= {"small/seqkd/teacher/s0", "tiny/jsd/teacher/s0"}
    elif kind == "PDF":
        assert content.startswith(b"%PDF-")
    else:
        pixels = pytest.importorskip("PIL.Image").open(tmp_path / "file")
        assert pixels.size[0] > 900
        assert len(pixels.convert("RGB").getcolors(1_000_000)) > 20


def test_text_of_models_and_results_stays_text(page_of, tmp_path):
    tables = only(small_tables(), [TEACHER, "small/sft/s0", "small/seqkd/teacher/s0"])
    mapping = {
        "small": f"S{ATTACK}",
        "small/seqkd/teacher/s0": f"C{ATTACK}",
        "gsm8k": f"G{ATTACK}",
        "seqkd": f"M{ATTACK}",
    }
    frames = {
        name: getattr(tables, name).replace(mapping)
        for name in ("cells", "accuracy", "gains", "fidelity", "training", "statistics")
    }
    facts = build_facts(name=ATTACK, description=ATTACK, failures=[(ATTACK, ATTACK)], stages={ATTACK: ATTACK})
    write_page(replace(tables, **frames), facts, tmp_path / "report.html")
    found = page_of(tmp_path / "report.html")
    assert found.page.title().startswith(ATTACK)
    assert found.page.query_selector_all("img, main script") == []
    assert f"M{ATTACK}" in found.page.locator("#gains-robust .mark[aria-label]").first.get_attribute("aria-label")
    found.page.locator("#gains-robust .mark[aria-label]").first.hover()
    assert ATTACK in found.page.locator("#tip").inner_text()
    found.page.get_by_label("Task:").select_option(f"G{ATTACK}")
    assert found.page.title().startswith(ATTACK)
    assert found.errors == []
    assert found.strangers == []


@pytest.mark.parametrize("width", [400, 768, 1400])
def test_no_page_is_wider_than_its_window(page_of, file, width):
    page = page_of(file, viewport={"width": width, "height": 900}).page
    page.evaluate("document.querySelectorAll('details').forEach(part => part.open = true)")
    assert page.evaluate("document.documentElement.scrollWidth") <= width


def test_it_reads_without_script(page_of, file):
    page = page_of(file, java_script_enabled=False).page
    assert not page.locator("#choices").is_visible()
    assert page.locator("#gains-robust .panel svg").first.is_visible()
    assert not page.locator("#gains-robust .panel[data-task]").first.is_visible()
    assert page.locator("#gains-robust title").first.text_content().startswith("seqkd: ")
    assert not page.locator("button.png").first.is_visible()


def contrast(page, selector):
    """Contrast of a text with the page, by WCAG's formula."""
    return page.evaluate(
        """selector => {
            const part = document.querySelector(selector), style = getComputedStyle(part);
            const light = (colour) => {
                const [r, g, b] = colour.match(/[\\d.]+/g).slice(0, 3).map((value) => {
                    const share = Number(value) / 255;
                    return share <= 0.04045 ? share / 12.92 : ((share + 0.055) / 1.055) ** 2.4;
                });
                return 0.2126 * r + 0.7152 * g + 0.0722 * b;
            };
            const ink = part.closest("svg") ? style.fill : style.color;
            const [a, b] = [light(ink), light(getComputedStyle(document.body).backgroundColor)].sort((x, y) => y - x);
            return (a + 0.05) / (b + 0.05);
        }""",
        selector,
    )


@pytest.mark.parametrize("scheme", ["light", "dark"])
def test_text_can_be_read_by_day_and_by_night(page_of, file, scheme):
    page = page_of(file, color_scheme=scheme).page
    for selector in (
        ".headline",
        ".note",
        ".small",
        "#gains-robust .panel text[data-row]",
        ".badge.good",
        ".badge.open",
        "nav a",
    ):
        assert contrast(page, selector) >= 4.5, selector


def test_print_shows_what_is_folded(report):
    report.emulate_media(media="print")
    report.evaluate("dispatchEvent(new Event('beforeprint'))")
    assert report.locator("#gains-published .panel svg").first.is_visible()
    assert not report.locator(".bar").is_visible()


def test_size_and_time(page_of, file):
    assert file.stat().st_size < 6_000_000
    page = page_of(file).page
    taken = page.evaluate("performance.getEntriesByType('navigation')[0].loadEventEnd")
    assert 0 < taken < 2000
