"""A reader of Markdown tables that is not ours: markdown-it, which follows CommonMark and GitHub's tables."""

from __future__ import annotations

from markdown_it import MarkdownIt
from markdown_it.token import Token


def read_table(source: str) -> list[list[str]]:
    """The rows of the only table of a file as text; complains of anything in it that is more than text and bold."""
    tokens = MarkdownIt("commonmark").enable("table").parse(source)
    assert sum(token.type == "table_open" for token in tokens) == 1
    assert not any(token.type == "html_block" for token in tokens)
    rows: list[list[str]] = []
    inside = False
    for token in tokens:
        inside = token.type == "table_open" or (inside and token.type != "table_close")
        if token.type == "tr_open":
            rows.append([])
        elif token.type == "inline":
            text = _text(token)
            if inside:
                rows[-1].append(text)
    return rows


def _text(token: Token) -> str:
    children = token.children or []
    kinds = {child.type for child in children}
    assert kinds <= {"text", "text_special", "strong_open", "strong_close"}, f"more than text: {kinds}"
    return "".join(child.content for child in children)
