"""One item: the prompt, the right answer, and what each model wrote."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from markupsafe import Markup

from kdscope.view.escape import one_line
from kdscope.view.highlight import Piece, folded, length_of, painted, word_diff
from kdscope.view.index import TaskRecords
from kdscope.view.run import Model
from kdscope.view.state import FINISH_WORDS, State, how_found
from kdscope.view.task_index import NONE

FOLDED_LENGTH = 6000
"""Characters of a text that are shown unless all are asked for."""
_OPEN_PROMPT = 700
_COLUMNS = (
    *("prompt", "completion", "gold", "finish_reason", "published_value", "correct_published", "robust_value"),
    *("robust_rule", "robust_status", "truncated", "correct_robust", "completion_tokens", "rouge_l"),
)


@dataclass(frozen=True)
class Shown:
    """A text as it is shown, how long it is, and how many characters of it are folded away."""

    html: Markup
    length: int
    left_out: int


@dataclass(frozen=True)
class Prompt:
    """A prompt, and the letters of the models that got it (none: all)."""

    text: Shown
    summary: str
    letters: str
    is_open: bool


@dataclass(frozen=True)
class Answer:
    """What one model wrote.

    Attributes:
        letter: Its column.
        model: Who.
        missing: Why there is nothing; all that follows is empty then.
        outcome: right, wrong, unparsed or scored (a free text).
        value: The answer found.
        found: Where, or why none was.
        other: What the other scoring makes of it, where that is something else.
        facts: Length and end.
        alike: What is said of its likeness to the reference.
        text: The completion.
    """

    letter: str
    model: Model
    missing: str = ""
    outcome: str = ""
    value: str = ""
    found: str = ""
    other: str = ""
    facts: tuple[str, ...] = ()
    alike: str = ""
    text: Shown = Shown(Markup(), 0, 0)


@dataclass(frozen=True)
class ItemView:
    """An item with its answers."""

    name: str
    seed: int
    gold: Shown
    prompts: tuple[Prompt, ...]
    answers: tuple[Answer, ...]


def item_view(
    records: TaskRecords, unit: int, models: Sequence[Model], letters: Sequence[str], state: State, reference: int
) -> ItemView:
    """Read an item and lay its answers side by side."""
    rows = [int(records.index.rows_of(model.cell)[unit]) for model in models]
    found = [records.texts.read(row, _COLUMNS) if row != NONE else None for row in rows]
    first = next((record for record in found if record is not None), None)
    if first is None:  # none of the shown models answered it: what was asked is known all the same
        first = records.texts.read(int(records.index.rows[:, unit].max()), _COLUMNS)
    compared = found[reference]
    answers = [
        _answer(letter, model, record, compared if place != reference else None, letters[reference], state)
        if record is not None
        else Answer(letter, model, missing=_why(records, model))
        for place, (letter, model, record) in enumerate(zip(letters, models, found, strict=True))
    ]
    return ItemView(
        name=records.index.items[unit],
        seed=int(records.index.seeds[unit]),
        gold=_shown(first["gold"] or "", state),
        prompts=tuple(_prompts(records, models, letters, found, first, state)),
        answers=tuple(answers),
    )


def _why(records: TaskRecords, model: Model) -> str:
    if model.cause:
        return f"This cell failed: {model.cause}"
    if model.cell not in records.index.cells:
        return "This model has no records of this task. `kdscope run` goes on where the run stopped."
    return "This model has no record of this item with this decoding seed."


def _answer(
    letter: str,
    model: Model,
    record: Mapping[str, Any],
    reference: Mapping[str, Any] | None,
    reference_letter: str,
    state: State,
) -> Answer:
    text = record["completion"] or ""
    compared = None if reference is None else reference["completion"] or ""
    value = record[f"{state.scoring}_value"]
    is_text = record["rouge_l"] is not None
    return Answer(
        letter=letter,
        model=model,
        outcome="scored" if is_text else _outcome(record, state.scoring),
        value=f"ROUGE-L {record['rouge_l']:.2f}" if is_text else _cut(value),
        found="" if is_text else _found(record, state.scoring),
        other="" if is_text else _other_scoring(record, state.scoring),
        facts=tuple(_facts(record)),
        alike=f"The same text as {reference_letter}." if compared == text else "",
        text=_shown(text, state, compared),
    )


def _cut(value: str | None) -> str:
    return "none" if value is None else value if len(value) <= 200 else value[:200] + " …"


def _outcome(record: Mapping[str, Any], scoring: str) -> str:
    if record[f"{scoring}_value"] is None:
        return "unparsed"
    return "right" if record[f"correct_{scoring}"] else "wrong"


def _found(record: Mapping[str, Any], scoring: str) -> str:
    if scoring == "robust":
        return how_found(record["robust_rule"], record["robust_status"])
    return "by the published rules" if record["published_value"] is not None else "the published rules found none"


def _other_scoring(record: Mapping[str, Any], scoring: str) -> str:
    other = "published" if scoring == "robust" else "robust"
    if record["correct_robust"] == record["correct_published"]:
        return ""
    value = one_line(_cut(record[f"{other}_value"]), 60)
    return f"The {other} scoring reads {value}: {'right' if record[f'correct_{other}'] else 'wrong'}."


def _facts(record: Mapping[str, Any]) -> list[str]:
    tokens = record["completion_tokens"]
    facts = [f"{tokens:,} token{'' if tokens == 1 else 's'}"] if tokens else []
    finish = record["finish_reason"] or ""
    facts.append(FINISH_WORDS.get(finish, one_line(finish, 40)))
    if record["truncated"] and finish != "length":
        facts.append("answer not complete")
    return facts


def _prompts(
    records: TaskRecords,
    models: Sequence[Model],
    letters: Sequence[str],
    found: Sequence[Mapping[str, Any] | None],
    first: Mapping[str, Any],
    state: State,
) -> list[Prompt]:
    """Each different prompt once, with the models that got it."""
    by_text: dict[str, list[int]] = {}
    for place, record in enumerate(found):
        if record is not None:
            by_text.setdefault(record["prompt"] or "", []).append(place)
    by_text = by_text or {first["prompt"] or "": [0]}
    return [
        _prompt(
            records.parts(models[places[0]].cell, text),
            ", ".join(letters[place] for place in places) if len(by_text) > 1 else "",
            state,
        )
        for text, places in by_text.items()
    ]


def _prompt(parts: tuple[str, str, str], letters: str, state: State) -> Prompt:
    head, own, tail = parts
    shown = _folded([Piece("frame", head), Piece("same", own), Piece("frame", tail)], state)
    return Prompt(shown, one_line(own, 160), letters, shown.length <= _OPEN_PROMPT or state.whole)


def _shown(text: str, state: State, reference: str | None = None) -> Shown:
    marked = reference is not None and state.difference != "off" and reference != text
    return _folded(word_diff(reference or "", text) if marked else [Piece("same", text)], state)


def _folded(pieces: Sequence[Piece], state: State) -> Shown:
    kept, left_out = (pieces, 0) if state.whole else folded(pieces, FOLDED_LENGTH)
    html = painted(kept, search=state.search, missing=state.difference == "full")
    return Shown(html, length_of(pieces), left_out)
