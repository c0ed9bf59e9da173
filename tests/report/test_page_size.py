"""A page stays below its limit whatever a study brings, leaves out what is read least, and says so."""

from __future__ import annotations

import re
from dataclasses import replace

import pandas as pd
import pytest

from kdscope.report.page import render_page, write_page
from kdscope.report.page_size import LIMIT, NARROWEST, Bounds
from kdscope.results.table import Table, TableCell, texts

from .builders import build_facts, build_tables, empty_tables, stated
from .large_tables import large_tables
from .statistics_builders import measured

PDF, PACKED, SINGLE = "figures as PDF files", "figures as SVG and CSV files", "panels of single tasks"
OTHER, FIGURES = "figures under the other scoring", "the figures “"
MAIN = ("methods", "plane", "accuracy-robust", "gains-robust", "decomposition", "rates", "training", "cost")
LONG = "<&'\">" * 1_000


@pytest.fixture(scope="module")
def tables():
    """Two students, four settings each, on two tasks."""
    return measured(large_tables(2, 1, 2, methods=("seqkd", "gkd"), tasks=("sums", "words"), losses=3))


@pytest.fixture(scope="module")
def whole(tables):
    return render_page(tables, build_facts())


def size(html):
    return len(html.encode())


def told(html):
    found = re.search(r'id="left-out">(.*?)</p>', html)
    return found[1] if found else ""


def panels(html, task=False):
    return [panel for panel in re.findall('<div class="panel"[^>]*>', html) if ("data-task" in panel) == task]


def test_the_limit_is_six_megabytes_and_a_usual_page_has_everything(whole):
    assert LIMIT == 6_000_000
    assert size(whole) < LIMIT
    assert told(whole) == ""
    assert panels(whole, task=True)
    assert 'id="gains-published"' in whole
    for kind, type_ in (("SVG", "gzip"), ("CSV", "gzip"), ("PDF", "pdf")):
        assert f'<a data-kind="{kind}"' in whole
        assert f"data:application/{type_};base64," in whole


def test_what_is_read_least_goes_first(tables, whole):
    """Each smaller page leaves out all that the larger one did, and more."""
    before: set[str] = set()
    seen = []
    for share in (0.95, 0.35):
        limit = int(share * size(whole))
        html = render_page(tables, build_facts(), limit=limit)
        assert size(html) <= limit
        assert 'id="answer"' in html
        left = {part for part in (PDF, PACKED, SINGLE, OTHER, FIGURES) if part in told(html)}
        assert before <= left
        assert left == {part for part, has in _has(html, whole).items() if not has}
        before = left
        seen.append(len(left))
    assert seen[0] == 1
    assert seen[-1] >= 4


def _has(html, whole):
    figures = len(re.findall("<figure id", html))
    return {
        PDF: html.count("data:application/pdf") == figures,
        PACKED: html.count('data-kind="SVG"') == figures,
        SINGLE: len(panels(html, task=True)) == len(panels(whole, task=True)),
        OTHER: '<figure id="accuracy-published"' in html,
        FIGURES: all(f'<figure id="{key}"' in html for key in MAIN),
    }


def test_nothing_is_drawn_twice(tables, whole, monkeypatch):
    from kdscope.figures import drawing

    drawn = []

    def counted(chart, prefix, *told):
        drawn.append(prefix)
        return render(chart, prefix, *told)

    render = drawing.render_svg
    monkeypatch.setattr(drawing, "render_svg", counted)
    render_page(tables, build_facts(), limit=size(whole) // 3)
    assert len(drawn) == len(set(drawn)) < len(panels(whole)) + len(panels(whole, task=True))


def test_a_smaller_page_is_the_same_every_time(tables, whole, tmp_path):
    limit = size(whole) // 5
    write_page(tables, build_facts(), tmp_path / "report.html", limit=limit, csv_folder="")
    written = (tmp_path / "report.html").read_bytes()
    assert len(written) <= limit
    assert written.decode() == render_page(tables, build_facts(), limit=limit, csv_folder="")
    assert "Every number is in the folder of this page" in told(written.decode())


def test_rows_that_find_no_room_are_counted():
    rows = tuple((TableCell(f"cell {number}"),) for number in range(120))
    table = Table("v", "Accuracy", texts("cell"), rows, ("Percent.",), source="accuracy", empty="Nothing.")
    assert Bounds().table(table) is table
    some = Bounds(rows=50).table(table)
    assert some.rows == rows[:50]
    assert some.how_to_read == "Percent. Here are the first 50 of 120 rows; all of them:"
    none = NARROWEST.table(table)
    assert (none.rows, none.empty) == ((), "Left out of this page: all rows are in accuracy.csv.")


def test_texts_without_end_are_cut_and_said_to_be():
    """Warnings, failures, the study itself, sentences, names: none of them makes a page grow for ever."""
    many = [f"{number} {LONG}" for number in range(500)]
    facts = build_facts(
        name=LONG,
        description=LONG,
        study_yaml=LONG,
        hardware=LONG,
        warnings=many,
        failures=[(text, text) for text in many],
        versions={text: text for text in many[:100]},
        data_facts={text: text for text in many[:100]},
        stages={text: text for text in many[:100]},
        seeds=range(10_000),
    )
    sentences = [stated(group=str(number), sentence=text) for number, text in enumerate(many[:100])]
    names = {"small": f"small{LONG[:500]}", "gsm8k": f"gsm8k{LONG[:500]}", "the loss became NaN at step 17": LONG}
    base = build_tables()
    base = replace(base, tests=pd.DataFrame(), training=pd.DataFrame(), fidelity=pd.DataFrame())
    frames = {name: getattr(base, name).replace(names) for name in ("cells", "accuracy", "gains")}
    tables = empty_tables(**frames)
    html = render_page(replace(tables, statistics=pd.DataFrame(sentences)), facts, limit=500_000)
    assert size(html) <= 500_000
    assert "and 480 more" in html
    assert "… (cut)" in html
    assert "lists and long texts beyond their beginnings, and all tables" in told(html)


def test_warnings_of_a_usual_page_are_cut_after_hundreds_only():
    html = render_page(empty_tables(), build_facts(warnings=[f"Warning {n}." for n in range(1, 401)], failures=[]))
    assert "<li>Warning 300.</li>\n<li>and 100 more</li>" in html
    assert told(html) == ""
