"""Commands about a study: run, plan, explain, schema."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Annotated, Any

import typer

from kdscope.cli.application import (
    DiscordanceOption,
    ExtensionsOption,
    JsonOption,
    PilotOption,
    RunSdOption,
    StoreOption,
    StudyFile,
    app,
    options_named,
    options_of,
)
from kdscope.cli.printing import (
    comparisons_json,
    planned_json,
    print_comparisons,
    print_embedded,
    print_plan,
    print_result,
    run_events,
)


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
        typer.Option("--seed", help="Use this seed instead of the study's; results go to NAME-sN."),
    ] = None,
    extensions: ExtensionsOption = None,
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
        print_embedded(as_json)
        return
    study = _chosen_study(study, preset)
    if show:
        print(study.read_text(encoding="utf-8"), end="")
        return
    with options_named(options_of("seed")), run_events(quiet, as_json) as events:
        loaded = api.load_study(study, extensions or ())
        result = api.run_study(loaded, store=store, out=out, events=events, seed=seed)
    print_result(result, as_json, quiet=quiet)
    raise typer.Exit(result.run.exit_code or int(result.report is None))


@app.command()
def plan(
    study: StudyFile,
    extensions: ExtensionsOption = None,
    store: StoreOption = None,
    run_sd: RunSdOption = None,
    discordance: DiscordanceOption = None,
    pilot: PilotOption = None,
    as_json: JsonOption = False,
) -> None:
    """List every stage: done or to run, with tokens, operations, disk and estimated time. Runs nothing.

    Then the minimum detectable gain over SFT, with the study's items and seeds: few of either find only large ones.
    """
    from kdscope import api

    with options_named(options_of("run_sd", "discordance")):
        noise = api.planning_noise(pilot, run_sd=run_sd, discordance=discordance)
    plan, planned = api.plan_study(api.load_study(study, extensions or ()), store, noise)
    if as_json:
        stages = [planned_json(item) for item in planned]
        print(json.dumps({"stages": stages, "comparisons": comparisons_json(plan.comparisons)}, indent=1))
        return
    print_plan(planned)
    print_comparisons(plan.comparisons)


@app.command()
def explain(
    study: StudyFile,
    stage: Annotated[str, typer.Argument(help="A stage's label, or part of it, as `kdscope plan` shows it.")],
    extensions: ExtensionsOption = None,
    store: StoreOption = None,
    as_json: JsonOption = False,
) -> None:
    """Say why a stage is done, or which changed input makes it run again."""
    from kdscope import api

    explained = api.explain_stage(api.load_study(study, extensions or ()), stage, store)
    if as_json:
        print(json.dumps([{"label": s.label, "identity": s.identity, **vars(e)} for s, e in explained], indent=1))
        return
    for found, explanation in explained:
        print(f"{found.label} [{found.directory_name}]: {explanation.state}")
        for reason in explanation.reasons:
            print(f"  {reason}")


@app.command()
def schema() -> None:
    """Print the JSON schema of a study, for editors: every key, its type, default and meaning."""
    from kdscope.study.dump import study_schema

    print(json.dumps(study_schema(), indent=1))


def _chosen_study(study: Path | None, preset: str | None) -> Path:
    from kdscope.core.errors import StudyError
    from kdscope.study.embedded import QUICKSTART, embedded_study

    if study is not None and preset is not None:
        raise StudyError(f"give either a study file or --preset, not {study} and --preset {preset}")
    return study if study is not None else embedded_study(preset or QUICKSTART).path
