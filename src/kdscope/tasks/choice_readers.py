"""Reading a choice: a letter, a numbered label, or true/false."""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass

from kdscope.tasks.number_reader import NumberReader
from kdscope.tasks.options import matching_options, normalized_words
from kdscope.tasks.quantities import find_quantities, parse_number
from kdscope.tasks.readers import Mention, Reading, decide, last_sentence

# A capital A that opens a sentence may be the article: it counts only before punctuation, a value or the end.
_AFTER_LETTER = r"(?=\s*(?:$|[.,:;)\]/=]|[-$(]|\d|(?:because|since|which|as|or|and|is)\b))"
_OPENING_LETTER = re.compile(
    r"\W*?(?:(?:the\s+)?(?:option|choice|letter)\s*:?\s*)?"
    rf"(?:\(\s*(?P<closed>[A-Ea-e])\s*\)|(?P<marked>[A-Ea-e])[.)](?!\w)|(?P<article>A){_AFTER_LETTER}"
    r"|(?P<bare>[B-E])(?![\w'+*/^]|\s*[-+*/^=]))",
)
_MARKED_LETTER = re.compile(
    r"(?<![A-Za-z])\((?P<closed>[A-E])\)|(?<![\w(])(?P<marked>[A-E])\)|\b(?:[Oo]ption|[Cc]hoice)\s+\(?(?P<named>[A-E])\b"
)


@dataclass(frozen=True, slots=True)
class LetterReader:
    """Reads a letter, or the value of the choice a letter stands for."""

    options: Mapping[str, str]

    def stated(self, sentence: str) -> Reading | None:
        """The letters named as choices, else the choice whose value the sentence states."""
        return decide(sentence, letter_mentions(sentence)) or self._by_value(sentence)

    def whole(self, text: str) -> Reading | None:
        """A letter that opens the text or stands alone on its last line, else the only choice named."""
        opening = _OPENING_LETTER.match(text)
        if opening and (opening["closed"] or opening["marked"] or opening.end() == len(text)):
            return decide(text, letter_mentions(text.split("\n")[0]))
        last = re.search(r"\n\W*([A-E])\W*$", text)
        if last:
            return Reading(last[1])
        return decide(text, [mention for mention in letter_mentions(text) if mention.start > 0])

    def inferred(self, text: str) -> Reading | None:
        """The choice whose value the text ends on."""
        number = NumberReader(frozenset()).inferred(text)
        by_number = self._with_number(number.value) if number else []
        if len(by_number) == 1:
            return Reading(by_number[0])
        return _one(matching_options(self._wordy(), last_sentence(text)))

    def _by_value(self, sentence: str) -> Reading | None:
        in_words = _one(matching_options(self._wordy(), sentence))
        number = NumberReader(frozenset()).stated(sentence)
        if in_words is not None or number is None:
            return in_words
        return _one(self._with_number(number.value)) if number.value is not None else Reading(None)

    def _with_number(self, value: str | None) -> list[str]:
        number = parse_number(value or "")
        return [
            label
            for label, option in self.options.items()
            if len(found := find_quantities(option)) == 1 and found[0].value == number
        ]

    def _wordy(self) -> dict[str, str]:
        return {label: option for label, option in self.options.items() if len(find_quantities(option)) != 1}


