"""What a browser is sent: no socket is needed for it."""

from __future__ import annotations

import re
from dataclasses import replace
from html.parser import HTMLParser
from pathlib import Path
from urllib.parse import parse_qs, urlencode

import pytest

from kdscope.view.item import FOLDED_LENGTH
from kdscope.view.server import SECURITY_HEADERS, Response, Viewer
from kdscope.view.state import State
from tests.view.runs import EVIL, KD, LATER, SFT, TEACHER, record, school, write_run

HOST = "127.0.0.1:8471"


class Page(HTMLParser):
    """The parts of a page that tests ask for."""

    def __init__(self, response: Response) -> None:
        super().__init__(convert_charrefs=True)
        self.status = response.status
        self.html = response.body.decode()
        self.tags: list[tuple[str, dict[str, str | None]]] = []
        self.words = ""
        self._depth_of_script = 0
        self.feed(self.html)

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.tags.append((tag, dict(attrs)))

    def handle_data(self, data: str) -> None:
        self.words += data

    @property
    def text(self) -> str:
        return " ".join(self.words.split())

    def hrefs(self, start: str = "/?") -> list[str]:
        return [str(a["href"]) for tag, a in self.tags if tag == "a" and str(a.get("href")).startswith(start)]

    def listed(self) -> list[str]:
        items = self.html.partition('<ol id="items"')[2].partition("</ol>")[0]
        return re.findall(r'title="([^"]*)"', items)


@pytest.fixture(scope="module")
def viewer(tmp_path_factory: pytest.TempPathFactory) -> Viewer:
    return Viewer(school(tmp_path_factory.mktemp("view") / "run"))


def get(viewer: Viewer, query: object = "", path: str = "/") -> Page:
    text = query if isinstance(query, str) else urlencode(query, doseq=True)  # type: ignore[call-overload]
    return Page(viewer.respond("GET", f"{path}?{text}", HOST))


def asked(*columns: tuple[str, str, str], **fields: str) -> list[tuple[str, str]]:
    pairs = [("task", "sums"), *fields.items()]
    for cell, outcome, likeness in columns:
        pairs += [("cell", cell), ("is", outcome), ("as", likeness)]
    return pairs


def test_the_first_page_shows_teacher_control_and_student(viewer: Viewer) -> None:
    page = get(viewer, "task=sums")
    assert page.status == 200
    headings = re.findall(r"<h3>.*?</span> (.*?)</h3>", page.html)
    assert headings == ["big · adapted", "small · sft", "small · forward_kl"]
    assert "120 of 120 items" in page.text
    assert "Picked by what the models wrote" not in page.text
    assert page.listed() == [f"sums/{n}" for n in range(50)]
    assert "Question 0 about pens?" in page.text


def test_a_filter_says_how_many_and_that_they_are_picked(viewer: Viewer) -> None:
    page = get(viewer, asked((TEACHER, "right", "any"), (SFT, "wrong", "any"), (KD, "any", "any")))
    count = int(re.search(r"(\d+) of 120 items", page.text)[1])  # type: ignore[index]
    assert 0 < count < 120
    assert "Picked by what the models wrote" in page.text
    signs = re.findall(r'<span class="marks">(.*?)</span>\s*</a>', page.html, re.DOTALL)
    kinds = [re.findall(r'class="sign (\w+)"', own) for own in signs]
    assert len(kinds) == min(count, 50)
    assert all(own[0] == "right" and own[1] == "wrong" for own in kinds)
    assert f"wrong ({count})" in page.text


def test_every_link_of_a_page_leads_to_a_page(viewer: Viewer) -> None:
    page = get(viewer, asked((TEACHER, "any", "any"), (SFT, "any", "different"), (KD, "any", "same"), q="item"))
    links = set(page.hrefs())
    assert len(links) > 10
    for link in links:
        found = viewer.respond("GET", link, HOST)
        assert found.status == 200, link
        assert b"This run has no" not in found.body, link


def test_counts_of_patterns_are_those_of_their_pages(viewer: Viewer) -> None:
    page = get(viewer, "task=sums")
    chips = re.findall(r'<a href="([^"]+)" title="A [^"]+">.*?<b>(\d+)</b></a>', page.html, re.DOTALL)
    assert sum(int(count) for _, count in chips) == 120
    assert len(chips) >= 4
    for link, count in chips:
        there = Page(viewer.respond("GET", link.replace("&amp;", "&"), HOST))
        assert f"{count} of 120 items" in there.text


