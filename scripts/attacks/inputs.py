"""Malformed inputs: every kind of file that a person gives kdscope, and its options, mutated by grammar."""

from __future__ import annotations

import json
import random
import shutil
from collections.abc import Callable
from importlib.resources import as_file, files
from pathlib import Path
from typing import Any

import yaml

from attacks.commands import Outcome, call, complaint
from attacks.grammar import DEEP, NUMBERS, at, damaged, mutated, paths, replaced, to_json
from attacks.result import Result
from attacks.world import STUDY, World

Judged = tuple[str, list[str], bool]
"""What was done, the command that reads it, and whether it must be refused."""

_ROWS = [
    {
        "instruction": f"Tom has {i} apples and buys 3. How many?",
        "input": "",
        "output": f"{i}+3={i + 3}.",
        "answer": f"{i + 3}",
    }
    for i in range(6)
]
_CHAT = [
    {"messages": [{"role": "user", "content": row["instruction"]}, {"role": "assistant", "content": row["output"]}]}
    for row in _ROWS
]
_COMPLETIONS = [{"index": i, "completion": f"The answer is {i + 3}.", "finish_reason": "stop"} for i in range(6)]
_TASK = {
    "name": "mine",
    "answer": "number",
    "file": "mine.jsonl",
    "fields": {"instruction": "{question:strip}", "answer": "{answer}"},
    "description": "sums",
    "licence": "CC0-1.0",
    "aliases": ["my-task"],
}
_TABLE = [
    {"student": s, "method": m, "teacher": "" if m == "sft" else "big", "task": t, "value": str(40 + 3 * i)}
    for s in ("small", "tiny")
    for i, m in enumerate(("sft", "seqkd", "gkd"))
    for t in ("gsm8k", "SVAMP")
]


def input_once(reference: World, folder: Path, rng: random.Random) -> Result:
    """Give one malformed input to the command that reads it."""
    folder.mkdir(parents=True)
    door = rng.choice(_DOORS)
    what, arguments, must_refuse = door(folder, reference, rng)
    outcome = call(arguments, folder)
    problem = complaint(outcome) or _nonsense(outcome, must_refuse)
    return Result("inputs", f"{door.__name__.strip('_')}: {what}", problem)


def _nonsense(outcome: Outcome, must_refuse: bool) -> str:
    if must_refuse and outcome.code == 0:
        return "accepted"
    return "exit code 1 for bad input" if outcome.code == 1 else ""


def _broken_text(text: str, path: Path, rng: random.Random) -> str:
    data, what = damaged(text.encode(), rng)
    path.write_bytes(data)
    return what


def _study(folder: Path, reference: World, rng: random.Random) -> Judged:
    file, command = folder / "study.yaml", ["plan", "study.yaml"]
    if rng.random() < 0.2:
        return _broken_text(STUDY, file, rng), command, False
    value = yaml.safe_load(STUDY)
    numbers = [path for path in paths(value) if type(at(value, path)) in (int, float)]
    if rng.random() < 0.4:
        path, new = rng.choice(numbers), rng.choice(NUMBERS)
        file.write_text(yaml.safe_dump(replaced(value, path, new)))
        return f"{'.'.join(map(str, path))} = {new!r}", command, True
    broken, what = mutated(value, rng)
    file.write_text(_to_yaml(broken))
    return what, command, False


def _to_yaml(value: Any) -> str:
    return yaml.safe_dump(value).replace(json.dumps(DEEP), "[" * 100_000 + "]" * 100_000)


def _training_rows(folder: Path, reference: World, rng: random.Random) -> Judged:
    rows = rng.choice([_ROWS, _CHAT])
    what, file = _rows_file(folder, "train", rows, rng)
    _write_task(folder)
    return what, ["data", "check", "--data-dir", "data", "--train", file], False


def _task_items(folder: Path, reference: World, rng: random.Random) -> Judged:
    _write_task(folder)
    what, _ = _rows_file(folder / "data" / "gsm8k", "test", _ROWS, rng, ".json")
    return what, ["data", "check", "--data-dir", "data"], False


def _completions(folder: Path, reference: World, rng: random.Random) -> Judged:
    _write_task(folder)
    what, file = _rows_file(folder, "completions", _COMPLETIONS, rng, ".jsonl")
    command = rng.choice([["rescore", file], ["compare", file]])
    more = ["--task", "gsm8k"] if command[0] == "rescore" else ["--teacher", file]
    return what, [*command, *more, "--data-dir", "data"], False


def _write_task(folder: Path) -> None:
    (folder / "data" / "gsm8k").mkdir(parents=True)
    (folder / "data" / "gsm8k" / "test.json").write_text(json.dumps(_ROWS))


def _rows_file(folder: Path, name: str, rows: list[Any], rng: random.Random, suffix: str = "") -> tuple[str, str]:
    suffix = suffix or rng.choice([".json", ".jsonl"])
    file = folder / f"{name}{suffix}"
    if rng.random() < 0.25:
        return _broken_text(_rows_text(rows, suffix), file, rng), file.name
    broken, what = mutated(rows, rng)
    file.write_text(_rows_text(broken, suffix))
    return f"{suffix} {what}", file.name


def _rows_text(rows: Any, suffix: str) -> str:
    if suffix == ".json" or not isinstance(rows, list):
        return to_json(rows)
    return "".join(to_json(row) + "\n" for row in rows)


def _task_declaration(folder: Path, reference: World, rng: random.Random) -> Judged:
    (folder / "tasks").mkdir()
    (folder / "tasks" / "mine.jsonl").write_text('{"question": "1+1?", "answer": 2}\n')
    file, command = folder / "tasks" / "mine.yaml", ["tasks", "--tasks-dir", "tasks"]
    if rng.random() < 0.25:
        return _broken_text(_to_yaml(_TASK), file, rng), command, False
    broken, what = mutated(_TASK, rng)
    file.write_text(_to_yaml(broken))
    return what, command, False


