"""Which units of a task a state picks, and how many each other choice would pick."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from itertools import product

import numpy as np

from kdscope.view.state import LIKENESS, OUTCOMES, Column
from kdscope.view.task_index import NONE, Flags, Numbers, TaskIndex


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
