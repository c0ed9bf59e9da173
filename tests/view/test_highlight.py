from __future__ import annotations

import random
import time
from itertools import pairwise

from hypothesis import given, settings
from hypothesis import strategies as st

from kdscope.view.highlight import word_diff

WORDS = st.lists(st.sampled_from(["a", "b", "c", "12", "1.5", "=", "+", "\n", "é", " ", "\x00", "."]), max_size=40).map(
    " ".join
)


def _words(text: str) -> str:
    return "".join(text.split())


@settings(deadline=None)
@given(WORDS, WORDS)
def test_the_pieces_are_both_texts(reference: str, text: str) -> None:
    pieces = word_diff(reference, text)
    assert "".join(piece.text for piece in pieces if piece.kind != "gone") == text
    assert _words("".join(piece.text for piece in pieces if piece.kind != "new")) == _words(reference)


@settings(deadline=None)
@given(WORDS, WORDS)
def test_a_text_is_like_itself_and_neighbours_differ_in_kind(reference: str, text: str) -> None:
    assert {piece.kind for piece in word_diff(text, text)} <= {"same"}
    kinds = [piece.kind for piece in word_diff(reference, text)]
    assert all(one != other for one, other in pairwise(kinds))


def test_numbers_are_words() -> None:
    told = [(piece.kind, piece.text) for piece in word_diff("It is 1,200.5 now.", "It is 1,300.5 now.")]
    assert told == [("same", "It is"), ("gone", " 1,200.5"), ("new", " 1,300.5"), ("same", " now.")]


def test_one_change_in_a_long_text_is_one_change() -> None:
    rng = random.Random(0)
    words = [str(rng.randrange(10_000)) for _ in range(20_000)]
    changed = [*words[:7000], "other", *words[7001:12_000], *words[12_050:]]
    pieces = word_diff(" ".join(words), " ".join(changed))
    assert [piece.kind for piece in pieces if piece.kind != "same"] == ["gone", "new", "gone"]
    assert pieces[2].text == " other"
    assert len(pieces[4].text.split()) == 50


def test_long_texts_take_no_time() -> None:
    rng = random.Random(0)
    alike = " ".join(rng.choice("abcdefgh") for _ in range(50_000))
    other = " ".join(rng.choice("abcdefgh") for _ in range(50_000))
    started = time.process_time()
    for one, two in ((alike, other), ("x " * 50_000, "x y " * 25_000), (" " * 100_000 + "a", "b" + " " * 100_000)):
        assert "".join(p.text for p in word_diff(one, two) if p.kind != "gone") == two
    assert time.process_time() - started < 5
