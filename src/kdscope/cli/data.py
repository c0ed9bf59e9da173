"""Commands about tasks and data files."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Annotated

import typer

from kdscope.cli.application import JsonOption, app
from kdscope.cli.printing import print_table


@app.command()
def tasks(as_json: JsonOption = False) -> None:
    """List the tasks a study can name: kind of answer, number of items, chance level, licence."""
    from kdscope.tasks import list_tasks

    found = list_tasks()
    if as_json:
        names = ("name", "domain", "answer_kind", "labels", "chance", "test_items", "generated", "licence", "citation")
        print(json.dumps([{name: getattr(task, name) for name in names} for task in found], indent=1))
        return
    rows = [
        [
            t.name,
            t.domain,
            t.answer_kind,
            "any" if t.test_items is None else str(t.test_items),
            f"{t.chance:.3f}",
            t.licence,
        ]
        for t in found
    ]
    print_table(["task", "domain", "answer", "items", "chance", "licence"], rows, right={3, 4})


data_app = typer.Typer(no_args_is_help=True, help="Data files: make the mini tasks' own.")
app.add_typer(data_app, name="data")


@data_app.command("mini")
def data_mini(
    folder: Annotated[Path, typer.Argument(help="Where to write <task>/train.json and <task>/test.json.")],
    task: Annotated[list[str] | None, typer.Option("--task", help="Only this mini task; may be repeated.")] = None,
    train: Annotated[int, typer.Option("--train", min=1, help="Training rows of each task.")] = 1000,
    test: Annotated[int, typer.Option("--test", min=1, help="Test items of each task.")] = 200,
    seed: Annotated[int, typer.Option("--seed", min=0, help="Another seed, other problems.")] = 0,
) -> None:
    """Write generated problems of the mini tasks as files, for use outside a study.

    No training problem has a test problem's calculation. Studies need no files: they generate the same rows.
    """
    from kdscope.tasks import get_task, list_tasks
    from kdscope.tasks.mini.files import write_mini_files

    names = [get_task(name).name for name in task] if task else [t.name for t in list_tasks() if t.generated]
    for file in write_mini_files(folder, names, train=train, test=test, seed=seed):
        print(file)
