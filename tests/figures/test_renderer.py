"""What kills the native renderer, or keeps it busy, is one error of the figure; nothing of its process stays behind."""

from __future__ import annotations

import json
import os
import re
import signal
import subprocess
import sys
from pathlib import Path
from typing import Any
from xml.etree import ElementTree

import altair as alt
import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st

from kdscope.core.characters import plain
from kdscope.core.errors import DataError, MachineError
from kdscope.figures import renderer as module
from kdscope.figures.drawing import ShownFigure, whole_figure
from kdscope.figures.panels import Figure, described
from kdscope.figures.renderer import Renderer
from kdscope.figures.style import LegendEntry
from kdscope.report.facts import save_facts
from kdscope.report.page import render_page
from kdscope.results.tables import save_tables
from tests.figures.renderer import render_svg, to_pdf
from tests.report.builders import build_facts, designed_tables

posix_only = pytest.mark.skipif(os.name != "posix", reason="signals and ulimit")


def bars(name: str = "a") -> alt.Chart:
    row = {"name": name, "value": 1.0, "hover": described(name, {"model": name, "method": name})}
    values = alt.InlineData(values=[row])
    return alt.Chart(values, title=name).mark_bar().encode(x="value:Q", y="name:N", description="hover:N")


def dying(monkeypatch: pytest.MonkeyPatch, code: str) -> None:
    """The process that draws runs this code instead."""
    monkeypatch.setattr(module, "_COMMAND", (sys.executable, "-c", f"import os, signal, sys, time; {code}"))


def processes(monkeypatch: pytest.MonkeyPatch) -> list[subprocess.Popen[str]]:
    """All that are started from now on."""
    started: list[subprocess.Popen[str]] = []
    popen = subprocess.Popen

    def start(*given: Any, **named: Any) -> subprocess.Popen[str]:
        started.append(popen(*given, **named))
        return started[-1]

    monkeypatch.setattr(subprocess, "Popen", start)
    return started


@posix_only
@pytest.mark.parametrize("number", [signal.SIGABRT, signal.SIGSEGV, signal.SIGKILL])
def test_a_renderer_that_is_killed_is_an_error_that_names_the_signal(monkeypatch, number):
    dying(monkeypatch, f"sys.stdin.readline(); os.kill(os.getpid(), {int(number)})")
    with Renderer() as renderer, pytest.raises(MachineError, match=f"^figures cannot be drawn: .* signal {number:d}, "):
        renderer.svg({}, "6.1")


def test_a_renderer_that_ends_is_an_error_with_its_last_words(monkeypatch):
    dying(monkeypatch, "sys.exit('no such library')")
    with Renderer() as renderer, pytest.raises(MachineError, match=r"ended with exit code 1: no such library$"):
        renderer.svg({}, "6.1")


def test_a_renderer_that_takes_too_long_is_killed(monkeypatch):
    dying(monkeypatch, "time.sleep(60)")
    with Renderer(seconds=0.2) as renderer, pytest.raises(MachineError, match=r"one took more than 0.2 seconds$"):
        renderer.svg({}, "6.1")


def test_a_renderer_that_cannot_be_started_is_an_error(monkeypatch):
    monkeypatch.setattr(module, "_COMMAND", ("/no/such/program",))
    with Renderer() as renderer, pytest.raises(MachineError, match=r"figures cannot be drawn: .*No such file"):
        renderer.svg({}, "6.1")


def test_what_is_no_chart_is_an_error_and_the_next_one_is_drawn():
    chart = bars().to_dict()
    with Renderer() as renderer:
        with pytest.raises(DataError, match="Vega-Lite"):
            renderer.svg({"mark": 7}, "6.1")
        with pytest.raises(DataError, match=r"^no chart that can be written: .*object"):
            renderer.svg({"mark": object()}, "6.1")
        with pytest.raises(DataError, match=r"^the document does not have a root node$"):
            renderer.pdf("<svg")
        broken = Figure("k", "T", "", "", panels={"a": alt.Chart(alt.InlineData([{"x": b""}])).mark_bar()})
        with pytest.raises(DataError, match=r"^figure 'k' cannot be drawn: no chart that can be written: "):
            ShownFigure(broken, "s", renderer).draw(10**6)
        assert renderer.svg(chart, "6.1").startswith("<svg")


