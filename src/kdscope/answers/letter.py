"""Answers that are a letter: A to E named as choices, as against the article, a variable or a probability."""

from __future__ import annotations

import itertools
import re
from collections.abc import Mapping
from dataclasses import dataclass
from fractions import Fraction

from kdscope.answers.answer_format import Extraction
from kdscope.answers.number import NumberReader
from kdscope.answers.options import ChoiceFormat, listed_labels, matching_options, option_number, ordinal_position
from kdscope.answers.quantities import parse_number
from kdscope.answers.questions import Question, parse_question
from kdscope.answers.robust import Mention, Reader, Reading, decide, only_choice, read_answer
from kdscope.answers.statements import last_sentence

# A capital A that opens a sentence may be the article: it counts only before punctuation, a value or the end.
_AFTER_LETTER = r"(?=\s{0,3}(?:$|[.,:;)\]/=]|[-$(]|\d|(?:because|since|which|as|or|and|is)\b))"
# B that is multiplied, raised or compared is a variable.
_NO_FORMULA = r"(?![\w'+*/^]|\s{0,3}[-+*/^=×÷]|\s[x×]\s)"
# "It's B" and "B is correct" name a choice, "it is A car" and "B is correct that" do not.
_AFTER_CHOICE = r"(?=[\W_]*(?:\Z|\n)|\)?[).,:;]|\s(?:because|since|as)\b)"
_CALLED = r"(?:the\s)?(?:(?:most\s)?(?:correct|right|best|likely)(?:\s(?:answer|option|choice|one))?|answer)"
_OPENING_LETTER = re.compile(
    r"[^\w(]*+(?:(?:[Tt]he|la|die)\s)?(?:(?:[Oo]ption|[Cc]hoice|[Ll]etter|[Aa]nswer)\s{0,3}:?\s{0,3})?"
    rf"(?:\(\s{{0,3}}(?P<closed>[A-Ea-e])\s{{0,3}}\)|(?P<marked>[A-Ea-e])[.)](?!\w)|(?P<article>A){_AFTER_LETTER}"
    rf"|(?P<bare>[B-E]){_NO_FORMULA}|(?P<alone>[a-e])(?=\W*\Z))"
)
_MARKED_LETTER = re.compile(
    r"(?=[(A-EGHIMOPSTa-eghimopst])(?:(?<![A-Za-z])(?<!\bP )\((?P<closed>[A-E])\)|(?<![\w(])(?P<marked>[A-E])\)"
    r"|\b(?:[Oo]ption|[Cc]hoice)\s{1,3}\(?(?P<named>[A-E])\b"
    r"|\b(?:[Cc]hoose|[Cc]hose|[Pp]ick|[Ss]elect|[Gg]o(?:ing)? with"
    r"|(?:[Ss]o|[Hh]ence|[Tt]herefore|[Tt]hus),?|[Ss]ay|[Pp]robably|[Ii]t's|[Ii]t is"
    r"|[Mm]ust be|(?:choice|option|pick|guess) is)\s{1,3}(?:(?:option|choice|letter|answer)\s)?"
    rf"\(?(?P<chosen>[A-E]){_AFTER_CHOICE}"
    rf"|(?<![A-Za-z])(?P<called>[A-Ea-e])\)?\s(?:is|was|must be|would be|seems)\s{_CALLED}{_AFTER_CHOICE})"
)
_ALTERNATIVE = re.compile(r"\s{0,3}(?:or|and|/|,|&)\s{0,3}(?:option\s{1,3})?\(?(?P<bare>[A-E])\b")
IS_WRONG = re.compile(
    r"\)?\s(?:(?:is|was|are)\s(?:\w+\s)?(?:wrong|incorrect|false|impossible|not\b)"
    r"|(?:does|did|would|could)(?:\snot\b|n't))",
    re.IGNORECASE,
)
_ONE_LETTER = re.compile(r"\W{0,9}([A-E])\W{0,9}")
# Models that loop list the choices thousands of times.
_MOST_MENTIONS = 200
_LONGEST_FORMULA = 80
_SAME_VALUE = Fraction(1, 10**12)


@dataclass(frozen=True)
class LetterFormat(ChoiceFormat):
    """A letter from A to at most E."""

    default_labels = ("A", "B", "C", "D", "E")
    label_form = "A to at most E"

    def labels_are_readable(self) -> bool:
        """Whether they are the first letters of the alphabet, up to E."""
        return "".join(self.labels) == "ABCDE"[: len(self.labels)]

    def read_robust(self, completion: str, finish_reason: str, instruction: str) -> Extraction:
        """The letter that the completion states, or whose option it works out."""
        options = self.options(instruction)
        reader = LetterReader(listed_labels(self.labels, options), options, parse_question(instruction))
        return read_answer(reader, completion, finish_reason)


