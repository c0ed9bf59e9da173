"""The pages of a study that was really run, in a real browser."""

from __future__ import annotations

import threading
from collections.abc import Callable
from pathlib import Path
from typing import Any

from kdscope.view.server import make_server
from tests.browser.test_report import choose

Finished = tuple[Path, list[dict[str, Any]]]


def test_the_report_of_a_real_run(finished_run: Finished, page_of: Callable[..., Any]) -> None:
    opened = page_of(finished_run[0] / "runs/small/report.html")
    page = opened.page
    headline = page.locator(".headline").inner_text()
    assert "method" in headline or "SFT" in headline
    assert "Reliable gain over SFT:" not in headline, "four steps of training establish none"
    figures = page.query_selector_all("main > figure")
    assert len(figures) >= 5
    for figure in figures:
        assert figure.query_selector_all(".panels svg .mark"), figure.query_selector("h3").inner_text()
    before = page.locator("#accuracy-table-robust tbody tr:visible").count()
    choose(page, "method", "gkd")
    assert 0 < page.locator("#accuracy-table-robust tbody tr:visible").count() < before
    assert opened.errors == opened.strangers == []


def test_the_answers_of_a_real_run(finished_run: Finished, page_of: Callable[..., Any]) -> None:
    server = make_server(finished_run[0] / "runs/small", 0)
    thread = threading.Thread(target=server.serve_forever, args=(0.01,))
    thread.start()
    try:
        opened = page_of(server.url)
        page = opened.page
        assert "small" in page.title()
        shown = page.locator("main").inner_text()
        assert "AddSub/0" in shown
        assert "teacher" in page.content()
        page.keyboard.press("j")
        page.wait_for_url("**item=*")
        assert "AddSub/1" in page.locator("main").inner_text()
        assert opened.errors == opened.strangers == []
    finally:
        server.shutdown()
        thread.join()
        server.server_close()
