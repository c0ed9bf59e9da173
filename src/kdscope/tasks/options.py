"""The options of a multiple-choice item, read from its instruction."""

from __future__ import annotations

import re
from collections.abc import Mapping

from kdscope.tasks.registry import Task


def parse_options(task: Task, instruction: str) -> dict[str, str]:
    """Label to option text, in order; empty when the instruction lists none.

    Letters stand as ``(A) text``, numbered labels as ``Answer1: text``, as in the LLM-Adapters data.
    """
    if task.answer_kind == "number" or not instruction:
        return {}
    listed = re.split(r"\banswer\s+format\s*:", instruction, flags=re.IGNORECASE)[0]
    marks = _marks(task.labels, listed)
    ends = [*(mark.start() for mark in marks[1:]), len(listed)][: len(marks)]
    labels = {label.lower(): label for label in task.labels}
    return {
        labels[mark["label"].lower()]: listed[mark.end() : end].strip() for mark, end in zip(marks, ends, strict=True)
    }


def matching_options(options: Mapping[str, str], text: str) -> list[str]:
    """Labels whose option text stands in `text` as whole words, without those inside a longer option that does too.

    >>> matching_options({"A": "gravity", "B": "moon gravity", "C": "tides"}, "It is the Moon gravity.")
    ['B']
    """
    words = f" {normalized_words(text)} "
    present = {
        label: form for label, option in options.items() if (form := normalized_words(option)) and f" {form} " in words
    }
    return [
        label
        for label, form in present.items()
        if not any(form != other and f" {form} " in f" {other} " for other in present.values())
    ]


def normalized_words(text: str) -> str:
    """Lower-case words and numbers separated by single spaces."""
    return " ".join(re.findall(r"\w+(?:[.']\w+)*", text.lower()))


def _marks(labels: tuple[str, ...], text: str) -> list[re.Match[str]]:
    """Where each option begins, in label order; the last list in the text, as a question may quote ``(A)`` itself."""
    if len(labels[0]) == 1:
        pattern = re.compile(rf"\((?P<label>[{''.join(labels)}])\)")
        text = re.sub(r"\A.*answer choices\s*:", lambda head: " " * len(head[0]), text, flags=re.I | re.S)
    else:
        pattern = re.compile(rf"\b(?P<label>{'|'.join(map(re.escape, labels))})\s*:", re.IGNORECASE)
    by_label = {match["label"].lower(): match for match in pattern.finditer(text)}
    return sorted(by_label.values(), key=lambda match: match.start())
