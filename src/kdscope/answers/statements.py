"""The sentences of a text, and those that state its answer: after a marker, in a box, as a conclusion."""

from __future__ import annotations

import re
from dataclasses import dataclass
from functools import lru_cache

_LONGEST_SENTENCE = 1_000
_WORD = re.compile(r"\w")
_DIGIT = re.compile(r"\d")
# A full stop before white space ends a sentence, but not in "Mr. Tan", "Rs. 40" or "5 p.m. on Monday".
_SENTENCE_END = re.compile(
    r"\n+|(?<=[.!?])(?<!\b[MD]r\.)(?<!\bMs\.)(?<!\bMrs\.)(?<!\bRs\.)(?<!\bNo\.)(?<!\bSt\.)"
    r"(?<!\bi\.e\.)(?<!\be\.g\.)[ \t]+(?![a-z=])"
)

_CONCLUSIVE = re.compile(
    r"\W{0,9}(?:\d{1,2}[.)]\s{0,3})?(?:and\s|so,?\s|but\s)?(?:therefore|thus|hence|so|consequently|accordingly"
    r"|in conclusion|in total|as a result|finally|altogether)\b",
    re.IGNORECASE,
)
_OTHER_LANGUAGES = r"\b(?:respuesta|resposta|réponse|risposta|antwort|ответ)\b|答案|答え|正解|정답"
# "Answer" as a noun: not "to answer correctly", "must answer", "long-answer questions".
_MARKER = re.compile(
    r"(?=[acrbfо答正정选\"'])(?:"  # the letters that a marker begins with: anything else is passed over at once
    r"(?<!\bto )(?<!rectly )(?<!\bmust )(?<!\bcan )(?<!\bwill )(?<![A-Za-z0-9/-])(?:answers?\b|ans\b\.?)"
    r"(?!\s(?:correctly|questions?|choices|format)\b)"
    r"[^\d.\n:=→]{0,60}?(?:\b(?<!\bthere )(?:is|are|was|be|equals)(?:\b|(?=n't))\s{0,3}:?|[:=→]|->)"
    rf"|(?:{_OTHER_LANGUAGES})[^\d.\n:=]{{0,20}}?(?:\b(?:es|est|ist|lautet|é|è)\b|[是为は은는]|:)\s{{0,3}}:?"
    r"|\bans\.(?=\s)|\bans(?:wer)? - (?=[A-Ea-e]\b)"
    r"|[\"'](?:choice|option|label|result|value|solution|final|response|prediction)[\"']\s?:"
    r"|选[择项]?\s{0,2}(?=[(A-Ea-e])|\bblank\b[^\d.\n:=]{0,40}?(?:\b(?:is|be|with)\b|:)"
    r"|\b(?:correct|right|best|final)\s(?:option|choice|solution|ending|result|value)\b[^\d.\n:=]{0,40}?"
    r"(?:\bis\b\s{0,3}:?|:))",
    re.IGNORECASE,
)
_SHORT_MARKER = re.compile(r"^[ \t]{0,9}A[ \t]{0,9}:", re.MULTILINE)
_BOX_OPENING = re.compile(r"\\(?:boxed|fbox)\s{0,3}\{")
_TAGGED = re.compile(r"<(?:final_?)?(?:answer|option|choice|final|result|solution)>\s{0,9}(?=\S)", re.IGNORECASE)
_HASHES = re.compile(r"####[ \t]{0,9}([^\n]{1,400})")
_DENIAL = re.compile(r"(?:not|n't|unknown|unclear)\b", re.IGNORECASE)
_BUT = re.compile(r"\b(?:but(?: rather)?|rather|instead|it is|it's|it was)\b", re.IGNORECASE)
# What follows "28. No, wait:" and "28, but it is" takes the place of 28 where it is an answer as a whole.
_IT_IS = r"(?:(?:it|that|this|the (?:correct |right |actual )?(?:answer|value|result))(?:'s| is| was| should be)\s)"
_CORRECTION = re.compile(
    r"[.!?,;\n…→-]\s{0,3}(?:(?:wait|no|oops|sorry|hmm|actually|i meant?|make that|scratch that|rather"
    rf"|correct(?:ion|ed))\b[,:.!\s…-]{{1,5}}){{1,3}}{_IT_IS}?"
    rf"|\bbut\s(?:{_IT_IS}|(?P<of_subject>is )(?:now |actually )?)",
    re.IGNORECASE,
)
_RETRACTION = re.compile(
    r"[.!?\n]\s{0,3}(?:(?:wait|no|oops|hmm|but|actually|sorry)\b[,.!\s]{1,4}){0,2}(?:(?:that|this)(?:'s| is| was)\s"
    r"(?:wrong|incorrect|not right|not correct|a mistake)(?!\sto\b)|i made an? (?:mistake|error))\b",
    re.IGNORECASE,
)
_REFUSAL = re.compile(
    r"\bI(?: do not|'m not| am not|'m un| am un| cannot| don't| can't)\s?"
    r"(?:know|sure|certain|able to|tell|determine|answer|solve|say|calculate)\b"
    r"|\b(?:cannot|can't|can not|impossible to|unable to) (?:be )?(?:determined?|answer(?:ed)?|known?|solved?)\b"
    r"|\bno idea\b|\bnot enough information\b|\binsufficient information\b",
    re.IGNORECASE,
)
_DASH = re.compile(r"\A\s*- (?=[$£€]?\d)")
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


