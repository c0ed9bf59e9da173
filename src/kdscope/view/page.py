"""A state becomes a page."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
from jinja2 import Environment, PackageLoader, StrictUndefined

from kdscope.core.characters import plain
from kdscope.core.errors import DataError
from kdscope.view.controls import PAGE_ITEMS, entries, model_controls, pattern_links, seed_options
from kdscope.view.escape import one_line, visible
from kdscope.view.index import RunIndex, TaskRecords, with_records
from kdscope.view.item import item_view
from kdscope.view.run import Model, RunFolder, default_cells, reference_of
from kdscope.view.state import DIFFERENCE_WORDS, DIFFERENCES, PLACES, Column, State
from kdscope.view.task_index import NONE, Flags, Selection

LETTERS = "ABCD"


@dataclass(frozen=True, eq=False)
class Scene:
    """A state with what it speaks of looked up: the records, the models, and the units that are picked."""

    run: RunFolder
    state: State
    records: TaskRecords
    models: tuple[Model, ...]
    reference: int
    selection: Selection
    notes: tuple[str, ...]


class Pages:
    """Renders the pages of one run."""

    def __init__(self, runs: RunIndex) -> None:
        self._runs = runs
        self._environment = Environment(
            loader=PackageLoader("kdscope.view"),
            autoescape=True,
            undefined=StrictUndefined,
            trim_blocks=True,
            lstrip_blocks=True,
        )
        self._environment.filters |= {"visible": visible, "plain": plain, "one_line": one_line}

    def page(self, state: State, notes: Sequence[str] = ()) -> str:
        """The page of a state.

        Raises:
            DataError: The run has no such task, or its records cannot be read.
        """
        return self._environment.get_template("page.html.jinja").render(**_context(self._scene(state, notes)))

    def problem(self, title: str, message: str) -> str:
        """A page that says what is wrong."""
        return self._environment.get_template("problem.html.jinja").render(title=title, message=message)

    def file(self, name: str) -> str:
        """A file of the templates, as it is."""
        return self._environment.get_template(name).render()

    def _scene(self, state: State, notes: Sequence[str]) -> Scene:
        run = self._runs.run()
        task = state.task or next(iter(run.tasks))
        if task not in run.tasks:
            raise DataError(f"this run has no records of a task {task!r}; it has {', '.join(run.tasks)}")
        records = self._runs.task(task)
        columns, unknown = _columns(state, run, records)
        scoring = state.scoring or run.scoring
        state = replace(state, task=task, columns=columns, scoring=scoring)
        models = tuple(run.models[column.cell] for column in columns)
        reference = reference_of(models)
        if columns[reference].likeness != "any":  # the reference is always like itself
            plainer = replace(columns[reference], likeness="any")
            columns = (*columns[:reference], plainer, *columns[reference + 1 :])
            state = replace(state, columns=columns)
        others = _seed_mask(records, state) & _search_mask(records, state)
        selection = Selection(records.index, columns, scoring, reference, others)
        return Scene(run, state, records, models, reference, selection, (*notes, *unknown))


def _columns(state: State, run: RunFolder, records: TaskRecords) -> tuple[tuple[Column, ...], list[str]]:
    known = tuple(column for column in state.columns if column.cell in run.models)
    notes = [
        f"This run has no cell “{plain(column.cell)[:120]}”."
        for column in state.columns
        if column.cell not in run.models
    ]
    if known:
        return known, notes
    chosen = default_cells(with_records(run, records.index))
    if not chosen:
        raise DataError("none of the cells of these records is in the run's table of cells", file=records.index.file)
    return tuple(Column(cell) for cell in chosen), notes


def _seed_mask(records: TaskRecords, state: State) -> Flags:
    index = records.index
    return np.ones(index.units, bool) if state.seed is None else index.seeds == state.seed


def _search_mask(records: TaskRecords, state: State) -> Flags:
    """The units in whose prompt, or in a shown model's completion, the search finds something."""
    index, texts = records.index, records.texts
    found = np.full(index.units, not state.search)
    if not state.search:
        return found
    asked = np.full(index.units, NONE)
    for column in state.columns:
        rows = index.rows_of(column.cell)
        if state.place != "prompts":
            found |= texts.search(rows, "completion", state.search)
        asked = np.where(asked == NONE, rows, asked)
    if state.place != "completions":
        found |= texts.search(asked, "prompt", state.search)
    return found


def _context(scene: Scene) -> dict[str, Any]:
    state, index, units = scene.state, scene.records.index, scene.selection.units
    several = len(np.unique(index.seeds)) > 1
    notes = list(scene.notes)
    unit, position = _current(scene, notes)
    page = position // PAGE_ITEMS
    letters = LETTERS[: len(scene.models)]
    shown = None
    if unit is not None:
        state = replace(state, page=None, item=index.items[unit], run=int(index.seeds[unit]) if several else None)
        shown = item_view(scene.records, unit, scene.models, letters, state, scene.reference)
    return {
        "study": scene.run.study,
        "state": state,
        "tasks": list(scene.run.tasks),
        "places": PLACES,
        "seeds": seed_options(index),
        "controls": model_controls(scene.run, index, state, scene.selection, scene.reference),
        "patterns": pattern_links(state, scene.selection, scene.models),
        "failed": scene.run.failed,
        "notes": notes,
        "passed_over": _passed_over(scene, unit),
        "count": len(units),
        "total": index.units,
        "several": several,
        "items": len(set(index.items)),
        "entries": entries(scene, page, unit, several),
        "page": page + 1,
        "pages": max(1, -(-len(units) // PAGE_ITEMS)),
        "position": position + 1,
        "item": shown,
        "letters": letters,
        "names": [model.title for model in scene.models],
        "reference": scene.reference,
        "previous": _neighbour(scene, position - 1, several),
        "next": _neighbour(scene, position + 1, several),
        "differences": [(name, DIFFERENCE_WORDS[name]) for name in DIFFERENCES],
        "is_text": index.text,
    }


def _current(scene: Scene, notes: list[str]) -> tuple[int | None, int]:
    """The shown unit and its place among the picked ones; the unit is None where nothing is picked."""
    state, index, units = scene.state, scene.records.index, scene.selection.units
    asked = index.find(state.item, state.run) if state.item else None
    if state.item and asked is None:
        notes.append(f"This task has no item “{plain(state.item)[:120]}”.")
    if not len(units):
        return None, 0
    if asked is not None:  # where it is, or the next one after it
        place = min(int(np.searchsorted(units, asked)), len(units) - 1)
    else:
        place = min(PAGE_ITEMS * ((state.page or 1) - 1), PAGE_ITEMS * ((len(units) - 1) // PAGE_ITEMS))
    return int(units[place]), place


def _passed_over(scene: Scene, shown: int | None) -> str:
    """The item that was asked for, where the filters leave it out and another is shown in its place."""
    asked = scene.records.index.find(scene.state.item, scene.state.run) if scene.state.item else None
    return "" if asked is None or asked == shown else scene.records.index.items[asked]


def _neighbour(scene: Scene, position: int, several: bool) -> str:
    units = scene.selection.units
    if not 0 <= position < len(units):
        return ""
    unit, index = int(units[position]), scene.records.index
    return scene.state.address(item=index.items[unit], run=int(index.seeds[unit]) if several else None, page=None)