def _results_table(folder: Path, reference: World, rng: random.Random) -> Judged:
    command = rng.choice([["analyze", "table.csv"], ["report", "--table", "table.csv", "--tables", "markdown"]])
    rows = [dict(row) for row in _TABLE]
    row, must_refuse = rng.choice(rows), False
    column = rng.choice(sorted(row))
    new = rng.choice(
        ["inf", "1e30", "-5", "abc", "=1+1", "\x1b[31m", "a\0b", "\ud83d", "x" * 5_000, '"', ",", "\n", ""]
    )
    if column == "value" and new in ("inf", "1e30", "-5", "abc"):
        must_refuse = True
    row[column] = new
    text = "\n".join([",".join(_TABLE[0]), *(",".join(row.values()) for row in rows), ""])
    (folder / "table.csv").write_bytes(text.encode("utf-8", "surrogatepass"))
    if rng.random() < 0.3:
        return _broken_text(text.encode("utf-8", "replace").decode(), folder / "table.csv", rng), command, False
    return f"{column} = {ascii(new)[:40]}", command, must_refuse


_EVALUATE = ["--tasks", "mini-one-step", "--limit", "2", "--max-new-tokens", "4", "--quiet", "--out", "result"]


def _model_file(folder: Path, reference: World, rng: random.Random) -> Judged:
    with _tiny() as source:
        shutil.copytree(source, folder / "model")
    names = ("config.json", "tokenizer.json", "tokenizer_config.json", "generation_config.json")
    what = _mutated_file(folder / "model" / rng.choice(names), rng)
    return what, ["evaluate", "model", *_EVALUATE], False


def _adapter_file(folder: Path, reference: World, rng: random.Random) -> Judged:
    with _tiny() as source:
        shutil.copytree(source, folder / "model")
    [*models] = (reference.store / "stages" / "distil_student").glob("*/model")
    shutil.copytree(rng.choice(sorted(models)), folder / "adapter")
    what = _mutated_file(folder / "adapter" / "adapter_config.json", rng)
    return what, ["evaluate", "model", "--adapter", "adapter", *_EVALUATE], False


def _weights_header(folder: Path, reference: World, rng: random.Random) -> Judged:
    """The header of a safetensors file; whatever is changed there, the weights are no longer those of the model."""
    with _tiny() as source:
        shutil.copytree(source, folder / "model")
    file = folder / "model" / "model.safetensors"
    data = file.read_bytes()
    length = int.from_bytes(data[:8], "little")
    header, body = json.loads(data[8 : 8 + length]), data[8 + length :]
    if rng.random() < 0.3:
        broken, what = damaged(data[: 8 + length], rng)
        file.write_bytes(broken + body)
        return f"header: {what}", ["evaluate", "model", *_EVALUATE], False
    changed, what = mutated(header, rng)
    text = to_json(changed).encode()
    file.write_bytes(len(text).to_bytes(8, "little") + text + body)
    metadata = what.startswith("__metadata__") or "__metadata__" not in header
    return f"header: {what}", ["evaluate", "model", *_EVALUATE], not metadata


def _tiny() -> Any:
    return as_file(files("kdscope.models").joinpath("tiny", "tiny-s"))


def _mutated_file(file: Path, rng: random.Random) -> str:
    text = file.read_text()
    if rng.random() < 0.2:
        return f"{file.name}: {_broken_text(text, file, rng)}"
    broken, what = mutated(json.loads(text), rng)
    file.write_text(to_json(broken))
    return f"{file.name}: {what}"


_NO_NUMBERS = ("-1", "nan", "inf", "-inf", "1e22", "9" * 30, "true", "", "0x10", "\x1b[31m")
_NO_PATHS = ("", "x" * 5_000, "/dev/zero", "/proc/self/mem", "\x1b[31m", "no/such", ".", "~nobody", "//", "\u202e")


def _option(folder: Path, reference: World, rng: random.Random) -> Judged:
    (folder / "study.yaml").write_text(STUDY)
    numeric = rng.random() < 0.5
    command, option = rng.choice(_NUMERIC if numeric else _PATHS)
    value = rng.choice(_NO_NUMBERS if numeric else _NO_PATHS)
    arguments = [*command, *([option] if option else []), value]
    return f"{' '.join(arguments)[:80]!r}", arguments, numeric


_RUN = str(Path("runs") / "target")
_NUMERIC = (
    *((["plan", "study.yaml"], option) for option in ("--run-sd", "--discordance")),
    *((["evaluate", "kdscope:tiny-s", "-t", "mini-one-step"], o) for o in ("-L", "-b", "--max-new-tokens", "--top-p")),
    *((["analyze", "--published", "ramesh2025"], option) for option in ("--margin", "--temperature")),
    (["data", "mini", "out"], "--train"),
    (["view", _RUN, "--no-browser"], "--port"),
)
_PATHS = (
    *(([command], "") for command in ("plan", "run", "report", "analyze", "rescore", "compare", "export", "view")),
    *((["plan", "study.yaml"], option) for option in ("--store", "--pilot", "--extensions")),
    *((["data", "check"], option) for option in ("--data-dir", "--train", "--tasks-dir")),
    (["tasks"], "--tasks-dir"),
    (["evaluate"], ""),
)
_DOORS: tuple[Callable[[Path, World, random.Random], Judged], ...] = (
    *(_study, _training_rows, _task_items, _completions, _task_declaration, _results_table, _option),
    *(_model_file, _adapter_file, _weights_header),
)