@lru_cache(maxsize=4)  # a reader asks for those of the same text several times
def sentences(text: str) -> tuple[tuple[int, str], ...]:
    """Every sentence or line that holds a word, with its position."""
    found, start = [], 0
    for match in _SENTENCE_END.finditer(text):
        found.append((start, text[start : match.start()]))
        start = match.end()
    found.append((start, text[start:]))
    return tuple((position, sentence) for position, sentence in found if _WORD.search(sentence))


def is_conclusive(sentence: str) -> bool:
    """Whether a sentence opens as conclusions do: therefore, thus, so, ..."""
    return _CONCLUSIVE.match(sentence) is not None


def first_sentence(text: str) -> str:
    """The text up to its first sentence end."""
    return _SENTENCE_END.split(text, maxsplit=1)[0]


def last_sentence(text: str, *, with_digit: bool = False) -> str:
    """The last sentence or line that holds a word, or a digit if asked; of a very long one its last part."""
    fitting = [sentence for _, sentence in sentences(text) if not with_digit or _DIGIT.search(sentence)]
    return fitting[-1][-_LONGEST_SENTENCE:] if fitting else ""


def find_statements(text: str, *, short_marker: bool) -> list[Statement]:
    """What stands after each marker and in each box, last first, at most 20; ``A:`` is a marker if asked."""
    found = [Statement("boxed", _balanced(text, match.end()), match.end()) for match in _last(_BOX_OPENING, text)]
    found += [Statement("boxed", _tagged(text, match.end()), match.end()) for match in _last(_TAGGED, text)]
    for pattern in (_MARKER, _SHORT_MARKER) if short_marker else (_MARKER,):
        found += [Statement("marker", _after(text, match.end()), match.end()) for match in _last(pattern, text)]
    return sorted((part for part in found if part.text), key=lambda part: -part.start)[:_MOST_STATEMENTS]


def find_corrections(text: str, start: int) -> list[tuple[str, str]]:
    """What stands after words such as "no, wait:" that come later than `start`, last first, at most 20.

    Each with the text after it. "But is now" speaks of the subject of its sentence, which `start` must be in.
    """
    matches = [match for match in _CORRECTION.finditer(text, start) if match.start() > start][-_MOST_STATEMENTS:]
    found = []
    for match in reversed(matches):
        if match["of_subject"] is None or not _SENTENCE_END.search(text, start, match.start()):
            after = first_sentence(text[match.end() : match.end() + _LONGEST_STATEMENT])
            if not after.endswith("?"):  # "could it be B?" asks
                found.append((after, text[match.end() + len(after) :]))
    return found


def find_retraction(text: str, start: int) -> str | None:
    """The text after the last "that is wrong" or "I made a mistake" that comes later than `start`."""
    found = list(_RETRACTION.finditer(text, start))
    return text[found[-1].end() :] if found else None


def refuses(text: str) -> bool:
    """Whether a text says that it does not know, or that nobody can."""
    return _REFUSAL.search(text) is not None


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
        if _DIGIT.search(sentence):
            return None
    return None


def _is_closing_line(text: str, start: int, end: int) -> bool:
    opens_line = text[max(0, start - 1) : start] in ("", "\n") and _THEREFORE.match(text, start)
    line, newline, after = text[end:].partition("\n")
    return bool(opens_line) and (not newline or _ANSWER.search(f"{line} {after}") is not None)


def _last(pattern: re.Pattern[str], text: str) -> list[re.Match[str]]:
    return list(pattern.finditer(text))[: -_MOST_STATEMENTS - 1 : -1]


def _after(text: str, start: int) -> str:
    """The first sentence from `start`; of one that denies what it says instead, if anything."""
    after = text[start : start + _LONGEST_STATEMENT]
    arrow = text.endswith(("=", "-"), 0, start)
    sentence = first_sentence((after.removeprefix(">") if arrow else after).lstrip(" \t\n:=*_"))
    if _DENIAL.match(sentence):
        instead = _BUT.search(sentence)
        return sentence[instead.end() :].lstrip() if instead else ""
    # "is - 7" has a sign, a dash that opens the next line lists an item.
    return _DASH.sub("-", sentence) if "\n" not in after[: after.find("-")] else sentence


def _tagged(text: str, start: int) -> str:
    return text[start : start + _LONGEST_STATEMENT].partition("<")[0].strip()


def _balanced(text: str, start: int) -> str:
    """The text up to the brace that closes the one before `start`; to the end of the line if none does."""
    depth, inside = 1, text[start : start + _LONGEST_STATEMENT]
    for match in re.finditer(r"[{}]", inside):
        depth += 1 if match[0] == "{" else -1
        if depth == 0:
            return _DASH.sub("-", inside[: match.start()])
    return inside.partition("\n")[0]
