"""The command that distils one student, without a study file."""

from __future__ import annotations

import json
from collections.abc import Collection, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from kdscope.cli.application import DataDirOption, JsonOption, StoreOption, TasksDirOption, app
from kdscope.cli.export import exported_json, print_exported
from kdscope.cli.printing import run_events

if TYPE_CHECKING:
    from kdscope.api import Distilled

_OTHERWISE_NAMED = {"tuning": "full", "control": "no-control", "trackers": "track"}


@app.command()
def distill(
    teacher: Annotated[
        str, typer.Option("--teacher", "-T", help="A Hugging Face folder, a hub repository, or kdscope:tiny-l.")
    ],
    student: Annotated[str, typer.Option("--student", "-S", help="Likewise; NAME@COMMIT pins a hub repository.")],
    method: Annotated[
        str, typer.Option("--method", "-M", help="seqkd, forward_kl, reverse_kl, jsd, gkd, skew_kl, ...")
    ],
    data: Annotated[
        Path, typer.Option("--data", "-D", help="Training set: JSON, JSONL or parquet (instruction, input, output).")
    ],
    tasks: Annotated[
        str, typer.Option("--tasks", "-t", help="Evaluate on these tasks, with commas. Default: nothing is evaluated.")
    ] = "",
    data_dir: DataDirOption = None,
    tasks_dir: TasksDirOption = None,
    limit: Annotated[int | None, typer.Option("--limit", "-L", help="Only the first N items of each task.")] = None,
    teacher_condition: Annotated[
        str,
        typer.Option(
            "--teacher-condition",
            help="adapted: fine-tune the teacher on the data first (LoRA); one that never saw the format can ruin its "
            "student. base: it teaches as it comes.",
        ),
    ] = "adapted",
    temperature: Annotated[float | None, typer.Option("--temperature", help="T of the divergence.")] = None,
    kd_weight: Annotated[
        float | None, typer.Option("--kd-weight", help="Weight of the divergence against cross-entropy, 0 to 1.")
    ] = None,
    epochs: Annotated[int | None, typer.Option("--epochs", help="Passes over the data. Default: 3.")] = None,
    max_steps: Annotated[int | None, typer.Option("--max-steps", help="Optimiser steps, instead of epochs.")] = None,
    learning_rate: Annotated[
        float | None, typer.Option("--learning-rate", help="The student's. Default: 3e-4, with --full 2e-5.")
    ] = None,
    full: Annotated[
        bool, typer.Option("--full/--lora", help="Train every weight of the student, or an adapter (the default).")
    ] = False,
    merge: Annotated[bool, typer.Option("--merge", help="Save a whole model instead of an adapter.")] = False,
    seed: Annotated[int, typer.Option("--seed", help="Of the training.")] = 0,
    no_control: Annotated[
        bool,
        typer.Option(
            "--no-control",
            help="Do not fine-tune the same student without the teacher; whether the teacher helped stays unknown.",
        ),
    ] = False,
    max_length: Annotated[
        int | None, typer.Option("--max-length", help="Tokens of prompt and response together. Default: 512.")
    ] = None,
    max_new_tokens: Annotated[
        int | None, typer.Option("--max-new-tokens", help="Tokens, at most, an answer. Default: 256.")
    ] = None,
    device: Annotated[str, typer.Option("--device", help="auto, cpu, cuda or mps.")] = "auto",
    dtype: Annotated[str, typer.Option("--dtype", help="auto, float32 or bfloat16.")] = "auto",
    workers: Annotated[int | None, typer.Option("--workers", help="Processes that work side by side.")] = None,
    track: Annotated[
        list[str] | None, typer.Option("--track", help="tensorboard, wandb, trackio or mlflow; may be repeated.")
    ] = None,
    name: Annotated[str | None, typer.Option("--name", help="Results go to runs/NAME.")] = None,
    store: StoreOption = None,
    out: Annotated[
        Path | None, typer.Option("--out", "-o", help="The student's folder. Default: runs/NAME/student.")
    ] = None,
    as_yaml: Annotated[
        bool, typer.Option("--yaml", help="Print the study that this is, to grow from, and run nothing.")
    ] = False,
    quiet: Annotated[bool, typer.Option("--quiet", "-q", help="Only failures, warnings and the result.")] = False,
    as_json: JsonOption = False,
) -> None:
    """Distil one student from one teacher; save it as an ordinary Hugging Face folder with a model card.

    With --tasks, teacher and student are evaluated, beside the student untrained and the control: the same student
    fine-tuned on the same data without the teacher. Without the control, no gain is known; without tasks, nothing is.

    It is a study of one method: what is done is reused, what was interrupted continues, and report and tables are in
    runs/NAME.

    Exit code: 0 done, 1 something failed, 2 bad input.
    """
    from kdscope import api

    settings: dict[str, Any] = {
        "tasks": [task.strip() for task in tasks.split(",") if task.strip()],
        "data_dir": data_dir,
        "tasks_dir": tasks_dir,
        "limit": limit,
        "teacher_condition": teacher_condition,
        "temperature": temperature,
        "kd_weight": kd_weight,
        "epochs": epochs,
        "max_steps": max_steps,
        "learning_rate": learning_rate,
        "tuning": "full" if full else "lora",
        "seed": seed,
        "control": not no_control,
        "max_length": max_length,
        "max_new_tokens": max_new_tokens,
        "device": device,
        "dtype": dtype,
        "workers": workers,
        "trackers": track or [],
        "name": name,
    }
    with _options_named():
        if as_yaml:
            print(api.distil_yaml(teacher, student, method, data, **settings), end="")
            return
        with run_events(quiet, as_json) as events:
            found = api.distill(
                teacher, student, method, data, out=out, store=store, merge=merge, events=events, **settings
            )
    _print(found, as_json)
    raise typer.Exit(1 if found.exported is None or found.result.run.failed else 0)


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


@contextmanager
def _options_named() -> Iterator[None]:
    """Errors about an argument name the option that it was given with."""
    from kdscope.api.distil_study import ARGUMENTS
    from kdscope.core.errors import StudyError

    try:
        yield
    except StudyError as error:
        if error.key not in ARGUMENTS:
            raise
        lines = [_named(line, ARGUMENTS) for line in str(error).split("\n")]
        raise StudyError("\n".join(lines)) from error


def _named(line: str, arguments: Collection[str]) -> str:
    argument, colon, message = line.partition(": ")
    if not colon or argument not in arguments:
        return line
    option = _OTHERWISE_NAMED.get(argument, argument.replace("_", "-"))
    return f"--{option}: {message}"
