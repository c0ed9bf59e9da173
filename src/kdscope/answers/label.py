"""Answers that are a word: one with a number, such as ``answer3``, or true and false."""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass

from kdscope.answers.answer_format import Extraction
from kdscope.answers.letter import IS_WRONG, letter_mentions, with_choice
from kdscope.answers.options import (
    ChoiceFormat,
    filled_blank,
    listed_labels,
    matching_options,
    normalized_words,
    ordinal_position,
    without_denied,
)
from kdscope.answers.robust import Mention, Reader, Reading, decide, only_choice, read_answer
from kdscope.answers.statements import last_sentence

_TRUTHS = {"true": "true", "yes": "true", "false": "false", "no": "false"}
_NO_IDIOM = r"(?<!\bno(?= doubt| idea| clue| question| problem| wonder| matter| one\b))"
_ECHO = re.compile(r"true\s?(?:/|or)\s?false\s?[:?]", re.IGNORECASE)
_NEGATION = (
    r"(?P<negated>(?:\bnot|n't|\bcannot|\bnever|\bhardly|\bfar from)\s{1,3}(?:be\s)?"
    r"(?:(?:really|quite|entirely|absolutely|the case that (?:it|this|that) is"
    r"|(?:think|believe)(?: that)? (?:it|this|that)(?:'s| is))\s)?"
    r"(?!\w+ (?:or|nor)\b))?"
)
_UNTURNED = (
    rf"{_NO_IDIOM}(?!\?)(?!\sto\s(?:say|claim|think|state|assume|believe)\b)"
    r"(?P<denied>['\"]? is (?:wrong|incorrect|not (?:true|right|correct))\b)?"
)
_CLAUSE_END = re.compile(r"[,.;:(]|\b(?:since|because|as)\b", re.IGNORECASE)
_OPENING_DENIAL = re.compile(r"\W*+not\b(?!.*\bbut\b)", re.IGNORECASE)
_EXPLAINED = re.compile(r",?\s(?:since|because|as)\b", re.IGNORECASE)
_YES_OR_NO = re.compile(r"\W*(?:yes|no)\W*", re.IGNORECASE)
_COUNT = "one|two|three|four|five"
_FEW_WORDS = 5
_OPPOSITE = {"true": "false", "false": "true"}
_PUBLISHED_ANSWERS = tuple(f"answer{number}" for number in range(1, 6))


@dataclass(frozen=True)
class LabelFormat(ChoiceFormat):
    """A label such as ``answer3`` or ``true``."""

    label_form = "one word numbered from 1, or true and false"

    def labels_are_readable(self) -> bool:
        """Whether they are one word numbered from 1, or true and false."""
        if self.labels == ("true", "false"):
            return True
        stem = self.labels[0].rstrip("0123456789")
        return bool(stem) and self.labels == tuple(f"{stem}{number}" for number in range(1, len(self.labels) + 1))

    def published_labels(self) -> tuple[str, ...]:
        """The task's own; tasks with ``answerN`` share answer1 to answer5, whatever their number of options."""
        return _PUBLISHED_ANSWERS if self.labels[0] == "answer1" else self.labels

    def read_robust(self, completion: str, finish_reason: str, instruction: str) -> Extraction:
        """The label that the completion states, or whose option it repeats."""
        is_truth = set(self.labels) == {"true", "false"}
        if is_truth:
            return read_answer(TruthReader(), completion, finish_reason)
        options = self.options(instruction)
        labels = listed_labels(self.labels, options)
        return read_answer(LabelReader(labels, options, filled_blank(options, instruction)), completion, finish_reason)


