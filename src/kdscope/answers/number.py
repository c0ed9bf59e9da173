"""Answers that are a free number."""

from __future__ import annotations

import itertools
import math
import re
from collections.abc import Sequence
from dataclasses import dataclass

from kdscope.answers.answer_format import AnswerFormat, Extraction, Rules, first_response, published_extraction
from kdscope.answers.quantities import (
    Quantity,
    canonical_number,
    find_quantities,
    numbers_match,
    parse_number,
)
from kdscope.answers.questions import Question, parse_question, without_asked_magnitude
from kdscope.answers.relations import (
    computes,
    equated,
    is_equated,
    is_listed,
    is_part_of,
    is_undecided,
    main_numbers,
    results,
    values,
)
from kdscope.answers.robust import Reader, Reading, read_answer
from kdscope.answers.spelled import spelled_numbers
from kdscope.answers.statements import is_conclusive, last_sentence

_HEDGE = (
    r"(?:about|approximately|roughly|around|only|exactly|just|simply|equal|to|a|rs|usd|us"
    r"|(?:the\s+)?(?:total|number)(?:\s+of)?)\b"
    r"|[a-z]\s?="
)
_OPENING = re.compile(rf"\W*+(?:(?:{_HEDGE})\W*+)*+", re.IGNORECASE)
_EXPLANATION = re.compile(r"\b(?:which|because|since|meaning)\b", re.IGNORECASE)
_CLAUSE_END = re.compile(
    r";|(?<![-+*/×÷=])(?<![-+*/×÷=]\s)\(|,\s|\b(?:which|because|since|so|as|meaning|where|when|if|not)\b", re.IGNORECASE
)
_ALTERNATIVE = re.compile(r"\b(?:or|and|to)\b|^\W*$", re.IGNORECASE)
_BARE_ALTERNATIVE = re.compile(r"\s*(?:or|and|to|-)\s*")
_WHICH_IS = re.compile(r"\s(?:is|equals)\b")
_ZERO = re.compile(r"\W*+(?:none|nothing|nil)\b(?!\s(?:of|but)\b)", re.IGNORECASE)
# "- 7" and "- 7 °C" as all of a text have a sign, "- 7 apples" is an item of a list.
_SPACED_SIGN = re.compile(r"\A\W*- (?=[$£€]?\d[\d.,]*\s?(?:°.*|degrees?\b.*|\W*)\Z)")
_LIST_MARK = re.compile(r"^[ \t]{0,9}\d{1,2}[.)](?=[ \t]+\S|\s*\Z)", re.MULTILINE)
_CLAUSE = re.compile(r",\s|;|\b(?:and|which|while|but|if|because)\b", re.IGNORECASE)
_NOTHING = re.compile(r"\b(?:no|not|none|nothing|never|cannot|same|equal)\b|n't\b", re.IGNORECASE)
_LONGEST_BARE_ANSWER = 100
_LONGEST_BARE_ANSWER_WORDS = 6


# What a match of the published pattern can consist of, backwards from the last digit; and the matches before the last.
_LAST_STRETCH = re.compile(r"\d[\d.]*+-?")
_EARLIER_MATCHES = re.compile(r"\A-?\.*+(?:\d++\.\d*+\.*+(?=\d))++")
_PUBLISHED_TOLERANCE = 0.001


@dataclass(frozen=True)
class NumberFormat(AnswerFormat):
    """A number: read as text, compared as a number."""

    domain = "math"
    is_number = True

    def read_published(self, completion: str) -> Extraction:
        r"""The last match of ``-?\d+\.?\d*``, commas removed, written as a Python float (``"4.0"``).

        A number too large for a float counts as unparsed, as the paper's code gives both infinity.
        """
        return published_extraction(_last_float(first_response(completion)), "fallback")

    def read_robust(self, completion: str, finish_reason: str, instruction: str) -> Extraction:
        """The number that the completion states."""
        asked, said = without_asked_magnitude(instruction, completion)
        return read_answer(NumberReader(parse_question(asked)), said, finish_reason)

    def matches(self, value: str, gold: str, rules: Rules) -> bool:
        """By the published rules to 0.001; by the robust ones exactly for an integer, else to a relative 1e-6."""
        if rules == "robust":
            return numbers_match(value, gold)
        predicted, expected = parse_number(value), parse_number(gold)
        if predicted is None or expected is None:
            return False
        return abs(float(expected) - float(predicted)) <= _PUBLISHED_TOLERANCE

    def gold_problem(self, gold: str) -> str | None:
        """It must be a number."""
        return None if parse_number(gold) is not None else f"the gold answer {gold!r} is not a number"


