"""The list of items: one line each, with what every shown model made of it."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from kdscope.view.task_index import NONE
from kdscope.view.visible import one_line

if TYPE_CHECKING:
    from kdscope.view.page import Scene

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
