"""Texts of models as HTML: words that differ from the reference marked, search hits highlighted, everything escaped."""

from __future__ import annotations

import re
from bisect import bisect_left, bisect_right
from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from difflib import SequenceMatcher
from itertools import pairwise
from types import MappingProxyType
from typing import Literal

from markupsafe import Markup

from kdscope.view.escape import one_line, visible

_WORD = re.compile(r"\s*(\d[\d.,]*\d|\w+|[^\w\s]|\s+\Z)")
_SMALL = 40_000
"""Pairs of words up to which all are compared with all."""

Kind = Literal["same", "new", "gone", "frame"]


@dataclass(frozen=True)
class Piece:
    """A piece of text: in both texts, new in the second, gone from the first, or the frame around a question."""

    kind: Kind
    text: str


def word_diff(reference: str, text: str) -> list[Piece]:
    """The words of `text`, marked by whether `reference` has them in that order, and what it has besides.

    White space belongs to the word after it and is not compared. The pieces that are not gone are `text`.

    >>> [(p.kind, p.text) for p in word_diff("3 + 4 = 7.", "3 + 5 = 7.")]
    [('same', '3 +'), ('gone', ' 4'), ('new', ' 5'), ('same', ' = 7.')]
    """
    old, new = _words(reference), _words(text)
    pieces: list[Piece] = []
    at_old = at_new = 0
    for in_old, in_new, size in [*_common(_keys(old), _keys(new)), (len(old), len(new), 0)]:
        _add(pieces, "gone", old[at_old:in_old])
        _add(pieces, "new", new[at_new:in_new])
        at_old, at_new = in_old + size, in_new + size
        _add(pieces, "same", new[in_new:at_new])
    return pieces


def _words(text: str) -> list[str]:
    return [found[0] for found in _WORD.finditer(text)]


def _keys(words: Sequence[str]) -> list[str]:
    return [word.strip() for word in words]


def _add(pieces: list[Piece], kind: Kind, words: Sequence[str]) -> None:
    if not words:
        return
    text = "".join(words)
    if pieces and pieces[-1].kind == kind:
        text = pieces.pop().text + text
    pieces.append(Piece(kind, text))


def _common(old: Sequence[str], new: Sequence[str]) -> Iterator[tuple[int, int, int]]:
    """Common runs (place in old, place in new, length), in order."""
    before = _alike(old, new)
    after = _alike(old[before:][::-1], new[before:][::-1])
    yield 0, 0, before
    middle_old, middle_new = old[before : len(old) - after], new[before : len(new) - after]
    for in_old, in_new, size in _middle(middle_old, middle_new):
        yield in_old + before, in_new + before, size
    yield len(old) - after, len(new) - after, after


def _middle(old: Sequence[str], new: Sequence[str]) -> Iterator[tuple[int, int, int]]:
    if len(old) * len(new) <= _SMALL:
        yield from SequenceMatcher(None, old, new, autojunk=False).get_matching_blocks()[:-1]
        return
    for (a, b), (c, d) in pairwise([(-1, -1), *_anchors(old, new), (len(old), len(new))]):
        gap_old, gap_new = old[a + 1 : c], new[b + 1 : d]
        # A long stretch without anchors is told as replaced: comparing all with all would take minutes.
        if len(gap_old) * len(gap_new) <= _SMALL:
            for in_old, in_new, size in SequenceMatcher(None, gap_old, gap_new, autojunk=False).get_matching_blocks():
                yield a + 1 + in_old, b + 1 + in_new, size
        if c < len(old):
            yield c, d, 1


def _anchors(old: Sequence[str], new: Sequence[str]) -> list[tuple[int, int]]:
    """Words that both texts have once, in the longest order common to both (Cohen's patience diff)."""
    once_old, once_new = _once(old), _once(new)
    pairs = [(once_old[word], place) for word, place in once_new.items() if word in once_old]
    return _longest_increasing(sorted(pairs))


def _once(words: Sequence[str]) -> dict[str, int]:
    counts = Counter(words)
    return {word: place for place, word in enumerate(words) if counts[word] == 1}


