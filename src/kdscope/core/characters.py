"""Characters that nobody sees, or that would turn, hide or command something: found in names, shown in texts."""

from __future__ import annotations

import re

HIDDEN = re.compile(
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


def sign(character: str) -> str:
    r"""What a hidden character is called.

    >>> sign("\x1b"), sign("\u202e")
    ('ESC', 'U+202E')
    """
    code = ord(character)
    return _CONTROLS[code] if code < len(_CONTROLS) else f"U+{code:04X}"


def plain(text: str) -> str:
    r"""A text in which every character can be seen: hidden ones by what they are called.

    >>> plain("a\x00\u202eb")
    'a⟨NUL⟩⟨U+202E⟩b'
    """
    return HIDDEN.sub(lambda found: f"⟨{sign(found[0])}⟩", text)


def plain_line(text: str) -> str:
    r"""The same on one line.

    >>> plain_line("a\r\nb\t\x1bc")
    'a b ⟨ESC⟩c'
    """
    return plain(re.sub(r"\s*[\n\t]\s*", " ", text))


def problem_of_name(name: str) -> str | None:
    r"""Why a text that people are to read as a name cannot be one; None where it can.

    >>> problem_of_name("small\x1b[31m")
    'holds the character ESC (U+001B), which cannot be seen'
    """
    found = HIDDEN.search(name) or re.search(r"[\n\t]", name)
    if found is None:
        return None
    code = f"U+{ord(found[0]):04X}"
    called = sign(found[0])
    return f"holds the character {called if called == code else f'{called} ({code})'}, which cannot be seen"
