"""What others wrote stays text: a Markdown parser of somebody else's says so."""

from __future__ import annotations

import pytest
from hypothesis import example, given
from hypothesis import strategies as st
from markdown_it import MarkdownIt

from kdscope.results.markdown import code, fenced, one_line, plain

PARSER = MarkdownIt("commonmark").enable(["table", "strikethrough"])
NASTY = st.text(st.sampled_from("ab1 \n\t\r`*_[]()<>#+-=.!|~&\\$:/'\"{}\u2028\0")) | st.text()


def kinds(markdown: str) -> list[str]:
    return [token.type for token in PARSER.parse(markdown)]


def text_of(markdown: str) -> str:
    """The text of a document that is one paragraph, which holds nothing but text."""
    tokens = PARSER.parse(markdown)
    assert [token.type for token in tokens] == ["paragraph_open", "inline", "paragraph_close"]
    children = tokens[1].children or []
    assert {child.type for child in children} <= {"text", "text_special"}
    return "".join(child.content for child in children)


@given(NASTY)
@example("---")
@example("1) <script>alert(1)</script>")
@example("+\n# Heading")
@example("===")
@example("<!-- ![x](https://example.org) -->")
def test_plain_text_comes_back_as_text(text: str) -> None:
    if one_line(text):
        assert text_of(plain(text)) == one_line(text)


@given(NASTY)
def test_plain_text_stays_in_its_table_cell(text: str) -> None:
    tokens = PARSER.parse(f"| a | b |\n|---|---|\n| {plain(text)} | end |")
    cells = [token.content for token in tokens if token.type == "inline"]
    assert len(cells) == 4
    assert cells[3] == "end"


@given(NASTY)
@example("``a`")
@example("`")
def test_code_is_one_code_span(text: str) -> None:
    if not one_line(text):
        assert code(text) == ""
        return
    tokens = PARSER.parse(f"| a | b |\n|---|---|\n| {code(text)} | end |")
    cells = [token for token in tokens if token.type == "inline"]
    children = cells[2].children or []
    assert [child.type for child in children] == ["code_inline"]
    assert children[0].content == one_line(text)
    assert cells[3].content == "end"


@given(NASTY)
@example("```\n</details>\n# out")
def test_a_block_ends_where_it_should(text: str) -> None:
    tokens = PARSER.parse(fenced(text, "yaml") + "\n\nafter")
    assert [token.type for token in tokens] == ["fence", "paragraph_open", "inline", "paragraph_close"]


@pytest.mark.parametrize("text", ["https://example.org", "www.example.org"])
def test_addresses_do_not_become_links(text: str) -> None:
    assert text not in plain(text)
    assert text_of(plain(text)) == text
