"""Answers that are one of several options: what letters and labels have in common."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from fractions import Fraction

from kdscope.answers.answer_format import AnswerFormat, Extraction, Rules, first_response, published_extraction
from kdscope.answers.completion import plain_typography
from kdscope.answers.quantities import find_quantities

_LONG_WORD = re.compile(r"[^\W\d_]{4}")
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
