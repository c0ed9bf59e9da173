"""The training sets that have a name, where they can be had, and which tasks they give away."""

from __future__ import annotations

import functools
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from kdscope.core.errors import DataError
from kdscope.tasks.declaration import Declaration, load_library
from kdscope.tasks.registry import name_key
from kdscope.tasks.sources import Source, first_file


@dataclass(frozen=True, slots=True)
class TrainingSet:
    """One training set.

    Attributes:
        name: What it is called.
        sources: Where it can be had, the preferred one first.
        rows: Number of rows; None where it could not be verified.
        licence: Licence as its authors state it.
        citation: Authors and identifier.
        description: One line for people.
        contaminates: Tasks of which it is known to hold test items; the audit counts them.
        files: Paths below a data folder where it is looked for, in order.
    """

    name: str
    sources: tuple[Source, ...]
    rows: int | None
    licence: str
    citation: str
    description: str
    contaminates: tuple[str, ...] = ()
    files: tuple[str, ...] = ()

    def locations(self) -> tuple[str, ...]:
        """Paths below a data folder where its rows are looked for; the first is where a download belongs."""
        return self.files or (f"{self.name}/train.json",)


@functools.cache
def list_training_sets() -> tuple[TrainingSet, ...]:
    """The training sets of the paper, then those of instruction following and GSM8K.

    >>> [training_set.name for training_set in list_training_sets()]
    ['math_10k', 'commonsense_15k', 'dolly_15k', 'gsm8k_train']
    """
    return tuple(map(_declared, load_library("training_sets")))


def get_training_set(name: str) -> TrainingSet:
    """The training set called `name`, in any case, with or without ``-`` and ``_``.

    Raises:
        DataError: None has that name.
    """
    by_key = {name_key(training_set.name): training_set for training_set in list_training_sets()}
    if name_key(name) not in by_key:
        known = ", ".join(training_set.name for training_set in by_key.values())
        raise DataError(f"unknown training set {name!r} (known: {known})")
    return by_key[name_key(name)]


def find_training_file(training_set: TrainingSet, folder: Path) -> Path:
    """The file with a training set's rows, below `folder`.

    Raises:
        DataError: There is none; the message names what was tried.
    """
    return first_file(training_set.name, folder, training_set.locations())


def _declared(values: Mapping[str, Any]) -> TrainingSet:
    lists = {key: tuple(values.get(key, ())) for key in ("contaminates", "files")}
    return TrainingSet(**{"rows": None, **values, **lists, "sources": Declaration(values).sources("sources")})
