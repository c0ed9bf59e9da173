"""Two models side by side: which is better, and how like a teacher is a student?"""

from __future__ import annotations

import json
from pathlib import Path
from typing import Annotated, Any

import typer

from kdscope.cli.application import DataDirOption, JsonOption, TasksDirOption, app
from kdscope.cli.printing import print_table, print_text_table

_NO_CONTROL = (
    "Without --control these are levels: models that never met agree too, on items that are easy or hard for both."
)
ScoringOption = Annotated[str, typer.Option("--scoring", help="robust or published.")]


@app.command()
def compare(
    a: Annotated[Path, typer.Argument(help="What `kdscope evaluate` wrote for one model, or completions (JSONL).")],
    b: Annotated[Path | None, typer.Argument(help="The same for another model.")] = None,
    teacher: Annotated[
        Path | None, typer.Option("--teacher", help="The same for a teacher: how like it is A (and B)?")
    ] = None,
    control: Annotated[
        Path | None, typer.Option("--control", help="With --teacher: the control, a student trained without it.")
    ] = None,
    ceiling: Annotated[
        Path | None, typer.Option("--ceiling", help="With --teacher: another run of the teacher.")
    ] = None,
    margin: Annotated[
        float, typer.Option("--margin", min=0.01, help="With B: points that A may be less faithful and not inferior.")
    ] = 1.0,
    scoring: ScoringOption = "robust",
    data_dir: DataDirOption = None,
    tasks_dir: TasksDirOption = None,
    as_json: JsonOption = False,
) -> None:
    """Compare two models item by item, and a student with its teacher.

    `compare A B`: differences with intervals and tests. `compare STUDENT --teacher T`: every measure of fidelity with
    its floor, with --control what it is above the control's, with --ceiling also where it lies between the two.
    `compare A B --teacher T`: both, and whether A is as faithful as B. It is about these checkpoints, not methods.
    """
    from kdscope.core.errors import DataError

    if b is None and teacher is None:
        raise DataError("give a second model, or a --teacher to compare the first with")
    if teacher is None and (control is not None or ceiling is not None):
        raise DataError("--control and --ceiling belong to a --teacher")
    settings: dict[str, Any] = {"scoring": scoring, "tasks_dir": tasks_dir, "data_dir": data_dir}
    if b is not None:
        _compare_two(a, b, teacher, {"control": control, "margin": margin, **settings}, as_json)
    if b is None and teacher is not None:
        _compare_with_teacher(a, teacher, {"control": control, "ceiling": ceiling, **settings}, as_json)


def _compare_two(a: Path, b: Path, teacher: Path | None, settings: dict[str, Any], as_json: bool) -> None:
    from kdscope import api
    from kdscope.evaluation.compare import differences_table, fidelity_table

    found = api.compare_models(a, b, teacher=teacher, **settings)
    if as_json:
        tables = {"differences": found.differences, "fidelity": found.fidelity}
        told = {name: json.loads(t.to_json(orient="records")) for name, t in tables.items() if t is not None}
        print(json.dumps({**told, "left_out": list(found.left_out)}))
        return
    print(f"A: {a}\nB: {b}")
    print_text_table(differences_table(found))
    if found.left_out:
        print(f"answered by one of them only: {', '.join(found.left_out)}")
    if teacher is not None:
        print(f"\nfidelity to {teacher}")
        print_text_table(fidelity_table(found))


def _compare_with_teacher(student: Path, teacher: Path, settings: dict[str, Any], as_json: bool) -> None:
    from kdscope import api

    found = api.measure_fidelity(student, teacher, **settings)
    if as_json:
        print(json.dumps({"fidelity": json.loads(found.to_json(orient="records"))}))
        return
    print(f"fidelity of {student} to {teacher}; in brackets 95% intervals over items")
    rows = [
        [
            row["task"],
            row["family"],
            row["measure"],
            f"{row['items']:,}",
            _limits(row["value"], row["low"], row["high"]),
            *(_number(row[name]) for name in ("floor", "control")),
            _limits(row["over_control"], row["over_control_low"], row["over_control_high"]),
            _number(row["ceiling"]),
            _limits(row["normalised"], row["normalised_low"], row["normalised_high"]),
        ]
        for row in found.to_dict("records")
    ]
    headings = ["task", "family", "measure", "n", "value", "floor", "control", "minus control", "ceiling", "normalised"]
    print_table(headings, rows, right={3, 5, 6, 8})
    if settings["control"] is None:
        print(_NO_CONTROL)
    for reason in dict.fromkeys(row["reason"] for row in found.to_dict("records") if row["normalised"] > 1):
        if reason:
            print(reason)


def _number(value: float) -> str:
    return "-" if value != value else f"{value:.3f}"


def _limits(value: float, low: float, high: float) -> str:
    return _number(value) if low != low else f"{value:.3f} [{low:.3f}, {high:.3f}]"
