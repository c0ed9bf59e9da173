"""How the columns of a dataset become a row of this project (the schema of LLM-Adapters, Hu et al. 2023)."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

from kdscope.core.errors import DataError
from kdscope.tasks.patterns import as_text, look_up, only_column, parse_pattern, render_pattern

_OF_OPTIONS = frozenset({"@options", "@labels"})
_COMPUTED: Mapping[str, frozenset[str]] = {
    "instruction": _OF_OPTIONS,
    "input": _OF_OPTIONS,
    "output": frozenset({"@answer"}),
    "answer": frozenset(),
    "option": frozenset({"@number", "@letter", "@text"}),
    "label": frozenset({"@number", "@letter"}),
}


@dataclass(frozen=True, slots=True)
class FieldMapping:
    r"""A row's four texts as patterns over the columns of a dataset (see `kdscope.tasks.patterns`).

    Attributes:
        instruction: The question. ``{@options}`` and ``{@labels}`` stand for the written options and their names.
        input: More of the question.
        output: The reference response, in which ``{@answer}`` is the answer. A column of several texts, alone in the
            pattern, gives several references.
        answer: The right answer, or what stands for it in the data.
        options: The texts of the options: a pattern each, or the one column that lists them.
        option: How one option is written: ``{@number}`` from 1, ``{@letter}`` from A, and its ``{@text}``.
        separator: What stands between two options.
        label: What one option is called in ``{@labels}``, where names are joined by ``/``.
        answers: Pairs of what the data has and the answer it means; empty where the data has the answer itself.

    Raises:
        DataError: A pattern cannot be read; the key is the attribute.

    >>> fields = FieldMapping("{q}\n{@options}\nAnswer format: {@labels}", answer="{key}", options=("{choices}",),
    ...                       answers=(("0", "answer1"), ("1", "answer2")))
    >>> fields.row({"q": "Which floats?", "choices": ["wood", "iron"], "key": 0})["instruction"]
    'Which floats?\nAnswer1: wood Answer2: iron\nAnswer format: answer1/answer2'
    """

    instruction: str = "{instruction}"
    input: str = ""
    output: str = ""
    answer: str = ""
    options: tuple[str, ...] = ()
    option: str = "Answer{@number}: {@text}"
    separator: str = " "
    label: str = "answer{@number}"
    answers: tuple[tuple[str, str], ...] = ()

    def __post_init__(self) -> None:
        if not self.instruction:
            raise DataError("a row needs an instruction", key="instruction")
        for key, allowed in _COMPUTED.items():
            written = self.options or not allowed <= _OF_OPTIONS
            _check(getattr(self, key), key, allowed if written else frozenset())
        for pattern in self.options:
            _check(pattern, "options", frozenset())
        if len({found for found, _ in self.answers}) < len(self.answers):
            raise DataError("a value is given twice", key="answers")

    def row(self, columns: Mapping[str, object]) -> dict[str, object]:
        """The row with `instruction`, `input`, `output` and `answer`; `output` is a list for several references.

        Raises:
            DataError: A column is missing or of another kind, or an answer is not among `answers`.
        """
        computed = self._computed(columns)
        answer = self._answer(columns)
        return {
            "instruction": render_pattern(self.instruction, columns, computed),
            "input": render_pattern(self.input, columns, computed),
            "output": self._output(columns, answer),
            "answer": answer,
        }

    def _computed(self, columns: Mapping[str, object]) -> dict[str, str]:
        places = [
            {"@number": str(index + 1), "@letter": chr(ord("A") + index), "@text": text}
            for index, text in enumerate(self._option_texts(columns))
        ]
        if not places:
            return {}
        return {
            "@options": self.separator.join(render_pattern(self.option, columns, place) for place in places),
            "@labels": "/".join(render_pattern(self.label, columns, place) for place in places),
        }

    def _option_texts(self, columns: Mapping[str, object]) -> list[str]:
        if len(self.options) != 1:
            return [render_pattern(pattern, columns, {}) for pattern in self.options]
        placeholder = only_column(self.options[0])
        listed = None if placeholder is None else look_up(placeholder.name, columns)
        if placeholder is None or not isinstance(listed, (list, tuple)) or not listed:
            raise DataError("one pattern alone must be a column that lists the options", key="options")
        return [as_text(text, placeholder.name) for text in listed]

    def _answer(self, columns: Mapping[str, object]) -> str:
        found = render_pattern(self.answer, columns, {})
        if not self.answers:
            return found
        meanings = dict(self.answers)
        if found not in meanings:
            raise DataError(f"{found[:40]!r} is none of {', '.join(map(repr, meanings))}", key="answers")
        return meanings[found]

    def _output(self, columns: Mapping[str, object], answer: str) -> str | list[str]:
        placeholder = only_column(self.output) if self.output else None
        if placeholder is not None and not placeholder.filters:
            value = columns.get(placeholder.name)
            if isinstance(value, (list, tuple)):
                return [as_text(text, placeholder.name) for text in value]
        return render_pattern(self.output, columns, {"@answer": answer})


def _check(pattern: str, key: str, allowed: frozenset[str]) -> None:
    try:
        parts = parse_pattern(pattern)
    except DataError as error:
        raise DataError(str(error), key=key) from None
    for _, placeholder in parts:
        name = "" if placeholder is None else placeholder.name
        if name.startswith("@") and name not in allowed:
            known = f"known here: {', '.join(sorted(allowed))}" if allowed else "none can be used here"
            raise DataError(f"there is no computed value {name!r} ({known})", key=key)
