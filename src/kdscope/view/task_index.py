"""The records of a task without their texts, enough to filter, count and page; and the units a page's state picks."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from itertools import product
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq
from numpy.typing import NDArray

from kdscope.answers.quantities import number_key, parse_number
from kdscope.core.errors import DataError
from kdscope.evaluation.records import SCORINGS
from kdscope.view.state import LIKENESS, OUTCOMES, Column

NONE = -1
"""No record of a model, or no answer in a record."""

_COLUMNS = (
    *("cell", "item_id", "decoding_seed", "finish_reason", "truncated", "published_value", "correct_published"),
    *("robust_value", "correct_robust"),
)

Flags = NDArray[np.bool_]
Numbers = NDArray[np.int64]


@dataclass(frozen=True, eq=False)
class TaskIndex:
    """The records of one task as arrays. A unit is an answer that several models gave: an item and a decoding seed.

    Attributes:
        file: Where the records lie.
        cells: The models that have records, in the file's order.
        items: Id of every unit's item, items in the order of the file, seeds ascending within an item.
        seeds: Decoding seed of every unit, shape [units].
        rows: Row in the file of each model's record of each unit, `NONE` where it has none, shape [cells, units].
        text: Answers are free text: none is right or wrong, each has a ROUGE-L.
        right: By scoring, whether each row is right, shape [rows].
        answers: By scoring, a number for each row's answer, equal for equal answers, `NONE` for no answer.
        truncated: Whether each row ran into the length limit.
        run_on: Whether each row went on to a new instruction.
    """

    file: Path
    cells: tuple[str, ...]
    items: tuple[str, ...]
    seeds: Numbers
    rows: Numbers
    text: bool
    right: Mapping[str, Flags]
    answers: Mapping[str, Numbers]
    truncated: Flags
    run_on: Flags

    @property
    def units(self) -> int:
        """How many units there are."""
        return len(self.items)

    def rows_of(self, cell: str) -> Numbers:
        """The row of each unit, `NONE` for all of them where the model has no records, shape [units]."""
        if cell not in self.cells:
            return np.full(self.units, NONE, np.int64)
        found: Numbers = self.rows[self.cells.index(cell)]
        return found

    def find(self, item: str, seed: int | None = None) -> int | None:
        """The unit of an item: of this decoding seed, or its first."""
        for unit, name in enumerate(self.items):
            if name == item and seed in (None, int(self.seeds[unit])):
                return unit
        return None


def read_task_index(file: Path) -> TaskIndex:
    """Read the short columns of a task's records.

    Raises:
        DataError: The file is damaged, has no rows, or a model answered an item twice with the same seed.
    """
    try:
        source = pq.ParquetFile(file)
        text = _is_text(source)
        table = source.read(columns=[*_COLUMNS, *([] if text else ["gold"])])
    except (OSError, pa.ArrowException) as error:
        raise DataError(f"records cannot be read: {error}", file=file) from error
    if not len(table):
        raise DataError("there are no records in this file", file=file)
    cells, cell_codes = _codes(table["cell"])
    items, item_codes = _codes(table["item_id"])
    seeds, seed_codes = np.unique(table["decoding_seed"].to_numpy(), return_inverse=True)
    units, unit_codes = np.unique(item_codes * len(seeds) + seed_codes, return_inverse=True)
    numeric = not text and all(parse_number(gold) is not None for gold in pc.unique(table["gold"]).to_pylist())
    return TaskIndex(
        file=file,
        cells=tuple(cells),
        items=tuple(items[unit // len(seeds)] for unit in units),
        seeds=seeds[units % len(seeds)],
        rows=_place(cell_codes, unit_codes, (len(cells), len(units)), table, file),
        text=text,
        right={scoring: table[f"correct_{scoring}"].to_numpy().astype(bool) for scoring in SCORINGS},
        answers={scoring: _answers(table[f"{scoring}_value"], numeric) for scoring in SCORINGS},
        truncated=table["truncated"].to_numpy().astype(bool),
        run_on=pc.equal(table["finish_reason"], "run_on").to_numpy().astype(bool),
    )


def _is_text(source: Any) -> bool:
    """Free text is scored by ROUGE-L; its answers are whole completions."""
    if "rouge_l" not in source.schema_arrow.names:
        return False
    column = source.read(columns=["rouge_l"])["rouge_l"]
    return bool(column.null_count < len(column))


def _codes(column: Any) -> tuple[list[str], Numbers]:
    """The different values in the order of their first rows, and the number of each row's."""
    encoded = column.combine_chunks().dictionary_encode()
    return encoded.dictionary.to_pylist(), encoded.indices.to_numpy(zero_copy_only=False).astype(np.int64)


def _place(cells: Numbers, units: Numbers, shape: tuple[int, int], table: Any, file: Path) -> Numbers:
    rows = np.full(shape, NONE, np.int64)
    rows[cells, units] = np.arange(len(cells))
    if np.count_nonzero(rows != NONE) < len(cells):
        # Of two records in one place the later one is there; the earlier one is what does not find itself.
        again = int(np.flatnonzero(rows[cells, units] != np.arange(len(cells)))[0])
        told = table.slice(again, 1).to_pylist()[0]
        raise DataError(
            f"{told['cell']} has two records of {told['item_id']} with decoding seed {told['decoding_seed']}",
            file=file,
            row=again + 1,
        )
    return rows