@dataclass(frozen=True)
class LetterReader(Reader):
    """Reads a letter, or the value of the choice a letter stands for."""

    labels: tuple[str, ...]
    options: Mapping[str, str]
    question: Question

    def stated(self, sentence: str) -> Reading | None:
        """The letters named as choices, else the choice whose value the sentence states."""
        number = NumberReader(self.question).stated(sentence)
        return self._named(sentence) or self._by_value(sentence, number) or self._by_order(sentence, alone=False)

    def whole(self, text: str) -> Reading | None:
        """A letter that opens the text or stands alone on its last line, else the only choice named."""
        lines = text.strip().split("\n")
        only = _ONE_LETTER.fullmatch(lines[-1]) or _ONE_LETTER.fullmatch(lines[0])
        if only:
            return self._decided(only[1], [Mention(only[1], 0, 1)])
        if opens_with_letter(text):
            return self._named(text.split("\n", 1)[0])
        opening = _OPENING_LETTER.match(text)
        if opening and _ALTERNATIVE.match(text, opening.end()):
            return Reading(None)
        return self._decided(text, _marked_mentions(text, 0)) or self._by_order(text, alone=True)

    def concluded(self, sentence: str) -> Reading | None:
        """The letters named as choices, else the choice whose value the sentence concludes."""
        number = NumberReader(self.question).concluded(sentence)
        return self._named(sentence) or self._by_value(sentence, number)

    def inferred(self, text: str) -> Reading | None:
        """The choice whose value the text ends on, unless the text names several choices."""
        if len({mention.value for mention in letter_mentions(text)}) > 1:
            return None
        return self._by_value(last_sentence(text), NumberReader(self.question).inferred(text))

    def _named(self, sentence: str) -> Reading | None:
        return self._decided(sentence, letter_mentions(sentence))

    def _decided(self, text: str, mentions: list[Mention]) -> Reading | None:
        """What the mentions name; the first one takes in the text of its own choice, so that a list shows as one."""
        mentions = [mention for mention in mentions if mention.value in self.labels]
        return decide(text, [with_choice(self.options, text, mentions[0]), *mentions[1:]]) if mentions else None

    def _by_order(self, text: str, *, alone: bool) -> Reading | None:
        position = ordinal_position(text, alone=alone)
        return Reading(self.labels[position]) if position is not None and position < len(self.labels) else None

    def _by_value(self, sentence: str, number: Reading | None) -> Reading | None:
        wordy = {label: option for label, option in self.options.items() if option_number(option) is None}
        in_words = only_choice(matching_options(wordy, sentence))
        if in_words is not None or number is None:
            return in_words
        return only_choice(self._with_number(number.value)) if number.value is not None else Reading(None)

    def _with_number(self, value: str) -> list[str]:
        number = parse_number(value)
        return [
            label
            for label, option in self.options.items()
            if number is not None
            and (found := option_number(option)) is not None
            and abs(found - number) <= _SAME_VALUE * abs(number)
        ]


def with_choice(options: Mapping[str, str], text: str, mention: Mention) -> Mention:
    """A mention with the text of its own choice, where that follows."""
    choice = r"\W{1,9}".join(map(re.escape, options.get(mention.value, "").split()))
    repeated = re.compile(rf"\W{{0,9}}{choice}", re.IGNORECASE).match(text, mention.end) if choice else None
    return Mention(mention.value, mention.start, repeated.end()) if repeated else mention


def letter_mentions(sentence: str) -> list[Mention]:
    """Letters named as choices: one that opens the sentence, and those marked as in ``(B)`` or ``option B``."""
    opening = _opening_letter(sentence)
    mentions = [_mention(opening)] if opening else []
    start = opening.end() if opening else 0
    mentions += _marked_mentions(sentence, start)
    alternative = _ALTERNATIVE.match(sentence, start) if opening else None
    mentions += [_mention(alternative)] if alternative else []
    return sorted(mentions, key=lambda mention: mention.start)


def _opening_letter(text: str) -> re.Match[str] | None:
    opening = _OPENING_LETTER.match(text)
    return None if opening is None or IS_WRONG.match(text, opening.end()) else opening


def _marked_mentions(text: str, start: int) -> list[Mention]:
    marked = itertools.islice(_MARKED_LETTER.finditer(text, start), _MOST_MENTIONS)
    return [
        _mention(match)
        for match in marked
        if not (match["marked"] and _closes(text, match.start()))
        and not text.endswith(("not ", "n't "), 0, match.start())
        and not IS_WRONG.match(text, match.end())
    ]


def opens_with_letter(text: str) -> bool:
    """Whether a letter in parentheses, or before ``)`` or ``.``, opens the text, or is all of it."""
    opening = _opening_letter(text)
    return bool(opening and (opening["closed"] or opening["marked"] or opening.end() == len(text)))


def _mention(match: re.Match[str]) -> Mention:
    return Mention(match[match.lastgroup or 0].upper(), *match.span())


def _closes(text: str, position: int) -> bool:
    """Whether the parenthesis after `position` was opened before it, as in ``P(A or B)``."""
    before = text[max(0, position - _LONGEST_FORMULA) : position]
    return before.rfind("(") > before.rfind(")")
