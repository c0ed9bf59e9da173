"""Letters A to E named as choices, as against the article, a variable or a probability."""

from __future__ import annotations

import re

from kdscope.tasks.readers import Mention

# A capital A that opens a sentence may be the article: it counts only before punctuation, a value or the end.
_AFTER_LETTER = r"(?=\s{0,3}(?:$|[.,:;)\]/=]|[-$(]|\d|(?:because|since|which|as|or|and|is)\b))"
# B that is multiplied, raised or compared is a variable.
_NO_FORMULA = r"(?![\w'+*/^]|\s{0,3}[-+*/^=×÷]|\s[x×]\s)"
_OPENING_LETTER = re.compile(
    r"[^\w(]*+(?:(?:the\s)?(?:option|choice|letter)\s{0,3}:?\s{0,3})?"
    rf"(?:\(\s{{0,3}}(?P<closed>[A-Ea-e])\s{{0,3}}\)|(?P<marked>[A-Ea-e])[.)](?!\w)|(?P<article>A){_AFTER_LETTER}"
    rf"|(?P<bare>[B-E]){_NO_FORMULA})"
)
_MARKED_LETTER = re.compile(
    r"(?<![A-Za-z])(?<!\bP )\((?P<closed>[A-E])\)|(?<![\w(])(?P<marked>[A-E])\)"
    r"|\b(?:[Oo]ption|[Cc]hoice)\s{1,3}\(?(?P<named>[A-E])\b"
)
_ALTERNATIVE = re.compile(r"\s{0,3}(?:or|and|/|,|&)\s{0,3}(?:option\s{1,3})?\(?(?P<bare>[A-E])\b")
_LONGEST_FORMULA = 80


def letter_mentions(sentence: str) -> list[Mention]:
    """Letters named as choices: one that opens the sentence, and those marked as in ``(B)`` or ``option B``."""
    opening = _OPENING_LETTER.match(sentence)
    mentions = [_mention(opening)] if opening else []
    start = opening.end() if opening else 0
    marked = _MARKED_LETTER.finditer(sentence, start)
    mentions += [_mention(match) for match in marked if not (match["marked"] and _closes(sentence, match.start()))]
    alternative = _ALTERNATIVE.match(sentence, start) if opening else None
    mentions += [_mention(alternative)] if alternative else []
    return sorted(mentions, key=lambda mention: mention.start)


def opens_with_letter(text: str) -> bool:
    """Whether a letter in parentheses, or before ``)`` or ``.``, opens the text, or is all of it."""
    opening = _OPENING_LETTER.match(text)
    return bool(opening and (opening["closed"] or opening["marked"] or opening.end() == len(text)))


def _mention(match: re.Match[str]) -> Mention:
    name = next(name for name, value in match.groupdict().items() if value)
    return Mention(match[name].upper(), *match.span())


def _closes(text: str, position: int) -> bool:
    """Whether the parenthesis after `position` was opened before it, as in ``P(A or B)``."""
    before = text[max(0, position - _LONGEST_FORMULA) : position]
    return before.rfind("(") > before.rfind(")")