def _answers(column: Any, numeric: bool) -> Numbers:
    """Equal numbers for equal answers; numbers are compared by value, as the fidelity measures do."""
    encoded = column.combine_chunks().dictionary_encode()
    values: Sequence[str] = encoded.dictionary.to_pylist()
    if numeric:
        values = [number_key(value) for value in values]
    known: dict[str, int] = {}
    of_value = np.array([known.setdefault(value, len(known)) for value in values] or [NONE], np.int64)
    codes = encoded.indices.fill_null(0).to_numpy(zero_copy_only=False).astype(np.int64)
    missing = encoded.indices.is_null().to_numpy(zero_copy_only=False)
    return np.where(missing, NONE, of_value[codes])


@dataclass(frozen=True)
class Pattern:
    """Which of the shown models are right, and how many units are so with all other filters as they are."""

    right: tuple[bool, ...]
    count: int


class Selection:
    """The units that pass every filter.

    A filter on a model passes only units that the model answered; `any` passes all.
    """

    def __init__(
        self, index: TaskIndex, columns: Sequence[Column], scoring: str, reference: int, others: Flags
    ) -> None:
        """Make it.

        Args:
            index: The task.
            columns: The shown models with what is wanted of them.
            scoring: Which answers count.
            reference: The place of the column that the others are compared with.
            others: What passes the filters that are not about one model, such as a search, shape [units].
        """
        self._index, self._columns, self._scoring, self._others = index, tuple(columns), scoring, others
        rows = [index.rows_of(column.cell) for column in columns]
        self._outcomes = [self._outcome_masks(own) for own in rows]
        self._likeness = [self._likeness_masks(own, rows[reference]) for own in rows]
        self._wanted = [
            mask
            for place, column in enumerate(columns)
            for mask in (self._outcomes[place][column.outcome], self._likeness[place][column.likeness])
        ]
        self.mask = self._all_but()
        self.units = np.flatnonzero(self.mask)

    def outcome_counts(self, place: int) -> dict[str, int]:
        """How many units each outcome of this model would pick, all other filters as they are."""
        return self._counts(self._outcomes[place], 2 * place)

    def likeness_counts(self, place: int) -> dict[str, int]:
        """The same for each likeness to the reference."""
        return self._counts(self._likeness[place], 2 * place + 1)

    def patterns(self) -> list[Pattern]:
        """Every way in which the shown models can be right or wrong; none where nothing is right or wrong."""
        if self._index.text:
            return []
        base = self._all_but(*range(0, len(self._wanted), 2))
        names = {True: "right", False: "wrong"}
        return [
            Pattern(
                way,
                int(np.count_nonzero(_every(base, [m[names[r]] for m, r in zip(self._outcomes, way, strict=True)]))),
            )
            for way in product((True, False), repeat=len(self._columns))
        ]

    def _counts(self, masks: Mapping[str, Flags], skipped: int) -> dict[str, int]:
        base = self._all_but(skipped)
        return {name: int(np.count_nonzero(base & mask)) for name, mask in masks.items()}

    def _all_but(self, *skipped: int) -> Flags:
        return _every(self._others, [mask for place, mask in enumerate(self._wanted) if place not in skipped])

    def _outcome_masks(self, rows: Numbers) -> dict[str, Flags]:
        index = self._index
        there = rows != NONE
        right, answers = index.right[self._scoring], index.answers[self._scoring]
        masks = {
            "any": np.ones(len(rows), bool),
            "right": there & right[rows],
            "wrong": there & ~right[rows],
            "unparsed": there & (answers[rows] == NONE),
            "truncated": there & index.truncated[rows],
            "run_on": there & index.run_on[rows],
        }
        if index.text:  # neither is said of free text, so neither filters
            masks |= {"right": masks["any"], "wrong": masks["any"]}
        return masks

    def _likeness_masks(self, rows: Numbers, reference: Numbers) -> dict[str, Flags]:
        index = self._index
        there = (rows != NONE) & (reference != NONE)
        right, answers = index.right[self._scoring], index.answers[self._scoring]
        # An answer that could not be read agrees with nothing, not even with another.
        same = there & (answers[rows] == answers[reference]) & (answers[rows] != NONE)
        everything = np.ones(len(rows), bool)
        wrong = everything if index.text else ~right[rows] & ~right[reference]
        return {"any": everything, "same": same, "different": there & ~same, "same_wrong": same & wrong}


def offered_outcomes(index: TaskIndex) -> list[str]:
    """The outcomes that this task can have."""
    left_out = {"right", "wrong"} if index.text else set()
    if not index.run_on.any():
        left_out.add("run_on")
    return [name for name in OUTCOMES if name not in left_out]


def offered_likeness(index: TaskIndex) -> list[str]:
    """The ways in which answers to this task can compare."""
    return [name for name in LIKENESS if name != "same_wrong" or not index.text]


def with_pattern(columns: Sequence[Column], pattern: Sequence[bool]) -> tuple[Column, ...]:
    """The same models, filtered by which of them are right."""
    return tuple(
        replace(column, outcome="right" if right else "wrong") for column, right in zip(columns, pattern, strict=True)
    )


def _every(base: Flags, masks: Sequence[Flags]) -> Flags:
    and_: Callable[[Flags, Flags], Flags] = np.logical_and
    found = base
    for mask in masks:
        found = and_(found, mask)
    return found
