"""Answers that are a word: one with a number, such as ``answer3``, or true and false."""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass

from kdscope.answers.answer_format import Extraction
from kdscope.answers.letter import letter_mentions
from kdscope.answers.options import ChoiceFormat, matching_options, normalized_words
from kdscope.answers.robust import Mention, Reader, Reading, decide, only_choice, read_answer
from kdscope.answers.statements import last_sentence

_TRUTHS = {"true": "true", "yes": "true", "false": "false", "no": "false"}
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
        reader = TruthReader() if is_truth else LabelReader(self.labels, self.options(instruction))
        return read_answer(reader, completion, finish_reason)


@dataclass(frozen=True)
class LabelReader(Reader):
    """Reads a numbered label such as ``answer3``, its number or letter, or the text of the option itself."""

    labels: tuple[str, ...]
    options: Mapping[str, str]

    may_be_cut_short = False

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
        return only_choice(equal) or (self._by_position(text) if len(text.split(maxsplit=1)) == 1 else None)

    def concluded(self, sentence: str) -> Reading | None:
        """The only label, or the only option text, of a sentence."""
        return decide(sentence, self._mentions(sentence)) or self._by_text(sentence)

    def inferred(self, text: str) -> Reading | None:
        """The only label, or the only option text, of the last sentence."""
        return self.concluded(last_sentence(text))

    def _pattern(self) -> str:
        return rf"\b{self.labels[0].rstrip('0123456789')}\s{{0,3}}[#:]?\s{{0,3}}(\d{{1,9}})\b"

    def _label(self, number: str) -> str | None:
        label = f"{self.labels[0].rstrip('0123456789')}{number}"
        return label if label in self.labels else None

    def _mentions(self, text: str) -> list[Mention]:
        matches = re.finditer(rf"(?<!\bnot ){self._pattern()}", text, re.IGNORECASE)
        return [Mention(label, *match.span()) for match in matches if (label := self._label(match[1]))]

    def _by_text(self, sentence: str) -> Reading | None:
        return only_choice(matching_options(self.options, sentence))

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


@dataclass(frozen=True)
class TruthReader(Reader):
    """Reads true or false, also said as yes or no."""

    may_be_cut_short = False

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


def _truths(text: str, words: str) -> list[Mention]:
    found = []
    for match in re.finditer(rf"\b(?P<negated>not\s{{1,3}})?(?P<word>{words})\b", text, re.IGNORECASE):
        value = _TRUTHS[match["word"].lower()]
        found.append(Mention(_OPPOSITE[value] if match["negated"] else value, *match.span()))
    return found