@dataclass(frozen=True)
class NumberReader(Reader):
    """Reads a number; knows which numbers the question itself gave and what it asks for."""

    question: Question

    knows_short_marker = True

    def stated(self, sentence: str) -> Reading | None:
        """The number the sentence opens with or computes, else the only one, else the one the question asks for.

        "-3, which means 3 fewer" is 3: the sign became a word.
        """
        statement, *explanation = _EXPLANATION.split(sentence, maxsplit=1)
        numbers = [*self._spelled_opening(statement), *self._numbers(statement)]
        if not numbers:
            return _without_numbers(statement)
        if len(values(numbers)) == 1:
            return _reading(self._explained(numbers[0], statement, explanation))
        if _OPENING.fullmatch(statement[: numbers[0].start]):
            better = self._explained(numbers[0], statement, explanation)
            if abs(better.value) != abs(numbers[0].value):
                return _reading(better)
            return self._opening(statement, numbers) or self._equated(sentence, numbers) or Reading(None)
        return self._chosen(statement, numbers) or Reading(None)

    def whole(self, text: str) -> Reading | None:
        """A completion that is nothing but a number and perhaps its unit."""
        bare = text.strip()
        if "\n" in bare or len(bare) > _LONGEST_BARE_ANSWER or len(bare.split()) > _LONGEST_BARE_ANSWER_WORDS:
            return None
        text = _SPACED_SIGN.sub("-", text)
        numbers = find_quantities(text) or self._words(text)
        if len(numbers) != 1 or not main_numbers(text, numbers):
            return Reading("0") if not numbers and _ZERO.match(text) else None
        return _reading(numbers[0]) if _OPENING.fullmatch(text[: numbers[0].start]) else None

    def concluded(self, sentence: str) -> Reading | None:
        """The only number of a concluding sentence, else its result, else the one the question asks for."""
        numbers = self._numbers(sentence)
        if len(values(numbers)) < 2:
            return _reading(numbers[0]) if numbers else None
        return self._chosen(sentence, numbers) or self._equated(sentence, numbers)

    def inferred(self, text: str) -> Reading | None:
        """What the last sentence with a number concludes, list numbering aside.

        A conclusion without a number after it leaves nothing to infer, unless it says that none is left or needed.
        """
        plain = _LIST_MARK.sub("", text)
        sentence, last = last_sentence(plain, with_digit=True), last_sentence(plain)
        if not sentence:
            return self.concluded(last) or self._only_word(last)
        reading = self.concluded(sentence) or (Reading(None) if find_quantities(sentence) else None)
        if sentence == last or not is_conclusive(last):
            return reading
        return reading if reading and reading.value == "0" and _NOTHING.search(last) else None

    def overrules(self, conclusion: str, statement: Reading) -> Reading | None:
        """What a later conclusion says, when it says something else than `statement`."""
        values = {canonical_number(number.value) for number in find_quantities(conclusion)}
        concluded = self.concluded(conclusion) if statement.value not in values else None
        return concluded if concluded and concluded.value is not None else None

    def _opening(self, sentence: str, numbers: list[Quantity]) -> Reading | None:
        """The number a sentence opens with, unless its clause goes on to compute or offers another."""
        first = numbers[0]
        if is_undecided(sentence, first):
            return None
        clause_end = _CLAUSE_END.search(sentence, first.end)
        end = clause_end.start() if clause_end else len(sentence)
        clause = [number for number in numbers if number.start < end]
        result = results(sentence[:end], clause)
        if result:
            stands = len(clause) == 2 and self._is_better(first, result[0], sentence)
            return _reading(first if stands else result[0])
        others = [number for number in clause if number.value != first.value]
        given = self._equated(sentence, numbers) if is_part_of(sentence, *numbers[:2]) else None
        if given:
            return given
        between = sentence[first.end : others[0].start] if others else None
        if between is not None and (_ALTERNATIVE.search(between) or computes(sentence, *clause[:2])):
            # The unit after "26 or 44 stamps" is that of both.
            shared = _BARE_ALTERNATIVE.fullmatch(between) and not self.question.units & {"$", "%"}
            return None if shared else self._asked(sentence, clause)
        return None if is_listed(sentence, *numbers[:2]) else _reading(self._restated(sentence, numbers))

    def _explained(self, number: Quantity, statement: str, explanation: list[str]) -> Quantity:
        """The number stated, or what the explanation says it is in the unit asked for: "1/4, which is 25%"."""
        asked = self.question.asks_for(number, statement)
        for part in explanation:
            numbers = find_quantities(part)
            if numbers and not asked and _WHICH_IS.match(part) and self.question.asks_for(numbers[0], part):
                return numbers[0]
        return _in_words(number, explanation)

    def _restated(self, sentence: str, numbers: list[Quantity]) -> Quantity:
        """The first number, or one that says the same in the unit asked for: "0.5, or 50%"."""
        first, *others = numbers
        again = [number for number in others if is_equated(sentence, first.end, number)]
        better = [number for number in again if self._is_better(number, first, sentence)]
        return better[0] if len(values(better)) == 1 else first

    def _is_better(self, number: Quantity, other: Quantity, sentence: str) -> bool:
        """Whether of two numbers only the first carries the unit asked for."""
        return self.question.asks_for(number, sentence) and not self.question.asks_for(other, sentence)

    def _equated(self, sentence: str, numbers: list[Quantity]) -> Reading | None:
        every = sorted([*find_quantities(sentence), *self._words(sentence)], key=lambda number: number.start)
        given = equated(sentence, [*numbers[:2], *(number for number in every if number.start > numbers[1].start)])
        return _reading(given) if given else None

    def _chosen(self, sentence: str, numbers: list[Quantity]) -> Reading | None:
        """One of several numbers: a result, the one with the unit asked for, the only new one, the one asked about."""
        if is_undecided(sentence, numbers[0]):
            return None
        result = results(sentence, numbers)
        asked = self._asked(sentence, result or numbers)
        if asked:
            return asked
        if result:
            return _reading(result[0])
        new = [number for number in numbers if number.value not in self.question.given]
        return _reading(new[0]) if len(values(new)) == 1 else self._in_closest_clause(sentence, new or numbers)

    def _asked(self, sentence: str, numbers: Sequence[Quantity]) -> Reading | None:
        """The only number with the unit asked for; several are ambiguous ("80 tomatoes and 77 potatoes")."""
        asked = [number for number in numbers if self.question.asks_for(number, sentence)]
        if len(values(asked)) < 2:
            return _reading(asked[0]) if asked else None
        if re.search(r"\band\b", sentence[asked[0].end : asked[1].start]):
            return Reading(None)
        new = [number for number in asked if number.value not in self.question.given]
        return _reading(new[0]) if len(values(new)) == 1 else None

    def _in_closest_clause(self, sentence: str, numbers: Sequence[Quantity]) -> Reading | None:
        """The only number of the clause that repeats most of the question."""
        starts = [0, *(match.end() for match in _CLAUSE.finditer(sentence)), len(sentence)]
        spans = list(itertools.pairwise(starts))
        shared = [self.question.shared_words(sentence[start:end]) for start, end in spans]
        best = max(shared)
        if shared.count(best) > 1:
            return None
        start, end = spans[shared.index(best)]
        inside = [number for number in numbers if start <= number.start < end]
        return _reading(inside[0]) if len(values(inside)) == 1 else None

    def _numbers(self, sentence: str) -> list[Quantity]:
        """Numbers in digits; else those in words if they open the sentence, or one with the unit asked for."""
        found = main_numbers(sentence, find_quantities(sentence))
        if found:
            return found
        words = main_numbers(sentence, self._words(sentence))
        if words and _OPENING.fullmatch(sentence[: words[0].start]):
            return words
        return [number for number in words if self.question.asks_for(number, sentence)][:1]

    def _only_word(self, sentence: str) -> Reading | None:
        """The only number in words; "one" is more often a pronoun."""
        words = main_numbers(sentence, self._words(sentence))
        clear = len(values(words)) == 1 and words[0].value != 1 and "dozen" not in sentence
        return _reading(words[0]) if clear else None

    def _spelled_opening(self, sentence: str) -> list[Quantity]:
        """A number in words that opens the sentence before digits explain it: "twelve (20 - 8)"."""
        return [
            number
            for number in self._words(sentence[:_LONGEST_BARE_ANSWER])
            if _OPENING.fullmatch(sentence[: number.start]) and re.match(r"\s?[,(:;=]", sentence[number.end :])
        ]

    def _words(self, text: str) -> list[Quantity]:
        return spelled_numbers(text, self.question.units)


def _without_numbers(statement: str) -> Reading | None:
    """None at all is 0; a bound, a time of day or a formula is no number."""
    if _ZERO.match(statement):
        return Reading("0")
    return Reading(None) if find_quantities(statement) else None


def _in_words(number: Quantity, explanation: list[str]) -> Quantity:
    """A negative number whose explanation says it without the sign: "-3, which means 3 fewer"."""
    magnitudes = {found.value for part in explanation for found in find_quantities(part)}
    if number.value < 0 and -number.value in magnitudes:
        return Quantity(-number.value, number.start, number.end)
    return number


def _reading(number: Quantity) -> Reading:
    return Reading(canonical_number(number.value))


def _last_float(text: str) -> str | None:
    r"""The last match of ``-?\d+\.?\d*`` as a float, found from the end of the text."""
    stretch = _LAST_STRETCH.search(text.replace(",", "")[::-1])
    if stretch is None:
        return None
    last = _EARLIER_MATCHES.sub("", stretch[0][::-1], count=1)
    number = float(re.findall(r"-?\d+\.?\d*", last)[-1])
    return str(number) if math.isfinite(number) else None
