"""The application all commands belong to, and the options they share."""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Annotated, Any

import typer

_ORDER = (
    *("run", "plan", "explain", "report", "view", "export", "distill", "evaluate", "compare", "rescore", "analyze"),
    *("tasks", "data", "schema"),
)


class _InOrder(typer.core.TyperGroup):
    """Lists the commands in the order in which people need them."""

    def list_commands(self, ctx: Any) -> list[str]:
        return sorted(super().list_commands(ctx), key=_ORDER.index)


app = typer.Typer(
    name="kdscope",
    cls=_InOrder,
    no_args_is_help=True,
    add_completion=False,
    rich_markup_mode="rich",
    pretty_exceptions_enable=False,
    help=(
        "Distil language models, and know what you got.\n\n"
        "A study is one YAML file: teachers, students, methods, data, tasks. kdscope trains every combination once, "
        "measures whether each student got better than plain fine-tuning and whether it still answers like its "
        "teacher, and writes a page that says what can be concluded.\n\n"
        "[bold]A study, step by step[/]\n\n"
        "  kdscope run                  (a study that comes with kdscope: nothing to download, minutes)\n\n"
        "  kdscope plan STUDY.yaml\n\n"
        "  kdscope run STUDY.yaml\n\n"
        "  kdscope explain STUDY.yaml gkd\n\n"
        "[bold]A model by itself[/]\n\n"
        "  kdscope evaluate MODEL --tasks gsm8k,svamp --data-dir data\n\n"
        "  kdscope compare runs/evaluations/A runs/evaluations/B\n\n"
        "`kdscope COMMAND --help` says more; `kdscope schema` describes every key of a study."
    ),
)


def _version(asked: bool) -> None:
    if asked:
        from kdscope import __version__

        print(f"kdscope {__version__}")
        raise typer.Exit


VersionOption = Annotated[
    bool, typer.Option("--version", callback=_version, is_eager=True, help="Print the version and stop.")
]


@app.callback()
def _options(version: VersionOption = False) -> None:
    pass


StudyFile = Annotated[Path, typer.Argument(help="The study, a YAML file. `kdscope schema` describes every key.")]
StoreOption = Annotated[
    Path | None,
    typer.Option("--store", help="Where finished stages are kept. Default: $KDSCOPE_STORE, or .kdscope here."),
]
JsonOption = Annotated[bool, typer.Option("--json", help="Print JSON for programs instead of text for people.")]
TrustOption = Annotated[bool, typer.Option("--trust-remote-code", help="Run Python code that comes with the model.")]
TasksDirOption = Annotated[
    Path | None, typer.Option("--tasks-dir", help="Folder with tasks of your own (YAML or Python); see docs/tasks.md.")
]
DataDirOption = Annotated[
    Path | None, typer.Option("--data-dir", help="Folder with the tasks' files; `kdscope data fetch` fills one.")
]
ExtensionsOption = Annotated[
    list[Path] | None,
    typer.Option("--extensions", help="A Python file of yours that adds methods and more; may be repeated. It is run."),
]
RunSdOption = Annotated[
    float | None,
    typer.Option(
        "--run-sd",
        help="Standard deviation between training runs of one setting, in points, where it is known from elsewhere.",
    ),
]
DiscordanceOption = Annotated[
    float | None,
    typer.Option(
        "--discordance",
        help="Share of items on which a distilled student and its control differ, where it is known from elsewhere.",
    ),
]
PilotOption = Annotated[
    Path | None, typer.Option("--pilot", help="The folder of a finished run that both are read from.")
]


@contextmanager
def options_named(flags: Mapping[str, str]) -> Iterator[None]:
    """Errors about an argument name the option that it was given with.

    Args:
        flags: The option of each argument.
    """
    from kdscope.core.errors import StudyError

    try:
        yield
    except StudyError as error:
        if error.file is not None or error.key.partition("[")[0] not in flags:
            raise
        lines = [re.split(r"(?=[:\[])", line, maxsplit=1) for line in str(error).split("\n")]
        raise StudyError("\n".join("".join((flags.get(name, name), *rest)) for name, *rest in lines)) from error


def options_of(*names: str) -> dict[str, str]:
    """The options of arguments that are called like them."""
    return {name: f"--{name.replace('_', '-')}" for name in names}


def one_of(option: str, value: str, known: tuple[str, ...]) -> str:
    """The value of an option, if it is one of those it may have.

    Raises:
        DataError: It is not.
    """
    from kdscope.core.errors import DataError

    if value not in known:
        raise DataError(f"{option} is {', '.join(known[:-1])} or {known[-1]}, not {value!r}")
    return value
