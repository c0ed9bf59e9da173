"""Pieces of text as HTML: what is new is marked, what was searched for is highlighted, the rest is just text."""

from __future__ import annotations

import re
from bisect import bisect_right
from collections.abc import Iterator, Mapping, Sequence
from itertools import pairwise
from types import MappingProxyType

from markupsafe import Markup

from kdscope.view.diff import Piece
from kdscope.view.visible import one_line, visible

_TAGS: Mapping[str, str] = MappingProxyType({"same": "", "new": "ins", "frame": "i"})
_END = Piece("same", "")
_REPLACED = ("gone", "new")


def painted(pieces: Sequence[Piece], *, search: str = "", missing: bool = False) -> Markup:
    """The pieces as HTML.

    Args:
        pieces: As `diff.word_diff` gives them, or of the kind frame: what is the same in all texts of its sort.
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
