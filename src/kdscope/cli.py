"""The command line: parse, call `kdscope.api`, print. Exit codes: 0 done, 1 a cell failed, 2 bad input."""

from __future__ import annotations

import json
import sys
from contextlib import nullcontext
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

if TYPE_CHECKING:
    from kdscope.api import StudyResult
    from kdscope.pipeline.plan import PlannedStage

app = typer.Typer(
    name="kdscope",
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


class _PresetMayStandAlone(typer.core.TyperCommand):
    """Lets `--preset` without a name ask for the list."""

    def parse_args(self, ctx: Any, args: list[str]) -> list[str]:
        for place, word in enumerate(args):
            if word == "--preset" and (place + 1 == len(args) or args[place + 1].startswith("-")):
                args = [*args[: place + 1], "", *args[place + 1 :]]
        return super().parse_args(ctx, args)


@app.command(cls=_PresetMayStandAlone)
def run(
    study: Annotated[
        Path | None, typer.Argument(help="The study, a YAML file. Without one: the embedded quickstart.")
    ] = None,
    preset: Annotated[
        str | None,
        typer.Option(
            "--preset", help="Run a study that comes with kdscope; without a name, list them.", metavar="NAME"
        ),
    ] = None,
    show: Annotated[
        bool, typer.Option("--show", help="Print the embedded study instead of running it: a start for your own.")
    ] = False,
    seed: Annotated[
        int | None,
        typer.Option(
            "--seed", min=0, max=2**31 - 1, help="Use this seed instead of the study's; results go to NAME-sN."
        ),
    ] = None,
    store: StoreOption = None,
    out: Annotated[Path | None, typer.Option("--out", help="Folder for report and tables. Default: runs/NAME.")] = None,
    quiet: Annotated[bool, typer.Option("--quiet", "-q", help="Only failures, warnings and the result.")] = False,
    as_json: JsonOption = False,
) -> None:
    """Run a study: what is done is reused, what was interrupted continues.

    Without a study, the quickstart: small models and generated problems that come with kdscope, on the CPU, offline, a
    few minutes.

    Writes OUT/report.html and OUT/tables/*.csv (and .parquet). A failed cell does not stop the others.

    Exit code: 0 all done, 1 a cell or the report failed, 2 bad input.
    """
    from kdscope import api

    if preset == "":
        _print_embedded(as_json)
        return
    study = _chosen_study(study, preset)
    if show:
        print(study.read_text(encoding="utf-8"), end="")
        return
    with _events(quiet, as_json) as events:
        result = api.run_study(study, store=store, out=out, events=events, seed=seed)
    _print_result(result, as_json)
    raise typer.Exit(1 if result.run.failed or result.report is None else 0)


@app.command()
def plan(study: StudyFile, store: StoreOption = None, as_json: JsonOption = False) -> None:
    """List every stage: done or to run, with tokens, operations, disk and estimated time. Runs nothing."""
    from kdscope import api

    _, planned = api.plan_study(study, store)
    if as_json:
        print(json.dumps([_planned_json(item) for item in planned], indent=1))
        return
    _print_plan(planned)


@app.command()
def explain(
    study: StudyFile,
    stage: Annotated[str, typer.Argument(help="A stage's label, or part of it, as `kdscope plan` shows it.")],
    store: StoreOption = None,
    as_json: JsonOption = False,
) -> None:
    """Say why a stage is done, or which changed input makes it run again."""
    from kdscope import api

    explained = api.explain_stage(study, stage, store)
    if as_json:
        print(json.dumps([{"label": s.label, "identity": s.identity, **vars(e)} for s, e in explained], indent=1))
        return
    for found, explanation in explained:
        print(f"{found.label} [{found.directory_name}]: {explanation.state}")
        for reason in explanation.reasons:
            print(f"  {reason}")


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
    _print_table(["task", "domain", "answer", "items", "chance", "licence"], rows, right={3, 4})


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


@app.command()
def schema() -> None:
    """Print the JSON schema of a study, for editors: every key, its type, default and meaning."""
    from kdscope.study.dump import study_schema

    print(json.dumps(study_schema(), indent=1))


def main() -> None:
    """Entry point: errors meant for people become one message and exit code 2."""
    from kdscope.errors import KdscopeError

    try:
        app()
    except KdscopeError as error:
        print(f"error: {error}", file=sys.stderr)
        sys.exit(2)
    except KeyboardInterrupt:
        print("stopped; the same command continues from here", file=sys.stderr)
        sys.exit(130)


def _chosen_study(study: Path | None, preset: str | None) -> Path:
    from kdscope.errors import StudyError
    from kdscope.study.embedded import QUICKSTART, embedded_study

    if study is not None and preset is not None:
        raise StudyError(f"give either a study file or --preset, not {study} and --preset {preset}")
    return study if study is not None else embedded_study(preset or QUICKSTART).path


def _print_embedded(as_json: bool) -> None:
    from kdscope.study.embedded import embedded_studies

    found = embedded_studies()
    if as_json:
        print(json.dumps([{"name": s.name, "summary": s.summary, "path": str(s.path)} for s in found], indent=1))
        return
    _print_table(["study", "what it shows"], [[s.name, s.summary] for s in found], right=set())
    print("\nRun one: kdscope run --preset NAME. Read it, or make it yours: kdscope run --preset NAME --show > my.yaml")


def _events(quiet: bool, as_json: bool) -> Any:
    from rich.console import Console

    from kdscope.console import JsonEvents, PlainEvents, RichEvents

    console = Console(stderr=True)
    if as_json:
        return nullcontext(JsonEvents())
    if quiet or not console.is_terminal:
        return nullcontext(PlainEvents(quiet=quiet))
    return RichEvents(console)


def _print_result(result: StudyResult, as_json: bool) -> None:
    counts = {name: len(getattr(result.run, name)) for name in ("executed", "reused", "failed", "blocked")}
    places = {
        name: str(path) if path else None for name, path in (("report", result.report), ("tables", result.tables))
    }
    if as_json:
        print(json.dumps({"event": "result", **counts, **places}))
        return
    print(", ".join(f"{number} stages {name}" for name, number in counts.items() if number or name == "executed"))
    for stage in result.run.failed:
        print(f"failed: {stage.label}: {result.run.messages[stage.identity]}")
    print(f"report: {result.report or 'none, because it or the analysis failed'}")
    print(f"tables: {result.tables or 'none, because the analysis failed'}")


def _print_plan(planned: list[PlannedStage]) -> None:
    from kdscope.console import show_seconds
    from kdscope.pipeline.plan import total_cost

    rows = []
    for item in planned:
        cost = item.stage.cost
        flops = f"{cost.flops:.1e}" if cost.flops else "unknown"
        numbers = [f"{cost.tokens:,}", flops, _show_bytes(cost.disk_bytes)] if cost.tokens else [""] * 3
        time = show_seconds(cost.seconds) if item.state in ("will run", "damaged") else ""
        signal = str(item.stage.context.get("signal", ""))
        rows.append([item.state, item.stage.kind, item.stage.label, signal, *numbers, time])
    headings = ["state", "stage", "what", "teacher's signal", "tokens", "FLOPs", "disk", "time"]
    _print_table(headings, rows, right={4, 5, 6, 7})
    total = total_cost(planned)
    running = sum(item.state in ("will run", "damaged") for item in planned)
    print(
        f"\n{running} of {len(planned)} stages will run: about {total.tokens:,} tokens, {total.flops:.1e} FLOPs, "
        f"{_show_bytes(total.disk_bytes)} on disk, {show_seconds(total.seconds)}"
    )


def _planned_json(item: PlannedStage) -> dict[str, Any]:
    stage = item.stage
    return {
        "state": item.state,
        "kind": stage.kind,
        "label": stage.label,
        "identity": stage.identity,
        "problem": item.problem,
        "signal": stage.context.get("signal"),
        **vars(stage.cost),
    }


def _show_bytes(count: float) -> str:
    for unit in ("B", "kB", "MB", "GB"):
        if count < 1000:
            return f"{count:.0f} {unit}" if unit in ("B", "kB") else f"{count:.1f} {unit}"
        count /= 1000
    return f"{count:.1f} TB"


def _print_table(headings: list[str], rows: list[list[str]], right: set[int]) -> None:
    widths = [max(map(len, column)) for column in zip(headings, *rows, strict=True)]
    for row in (headings, ["-" * width for width in widths], *rows):
        cells = [c.rjust(w) if i in right else c.ljust(w) for i, (c, w) in enumerate(zip(row, widths, strict=True))]
        print("  ".join(cells).rstrip())
