"""Verbs about data: bring the files of tasks and training sets, check files, look for contamination."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

from kdscope.core.errors import DataError
from kdscope.data.check import FileCheck, FolderCheck, check_file, check_folder
from kdscope.data.contamination import Tally, audit_contamination, tally_contamination
from kdscope.data.download import LockedFile, download
from kdscope.data.examples import Item, as_items, read_examples
from kdscope.data.rows import mapped_row, read_rows
from kdscope.tasks import (
    Source,
    TaskRegistry,
    TrainingSet,
    get_training_set,
    list_training_sets,
    registry_with,
)

Tell = Callable[[str, int, int | None], None]
"""Called with a file's path in the folder, what is here of it, and its size where that is known."""


@dataclass(frozen=True)
class Wanted:
    """A file that can be brought.

    Attributes:
        name: The task or training set it belongs to.
        target: Its path in a data folder.
        sources: Where it can be had, the preferred first.
    """

    name: str
    target: str
    sources: tuple[Source, ...]


@dataclass(frozen=True)
class Brought:
    """What became of a wanted file: what the lock file says of it, or why it could not be had."""

    wanted: Wanted
    locked: LockedFile | None
    problem: str = ""


@dataclass(frozen=True)
class DataCheck:
    """What a folder of data is found to be.

    Attributes:
        folder: Every file, with its problems.
        tallies: Every training set against every task; of files without problems.
    """

    folder: FolderCheck
    tallies: tuple[Tally, ...]


def wanted_files(names: Sequence[str] = (), *, train: bool = False, tasks_dir: Path | None = None) -> list[Wanted]:
    """The files of tasks and training sets; of all tasks where no name is given.

    Args:
        names: Tasks or training sets.
        train: The tasks' training splits too, where they have one.
        tasks_dir: Folder with a person's own tasks.

    Raises:
        DataError: A name is neither, or its items are generated or in a file of its own.
    """
    registry = registry_with(tasks_dir)
    every = [task.name for task in registry if task.sources]
    return list(_wanted(names or every, registry, train))


def fetch_data(
    wanted: Iterable[Wanted], folder: Path, *, update: bool = False, tell: Tell | None = None
) -> Iterator[Brought]:
    """Bring files into a folder, one after the other; what cannot be had does not stop the others.

    What is there already is verified. Sources, revisions and checksums are kept in the folder's lock file.

    Args:
        wanted: From `wanted_files`.
        folder: The folder of data.
        update: Bring what the sources now have, whatever the lock file says.
        tell: Told how far each file is.
    """
    for one in wanted:
        try:
            progress = None if tell is None else _telling(tell, one.target)
            yield Brought(one, download(one.sources, folder, one.target, update=update, progress=progress))
        except DataError as error:
            yield Brought(one, None, str(error))


def check_data(folder: Path, *, tasks_dir: Path | None = None, training: Sequence[Path] = ()) -> DataCheck:
    """Look at every row of a folder of data, and at what its training sets hold of its tasks.

    Args:
        folder: The folder.
        tasks_dir: Folder with a person's own tasks, whose files are checked too.
        training: More training files.

    Raises:
        DataError: There is no such folder, or no data in it.
    """
    registry = registry_with(tasks_dir)
    own = [task for task in registry if task.file is not None]
    known = [task for task in registry if task.file is None]
    found = check_folder(folder, known, training=training, check_options=True)
    more = [_check_own(registry, task.name) for task in own]
    checked = FolderCheck(found.folder, (*found.files, *more), found.not_checked)
    return DataCheck(checked, tuple(_tallies(checked, registry)))


def _wanted(names: Iterable[str], registry: TaskRegistry, train: bool) -> Iterator[Wanted]:
    sets = {training_set.name for training_set in list_training_sets()}
    for name in names:
        if name not in registry:
            training_set = _training_set(name, registry, sets)
            yield Wanted(training_set.name, training_set.locations()[0], training_set.sources)
            continue
        task = registry.get(name)
        if task.generated:
            raise DataError("its items are generated; there is nothing to fetch", key=task.name)
        if not task.sources:
            raise DataError("it declares no sources to fetch its items from", key=task.name)
        yield Wanted(task.name, task.locations()[0], task.sources)
        if train and task.train_sources:
            yield Wanted(task.name, task.locations("train")[0], task.train_sources)


def _training_set(name: str, registry: TaskRegistry, sets: Iterable[str]) -> TrainingSet:
    try:
        return get_training_set(name)
    except DataError:
        known = ", ".join([*sets, *(task.name for task in registry if not task.generated)])
        raise DataError(f"{name!r} is neither a training set nor a task with files (known: {known})") from None


def _telling(tell: Tell, target: str) -> Callable[[int, int | None], None]:
    return lambda here, total: tell(target, here, total)


def _check_own(registry: TaskRegistry, name: str) -> FileCheck:
    task = registry.get(name)
    convert = None if task.fields is None else task.fields.row
    return check_file(Path(str(task.file)), "items", task, convert=convert, count_items=False)


def _tallies(checked: FolderCheck, registry: TaskRegistry) -> Iterator[Tally]:
    """The audit of what can be read."""
    sound = [file for file in checked.files if file.ok]
    training = {_set_name(file.file): read_examples(file.file) for file in sound if file.kind == "training"}
    items: dict[str, list[Item]] = {}
    for file in sound:
        if file.kind == "items" and file.task is not None and file.task not in items:
            items[file.task] = _items(file, registry)
    overlaps = audit_contamination(training, items)
    yield from tally_contamination(overlaps, training, {task: len(rows) for task, rows in items.items()})


def _items(file: FileCheck, registry: TaskRegistry) -> list[Item]:
    task = registry.get(str(file.task))
    rows = read_rows(file.file)
    if task.fields is not None:
        rows = [mapped_row(row, task.fields.row) for row in rows]
    return as_items(task, rows)


def _set_name(file: Path) -> str:
    return "/".join(file.parts[-2:])
