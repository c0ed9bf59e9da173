from __future__ import annotations

import html
import re
import sys
import unicodedata
from html.parser import HTMLParser

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from kdscope.core.characters import plain
from kdscope.view.escape import one_line, visible
from kdscope.view.highlight import Piece, folded, painted, word_diff
from tests.view.runs import EVIL

JOINERS = "\u200c\u200d"
TEXT = st.text(st.sampled_from("ab <>&\"'\x00\x1b\u202eé\n."), max_size=30)


class _Reader(HTMLParser):
    """What a browser makes of it: the elements, and the text."""

    def __init__(self) -> None:
        super().__init__(convert_charrefs=True)
        self.tags: set[str] = set()
        self.text = ""

    def handle_starttag(self, tag: str, attrs: object) -> None:
        self.tags.add(tag)

    def handle_data(self, data: str) -> None:
        self.text += data


def _read(markup: str) -> _Reader:
    reader = _Reader()
    reader.feed(f"<div>{markup}</div>")
    reader.close()
    return reader


def test_no_character_hides_or_turns_text() -> None:
    """Over all of Unicode; signs of other scripts that have a form of their own (category Cf too) may stay."""
    everything = "".join(map(chr, range(sys.maxunicode + 1)))
    left = {
        c
        for shown in (visible(everything), plain(everything))
        for c in set(shown)
        if unicodedata.category(c) in ("Cc", "Cs") or unicodedata.bidirectional(c) in BIDI or c in "\ufeff\u200b\xad"
    }
    assert left == {"\n", "\t"}


BIDI = {"LRE", "RLE", "LRO", "RLO", "PDF", "LRI", "RLI", "FSI", "PDI"}


def test_what_joins_letters_stays() -> None:
    assert visible(f"a{JOINERS}b\n\té") == f"a{JOINERS}b\n\té"


def test_evil_text_is_text() -> None:
    reader = _read(visible(EVIL))
    assert reader.tags == {"div", "span"}
    assert "<script>document.title = 'owned'; alert(1)</script></script><img src=x onerror=alert(2)>" in reader.text
    assert "ESC[31m" in reader.text
    assert "nulNUL" in reader.text
    assert "U+202Egnp.exe" in reader.text


@settings(deadline=None)
@given(TEXT, TEXT, st.text(st.sampled_from("ab <&."), max_size=3), st.booleans())
def test_painting_changes_no_text(reference: str, text: str, search: str, missing: bool) -> None:
    pieces = [piece for piece in word_diff(reference, text) if not missing or piece.kind != "gone"]
    reader = _read(painted(pieces, search=search, missing=missing))
    assert reader.tags <= {"div", "span", "ins", "del", "mark"}
    assert reader.text == _read(visible(text)).text


@settings(deadline=None)
@given(TEXT, TEXT, st.text(st.sampled_from("ab <&."), min_size=1, max_size=3))
def test_every_hit_is_marked_and_nothing_else(reference: str, text: str, search: str) -> None:
    markup = painted(word_diff(reference, text), search=search)
    marked = "".join(html.unescape(part) for part in re.findall(r"<mark>(.*?)</mark>", markup, re.DOTALL))
    found = re.findall(re.escape(search), text, re.IGNORECASE)
    assert marked == "".join(found)


def test_a_bar_stands_only_where_nothing_is_in_the_place() -> None:
    assert painted(word_diff("a b c", "a x c")) == "a <ins>x</ins> c"
    assert painted(word_diff("a b c", "a c")) == 'a<span class="gap" title="not here: b"></span> c'
    assert painted(word_diff("a <b> c", "a c"), missing=True) == "a <del>&lt;b&gt;</del> c"


@pytest.mark.parametrize(
    ("length", "shown", "left"), [(3, "abc", 3), (5, "abcde", 1), (6, "abcdef", 0), (99, "abcdef", 0)]
)
def test_folding_counts_what_is_left(length: int, shown: str, left: int) -> None:
    pieces = [Piece("same", "abcd"), Piece("new", "ef")]
    kept, left_out = folded(pieces, length)
    assert ("".join(piece.text for piece in kept), left_out) == (shown, left)


def test_lines_are_cut_at_a_space() -> None:
    assert one_line("one two  three\nfour", 100) == "one two three four"
    assert one_line("one two three four", 12) == "one two …"
    assert one_line("o" * 50, 12) == "o" * 12 + " …"