def test_pages_and_neighbours_walk_through_all_that_is_picked(viewer: Viewer) -> None:
    page = get(viewer, asked((TEACHER, "right", "any"), (SFT, "any", "any")))
    count = int(re.search(r"(\d+) of 120 items", page.text)[1])  # type: ignore[index]
    seen = []
    while True:
        seen.append(re.search(r'aria-current="true">\s*<span class="name">(\d+)', page.html)[1])  # type: ignore[index]
        step = [str(a["href"]) for tag, a in page.tags if tag == "a" and a.get("id") == "next"]
        if not step:
            break
        page = Page(viewer.respond("GET", step[0], HOST))
    assert len(seen) == len(set(seen)) == count
    assert [int(name) for name in seen] == sorted(int(name) for name in seen)
    assert f"{count} of {count}" in page.text


def test_an_item_that_is_filtered_out_gives_way_to_the_next(viewer: Viewer) -> None:
    page = get(viewer, asked((TEACHER, "wrong", "any"), (SFT, "any", "any"), item="sums/41"))
    assert "sums/41 is not among the items that these filters pick" in page.text
    assert re.search(r"<h2>(.*?)</h2>", page.html)[1].strip() == "sums/45"  # type: ignore[index]


def test_the_last_page_of_the_list(viewer: Viewer) -> None:
    assert get(viewer, "task=sums&page=3").listed() == [f"sums/{n}" for n in range(100, 120)]
    assert get(viewer, "task=sums&page=99").listed() == [f"sums/{n}" for n in range(100, 120)]
    assert "page 3 of 3" in get(viewer, "task=sums&item=sums/117").text


def test_evil_text_is_text_wherever_it_comes_from(viewer: Viewer) -> None:
    clean = get(viewer, "task=sums&item=sums/4&whole=1")
    for query in (
        "task=sums&item=sums/3&diff=full",
        {"task": "sums", "q": EVIL},
        {"task": "sums", "item": EVIL},
        {"task": EVIL},
        [
            ("task", "sums"),
            ("cell", EVIL),
            ("is", EVIL),
            ("as", EVIL),
            ("scoring", EVIL),
            ("page", EVIL),
            ("diff", EVIL),
        ],
    ):
        page = get(viewer, query)
        scripts = [a for tag, a in page.tags if tag == "script"]
        assert scripts in ([{"src": "/view.js"}], []), "one script, and none where there is only a message"
        assert {tag for tag, _ in page.tags} <= {tag for tag, _ in clean.tags} | {
            "mark",
            "ins",
            "del",
            "p",
            "ul",
            "li",
            "a",
        }
        assert not [name for _, attrs in page.tags for name in attrs if name.startswith("on") or name == "style"]
    shown = get(viewer, "task=sums&item=sums/3").text
    assert "alert(1)</script>" in shown
    assert "ESC[31mredESC[0m nulNUL U+202Egnp.exe" in shown
    assert "{{ 7 * 7 }}" in shown


def test_hidden_characters_never_reach_the_page_but_in_the_search_field(viewer: Viewer) -> None:
    for query in (
        "task=sums&item=sums/3",
        {"task": "sums", "item": EVIL},
        {"task": EVIL},
        {"cell": EVIL, "page": EVIL},
    ):
        assert not re.search("[\x00\x1b\u202e\ud800]", get(viewer, query).html)


def test_a_search_finds_in_prompts_and_in_shown_completions(viewer: Viewer) -> None:
    assert get(viewer, asked((SFT, "any", "any"), q="QUESTION 77 about")).listed() == ["sums/77"]
    assert get(viewer, asked((SFT, "any", "any"), q="QUESTION 77", **{"in": "completions"})).listed() == []
    page = get(viewer, asked((SFT, "any", "any"), q="item 77.", **{"in": "completions"}))
    assert page.listed() == ["sums/77"]
    assert "<mark>Item 77.</mark>" in page.html
    assert "No item is left by these filters" in get(viewer, asked((SFT, "any", "any"), q="nowhere at all")).text
    assert get(viewer, asked((SFT, "any", "any"), q="I think, about")).listed() == [], "another model wrote that"
    assert len(get(viewer, asked((KD, "unparsed", "any"), q="I think, about")).listed()) == 10


def test_troubles_are_told_on_the_item(viewer: Viewer) -> None:
    page = get(viewer, asked((TEACHER, "any", "any"), (KD, "truncated", "any")))
    assert "? no answer found" in page.text
    assert "no rule found one (unparsed) · 12 tokens · cut at the token limit" in page.text
    assert "stated as the answer (marker, explicit) · 12 tokens · ended by itself" in page.text


def test_the_two_scorings_are_told_apart(tmp_path: Path) -> None:
    odd = record(0, "1", published_value="0.0", correct_published=False)
    viewer = Viewer(write_run(tmp_path / "run", {TEACHER: {"sums": [odd, record(1)]}}))
    robust, published = get(viewer, "item=sums/0"), get(viewer, "item=sums/0&scoring=published")
    assert "✓ right" in robust.text
    assert "The published scoring reads 0.0: wrong." in robust.text
    assert "✗ wrong" in published.text
    assert "The robust scoring reads 1: right." in published.text
    assert get(viewer, asked((TEACHER, "right", "any"), scoring="robust")).listed() == ["sums/0", "sums/1"]
    assert get(viewer, asked((TEACHER, "right", "any"), scoring="published")).listed() == ["sums/1"]


