"""The sentences of a text, and those that state its answer: after a marker, in a box, as a conclusion."""

from __future__ import annotations

import re
from dataclasses import dataclass

_LONGEST_SENTENCE = 1_000
# A full stop before white space ends a sentence, but not in "Mr. Tan", "Rs. 40" or "5 p.m. on Monday".
_SENTENCE_END = re.compile(
    r"\n+|(?<=[.!?])(?<!\b[MD]r\.)(?<!\bMs\.)(?<!\bMrs\.)(?<!\bRs\.)(?<!\bNo\.)(?<!\bSt\.)[ \t]+(?![a-z])"
)

_CONCLUSIVE = re.compile(
    r"\W{0,9}(?:\d{1,2}[.)]\s{0,3})?(?:and\s|so,?\s|but\s)?(?:therefore|thus|hence|so|consequently|accordingly"
    r"|in conclusion|in total|as a result|finally|altogether)\b",
    re.IGNORECASE,
)
# "Answer" as a noun: not "to answer correctly", "must answer", "long-answer questions".
_MARKER = re.compile(
    r"(?<!\bto )(?<!rectly )(?<!\bmust )(?<!\bcan )(?<!\bwill )(?<![\w/-])answers?\b"
    r"(?!\s(?:correctly|questions?|choices|format)\b)"
    r"[^\d.\n:=]{0,60}?(?:\b(?:is|are|was|be|equals)\b\s{0,3}:?|[:=])"
    r"|\b(?:correct|right|best|final)\s(?:option|choice|solution|ending|result|value)\b[^\d.\n:=]{0,40}?"
    r"(?:\bis\b\s{0,3}:?|:)",
    re.IGNORECASE,
)
_SHORT_MARKER = re.compile(r"^[ \t]{0,9}A[ \t]{0,9}:", re.MULTILINE)
_BOX_OPENING = re.compile(r"\\boxed\s{0,3}\{|\\fbox\s{0,3}\{")
_HASHES = re.compile(r"####[ \t]{0,9}([^\n]{1,400})")
_DENIAL = re.compile(r"(?:not|n't|unknown|unclear)\b", re.IGNORECASE)
_THEREFORE = re.compile(r"(?:therefore|thus|hence|in conclusion)\b", re.IGNORECASE)
_ANSWER = re.compile(r"\banswer\b", re.IGNORECASE)
# Models that loop repeat a marker hundreds of times.
_MOST_STATEMENTS = 20
_LONGEST_STATEMENT = 400


@dataclass(frozen=True, slots=True)
class Statement:
    """A piece of text that should hold the answer.

    Attributes:
        rule: ``marker``, ``boxed`` or ``conclusion``.
        text: The sentence after a marker, the content of a box, the concluding sentence.
        start: Where it stands.
    """

    rule: str
    text: str
    start: int


def sentences(text: str) -> list[tuple[int, str]]:
    """Every sentence or line that holds a word, with its position."""
    found, start = [], 0
    for match in _SENTENCE_END.finditer(text):
        found.append((start, text[start : match.start()]))
        start = match.end()
    found.append((start, text[start:]))
    return [(position, sentence) for position, sentence in found if re.search(r"\w", sentence)]


def is_conclusive(sentence: str) -> bool:
    """Whether a sentence opens as conclusions do: therefore, thus, so, ..."""
    return _CONCLUSIVE.match(sentence) is not None


def first_sentence(text: str) -> str:
    """The text up to its first sentence end."""
    return _SENTENCE_END.split(text, maxsplit=1)[0]


def last_sentence(text: str, *, with_digit: bool = False) -> str:
    """The last sentence or line that holds a word, or a digit if asked; of a very long one its last part."""
    fitting = [sentence for _, sentence in sentences(text) if not with_digit or re.search(r"\d", sentence)]
    return fitting[-1][-_LONGEST_SENTENCE:] if fitting else ""


def find_statements(text: str, *, short_marker: bool) -> list[Statement]:
    """What stands after each marker and in each box, last first, at most 20; ``A:`` is a marker if asked."""
    found = [Statement("boxed", _balanced(text, match.end()), match.end()) for match in _last(_BOX_OPENING, text)]
    for pattern in (_MARKER, _SHORT_MARKER) if short_marker else (_MARKER,):
        found += [Statement("marker", _after(text, match.end()), match.end()) for match in _last(pattern, text)]
    return sorted((part for part in found if part.text), key=lambda part: -part.start)[:_MOST_STATEMENTS]


def find_hashes(text: str) -> list[str]:
    """What stands after each ``####``, last first."""
    return [match[1] for match in _last(_HASHES, text)]


def find_conclusion(text: str, *, complete: bool) -> Statement | None:
    """The last sentence that opens with therefore, thus or so, if no number comes after it.

    Of a text that the length limit cut, only one that opens the last line, or the last before a cut answer marker:
    steps of a list and sentences within a line conclude nothing yet.
    """
    for start, sentence in reversed(sentences(text)[-_MOST_STATEMENTS:]):
        if is_conclusive(sentence):
            usable = complete or _is_closing_line(text, start, start + len(sentence))
            return Statement("conclusion", sentence[-_LONGEST_STATEMENT:], start) if usable else None
        if re.search(r"\d", sentence):
            return None
    return None


def _is_closing_line(text: str, start: int, end: int) -> bool:
    opens_line = text[max(0, start - 1) : start] in ("", "\n") and _THEREFORE.match(text, start)
    line, newline, after = text[end:].partition("\n")
    return bool(opens_line) and (not newline or _ANSWER.search(f"{line} {after}") is not None)


def _last(pattern: re.Pattern[str], text: str) -> list[re.Match[str]]:
    return list(pattern.finditer(text))[: -_MOST_STATEMENTS - 1 : -1]


def _after(text: str, start: int) -> str:
    """The first sentence from `start`; empty when it denies."""
    sentence = first_sentence(text[start : start + _LONGEST_STATEMENT].lstrip(" \t\n:=*_>"))
    return "" if _DENIAL.match(sentence) else sentence


def _balanced(text: str, start: int) -> str:
    """The text up to the brace that closes the one before `start`."""
    depth = 1
    for match in re.finditer(r"[{}]", text[start : start + _LONGEST_STATEMENT]):
        depth += 1 if match[0] == "{" else -1
        if depth == 0:
            return text[start : start + match.start()]
    return ""
