"""The training sets that have a name, where they can be had, and which tasks they give away."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

from kdscope.core.errors import DataError
from kdscope.tasks.catalogue_files import training_files
from kdscope.tasks.catalogue_math import gsm8k_train_sources
from kdscope.tasks.mapping import FieldMapping
from kdscope.tasks.registry import name_key
from kdscope.tasks.sources import HubDataset, Source, first_file


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


def list_training_sets() -> tuple[TrainingSet, ...]:
    """The training sets of the paper, then those of instruction following and GSM8K.

    >>> [training_set.name for training_set in list_training_sets()]
    ['math_10k', 'commonsense_15k', 'dolly_15k', 'gsm8k_train']
    """
    return (_math_10k(), _commonsense_15k(), _dolly_15k(), _gsm8k_train())


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


def _math_10k() -> TrainingSet:
    return TrainingSet(
        "math_10k",
        training_files("math_10k.json", "27dba77d6ed80aa118d78fbafa5cecd651f6d463"),
        None,
        "Apache-2.0",
        "Hu et al. 2023, EMNLP, arXiv 2304.01933",
        "GSM8K, MAWPS and AQuA training questions with ChatGPT's solutions",
        # Its authors' own word: MAWPS consists of these tasks, among others.
        contaminates=("MultiArith", "AddSub", "SingleEq"),
        files=_adapters_locations("math_10k"),
    )


def _commonsense_15k() -> TrainingSet:
    return TrainingSet(
        "commonsense_15k",
        training_files("commonsense_15k.json", "3716afef6d384c475dba13f88a5a96c8032dafe2"),
        None,
        "Apache-2.0",
        "Hu et al. 2023, EMNLP, arXiv 2304.01933",
        "a sample of the training splits of the eight commonsense tasks",
        files=_adapters_locations("commonsense_15k"),
    )


def _dolly_15k() -> TrainingSet:
    fields = FieldMapping("{instruction}", input="{context}", output="{response}")
    return TrainingSet(
        "dolly_15k",
        (HubDataset("databricks/databricks-dolly-15k", None, "train", fields),),
        15_011,
        "CC-BY-SA-3.0",
        "Conover et al. 2023, Databricks",
        "instructions and responses written by people",
        # The task's 500 items were drawn from these rows.
        contaminates=("dolly",),
        files=("dolly_15k/train.jsonl",),
    )


def _gsm8k_train() -> TrainingSet:
    return TrainingSet(
        "gsm8k_train",
        gsm8k_train_sources(),
        7473,
        "MIT",
        "Cobbe et al. 2021, arXiv 2110.14168",
        "grade-school word problems with worked solutions that end in 'The answer is N.'",
        files=("gsm8k/train.json", "tasks/gsm8k/train.json"),
    )


def _adapters_locations(name: str) -> tuple[str, ...]:
    return (f"{name}/train.json", f"{name}.json", f"ft-training_set/{name}.json")