def test_long_texts_are_folded_until_all_is_asked_for(tmp_path: Path) -> None:
    long = "word " * 20_000 + "the very end"
    rows = {TEACHER: {"sums": [record(0, completion="start " + long)]}, SFT: {"sums": [record(0, completion=long)]}}
    viewer = Viewer(write_run(tmp_path / "run", rows))
    page = get(viewer, "task=sums")
    assert "the very end" not in page.text
    assert len(page.html) < 8 * FOLDED_LENGTH
    assert f"{len(long) + 6 - FOLDED_LENGTH:,} of {len(long) + 6:,} characters are folded away" in page.text
    [link] = {link for link in page.hrefs() if "whole=1" in link}
    assert Page(viewer.respond("GET", link, HOST)).text.count("the very end") == 2


def test_differences_are_marked_missing_or_off(tmp_path: Path) -> None:
    rows = {
        TEACHER: {"sums": [record(0, completion="3 + 4 = 7 now")]},
        SFT: {"sums": [record(0, completion="3 + 5 = 7")]},
    }
    viewer = Viewer(write_run(tmp_path / "run", rows))
    pages = {name: get(viewer, f"diff={name}").html for name in ("marked", "full", "off")}
    answers = {name: html.partition('class="answers"')[2].partition("<footer")[0] for name, html in pages.items()}
    assert "<ins>5</ins>" in answers["marked"]
    assert 'title="not here: now"' in answers["marked"]
    assert "<del>4</del> <ins>5</ins>" in answers["full"]
    assert "<del>now</del>" in answers["full"]
    assert not re.search("<ins|<del|gap", answers["off"])


def test_a_text_like_the_reference_is_said_to_be(tmp_path: Path) -> None:
    viewer = Viewer(write_run(tmp_path / "run", {TEACHER: {"sums": [record(0)]}, SFT: {"sums": [record(0)]}}))
    assert get(viewer, "").text.count("The same text as A.") == 1


def test_decoding_seeds_are_units_of_their_own(tmp_path: Path) -> None:
    rows = {cell: {"sums": [record(n, decoding_seed=s) for n in range(3) for s in (0, 1)]} for cell in (TEACHER, SFT)}
    viewer = Viewer(write_run(tmp_path / "run", rows))
    page = get(viewer, "task=sums")
    assert "6 of 6 answers (3 items, several decoding seeds)" in page.text
    assert "3 of 6 answers" in get(viewer, "task=sums&seed=1").text
    assert "decoding seed 1" in get(viewer, "task=sums&item=sums/2&run=1").text
    assert "6 of 6" in get(viewer, "task=sums&item=sums/2&run=1").text


def test_free_text_has_scores_and_nothing_right_or_wrong(tmp_path: Path) -> None:
    texts = [record(n, f"text {n}", gold="a text", rouge_l=n / 10, correct_robust=False) for n in range(3)]
    viewer = Viewer(write_run(tmp_path / "run", {TEACHER: {"sums": texts}, SFT: {"sums": texts[:2]}}))
    page = get(viewer, "item=sums/1")
    assert page.text.count("ROUGE-L 0.10") >= 2
    assert "✗" not in page.html
    assert "✓" not in page.html
    assert 'class="patterns"' not in page.html
    page = get(viewer, asked((TEACHER, "any", "any"), (SFT, "any", "same"), item="sums/2"))
    assert page.listed() == ["sums/0", "sums/1"]
    assert "sums/2 is not among the items that these filters pick" in page.text


def test_models_without_records_say_why(tmp_path: Path) -> None:
    rows = {TEACHER: {"sums": [record(0)]}, SFT: {"sums": [record(0)]}, LATER: {"other": [record(0, task="other")]}}
    viewer = Viewer(write_run(tmp_path / "run", rows, failed={KD: "loss is <NaN>"}))
    page = get(viewer, [("task", "sums"), ("cell", TEACHER), ("cell", KD), ("cell", LATER)])
    assert "This cell failed: loss is <NaN>" in page.text
    assert "1 cell of this run failed and has no records" in page.text
    assert "This model has no records of this task." in page.text
    assert "✓––" in page.text.replace(" ", "") or page.html.count('class="sign absent"') == 2
    assert "small · forward_kl (failed)" in page.text


def test_different_prompts_are_shown_apart(tmp_path: Path) -> None:
    rows = {TEACHER: {"sums": [record(0)]}, SFT: {"sums": [record(0, prompt="<|user|>Question 0")]}}
    page = get(Viewer(write_run(tmp_path / "run", rows)), "")
    assert "Prompt of A" in page.text
    assert "Prompt of B" in page.text
    assert "<|user|>Question 0" in page.text


