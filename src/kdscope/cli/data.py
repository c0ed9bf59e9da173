"""Commands about tasks and data files."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Annotated

import typer

from kdscope.cli.application import JsonOption, TasksDirOption, app, options_named, options_of
from kdscope.cli.printing import download_progress, print_data_check, print_table


@app.command()
def tasks(tasks_dir: TasksDirOption = None, as_json: JsonOption = False) -> None:
    """List the tasks a study can name: kind of answer, number of items, chance level, licence."""
    from kdscope.tasks import list_training_sets, registry_with

    found = list(registry_with(tasks_dir))
    if as_json:
        names = ["name", "domain", "answer_kind", "labels", "chance", "test_items", "generated", "licence", "citation"]
        names += ["aliases", "description"]
        print(json.dumps([{name: getattr(task, name) for name in names} for task in found], indent=1))
        return
    rows = [
        [
            t.name,
            t.domain,
            t.answer_kind,
            _count(t.test_items, "any" if t.generated else "its file"),
            f"{t.chance:.3f}" if t.chance else "-",
            t.licence,
            t.description,
        ]
        for t in found
    ]
    print_table(["task", "domain", "answer", "items", "chance", "licence", "what it asks"], rows, right={3, 4})
    sets = [[s.name, _count(s.rows, "unknown"), s.licence, s.description] for s in list_training_sets()]
    print("\nTraining sets, for `kdscope data fetch`:")
    print_table(["set", "rows", "licence", "what it is"], sets, right={1})


def _count(number: int | None, otherwise: str) -> str:
    return otherwise if number is None else str(number)


data_app = typer.Typer(no_args_is_help=True, help="Data files: fetch them, check them, make the mini tasks' own.")
app.add_typer(data_app, name="data")


@data_app.command("fetch")
def data_fetch(
    names: Annotated[list[str] | None, typer.Argument(help="Tasks and training sets; without one, all tasks.")] = None,
    data_dir: Annotated[Path, typer.Option("--data-dir", help="Where the files go.")] = Path("data"),
    train: Annotated[bool, typer.Option("--train", help="The tasks' training splits too.")] = False,
    update: Annotated[
        bool, typer.Option("--update", help="Bring what the sources now have, whatever the lock file says.")
    ] = False,
    tasks_dir: TasksDirOption = None,
    as_json: JsonOption = False,
) -> None:
    """Bring the files of tasks and training sets: verified, resumed where an earlier attempt broke off.

    The folder's kdscope-data.lock.json remembers source, revision and checksum of every file; commit it, and everyone
    evaluates on the same rows.

    Exit code: 0 all are there, 1 some could not be had, 2 bad input.
    """
    from dataclasses import asdict

    from kdscope import api

    failed, wanted = 0, api.wanted_files(names or (), train=train, tasks_dir=tasks_dir)
    with download_progress(quiet=as_json) as tell:
        for brought in api.fetch_data(wanted, data_dir, update=update, tell=tell):
            failed += brought.locked is None
            if as_json:
                locked = None if brought.locked is None else asdict(brought.locked)
                told = {"name": brought.wanted.name, "file": brought.wanted.target, "problem": brought.problem}
                print(json.dumps({**told, "locked": locked}))
            elif brought.locked is None:
                print(f"FAILED {brought.wanted.name}: {brought.problem}")
            else:
                rows, revision = brought.locked.rows, str(brought.locked.revision)[:12]
                print(f"{data_dir / brought.wanted.target}: {rows:,} rows, {brought.locked.source} at {revision}")
    raise typer.Exit(1 if failed else 0)


@data_app.command("check")
def data_check(
    data_dir: Annotated[Path, typer.Option("--data-dir", help="The folder to check.")] = Path("data"),
    train: Annotated[
        list[Path] | None, typer.Option("--train", help="A training file to check with it; may be repeated.")
    ] = None,
    tasks_dir: TasksDirOption = None,
    as_json: JsonOption = False,
) -> None:
    """Look at every row of the data files, and at what the training sets hold of the evaluation items.

    Exit code: 0 every row can be used, 2 some cannot; each is named with its file and row.
    """
    from dataclasses import asdict

    from kdscope import api

    found = api.check_data(data_dir, tasks_dir=tasks_dir, training=train or ())
    if as_json:
        told = {"files": [asdict(f) for f in found.folder.files], "contamination": [asdict(t) for t in found.tallies]}
        print(json.dumps(told, indent=1, default=str))
    else:
        print_data_check(found)
    raise typer.Exit(0 if found.folder.ok else 2)


@data_app.command("mini")
def data_mini(
    folder: Annotated[Path, typer.Argument(help="Where to write <task>/train.json and <task>/test.json.")],
    task: Annotated[list[str] | None, typer.Option("--task", help="Only this mini task; may be repeated.")] = None,
    train: Annotated[int, typer.Option("--train", help="Training rows of each task.")] = 1000,
    test: Annotated[int, typer.Option("--test", help="Test items of each task.")] = 200,
    seed: Annotated[int, typer.Option("--seed", help="Another seed, other problems.")] = 0,
) -> None:
    """Write generated problems of the mini tasks as files, for use outside a study.

    No training problem has a test problem's calculation. Studies need no files: they generate the same rows.
    """
    from kdscope.tasks import get_task, list_tasks
    from kdscope.tasks.mini import write_mini_files

    names = [get_task(name).name for name in task] if task else [t.name for t in list_tasks() if t.generated]
    with options_named(options_of("train", "test", "seed")):
        files = write_mini_files(folder, names, train=train, test=test, seed=seed)
    for file in files:
        print(file)
