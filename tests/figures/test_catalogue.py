"""The list of figures, and figures that are added to it."""

from __future__ import annotations

import altair as alt
import pytest

from kdscope.core.errors import DataError
from kdscope.figures import catalogue
from kdscope.figures.catalogue import FIGURES, appendix_figures, chart_figure, main_figures, other_scoring_figures
from kdscope.report.page import render_page
from tests.report.builders import build_facts, build_tables


@pytest.fixture(scope="module")
def tables():
    return build_tables()


@pytest.fixture
def added():
    """Puts an entry into the list for one test."""
    names = []

    def add(entry):
        FIGURES.add(entry)
        names.append(entry.name)

    yield add
    for name in names:
        FIGURES.remove(name)


def sizes(tables):
    cells = tables.cells[["student", "parameters"]].drop_duplicates().dropna()
    return alt.Chart(cells).mark_bar().encode(x="student:N", y="parameters:Q")


def test_every_figure_is_in_the_main_part_or_the_appendix(tables):
    shown = [*main_figures(tables, "robust"), *appendix_figures(tables, "robust")]
    assert len(shown) == len({figure.key for figure in shown})
    assert [figure.key for figure in shown[:4]] == ["methods", "plane", "accuracy-robust", "gains-robust"]
    assert [figure.key for figure in other_scoring_figures(tables, "published")] == [
        "gains-published",
        "accuracy-published",
    ]


def test_added_chart_is_the_last_figure_of_the_page(tables, added):
    added(chart_figure("sizes", sizes, title="Sizes & <names>", caption="Parameters of every student."))
    assert appendix_figures(tables, "robust")[-1].key == "sizes"
    html = render_page(tables, build_facts())
    assert '<figure id="sizes">' in html
    assert "Sizes &amp; &lt;names&gt;" in html
    assert "Parameters of every student." in html


def test_added_chart_is_left_out_where_it_has_nothing_to_show(tables, added):
    added(chart_figure("nothing", lambda _: None, title="Nothing", caption=""))
    assert all(figure.key != "nothing" for figure in appendix_figures(tables, "robust"))


@pytest.mark.parametrize("draw", [lambda tables: tables.no_such_table, lambda _: alt.Chart().mark_bar().encode(x="a")])
def test_error_of_an_added_chart_names_the_figure(tables, added, draw):
    added(chart_figure("mine", draw, title="Mine", caption=""))
    with pytest.raises(DataError, match="figure 'mine' cannot be drawn"):
        appendix_figures(tables, "robust")


def test_two_figures_cannot_have_one_name():
    with pytest.raises(ValueError, match="figure"):
        catalogue.FIGURES.add(chart_figure("cost", lambda _: None, title="", caption=""))
