"""Commands about models by themselves: evaluate one, score its answers again, compare it with others."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Annotated, Any

import typer

from kdscope.cli.application import (
    DataDirOption,
    ExtensionsOption,
    JsonOption,
    StoreOption,
    TasksDirOption,
    TrustOption,
    app,
    options_named,
    options_of,
)
from kdscope.cli.printing import print_table, run_events
from kdscope.results.table import terminal_text

_FLAGS = {
    **options_of("limit", "batch_size", "max_new_tokens", "top_p", "device", "dtype", "backend"),
    **{"sampling_temperature": "--temperature", "decoding_seeds": "--seeds", "stop_texts": "--stop"},
}


@app.command()
def evaluate(
    model: Annotated[str, typer.Argument(help="A Hugging Face folder, a peft adapter's folder, or a hub repository.")],
    tasks: Annotated[str, typer.Option("--tasks", "-t", help="Task names, with commas; `kdscope tasks` lists them.")],
    limit: Annotated[int | None, typer.Option("--limit", "-L", help="Only the first N items of each.")] = None,
    data_dir: DataDirOption = None,
    tasks_dir: TasksDirOption = None,
    adapter: Annotated[Path | None, typer.Option("--adapter", help="A peft adapter to put on the model.")] = None,
    revision: Annotated[str | None, typer.Option("--revision", help="Commit or branch of a hub repository.")] = None,
    trust_remote_code: TrustOption = False,
    template: Annotated[str, typer.Option("--template", help="alpaca, published, plain or chat.")] = "alpaca",
    apply_chat_template: Annotated[
        bool, typer.Option("--apply-chat-template", help="The same as --template chat.")
    ] = False,
    batch_size: Annotated[int, typer.Option("--batch-size", "-b", help="Most items generated together.")] = 32,
    max_new_tokens: Annotated[int, typer.Option("--max-new-tokens", help="Tokens, at most, an answer.")] = 256,
    temperature: Annotated[float, typer.Option("--temperature", help="0 is greedy decoding.")] = 0.0,
    top_p: Annotated[float, typer.Option("--top-p", help="Nucleus, when sampling.")] = 1.0,
    seeds: Annotated[str, typer.Option("--seeds", help="Seeds of the sampling, with commas.")] = "0",
    stop: Annotated[
        list[str] | None, typer.Option("--stop", help="End an answer where this text begins; may be repeated.")
    ] = None,
    extensions: ExtensionsOption = None,
    backend: Annotated[str, typer.Option("--backend", help="transformers or vllm.")] = "transformers",
    device: Annotated[str, typer.Option("--device", help="auto, cpu, cuda or mps.")] = "auto",
    dtype: Annotated[str, typer.Option("--dtype", help="auto, float32 or bfloat16.")] = "auto",
    store: StoreOption = None,
    out: Annotated[
        Path | None,
        typer.Option("--out", "--output-path", "-o", help="Folder for the results. Default: runs/evaluations/MODEL."),
    ] = None,
    quiet: Annotated[bool, typer.Option("--quiet", "-q", help="Only failures, warnings and the result.")] = False,
    as_json: JsonOption = False,
) -> None:
    """Evaluate a model zero-shot: it writes answers, and both scorings read them.

    Writes into OUT: records.parquet (an item a row), accuracy.csv, table.md, and lm_eval/ with results_*.json and
    samples_*.jsonl as lm-evaluation-harness writes them. What was generated before is not generated again.

    Exit code: 0 all done, 1 a task failed, 2 bad input.
    """
    from kdscope import api
    from kdscope.core.extensions import load_extensions
    from kdscope.evaluation.accuracy import leaderboard

    load_extensions(extensions or ())
    settings: dict[str, Any] = {
        "batch_size": batch_size,
        "max_new_tokens": max_new_tokens,
        "sampling_temperature": temperature,
        "top_p": top_p,
        "decoding_seeds": _numbers(seeds),
        "backend": backend,
    }
    if stop:
        settings["stop_texts"] = tuple(stop)
    with options_named(_FLAGS), run_events(quiet, as_json) as events:
        result = api.evaluate_model(
            model,
            _names(tasks),
            adapter=adapter,
            revision=revision,
            trust_remote_code=trust_remote_code,
            data_dir=data_dir,
            tasks_dir=tasks_dir,
            limit=limit,
            template="chat" if apply_chat_template else template,
            evaluation=settings,
            runtime={"device": device, "dtype": dtype},
            store=store,
            out=out,
            events=events,
        )
    if as_json:
        rows = json.loads(result.accuracy.to_json(orient="records"))
        print(json.dumps({"event": "result", "model": result.model, "folder": str(result.folder), "accuracy": rows}))
    else:
        if result.records:
            print(terminal_text(leaderboard(result.accuracy)))
        for stage in result.run.failed:
            print(f"failed: {stage.label}: {result.run.messages[stage.identity]}")
        print(f"records and tables: {result.folder if result.records else 'none, because every task failed'}")
    raise typer.Exit(result.run.exit_code)


@app.command()
def rescore(
    completions: Annotated[
        Path, typer.Argument(help="Saved completions: JSONL, a folder of <task>.jsonl, or what kdscope wrote.")
    ],
    task: Annotated[str | None, typer.Option("--task", help="The task, where file and rows do not tell.")] = None,
    data_dir: DataDirOption = None,
    tasks_dir: TasksDirOption = None,
    finish_reason: Annotated[
        str, typer.Option("--finish-reason", help="stop, length or run_on, where a row does not tell.")
    ] = "stop",
    out: Annotated[Path | None, typer.Option("--out", "-o", help="Write the records here (parquet).")] = None,
    as_json: JsonOption = False,
) -> None:
    """Score saved completions again, by both rules, without generating.

    A row holds the completion (output, completion, response, text, or resps as lm-evaluation-harness writes it), and
    the right answer (label, gold, answer or target) unless --data-dir has the items.
    """
    from kdscope import api
    from kdscope.evaluation.accuracy import leaderboard
    from kdscope.evaluation.records import write_records
    from kdscope.evaluation.score import changes_table

    found = api.rescore_answers(
        completions, task=task, tasks_dir=tasks_dir, data_dir=data_dir, finish_reason=finish_reason
    )
    if out is not None:
        out.parent.mkdir(parents=True, exist_ok=True)
        write_records(found.records, out)
    if as_json:
        print(
            json.dumps({"accuracy": json.loads(found.accuracy.to_json(orient="records")), "notes": list(found.notes)})
        )
        return
    print(terminal_text(leaderboard(found.accuracy)))
    print()
    print(terminal_text(changes_table(found.changes)))
    for note in found.notes:
        print(f"note: {note}")


def _names(text: str) -> list[str]:
    return [name.strip() for name in text.split(",") if name.strip()]


def _numbers(text: str) -> tuple[int, ...]:
    from kdscope.core.errors import StudyError

    try:
        return tuple(int(part) for part in _names(text))
    except ValueError:
        raise StudyError(f"--seeds takes whole numbers with commas between them, not {text!r}") from None


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
        float, typer.Option("--margin", help="With B: points that A may be less faithful and not inferior.")
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
    from kdscope.evaluation.compare import differences_table, fidelity_differences_table

    with options_named(options_of("margin")):
        found = api.compare_models(a, b, teacher=teacher, **settings)
    if as_json:
        tables = {"differences": found.differences, "fidelity": found.fidelity}
        told = {name: json.loads(t.to_json(orient="records")) for name, t in tables.items() if t is not None}
        print(json.dumps({**told, "left_out": list(found.left_out)}))
        return
    print(f"A: {a}\nB: {b}")
    print(terminal_text(differences_table(found)))
    if found.left_out:
        print(f"answered by one of them only: {', '.join(found.left_out)}")
    if teacher is not None:
        print(f"\nfidelity to {teacher}")
        print(terminal_text(fidelity_differences_table(found)))


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
