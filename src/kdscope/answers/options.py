"""Answers that are one of several options: what letters and labels have in common."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from fractions import Fraction

from kdscope.answers.answer_format import AnswerFormat, Extraction, Rules, first_response, published_extraction
from kdscope.answers.quantities import find_quantities
from kdscope.answers.typography import plain_typography

_LONG_WORD = re.compile(r"[^\W\d_]{4}")
_BLANK = re.compile(r"_+(?P<after>(?:\s[\w']+){1,3}|'s\s[\w']+)?")
_LONGEST_WORDS_BEFORE = 60
_DENIED = re.compile(
    r"(?:\bnot\b|n't\b|\bnever\b|\bneither\b)[^.;\n]{1,80}?\bbut\b(?: rather\b)?"
    r"|(?:(?:,\s(?:and\s)?|\sand\s)not\b|\brather than\b|\binstead of\b)[^,.;\n]{1,80}",
    re.IGNORECASE,
)
_ORDINALS = ("first", "second", "third", "fourth", "fifth", "1st", "2nd", "3rd", "4th", "5th")
_ONLY_RIGHT = re.compile(r"(?:\sis\s(?:the\s)?(?:right|correct|best)(?:\sone)?)?\W*")
_ORDINAL = re.compile(
    rf"\W*+(?:the\s)?(?P<ordinal>{'|'.join(_ORDINALS)})\b(?P<noun>\s(?:one|option|choice|answer|ending|solution)\b)?",
    re.IGNORECASE,
)
_FORMULA = re.compile(r"[+*^=<>!√π(]|\A\s*/|/\s|/\Z|[A-Za-z]/\d|\d/[A-Za-z]\Z")


@dataclass(frozen=True)
class ChoiceFormat(AnswerFormat):
    """One of the labels, written as it is in the data."""

    def read_published(self, completion: str) -> Extraction:
        """The first of the labels anywhere in the text, even inside a word; case-sensitive."""
        found = re.search("|".join(map(re.escape, self.published_labels())), first_response(completion))
        return published_extraction(found[0] if found else None, "explicit")

    def published_labels(self) -> tuple[str, ...]:
        """The labels that the published rules look for."""
        return self.labels

    def matches(self, value: str, gold: str, rules: Rules) -> bool:
        """Whether they are the same label."""
        return value == gold

    def gold_problem(self, gold: str) -> str | None:
        """It must be one of the labels."""
        return None if gold in self.labels else f"the gold answer {gold!r} is not one of {', '.join(self.labels)}"

    def options(self, instruction: str) -> dict[str, str]:
        """Label to option text, in order; empty when the instruction lists none."""
        return parse_options(self.labels, instruction)


def parse_options(labels: Sequence[str], instruction: str) -> dict[str, str]:
    """Label to option text, in order; empty when the instruction lists none.

    Letters stand as ``(A) text``, numbered labels as ``Answer1: text``, as in the LLM-Adapters data.
    """
    if not instruction:
        return {}
    listed = plain_typography(re.split(r"\banswer\s+format\s*:", instruction, flags=re.IGNORECASE)[0])
    marks = _marks(labels, listed)
    ends = [*(mark.start() for mark in marks[1:]), len(listed)][: len(marks)]
    by_key = {label.lower(): label for label in labels}
    return {
        by_key[mark["label"].lower()]: listed[mark.end() : end].strip() for mark, end in zip(marks, ends, strict=True)
    }


def matching_options(options: Mapping[str, str], text: str) -> list[str]:
    """Labels whose option stands in `text`, without those inside a longer option that does too.

    Words are compared as whole words, formulas character by character, white space aside.

    >>> matching_options({"A": "gravity", "B": "moon gravity", "C": "tides"}, "It is the Moon gravity.")
    ['B']
    >>> matching_options({"A": "7!", "B": "y / 4"}, "It is 7, or y/4.")
    ['B']
    """
    words = f" {normalized_words(text)} "
    present = {
        label: f" {form} "
        for label, option in options.items()
        if (form := normalized_words(option))
        and (_formula_in(option, text) if _is_formula(option) else f" {form} " in words)
    }
    return [
        label
        for label, form in present.items()
        if not any(form != other and form in other for other in present.values())
    ]


def filled_blank(options: Mapping[str, str], instruction: str) -> dict[str, str]:
    """Label to what the sentence with a blank says around it when the option stands there; empty without a blank.

    >>> filled_blank({"option1": "Lena", "option2": "Mia"}, "She lent it because _ was going out.")
    {'option1': 'Lena was going out', 'option2': 'Mia was going out'}
    """
    blank = _BLANK.search(instruction)
    if not blank:
        return {}
    if blank["after"]:
        return {label: f"{option}{blank['after']}" for label, option in options.items()}
    before = instruction[max(0, blank.start() - _LONGEST_WORDS_BEFORE) : blank.start()].split()[-2:]
    return {label: " ".join([*before, option]) for label, option in options.items()}


def without_denied(sentence: str) -> str:
    """A sentence without what it denies.

    >>> without_denied("Lou is not angry but glad."), without_denied("It is B, not A.")
    ('Lou is  glad.', 'It is B.')
    """
    return _DENIED.sub("", sentence)


def ordinal_position(text: str, *, alone: bool) -> int | None:
    """The position from 0 of "the second one" that opens a text, or is all of it; None where none does.

    >>> ordinal_position("The second one, as it melts.", alone=False)
    1
    """
    match = _ORDINAL.match(text)
    if not match or (not match["noun"] and re.search(r"\w", text[match.end() :])):
        return None
    if alone and not (match["noun"] and _ONLY_RIGHT.fullmatch(text, match.end())):
        return None
    return _ORDINALS.index(match["ordinal"].lower()) % 5


def listed_labels(labels: Sequence[str], options: Mapping[str, str]) -> tuple[str, ...]:
    """The labels up to the last one that the instruction lists; all where it lists none."""
    last = max((labels.index(label) for label in options), default=len(labels) - 1)
    return tuple(labels[: last + 1])


def option_number(option: str) -> Fraction | None:
    """The number that an option is, units aside; None for words, several numbers and formulas.

    >>> option_number("Rs. 1,500 a day"), option_number("D/(M - 3)")
    (Fraction(1500, 1), None)
    """
    numbers = find_quantities(option)
    if len(numbers) != 1 or _FORMULA.search(f"{option[: numbers[0].start].lstrip('+ ')} {option[numbers[0].end :]}"):
        return None
    return numbers[0].value


def normalized_words(text: str) -> str:
    """Lower-case words and numbers separated by single spaces."""
    return " ".join(re.findall(r"\w+(?:[.']\w+)*", text.lower()))


def _is_formula(option: str) -> bool:
    return _FORMULA.search(option) is not None and _LONG_WORD.search(option) is None


def _formula_in(formula: str, text: str) -> bool:
    """Whether `formula` stands in `text`, white space aside, with no letter or digit next to it."""
    spaced = r"\s{0,3}".join(map(re.escape, "".join(formula.split())))
    return re.search(rf"(?<!\w){spaced}(?!\w)", text, re.IGNORECASE) is not None


def _marks(labels: Sequence[str], text: str) -> list[re.Match[str]]:
    """Where each option begins, in label order; the last list in the text, as a question may quote ``(A)`` itself."""
    if len(labels[0]) == 1:
        pattern = re.compile(rf"\((?P<label>[{''.join(labels)}])\)")
        text = re.sub(r"\A.*answer choices\s*:", lambda head: " " * len(head[0]), text, flags=re.I | re.S)
    else:
        pattern = re.compile(rf"\b(?P<label>{'|'.join(map(re.escape, labels))})\s*:", re.IGNORECASE)
    by_label = {match["label"].lower(): match for match in pattern.finditer(text)}
    return sorted(by_label.values(), key=lambda match: match.start())
