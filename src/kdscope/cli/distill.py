"""The command that distils one student, without a study file."""

from __future__ import annotations

import inspect
import json
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from kdscope.api.distillation_arguments import ARGUMENTS, Argument
from kdscope.cli.application import JsonOption, StoreOption, app, options_named
from kdscope.cli.outputs import exported_json, print_exported
from kdscope.cli.printing import run_events

if TYPE_CHECKING:
    from kdscope.api import Distilled


def distill(
    *,
    merge: Annotated[bool, typer.Option("--merge", help="Save a whole model instead of an adapter.")] = False,
    store: StoreOption = None,
    out: Annotated[
        Path | None, typer.Option("--out", "-o", help="The student's folder. Default: runs/NAME/student.")
    ] = None,
    as_yaml: Annotated[
        bool, typer.Option("--yaml", help="Print the study that this is, to grow from, and run nothing.")
    ] = False,
    quiet: Annotated[bool, typer.Option("--quiet", "-q", help="Only failures, warnings and the result.")] = False,
    as_json: JsonOption = False,
    **settings: Any,
) -> None:
    """Distil one student from one teacher; save it as an ordinary Hugging Face folder with a model card.

    With --tasks, teacher and student are evaluated, beside the student untrained and the control: the same student
    fine-tuned on the same data without the teacher. Without the control, no gain is known; without tasks, nothing is.

    It is a study of one method: what is done is reused, what was interrupted continues, and report and tables are in
    runs/NAME.

    Exit code: 0 done, 1 something failed, 2 bad input.
    """
    from kdscope import api

    # As options these two are flags, and tasks are one text with commas.
    settings["tuning"] = "full" if settings["tuning"] else "lora"
    settings["control"] = not settings["control"]
    settings["tasks"] = [task.strip() for task in settings["tasks"].split(",") if task.strip()]
    with options_named({argument.name: argument.flag for argument in ARGUMENTS}):
        if as_yaml:
            print(api.distil_yaml(**settings), end="")
            return
        with run_events(quiet, as_json) as events:
            found = api.distill(**settings, out=out, store=store, merge=merge, events=events)
    _print(found, as_json)
    raise typer.Exit(found.result.run.exit_code or int(found.exported is None))


def _parameter(argument: Argument) -> inspect.Parameter:
    """An argument as typer reads an option: optional where the study has a default of its own."""
    kind, default = argument.kind, argument.default
    if kind is bool:
        default = False
    elif argument.name == "tasks":
        kind, default = str, ""
    elif default is None and not argument.required:
        kind = kind | None
    option = typer.Option(*(argument.flags or (argument.flag,)), help=argument.help)
    return inspect.Parameter(
        argument.name,
        inspect.Parameter.KEYWORD_ONLY,
        default=inspect.Parameter.empty if argument.required else default,
        annotation=Annotated[kind, option],
    )


def _with_arguments(command: Any) -> Any:
    """The command with an option for every argument before its own, in the signature that typer reads."""
    signature = inspect.signature(command, eval_str=True)
    own = [parameter for parameter in signature.parameters.values() if parameter.kind is not parameter.VAR_KEYWORD]
    command.__signature__ = signature.replace(parameters=[*map(_parameter, ARGUMENTS), *own])
    return command


app.command()(_with_arguments(distill))


def _print(found: Distilled, as_json: bool) -> None:
    failures = {stage.label: found.result.run.messages[stage.identity] for stage in found.result.run.failed}
    report = None if found.result.report is None else str(found.result.report)
    if as_json:
        student = None if found.exported is None else exported_json(found.exported)
        print(json.dumps({"event": "result", "student": student, "report": report, "failed": failures}))
        return
    for label, message in failures.items():
        print(f"failed: {label}: {message}")
    if found.exported is None:
        print("no student: what is done is kept; the same command goes on from there")
        return
    print_exported(found.exported, code=True)
    print(f"\nreport: {report}")
