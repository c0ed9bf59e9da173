"""Untrusted text as HTML: everything is text, and characters that would hide or turn something are shown."""

from __future__ import annotations

import re
import unicodedata

from markupsafe import Markup, escape

from kdscope.core.characters import HIDDEN, plain, sign


def visible(text: str) -> Markup:
    r"""Escaped text in which every character can be seen.

    >>> print(visible("<b>\x1b[1m \u202eabc"))
    &lt;b&gt;<span class="hidden" title="U+001B">ESC</span>[1m <span class="hidden" title="U+202E RIGHT-TO-LEFT OVERRIDE">U+202E</span>abc
    """  # noqa: E501 - the output is one line
    return Markup(HIDDEN.sub(_shown, str(escape(text))))  # noqa: S704 - escaped, and what is put in is our own


def one_line(text: str, length: int) -> str:
    """The beginning of a text in one line, cut at a space where there is one."""
    words = " ".join(text[: 4 * length].split())
    if len(words) <= length:
        return plain(words)
    cut = words.rfind(" ", length // 2, length)
    return plain(words[: cut if cut > 0 else length]) + " …"


def _shown(found: re.Match[str]) -> str:
    title = f"U+{ord(found[0]):04X} {unicodedata.name(found[0], '')}".strip()
    return f'<span class="hidden" title="{title}">{sign(found[0])}</span>'
