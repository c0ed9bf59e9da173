"""The files of figures: whole, valid, and the same every time."""

from __future__ import annotations

import base64
import gzip
import io
from functools import partial
from xml.etree import ElementTree

import altair as alt
import pandas as pd
import pytest

from kdscope.figures import drawing
from kdscope.figures.drawing import MOST_PANELS, ShownFigure, csv_file, svg_file, whole_figure
from kdscope.figures.gains import gain_fidelity_figure, gain_figure
from kdscope.figures.panels import Figure, Panels
from kdscope.figures.run import accuracy_figure
from tests.figures.renderer import pdf_file, render_svg, shared_renderer, to_pdf
from tests.report.builders import TEACHER, build_tables, only
from tests.report.statistics_builders import measured

CELLS = [TEACHER, "small/sft/s0", "small/seqkd/teacher/s0", "tiny/sft/s0", "tiny/jsd/teacher/s0"]


@pytest.fixture(scope="module")
def tables():
    return measured(only(build_tables(), CELLS))


def drawn(figure):
    return [render_svg(chart, f"p{n}", label) for n, (label, chart) in enumerate(figure.panels.items())]


def content(download):
    kind, _, told = download.link.partition(";base64,")
    held = base64.b64decode(told)
    assert (kind == "data:application/gzip") == download.packed
    return gzip.decompress(held) if download.packed else held


def test_a_figure_is_one_drawing_with_all_its_panels_and_its_legend(tables):
    figure = gain_figure(tables, "robust")
    root = ElementTree.fromstring(whole_figure(figure, drawn(figure)))
    texts = {element.text for element in root.iter() if element.tag.endswith("text")}
    assert {figure.title, "tiny", "small", *(entry.label for entry in figure.legend)} <= texts
    assert not [name for element in root.iter() for name in element.attrib if name.startswith("data-")]


def test_panels_of_a_drawing_do_not_lie_on_each_other(tables):
    figure = accuracy_figure(tables, "robust")
    panels = drawn(figure)
    root = ElementTree.fromstring(whole_figure(figure, panels * 3))
    sizes = [tuple(float(ElementTree.fromstring(p).get(side)) for side in ("width", "height")) for p in panels] * 3
    places = [
        tuple(float(number) for number in group.get("transform")[10:-1].split(","))
        for group in root
        if group.tag.endswith("}g")
    ]
    assert len(places) == len(sizes)
    boxes = [(x, y, x + w, y + h) for (x, y), (w, h) in zip(places, sizes, strict=True)]
    assert max(box[2] for box in boxes) <= float(root.get("width"))
    assert max(box[3] for box in boxes) <= float(root.get("height"))
    for one, a in enumerate(boxes):
        for b in boxes[one + 1 :]:
            assert a[2] <= b[0] or b[2] <= a[0] or a[3] <= b[1] or b[3] <= a[1]


def test_files_hold_the_figure_and_its_numbers(tables):
    figure = gain_figure(tables, "robust")
    whole = whole_figure(figure, drawn(figure))
    svg, pdf, (csv,) = svg_file(whole, "study-gains"), pdf_file(whole, "study-gains"), csv_file(figure, "study-gains")
    assert [svg.name, pdf.name, csv.name] == ["study-gains.svg", "study-gains.pdf", "study-gains.csv"]
    ElementTree.fromstring(content(svg))
    assert svg == svg_file(whole, "study-gains")
    assert len(svg.link) < len(whole) / 3
    assert content(pdf).startswith(b"%PDF-")
    assert content(pdf).rstrip().endswith(b"%%EOF")
    read = pd.read_csv(io.BytesIO(content(csv))).set_index("cell")
    expected = tables.gains.query("task == 'pooled' and scoring == 'robust'").set_index("cell")
    assert list(read.index) == list(expected.index)
    assert read["gain"].to_list() == pytest.approx((100 * expected["gain"]).to_list())


@pytest.mark.parametrize("make", [gain_figure, gain_fidelity_figure, accuracy_figure])
def test_the_same_figure_is_the_same_pdf(tables, make):
    figure = make(tables) if make is gain_fidelity_figure else make(tables, "robust")
    whole = whole_figure(figure, drawn(figure))
    assert figure.panels
    assert len({to_pdf(whole) for _ in range(6)}) == 1


def test_page_draws_the_first_panels_of_very_many(monkeypatch):
    made = []

    def panel(label):
        made.append(label)
        return alt.Chart().mark_point()

    monkeypatch.setattr(drawing, "render_svg", lambda *_: '<svg width="10" height="10"></svg>')
    labels = [f"student {number}" for number in range(MOST_PANELS + 20)]
    figure = Figure("many", "Many", "", "", panels=Panels({label: partial(panel, label) for label in labels}))
    shown = ShownFigure(figure, "study", shared_renderer())
    shown.draw(10**6)
    shown.draw(10**6)
    assert made == labels[:MOST_PANELS]
    assert (len(shown.common), shown.missing, shown.waiting) == (MOST_PANELS, 20, False)
