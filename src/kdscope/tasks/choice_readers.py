"""Reading a choice: a letter, a numbered label, or true/false."""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass
from fractions import Fraction

from kdscope.tasks.letters import letter_mentions, opens_with_letter
from kdscope.tasks.number_reader import NumberReader
from kdscope.tasks.options import matching_options, normalized_words, option_number
from kdscope.tasks.quantities import parse_number
from kdscope.tasks.questions import Question
from kdscope.tasks.readers import Mention, Reading, decide, last_sentence

_SAME_VALUE = Fraction(1, 10**12)
_TRUTHS = {"true": "true", "yes": "true", "false": "false", "no": "false"}
_OPPOSITE = {"true": "false", "false": "true"}


@dataclass(frozen=True, slots=True)
class LetterReader:
    """Reads a letter, or the value of the choice a letter stands for."""

    options: Mapping[str, str]
    question: Question

    def stated(self, sentence: str) -> Reading | None:
        """The letters named as choices, else the choice whose value the sentence states."""
        number = NumberReader(self.question).stated(sentence)
        return self._named(sentence) or self._by_value(sentence, number)

    def whole(self, text: str) -> Reading | None:
        """A letter that opens the text or stands alone on its last line, else the only choice named."""
        if opens_with_letter(text):
            return self._named(text.split("\n", 1)[0])
        last = re.fullmatch(r"\W{0,9}([A-E])\W{0,9}", text.rstrip().rpartition("\n")[2])
        if last:
            return Reading(last[1])
        return self._decided(text, [mention for mention in letter_mentions(text) if mention.start > 0])

    def concluded(self, sentence: str) -> Reading | None:
        """The letters named as choices, else the choice whose value the sentence concludes."""
        number = NumberReader(self.question).concluded(sentence)
        return self._named(sentence) or self._by_value(sentence, number)

    def inferred(self, text: str) -> Reading | None:
        """The choice whose value the text ends on, unless the text names several choices."""
        if len({mention.value for mention in letter_mentions(text)}) > 1:
            return None
        return self._by_value(last_sentence(text), NumberReader(self.question).inferred(text))

    def overrules(self, conclusion: str, statement: Reading) -> Reading | None:
        """Nothing: a stated letter stands, whatever value the text goes on to derive."""
        del conclusion, statement
        return None

    def _named(self, sentence: str) -> Reading | None:
        return self._decided(sentence, letter_mentions(sentence))

    def _decided(self, text: str, mentions: list[Mention]) -> Reading | None:
        """What the mentions name; the first one takes in the text of its own choice, so that a list shows as one."""
        return decide(text, [self._with_choice(text, mentions[0]), *mentions[1:]]) if mentions else None

    def _with_choice(self, text: str, mention: Mention) -> Mention:
        choice = r"\W{1,9}".join(map(re.escape, self.options.get(mention.value, "").split()))
        repeated = re.compile(rf"\W{{0,9}}{choice}", re.IGNORECASE).match(text, mention.end) if choice else None
        return Mention(mention.value, mention.start, repeated.end()) if repeated else mention

    def _by_value(self, sentence: str, number: Reading | None) -> Reading | None:
        wordy = {label: option for label, option in self.options.items() if option_number(option) is None}
        in_words = _one(matching_options(wordy, sentence))
        if in_words is not None or number is None:
            return in_words
        return _one(self._with_number(number.value)) if number.value is not None else Reading(None)

    def _with_number(self, value: str) -> list[str]:
        number = parse_number(value)
        return [
            label
            for label, option in self.options.items()
            if number is not None
            and (found := option_number(option)) is not None
            and abs(found - number) <= _SAME_VALUE * abs(number)
        ]


@dataclass(frozen=True, slots=True)
class LabelReader:
    """Reads a numbered label such as ``answer3``, its number or letter, or the text of the option itself."""

    labels: tuple[str, ...]
    options: Mapping[str, str]

    def stated(self, sentence: str) -> Reading | None:
        """The labels named, else the option whose text, number or letter the sentence gives."""
        return decide(sentence, self._mentions(sentence)) or self._by_text(sentence) or self._by_position(sentence)

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
        return _one(equal) or (self._by_position(text) if len(text.split(maxsplit=1)) == 1 else None)

    def concluded(self, sentence: str) -> Reading | None:
        """The only label, or the only option text, of a sentence."""
        return decide(sentence, self._mentions(sentence)) or self._by_text(sentence)

    def inferred(self, text: str) -> Reading | None:
        """The only label, or the only option text, of the last sentence."""
        return self.concluded(last_sentence(text))

    def overrules(self, conclusion: str, statement: Reading) -> Reading | None:
        """Nothing: a stated label stands."""
        del conclusion, statement
        return None

    def _pattern(self) -> str:
        return rf"\b{self.labels[0].rstrip('0123456789')}\s{{0,3}}[#:]?\s{{0,3}}(\d{{1,9}})\b"

    def _label(self, number: str) -> str | None:
        label = f"{self.labels[0].rstrip('0123456789')}{number}"
        return label if label in self.labels else None

    def _mentions(self, text: str) -> list[Mention]:
        matches = re.finditer(rf"(?<!\bnot ){self._pattern()}", text, re.IGNORECASE)
        return [Mention(label, *match.span()) for match in matches if (label := self._label(match[1]))]

    def _by_text(self, sentence: str) -> Reading | None:
        return _one(matching_options(self.options, sentence))

    def _by_position(self, sentence: str) -> Reading | None:
        number = re.match(
            r"\W{0,9}(?:(?:option|choice|number)\s{0,3})?(\d)\b(?![.,]\d)", sentence, re.IGNORECASE | re.ASCII
        )
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
        opening = re.match(r"\W*+(?:yes|no|true|false)\b", text, re.IGNORECASE)
        mentions = _truths(text, "true|false|yes|no" if opening else "true|false")
        return decide(text, mentions)

    def concluded(self, sentence: str) -> Reading | None:
        """The only truth value of a sentence."""
        return decide(sentence, _truths(sentence, "true|false"))

    def inferred(self, text: str) -> Reading | None:
        """The only truth value of the last sentence."""
        return self.stated(last_sentence(text)) if re.search(r"\b(?:true|false)\b", text, re.I) else None

    def overrules(self, conclusion: str, statement: Reading) -> Reading | None:
        """Nothing: a stated truth value stands."""
        del conclusion, statement
        return None


def _truths(text: str, words: str) -> list[Mention]:
    found = []
    for match in re.finditer(rf"\b(?P<negated>not\s{{1,3}})?(?P<word>{words})\b", text, re.IGNORECASE):
        value = _TRUTHS[match["word"].lower()]
        found.append(Mention(_OPPOSITE[value] if match["negated"] else value, *match.span()))
    return found


def _one(labels: list[str]) -> Reading | None:
    if not labels:
        return None
    return Reading(labels[0] if len(labels) == 1 else None)