@dataclass(frozen=True, slots=True)
class LabelReader:
    """Reads a numbered label such as ``answer3``, its number or letter, or the text of the option itself."""

    labels: tuple[str, ...]
    options: Mapping[str, str]

    def stated(self, sentence: str) -> Reading | None:
        """The label named, else the option whose text is stated, else a bare number or letter."""
        return decide(sentence, self._mentions(sentence)) or self._by_text(sentence) or self._by_position(sentence)

    def whole(self, text: str) -> Reading | None:
        """The only label named or the one called correct; else a text that is an option or its number."""
        called = re.findall(
            rf"{self._pattern()}\s+is\s+(?:the\s+)?(?:most\s+)?(?:correct|right|best|likely)\b", text, re.I
        )
        named = {label for number in called if (label := self._label(number))}
        if len(named) == 1:
            return Reading(named.pop())
        reading = decide(text, self._mentions(text))
        if reading is not None or "\n" in text.strip():
            return reading
        equal = [label for label, option in self.options.items() if normalized_words(option) == normalized_words(text)]
        return _one(equal) or (self._by_position(text) if len(text.split()) == 1 else None)

    def inferred(self, text: str) -> Reading | None:
        """The only label, or the only option text, of the last sentence."""
        sentence = last_sentence(text)
        return decide(sentence, self._mentions(sentence)) or self._by_text(sentence)

    def _pattern(self) -> str:
        return rf"\b{self.labels[0].rstrip('0123456789')}\s*[#:]?\s*(\d+)\b"

    def _label(self, number: str) -> str | None:
        label = f"{self.labels[0].rstrip('0123456789')}{number}"
        return label if label in self.labels else None

    def _mentions(self, text: str) -> list[Mention]:
        matches = re.finditer(rf"(?<!\bnot ){self._pattern()}", text, re.IGNORECASE)
        return [Mention(label, *match.span()) for match in matches if (label := self._label(match[1]))]

    def _by_text(self, sentence: str) -> Reading | None:
        return _one(matching_options(self.options, sentence))

    def _by_position(self, sentence: str) -> Reading | None:
        number = re.match(r"\W*(?:(?:option|choice|number)\s*)?(\d)\b(?![.,]\d)", sentence, re.IGNORECASE)
        if number:
            label = self._label(number[1])
            return Reading(label) if label else None
        letter = decide(sentence, letter_mentions(sentence))
        if letter is None or letter.value is None:
            return letter
        position = ord(letter.value) - ord("A")
        return Reading(self.labels[position]) if position < len(self.labels) else None


@dataclass(frozen=True, slots=True)
class TruthReader:
    """Reads true or false, also said as yes or no."""

    def stated(self, sentence: str) -> Reading | None:
        """True or false where either is named, else yes or no."""
        return decide(sentence, _truths(sentence, "true|false")) or decide(sentence, _truths(sentence, "yes|no"))

    def whole(self, text: str) -> Reading | None:
        """The word the text opens with, else the only truth value it names; ``no`` inside a sentence is no answer."""
        opening = re.match(r"\W*(?:yes|no|true|false)\b", text, re.IGNORECASE)
        mentions = _truths(text, "true|false|yes|no" if opening else "true|false")
        return decide(text, mentions)

    def inferred(self, text: str) -> Reading | None:
        """The only truth value of the last sentence."""
        return self.stated(last_sentence(text)) if re.search(r"\b(?:true|false)\b", text, re.I) else None


def letter_mentions(sentence: str) -> list[Mention]:
    """Letters A to E named as choices: one that opens the sentence, and those marked as in ``(B)`` or ``option B``."""
    opening = _OPENING_LETTER.match(sentence)
    mentions = [_letter(opening)] if opening else []
    start = opening.end() if opening else 0
    mentions += [_letter(match) for match in _MARKED_LETTER.finditer(sentence, start)]
    if opening:
        alternative = re.compile(r"\s*(?:or|and|/|,|&)\s*(?:option\s+)?\(?(?P<bare>[A-E])\b").match(sentence, start)
        mentions += [_letter(alternative)] if alternative else []
    return sorted(mentions, key=lambda mention: mention.start)


def _letter(match: re.Match[str]) -> Mention:
    name = next(name for name, value in match.groupdict().items() if value)
    return Mention(match[name].upper(), *match.span())


def _truths(text: str, words: str) -> list[Mention]:
    truth = {"true": "true", "yes": "true", "false": "false", "no": "false"}
    opposite = {"true": "false", "false": "true"}
    found = []
    for match in re.finditer(rf"\b(?P<negated>not\s+)?(?P<word>{words})\b", text, re.IGNORECASE):
        value = truth[match["word"].lower()]
        found.append(Mention(opposite[value] if match["negated"] else value, *match.span()))
    return found


def _one(labels: list[str]) -> Reading | None:
    if not labels:
        return None
    return Reading(labels[0] if len(labels) == 1 else None)