@dataclass(frozen=True)
class LabelReader(Reader):
    """Reads a numbered label such as ``answer3``, its number or letter, or the text of the option itself."""

    labels: tuple[str, ...]
    options: Mapping[str, str]
    filled: Mapping[str, str]

    may_be_cut_short = False

    def stated(self, sentence: str) -> Reading | None:
        """The labels named, else the option whose text, number or letter the sentence gives."""
        return (
            decide(sentence, self._mentions(sentence))
            or self._opening_text(sentence)
            or self._by_text(sentence)
            or self._by_position(sentence)
        )

    def whole(self, text: str) -> Reading | None:
        """The only label named or the one called correct; else a text that is an option or its number."""
        called = re.findall(
            rf"{self._pattern()}\sis\s(?:the\s)?(?:most\s)?(?:correct|right|best|likely)\b", text, re.IGNORECASE
        )
        named = {label for number in called if (label := self._label(number))}
        if len(named) == 1:
            return Reading(named.pop())
        reading = decide(text, self._mentions(text))
        if reading is not None or "\n" in text.strip():
            return reading
        equal = [label for label, option in self.options.items() if normalized_words(option) == normalized_words(text)]
        explained = _EXPLAINED.split(text, maxsplit=1)
        opening = self._opening_text(explained[0]) if len(explained) > 1 else None
        return only_choice(equal) or opening or self._by_position(text, alone=True)

    def concluded(self, sentence: str) -> Reading | None:
        """The only label, or the only option text, of a sentence."""
        return decide(sentence, self._mentions(sentence)) or self._by_text(sentence)

    def inferred(self, text: str) -> Reading | None:
        """The only label, or the only option text, of the last sentence."""
        return self.concluded(last_sentence(text))

    def _pattern(self) -> str:
        stem = self.labels[0].rstrip("0123456789")
        number = r"(?:[#:(\[]|no\.|number\b)?\s{0,3}(\d{1,9})(?!\d|[.,]\d|(?:st|nd|rd|th)\b)"
        return rf"(?<![A-Za-z]){stem}[\s_-]{{0,3}}{number}"

    def _label(self, number: str) -> str | None:
        label = f"{self.labels[0].rstrip('0123456789')}{number}"
        return label if label in self.labels else None

    def _mentions(self, text: str) -> list[Mention]:
        matches = re.finditer(rf"(?<!\bnot )(?<!n't ){self._pattern()}", text, re.IGNORECASE)
        found = [
            Mention(label, *match.span())
            for match in matches
            if (label := self._label(match[1])) and not IS_WRONG.match(text, match.end())
        ]
        return [with_choice(self.options, text, mention) for mention in found[:1]] + found[1:]

    def _by_text(self, sentence: str) -> Reading | None:
        """The only option named, denied ones aside; of several the one that fills the blank of the question."""
        found = matching_options(self.options, sentence)
        if len(found) < 2:
            return None if _OPENING_DENIAL.match(sentence) else only_choice(found)
        affirmed = matching_options(self.options, without_denied(sentence))
        filling = matching_options(self.filled, sentence)
        return next((Reading(labels[0]) for labels in (affirmed, filling) if len(labels) == 1), Reading(None))

    def _opening_text(self, sentence: str) -> Reading | None:
        """The option that a sentence opens with before it explains it: "Mia, since Lena lent it"."""
        clause = _CLAUSE_END.split(sentence, maxsplit=1)[0]
        opened = [
            label for label, option in self.options.items() if _without_article(option) == _without_article(clause)
        ]
        return Reading(opened[0]) if len(opened) == 1 else None

    def _by_position(self, sentence: str, *, alone: bool = False) -> Reading | None:
        """The label with the number, the letter or the ordinal that opens a sentence, or is all of it."""
        number = re.match(
            rf"\W{{0,9}}(?:(?:option|choice|number|answer|{self.labels[0].rstrip('0123456789')})\s{{0,3}}(?P<word>{_COUNT})\b"
            r"|(?:(?:option|choice|number)[\s_:#-]{0,3})?(?P<digit>\d)\b(?![.,]\d))",
            sentence,
            re.IGNORECASE | re.ASCII,
        )
        if number and not (alone and re.search(r"\w", sentence[number.end() :])):
            position = int(number["digit"] or _COUNT.split("|").index(number["word"].lower()) + 1) - 1
            return self._at(position)
        letter = (
            decide(sentence, letter_mentions(sentence)) if not alone or len(sentence.split()) <= _FEW_WORDS else None
        )
        if letter:
            return letter if letter.value is None else self._at(ord(letter.value) - ord("A"))
        return self._at(ordinal_position(sentence, alone=alone))

    def _at(self, position: int | None) -> Reading | None:
        in_list = position is not None and 0 <= position < len(self.labels)
        return Reading(self.labels[position]) if position is not None and in_list else None


def _without_article(text: str) -> str:
    return re.sub(r"\A(?:the|an?) ", "", normalized_words(text))


@dataclass(frozen=True)
class TruthReader(Reader):
    """Reads true or false, also said as yes or no."""

    may_be_cut_short = False

    def stated(self, sentence: str) -> Reading | None:
        """True or false where either is named, else yes or no."""
        return (
            decide(sentence, _truths(sentence, "true|false"))
            or decide(sentence, _truths(sentence, "yes|no"))
            or _initial(sentence)
        )

    def whole(self, text: str) -> Reading | None:
        """The word the text opens with, else the only truth value it names; ``no`` inside a sentence is no answer."""
        opening = re.match(rf"\W*+(?:yes|no|true|false)\b{_NO_IDIOM}", text, re.IGNORECASE)
        mentions = _truths(text, "true|false|yes|no" if opening else "true|false")
        return decide(text, mentions) or _initial(text)

    def concluded(self, sentence: str) -> Reading | None:
        """The only truth value of a sentence."""
        return decide(sentence, _truths(sentence, "true|false"))

    def inferred(self, text: str) -> Reading | None:
        """The only truth value of the last sentence; yes or no where it is all of it."""
        last = last_sentence(text)
        is_told = _YES_OR_NO.fullmatch(last) or re.search(r"true\b|\bfalse\b", text, re.IGNORECASE)
        return self.stated(last) if is_told else None


def _initial(text: str) -> Reading | None:
    """T, F, Y or N as all of a text."""
    initial = re.fullmatch(r"\W*([TFYNtf])\W*", text)
    return Reading("true" if initial[1] in "TYt" else "false") if initial else None


def _truths(text: str, words: str) -> list[Mention]:
    """Truth values in a text: negated ones turned, idioms such as ``no doubt`` and ``false to say`` left out."""
    found = []
    text = _ECHO.sub(lambda echo: " " * len(echo[0]), text)
    for match in re.finditer(
        rf"{_NEGATION}\b(?P<un>un(?=true))?(?P<word>{words})(?P=word)*\b{_UNTURNED}", text, re.IGNORECASE
    ):
        value = _TRUTHS[match["word"].lower()]
        turned = sum(match[name] is not None for name in ("negated", "un", "denied")) % 2
        found.append(Mention(_OPPOSITE[value] if turned else value, *match.span()))
    return found