def _longest_increasing(pairs: Sequence[tuple[int, int]]) -> list[tuple[int, int]]:
    """The longest part whose second members increase, by patience sorting: n log n."""
    ends: list[int] = []
    last: list[int] = []
    before: list[int] = []
    for place, (_, value) in enumerate(pairs):
        pile = bisect_left(ends, value)
        before.append(last[pile - 1] if pile else -1)
        ends[pile : pile + 1], last[pile : pile + 1] = [value], [place]
    found = []
    place = last[-1] if last else -1
    while place >= 0:
        found.append(pairs[place])
        place = before[place]
    return found[::-1]


def _alike(old: Sequence[str], new: Sequence[str]) -> int:
    """How many words both begin with."""
    count = 0
    for one, other in zip(old, new, strict=False):
        if one != other:
            break
        count += 1
    return count


_TAGS: Mapping[str, str] = MappingProxyType({"same": "", "new": "ins", "frame": "i"})
_END = Piece("same", "")
_REPLACED = ("gone", "new")


def painted(pieces: Sequence[Piece], *, search: str = "", missing: bool = False) -> Markup:
    """The pieces as HTML.

    Args:
        pieces: As `word_diff` gives them, or of the kind frame: what is the same in all texts of its sort.
        search: What to highlight, whatever the case.
        missing: Show what is gone as text; otherwise only that something is, where nothing new stands in its place.
    """
    shown = pieces if missing else [p for p, after in pairwise([*pieces, _END]) if (p.kind, after.kind) != _REPLACED]
    return Markup("").join(
        _gone(piece.text, missing) if piece.kind == "gone" else _present(piece.kind, piece.text, hit)
        for piece, hit in _cut(shown, search)
    )


def folded(pieces: Sequence[Piece], length: int) -> tuple[list[Piece], int]:
    """The pieces of the first `length` characters, and how many characters of the text are left out."""
    kept: list[Piece] = []
    room = length
    for piece in pieces:
        if room <= 0:
            break
        kept.append(Piece(piece.kind, piece.text[:room]))
        room -= len(piece.text)
    return kept, length_of(pieces) - length_of(kept)


def length_of(pieces: Sequence[Piece]) -> int:
    """Characters of a text: of its pieces that are not gone."""
    return sum(len(piece.text) for piece in pieces if piece.kind != "gone")


def _gone(text: str, missing: bool) -> Markup:
    if missing:
        return _tagged("del", text)
    return Markup('<span class="gap" title="not here: {}"></span>').format(one_line(text, 200))


def _present(kind: str, text: str, hit: bool) -> Markup:
    tag = _TAGS[kind]
    if not hit:
        return _tagged(tag, text)
    marked = Markup("<mark>{}</mark>").format(visible(text))
    return Markup("<{0}>{1}</{0}>").format(tag, marked) if tag else marked


def _tagged(tag: str, text: str) -> Markup:
    """The text in its tag, white space before it left outside: that was not compared."""
    word = text.lstrip(" \t\n")
    if not tag or not word:
        return visible(text)
    return visible(text[: len(text) - len(word)]) + Markup("<{0}>{1}</{0}>").format(tag, visible(word))


def _cut(pieces: Sequence[Piece], search: str) -> Iterator[tuple[Piece, bool]]:
    """The pieces cut where a hit begins or ends, since one may reach over several; and whether each part is in one."""
    text = "".join(piece.text for piece in pieces if piece.kind != "gone")
    hits = re.finditer(re.escape(search), text, re.IGNORECASE) if search else ()
    edges = [place for found in hits for place in found.span()]
    at = 0
    for piece in pieces:
        if piece.kind == "gone":
            yield piece, False
            continue
        end = at + len(piece.text)
        inside = edges[bisect_right(edges, at) : bisect_right(edges, end)]
        for start, stop in pairwise(dict.fromkeys([at, *inside, end])):
            # Edges are starts and ends in turn: after an odd number of them a hit is open.
            yield Piece(piece.kind, piece.text[start - at : stop - at]), bisect_right(edges, start) % 2 == 1
        at = end
