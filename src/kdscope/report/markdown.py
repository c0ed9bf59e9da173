"""Text that others wrote, put into Markdown so that it stays text: no markup, no table cell, no HTML comes of it."""

from __future__ import annotations

import json
import re

_SPECIAL = re.compile(r"([\\`*_\[\]|~$!])")
_FIRST = re.compile(r"^([-+](?=\s|[-+]*$)|[#=]|\d+(?=[.)](?:\s|$)))")
_HTML = {"&": "&amp;", "<": "&lt;", ">": "&gt;"}


def one_line(text: object) -> str:
    r"""White space and control characters become single spaces.

    >>> one_line("a\n---\r\nb")
    'a --- b'
    """
    return " ".join("".join(c if c.isprintable() else " " for c in str(text)).split())


def plain(text: object) -> str:
    r"""Text as text.

    >>> plain("see [here](x) <b> & a_b | c")
    'see \\[here\\](x) &lt;b&gt; &amp; a\\_b \\| c'
    >>> plain("# no heading"), plain("1. no list"), plain("--- no line"), plain("+2.5 [1, 4]")
    ('\\# no heading', '1\\. no list', '--- no line', '+2.5 \\[1, 4\\]')
    """
    line = "".join(_HTML.get(character, character) for character in one_line(text))
    # Addresses would become links of their own accord.
    line = _SPECIAL.sub(r"\\\1", line).replace("://", "&#58;//").replace("www.", "www&#46;")
    return _FIRST.sub(lambda m: f"{m[1]}\\" if m[1].isdigit() else f"\\{m[1]}", line)


def code(text: object) -> str:
    r"""A name as a code span, also within a table.

    >>> code("tiny-s"), code("a`b|c")
    ('`tiny-s`', '`` a`b\\|c ``')
    """
    line = one_line(text).replace("|", "\\|")
    if not line:
        return ""
    fence = "`" * (1 + _longest_run(line))
    return f"{fence}{line}{fence}" if fence == "`" else f"{fence} {line} {fence}"


def fenced(text: str, language: str) -> str:
    """A block of code; the fence is longer than any run of backticks in it."""
    fence = "`" * max(3, 1 + _longest_run(text))
    return f"{fence}{language}\n{text.rstrip()}\n{fence}"


def literal(text: str) -> str:
    r"""A Python string literal on one line, whatever the text holds.

    >>> literal('a"b\n')
    '"a\\"b\\n"'
    """
    return json.dumps(text)


def _longest_run(text: str) -> int:
    return max((len(run) for run in re.findall(r"`+", text)), default=0)