@pytest.mark.parametrize("leaves", [KeyboardInterrupt, MachineError, None])
def test_the_process_is_gone_when_its_block_is_left(monkeypatch, leaves):
    dying(monkeypatch, '[print(\'{"drawn": ""}\', flush=True) for _ in sys.stdin]')
    started: list[subprocess.Popen[str]] = []
    popen = subprocess.Popen
    monkeypatch.setattr(
        subprocess, "Popen", lambda *given, **named: started.append(popen(*given, **named)) or started[-1]
    )
    try:
        with Renderer() as renderer:
            renderer.svg({}, "6.1")
            renderer.pdf("")
            if leaves is not None:
                raise leaves
    except (KeyboardInterrupt, MachineError):
        pass
    (process,) = started
    assert process.returncode is not None


def test_a_page_has_one_process_for_all_figures_and_none_without_figures(monkeypatch):
    started = processes(monkeypatch)
    tables = designed_tables()
    assert render_page(tables, build_facts()).count("<svg ") > 3
    assert len(started) == 1
    render_page(tables.only(()), build_facts())
    assert len(started) == 1


@posix_only
@pytest.mark.parametrize("gigabytes", [3, 6])
def test_with_little_memory_a_report_is_one_error_and_the_old_page_stays(tmp_path: Path, gigabytes: int):
    save_tables(designed_tables(), tmp_path / "tables")
    save_facts(build_facts(), tmp_path / "tables" / "facts.json")
    (tmp_path / "report.html").write_text("before")
    command = f"ulimit -v {gigabytes * 10**6} && exec {sys.executable} -m kdscope report {tmp_path}"
    ended = subprocess.run(["sh", "-c", command], capture_output=True, text=True, check=False)
    assert ended.returncode == 2
    assert re.fullmatch(r"error: figures cannot be drawn: [^\n]*70 GB of addresses[^\n]*\n", ended.stderr)
    assert (tmp_path / "report.html").read_text() == "before"


ODD = "\x00\x1b[31m\x07\x7f\x9b\ud800\udfff\uffff\ufffe\u202e\u2066\ufeff\u2028\U000e0001\r\n\t<&\"'\\u001b␟"


@settings(max_examples=60, deadline=None)
@example(ODD)
@example("0" + 9 * "\x1b" + "\U0001000c")
@example(60 * "\U0001f600")
@given(
    st.text(st.characters(categories=["Cc", "Cs", "Cf", "Co", "Cn", "Lu", "Po"]) | st.sampled_from(ODD), max_size=12)
)
def test_any_text_is_drawn_and_its_hidden_characters_are_shown(text):
    svg = render_svg(bars(text), "p", text)
    root = ElementTree.fromstring(svg)
    assert plain(svg) == svg
    methods = {e.get("data-method") for e in root.iter() if e.get("data-method")}
    assert methods in ({plain(text)} - {""}, {re.sub("[\U00010000-\U0010ffff]", "\ufffd", plain(text))})


def test_odd_names_are_printed_as_pdf_and_shown_on_a_page():
    legend = (LegendEntry(ODD, "#000000"),)
    whole = whole_figure(Figure("k", ODD, "", "", legend=legend), [render_svg(bars(ODD), "p", ODD)])
    assert to_pdf(whole).startswith(b"%PDF-")
    assert plain(whole) == whole


def test_numbers_that_are_not_finite_are_left_out_of_a_chart():
    chart = bars().to_dict()
    assert json.loads(json.dumps(module._writable({"a": [float("nan"), float("inf"), 1.5], "b": (1,)}))) == {
        "a": [None, None, 1.5],
        "b": [1],
    }
    assert module._writable(chart) == chart
