"""The controls of a page: every choice with the number of items it would leave, and the list of items."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING

import numpy as np

from kdscope.view.escape import one_line
from kdscope.view.run import Model, RunFolder
from kdscope.view.state import LIKENESS_WORDS, MOST_COLUMNS, OUTCOME_WORDS, TEXT_LIKENESS_WORDS, Column, State
from kdscope.view.task_index import NONE, Selection, TaskIndex, offered_likeness, offered_outcomes, with_pattern

if TYPE_CHECKING:
    from kdscope.view.page import Scene


@dataclass(frozen=True)
class Option:
    """A choice; `usable` is False for one that is named only so that nobody looks for it."""

    value: str
    label: str
    chosen: bool = False
    usable: bool = True


@dataclass(frozen=True)
class ModelControl:
    """The choices about one column; the last one, without a letter, is for a model to be added.

    Attributes:
        letter: The column's letter.
        groups: The models to choose from, under the name of the model that was trained.
        outcomes: Which of its answers are wanted.
        likeness: How they compare with the reference; empty for the reference itself.
        without: Address of the page without this column; empty where it is the only one.
    """

    letter: str
    groups: dict[str, list[Option]]
    outcomes: tuple[Option, ...] = ()
    likeness: tuple[Option, ...] = ()
    without: str = ""


@dataclass(frozen=True)
class PatternLink:
    """A way in which the shown models are right or wrong, how often it occurs, and the page that shows it."""

    right: tuple[bool, ...]
    words: str
    count: int
    address: str
    chosen: bool


def model_controls(
    run: RunFolder, index: TaskIndex, state: State, selection: Selection, reference: int
) -> list[ModelControl]:
    """One for every shown model, and one to add another."""
    letter = "ABCD"[reference]
    words = TEXT_LIKENESS_WORDS if index.text else LIKENESS_WORDS
    controls = []
    for place, column in enumerate(state.columns):
        outcomes, likeness = selection.outcome_counts(place), selection.likeness_counts(place)
        controls.append(
            ModelControl(
                letter="ABCD"[place],
                groups=_groups(run, index, column.cell, [c.cell for c in state.columns]),
                outcomes=tuple(
                    Option(name, _counted(OUTCOME_WORDS[name], name, outcomes[name]), name == column.outcome)
                    for name in offered_outcomes(index)
                ),
                likeness=tuple(
                    Option(name, _counted(words[name].format(letter), name, likeness[name]), name == column.likeness)
                    for name in offered_likeness(index)
                )
                if place != reference
                else (),
                without=_without(state, place),
            )
        )
    if len(controls) < min(MOST_COLUMNS, len(run.models)):
        controls.append(ModelControl("", _groups(run, index, "", [c.cell for c in state.columns])))
    return controls


def pattern_links(state: State, selection: Selection, models: Sequence[Model]) -> list[PatternLink]:
    """The ways that occur, and the chosen one even if it does not; a chosen one leads back."""
    chosen = [column.outcome for column in state.columns]
    links = []
    for pattern in selection.patterns():
        columns = with_pattern(state.columns, pattern.right)
        is_chosen = [column.outcome for column in columns] == chosen
        if not pattern.count and not is_chosen:
            continue
        if is_chosen:
            columns = tuple(replace(column, outcome="any") for column in columns)
        words = ", ".join(
            f"{letter} {'right' if right else 'wrong'}" for letter, right in zip("ABCD", pattern.right, strict=False)
        )
        links.append(
            PatternLink(pattern.right, words, pattern.count, state.address(columns=columns, page=None), is_chosen)
        )
    return links


def seed_options(index: TaskIndex) -> list[int]:
    """The decoding seeds, where there are several."""
    seeds: list[int] = np.unique(index.seeds).tolist()
    return seeds if len(seeds) > 1 else []


def _counted(words: str, name: str, count: int) -> str:
    return words if name == "any" else f"{words} ({count:,})"


def _groups(run: RunFolder, index: TaskIndex, chosen: str, shown: Sequence[str]) -> dict[str, list[Option]]:
    groups: dict[str, list[Option]] = {}
    for model in run.models.values():
        if model.cell in shown and model.cell != chosen:
            continue
        group = f"teacher {model.name.model}" if model.name.role == "teacher" else model.name.model
        label, usable = model.title, True
        if model.cause:
            label, usable = f"{label} (failed)", False
        elif model.cell not in index.cells:
            label, usable = f"{label} (no records of this task)", False
        groups.setdefault(group, []).append(Option(model.cell, label, model.cell == chosen, usable))
    return groups


def _without(state: State, place: int) -> str:
    columns: tuple[Column, ...] = (*state.columns[:place], *state.columns[place + 1 :])
    return state.address(columns=columns, page=None) if columns else ""


PAGE_ITEMS = 50
_SIGNS = {"right": "✓", "wrong": "✗", "unparsed": "?", "absent": "–"}
_WORDS = {"right": "right", "wrong": "wrong", "unparsed": "no answer found", "absent": "no record"}


@dataclass(frozen=True)
class Mark:
    """What one model made of an item: a sign, its kind (a class of the style sheet), and the same in words."""

    sign: str
    kind: str
    words: str


@dataclass(frozen=True)
class Entry:
    """A line of the list."""

    address: str
    name: str
    title: str
    seed: int | None
    question: str
    marks: tuple[Mark, ...]
    current: bool


def entries(scene: Scene, page: int, current: int | None, several: bool) -> list[Entry]:
    """The lines of one page, counted from 0."""
    index = scene.records.index
    units = [int(unit) for unit in scene.selection.units[PAGE_ITEMS * page : PAGE_ITEMS * (page + 1)]]
    questions = _questions(scene, units)
    marks = zip(*[_marks(scene, units, model.cell) for model in scene.models], strict=True)
    found = []
    for unit, question, own in zip(units, questions, marks, strict=True):
        item, seed = index.items[unit], int(index.seeds[unit]) if several else None
        found.append(
            Entry(
                address=scene.state.address(item=item, run=seed, page=None),
                name=one_line(item.rsplit("/", 1)[-1], 24),
                title=one_line(item, 200),
                seed=seed,
                question=question,
                marks=own,
                current=unit == current,
            )
        )
    return found


def _questions(scene: Scene, units: list[int]) -> list[str]:
    """What each item asks, from the prompt of the first shown model that has one."""
    index, texts = scene.records.index, scene.records.texts
    found = [""] * len(units)
    for model in scene.models:
        rows = index.rows_of(model.cell)
        places = [place for place, unit in enumerate(units) if not found[place] and rows[unit] != NONE]
        prompts = texts.column([int(rows[units[place]]) for place in places], "prompt")
        for place, prompt in zip(places, prompts, strict=True):
            found[place] = one_line(scene.records.question(model.cell, prompt or ""), 110)
    return found


def _marks(scene: Scene, units: list[int], cell: str) -> list[Mark]:
    index, scoring = scene.records.index, scene.state.scoring
    rows = [int(index.rows_of(cell)[unit]) for unit in units]
    if index.text:
        present = [row for row in rows if row != NONE]
        scores = dict(zip(present, scene.records.texts.column(present, "rouge_l"), strict=True))
        return [_score(scores.get(row)) for row in rows]
    kinds = [_kind(row, bool(index.right[scoring][row]), int(index.answers[scoring][row])) for row in rows]
    return [Mark(_SIGNS[kind], kind, _WORDS[kind]) for kind in kinds]


def _score(score: float | None) -> Mark:
    if score is None:
        return Mark(_SIGNS["absent"], "absent", _WORDS["absent"])
    return Mark(f"{score:.2f}".removeprefix("0"), "scored", f"ROUGE-L {score:.2f}")


def _kind(row: int, right: bool, answer: int) -> str:
    if row == NONE:
        return "absent"
    return "right" if right else "unparsed" if answer == NONE else "wrong"
