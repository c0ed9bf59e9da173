"""Untrusted text as HTML: everything is text, and characters that would hide or turn something are shown."""

from __future__ import annotations

import re
import unicodedata

from markupsafe import Markup, escape

_HIDDEN = re.compile(
    "[\x00-\x08\x0b-\x1f\x7f-\x9f\xad\u061c\u115f\u1160\u180e\u200b\u200e\u200f\u2028-\u202e\u2060-\u206f\u3164"
    "\ud800-\udfff\ufeff\uffa0\ufff0-\ufffb\ufffe\uffff\U0001bca0-\U0001bca3\U0001d173-\U0001d17a"
    "\U000e0000-\U000e0fff]"
)
"""Controls, direction marks, fillers, surrogates, tags: all but line break, tab, and what joins letters or emoji."""


_CONTROLS = (
    *("NUL", "SOH", "STX", "ETX", "EOT", "ENQ", "ACK", "BEL", "BS", "HT", "LF", "VT", "FF", "CR", "SO", "SI"),
    *("DLE", "DC1", "DC2", "DC3", "DC4", "NAK", "SYN", "ETB", "CAN", "EM", "SUB", "ESC", "FS", "GS", "RS", "US"),
)
"""What the ASCII controls are called; Unicode has pictures of them, which few fonts have."""


def visible(text: str) -> Markup:
    r"""Escaped text in which every character can be seen.

    >>> print(visible("<b>\x1b[1m \u202eabc"))
    &lt;b&gt;<span class="hidden" title="U+001B">ESC</span>[1m <span class="hidden" title="U+202E RIGHT-TO-LEFT OVERRIDE">U+202E</span>abc
    """  # noqa: E501 - the output is one line
    return Markup(_HIDDEN.sub(_shown, str(escape(text))))  # noqa: S704 - escaped, and what is put in is our own


def plain(text: str) -> str:
    r"""The same without markup, for titles and attributes: hidden characters by their numbers.

    >>> plain("a\x00\u202eb")
    'a⟨NUL⟩⟨U+202E⟩b'
    """
    return _HIDDEN.sub(lambda found: f"⟨{_sign(found[0])}⟩", text)


def one_line(text: str, length: int) -> str:
    """The beginning of a text in one line, cut at a space where there is one."""
    words = " ".join(text[: 4 * length].split())
    if len(words) <= length:
        return plain(words)
    cut = words.rfind(" ", length // 2, length)
    return plain(words[: cut if cut > 0 else length]) + " …"


def _shown(found: re.Match[str]) -> str:
    title = f"U+{ord(found[0]):04X} {unicodedata.name(found[0], '')}".strip()
    return f'<span class="hidden" title="{title}">{_sign(found[0])}</span>'


def _sign(character: str) -> str:
    code = ord(character)
    return _CONTROLS[code] if code < len(_CONTROLS) else f"U+{code:04X}"
