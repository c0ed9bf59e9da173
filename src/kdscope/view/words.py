"""What the page calls things."""

from __future__ import annotations

from collections.abc import Mapping
from types import MappingProxyType

OUTCOME_WORDS: Mapping[str, str] = MappingProxyType(
    {
        "any": "any answer",
        "right": "right",
        "wrong": "wrong",
        "unparsed": "no answer found",
        "truncated": "cut at the token limit",
        "run_on": "went on to a new instruction",
    }
)
LIKENESS_WORDS: Mapping[str, str] = MappingProxyType(
    {
        "any": "like {} or not",
        "same": "same answer as {}",
        "different": "another answer than {}",
        "same_wrong": "same wrong answer as {}",
    }
)
TEXT_LIKENESS_WORDS: Mapping[str, str] = MappingProxyType(
    {"any": "like {} or not", "same": "same text as {}", "different": "another text than {}"}
)
DIFFERENCE_WORDS: Mapping[str, str] = MappingProxyType(
    {"marked": "marked", "full": "marked, with what is missing", "off": "not marked"}
)
FINISH_WORDS: Mapping[str, str] = MappingProxyType(
    {"stop": "ended by itself", "length": "cut at the token limit", "run_on": "went on to a new instruction"}
)
RULE_WORDS: Mapping[str, str] = MappingProxyType(
    {
        "marker": "stated as the answer",
        "boxed": "boxed, or after ####",
        "whole": "the whole text",
        "conclusion": "in a closing conclusion",
        "inferred": "inferred from the end of the text",
        "text": "the whole text",
    }
)
STATUS_WORDS: Mapping[str, str] = MappingProxyType(
    {
        "explicit": "explicit",
        "fallback": "a guess of the rules",
        "ambiguous": "several answers and no way to choose",
        "unparsed": "no rule found one",
    }
)


def how_found(rule: str, status: str) -> str:
    """Where the robust rules found an answer, or why they did not.

    >>> how_found("marker", "explicit"), how_found("none", "unparsed")
    ('stated as the answer (marker, explicit)', 'no rule found one (unparsed)')
    """
    if status in ("ambiguous", "unparsed"):
        return f"{STATUS_WORDS[status]} ({status})"
    return f"{RULE_WORDS.get(rule, rule)} ({rule}, {status})"