def test_a_reference_is_not_compared_with_itself(viewer: Viewer) -> None:
    page = get(viewer, asked((TEACHER, "any", "different"), (SFT, "any", "any")))
    assert "120 of 120 items" in page.text


def test_notes_about_an_address(viewer: Viewer) -> None:
    assert "This run has no cell “nobody”." in get(viewer, "cell=nobody").text
    assert "This task has no item “sums/999”." in get(viewer, "task=sums&item=sums/999").text
    page = get(viewer, "task=absent")
    assert (page.status, "it has letters, sums" in page.text) == (404, True)
    assert get(viewer, "&".join(["a=1"] * 200)).status == 404
    assert get(viewer, "", path="/etc/passwd").status == 404
    assert get(viewer, "", path="/../view.css").status == 404


@pytest.mark.parametrize(
    "host", [None, "", "example.com", "127.0.0.1.example.com:8471", "[::1", "localhost@evil.com", "0.0.0.0"]
)
def test_other_names_for_this_machine_are_refused(viewer: Viewer, host: str | None) -> None:
    refused = viewer.respond("GET", "/?task=sums", host)
    assert refused.status == 403
    assert b"Question" not in refused.body


@pytest.mark.parametrize("host", ["127.0.0.1:8471", "localhost:9000", "LOCALHOST", "127.0.0.1"])
def test_own_names_are_served_on_any_port(viewer: Viewer, host: str) -> None:
    """A port may be forwarded."""
    assert viewer.respond("GET", "/", host).status == 200


@pytest.mark.parametrize("method", ["POST", "PUT", "DELETE", "PATCH", "OPTIONS", "TRACE", "x"])
def test_nothing_but_reading(viewer: Viewer, method: str) -> None:
    refused = viewer.respond(method, "/", HOST)
    assert (refused.status, refused.headers["Allow"]) == (405, "GET, HEAD")


@pytest.mark.parametrize("target", ["/", "/view.css", "/view.js", "/icon.svg", "/absent", "/?task=absent"])
def test_every_response_is_locked_down(viewer: Viewer, target: str) -> None:
    response = viewer.respond("GET", target, HOST)
    assert {name: response.headers[name] for name in SECURITY_HEADERS} == dict(SECURITY_HEADERS)
    assert "unsafe" not in response.headers["Content-Security-Policy"]
    assert response.headers["Cache-Control"] == "no-store"
    assert int(response.headers["Content-Length"]) == len(response.body)


def test_a_page_loads_only_its_own_files(viewer: Viewer) -> None:
    page = get(viewer, "task=sums")
    loaded = {
        str(value) for _, attrs in page.tags for name, value in attrs.items() if name in ("src", "href", "action")
    }
    assert all(address.startswith(("/", "#")) and not address.startswith("//") for address in loaded)
    for name in ("/view.css", "/view.js", "/icon.svg"):
        assert name in loaded
        assert viewer.respond("GET", name, HOST).status == 200
    assert b"url(" not in viewer.respond("GET", "/view.css", HOST).body


def test_one_page_that_fails_does_not_take_the_others(
    viewer: Viewer, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    with monkeypatch.context() as context:
        context.setattr("kdscope.view.page.item_view", lambda *_: 1 / 0)
        assert get(viewer, "").status == 500
    assert "ZeroDivisionError" in capsys.readouterr().err
    assert get(viewer, "").status == 200


def test_records_that_break_are_named_on_the_page(tmp_path: Path) -> None:
    run = school(tmp_path / "run", items=3)
    viewer = Viewer(run)
    (run / "records" / "sums.parquet").write_bytes(b"broken")
    page = get(viewer, "task=sums")
    assert page.status == 404
    assert f"{run / 'records' / 'sums.parquet'}: records cannot be read" in page.text


def test_a_label_in_every_control(viewer: Viewer) -> None:
    page = get(viewer, "task=sums")
    labelled = {attrs["for"] for tag, attrs in page.tags if tag == "label"}
    controls = {attrs["id"] for tag, attrs in page.tags if tag in ("select", "input") and attrs.get("type") != "hidden"}
    assert controls == labelled
    ids = [attrs["id"] for _, attrs in page.tags if "id" in attrs]
    assert len(ids) == len(set(ids))


def test_links_keep_the_state(viewer: Viewer) -> None:
    state = State("sums", search="item", difference="full")
    page = get(viewer, state.address().removeprefix("/?"))
    for link in page.hrefs():
        fields = parse_qs(link.removeprefix("/?"))
        assert fields["diff"] == ["full"]
        assert fields["task"] == ["sums"]
    assert replace(state, search="").address() != state.address()
