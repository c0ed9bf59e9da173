"""The trace browser in a real browser: what a person does, and what no text of a model may do."""

from __future__ import annotations

import re
import threading
from collections.abc import Callable, Iterator
from typing import Any

import pytest

from kdscope.view.server import make_server
from tests.view.runs import KD, SFT, TEACHER, school

Open = Callable[..., Any]
SIZES = {"wide": {"width": 1400, "height": 900}, "narrow": {"width": 400, "height": 800}}


@pytest.fixture(scope="module")
def address(tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    server = make_server(school(tmp_path_factory.mktemp("browser") / "run"), 0)
    thread = threading.Thread(target=server.serve_forever, args=(0.01,))
    thread.start()
    yield server.url
    server.shutdown()
    thread.join()
    server.server_close()


def _title(page: Any) -> str:
    return str(page.locator("h2").inner_text()).strip()


def _count(page: Any) -> str:
    return str(page.locator(".count b").inner_text())


def test_filters_change_what_is_shown_and_the_back_button_brings_it_back(page_of: Open, address: str) -> None:
    found = page_of(f"{address}?task=sums")
    page = found.page
    assert _count(page) == "120 of 120 items"
    with page.expect_navigation():
        page.select_option("#is2", "wrong")
    filtered = _count(page)
    assert re.fullmatch(r"\d+ of 120 items", filtered)
    assert filtered != "120 of 120 items"
    assert page.locator("#items .marks .sign:nth-of-type(3)").first.is_visible()
    assert set(
        page.locator("#items a").evaluate_all("links => links.map(a => a.querySelectorAll('.sign')[1].textContent)")
    ) == {"✗"}
    assert page.evaluate("document.activeElement.id") == "is2", "the choice keeps the focus"
    with page.expect_navigation():
        page.locator(".patterns a").first.click()
    with page.expect_navigation():
        page.get_by_role("link", name="show all").first.click()
    assert _count(page) == "120 of 120 items"
    page.go_back()
    page.go_back()
    assert _count(page) == filtered
    assert page.input_value("#is2") == "wrong"
    page.go_back()
    assert (_count(page), page.input_value("#is2")) == ("120 of 120 items", "any")
    assert (found.errors, found.strangers) == ([], [])


def test_an_address_restores_the_view_elsewhere(page_of: Open, address: str) -> None:
    page = page_of(f"{address}?task=sums").page
    with page.expect_navigation():
        page.locator(".remove").nth(2).click()
    with page.expect_navigation():
        page.select_option("#is1", "right")
    page.fill("#search", "ITEM 1")
    with page.expect_navigation():
        page.press("#search", "Enter")
    with page.expect_navigation():
        page.locator("#items a").nth(4).click()
    there = page.locator("#link").get_attribute("href")
    other = page_of(address.rstrip("/") + there).page
    assert other.locator("main").inner_html() == page.locator("main").inner_html()
    assert other.input_value("#search") == "ITEM 1"
    assert other.locator(".answer").count() == 2
    assert other.locator("mark").first.inner_text().lower() == "item 1"


def test_keys_lead_from_item_to_item(page_of: Open, address: str) -> None:
    page = page_of(f"{address}?task=sums&page=1").page
    for key, title in (("j", "sums/1"), ("ArrowRight", "sums/2"), ("k", "sums/1"), ("ArrowLeft", "sums/0")):
        with page.expect_navigation():
            page.keyboard.press(key)
        assert _title(page) == title
    page.keyboard.press("/")
    assert page.evaluate("document.activeElement.id") == "search"
    page.keyboard.type("jk")
    assert (page.input_value("#search"), _title(page)) == ("jk", "sums/0"), "in a field, letters are letters"
    page.locator("#items a").first.focus()
    page.keyboard.press("ArrowDown")
    page.keyboard.press("ArrowDown")
    page.keyboard.press("ArrowUp")
    assert _title(page) == "sums/0", "moving through the list opens nothing"
    with page.expect_navigation():
        page.keyboard.press("Enter")
    assert _title(page) == "sums/1"


def test_a_choice_made_by_keys_waits_for_enter(page_of: Open, address: str) -> None:
    page = page_of(f"{address}?task=sums").page
    page.focus("#is1")
    page.keyboard.press("ArrowDown")
    page.wait_for_timeout(200)
    assert page.input_value("#is1") == "right"
    assert _count(page) == "120 of 120 items"
    with page.expect_navigation():
        page.keyboard.press("Enter")
    assert _count(page) != "120 of 120 items"


def test_everything_can_be_reached_and_seen_by_tab(page_of: Open, address: str) -> None:
    page = page_of(f"{address}?task=sums").page
    seen = set()
    for _ in range(40):
        page.keyboard.press("Tab")
        seen.add(page.evaluate("document.activeElement.id || document.activeElement.className"))
        outline = page.evaluate("getComputedStyle(document.activeElement).outlineStyle")
        assert outline != "none", page.evaluate("document.activeElement.outerHTML")
    assert {"skip", "task", "scoring", "search", "place", "diff", "apply", "cell1", "is1", "cell2", "as2"} <= seen


def test_text_of_models_stays_text(page_of: Open, address: str) -> None:
    dialogs: list[str] = []
    for query in (
        "?task=sums&item=sums/3&diff=full",
        "?task=sums&q=%3Cscript%3Ealert(3)%3C/script%3E",
        "?task=%3Cimg%20src=x%3E",
    ):
        found = page_of(address)
        found.page.on("dialog", lambda dialog: (dialogs.append(dialog.message), dialog.dismiss()))
        status = found.page.goto(address + query).status
        found.page.wait_for_timeout(100)
        assert "owned" not in found.page.title()
        assert found.page.locator("img").count() == 0
        expected = [] if status == 200 else [e for e in found.errors if "404" in e]
        assert (dialogs, found.errors, found.strangers) == ([], expected, [])
    page = page_of(f"{address}?task=sums&item=sums/3").page
    shown = page.locator(".answer .text").first.inner_text()
    assert "<script>document.title = 'owned'; alert(1)</script>" in shown
    assert "U+202Egnp.exe" in shown
    box = page.locator(".answer .hidden", has_text="U+202E").first.bounding_box()
    assert box["width"] > 20


def test_a_script_in_a_page_would_not_run(page_of: Open, address: str) -> None:
    """The policy holds even where escaping failed."""
    found = page_of(f"{address}?task=sums")
    found.page.evaluate(
        "() => { const s = document.createElement('script'); s.textContent = 'window.ran = 1'; document.body.append(s);"
        " const evil = '<img src=x onerror=\"window.ran = 2\">';"
        " document.body.insertAdjacentHTML('beforeend', evil); }"
    )
    found.page.wait_for_timeout(200)
    assert found.page.evaluate("window.ran") is None
    assert any("Content Security Policy" in error for error in found.errors)


@pytest.mark.parametrize("size", SIZES)
@pytest.mark.parametrize("scheme", ["light", "dark"])
def test_it_fits_and_can_be_read(page_of: Open, address: str, size: str, scheme: str) -> None:
    query = f"?task=sums&item=sums/3&cell={TEACHER}&cell={SFT}&cell={KD}&is=any&is=right&is=any&as=any&as=any&as=any"
    found = page_of(address + query, viewport=SIZES[size], color_scheme=scheme)
    page = found.page
    assert page.evaluate("document.documentElement.scrollWidth") == SIZES[size]["width"]
    low = page.evaluate(CONTRASTS)
    assert low == [], "text without enough contrast (WCAG: 4.5)"
    assert (found.errors, found.strangers) == ([], [])
    list_box, item_box = (page.locator(part).bounding_box() for part in (".list", "article"))
    if size == "narrow":
        assert list_box["y"] + list_box["height"] <= item_box["y"]
        assert not page.locator("#cell1").is_visible(), "filters are folded"
        page.locator("#lineup > summary").click()
        assert page.locator("#cell1").is_visible()
        assert page.evaluate("document.documentElement.scrollWidth") == SIZES[size]["width"]
    else:
        assert list_box["x"] + list_box["width"] <= item_box["x"]


def test_it_works_without_scripts(page_of: Open, address: str) -> None:
    page = page_of(f"{address}?task=sums", java_script_enabled=False).page
    page.select_option("#is2", "wrong")
    with page.expect_navigation():
        page.click("#apply")
    assert _count(page) != "120 of 120 items"
    with page.expect_navigation():
        page.click("#next")


CONTRASTS = """() => {
  const parse = (c) => c.match(/[\\d.]+/g).map(Number);
  const light = ([r, g, b]) => [r, g, b].map((v) => (v /= 255) <= 0.03928 ? v / 12.92 : ((v + 0.055) / 1.055) ** 2.4)
    .reduce((sum, v, i) => sum + v * [0.2126, 0.7152, 0.0722][i], 0);
  const behind = (e) => { for (; e; e = e.parentElement) {
    const c = parse(getComputedStyle(e).backgroundColor);
    if (c.length < 4 || c[3] > 0) return c;
  } return [255, 255, 255]; };
  const low = [];
  for (const e of document.querySelectorAll("body *")) {
    const own = [...e.childNodes].some((n) => n.nodeType === 3 && n.textContent.trim());
    if (!own || !e.checkVisibility() || e.matches(".vh, option, optgroup, .skip, script")) continue;
    const [a, b] = [light(parse(getComputedStyle(e).color)), light(behind(e))].sort((x, y) => y - x);
    if ((a + 0.05) / (b + 0.05) < 4.5) low.push(e.className + ": " + e.textContent.trim().slice(0, 40));
  }
  return low;
}"""
