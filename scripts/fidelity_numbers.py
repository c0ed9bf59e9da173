"""The numbers of docs/fidelity.md: fidelity between published answers of real models.

    python scripts/fidelity_numbers.py DATA_FOLDER

The folder holds outputs/gsm8k_solutions.jsonl (OpenAI's model solutions of grade-school-math) and outputs/llama_7b_lora
and outputs/llama_7b_parallel (answers of LLM-Adapters, a file for each task). Prints Markdown.
"""

from __future__ import annotations

import argparse
import json
import math
import tempfile
from collections.abc import Iterable, Sequence
from pathlib import Path

import pandas as pd

from kdscope.evaluation.completions import read_completions
from kdscope.evaluation.fidelity_table import fidelity_table
from kdscope.evaluation.records import Record
from kdscope.evaluation.score import group_by_task, rescore

Answers = dict[str, list[Record]]
ADAPTER_COLUMNS = (
    "agreement",
    "agreement_beyond_accuracy",
    "agreement_when_teacher_right",
    "error_inheritance",
    "same_wrong_given_both_wrong",
    "error_consistency_kappa",
    "cohen_kappa",
)
PARTS = ("both_right", "both_wrong_same", "both_wrong_different", "only_teacher_right", "only_student_right")


def main() -> None:
    """Print all tables."""
    parser = argparse.ArgumentParser(description="Print the numbers of docs/fidelity.md.")
    parser.add_argument("data", type=Path, help="folder with outputs/")
    outputs = parser.parse_args().data / "outputs"
    models = read_solutions(outputs / "gsm8k_solutions.jsonl")
    teacher = models["175b_finetuning"]
    table = fidelity_table(models["6b_finetuning"], teacher, ceiling=models["175b_verification"])
    print("## 175B (teacher) and 6B (student), GSM8K\n")
    print_accuracies(models)
    print_measures(table)
    student, teacher = (read_adapter(outputs / f"llama_7b_{name}") for name in ("parallel", "lora"))
    common = [task for task in teacher if task in student]
    table = fidelity_table({task: student[task] for task in common}, teacher)
    print(f"\n## LLaMA-7B: LoRA (teacher) and parallel adapter (student), {len(common)} tasks\n")
    print_tasks(table, ("items", *ADAPTER_COLUMNS))
    print_tasks(table, PARTS)
    print_measures(table[(table["task"] == "pooled") & (table["family"] != "answers")])


def read_solutions(file: Path) -> dict[str, Answers]:
    """The solutions of each model, scored."""
    rows = [json.loads(line) for line in file.read_text(encoding="utf-8").splitlines()]
    names = [name for name in rows[0] if isinstance(rows[0][name], dict)]
    with tempfile.TemporaryDirectory() as folder:
        for name in names:
            lines = [json.dumps(_solution(row, name)) for row in rows]
            (Path(folder) / f"{name}.jsonl").write_text("\n".join(lines), encoding="utf-8")
        return {name: _scored(Path(folder) / f"{name}.jsonl", "gsm8k") for name in names}


def read_adapter(folder: Path) -> Answers:
    """The answers of one model to all tasks, scored."""
    return _scored(folder, None)


def print_accuracies(models: dict[str, Answers]) -> None:
    """One line: what share of the items each model has right."""
    shares = {
        name: sum(record.correct_robust for record in answers["gsm8k"]) / len(answers["gsm8k"])
        for name, answers in models.items()
    }
    print("Accuracy: " + ", ".join(f"{name} {share:.3f}" for name, share in shares.items()) + "\n")


def print_measures(table: pd.DataFrame) -> None:
    """A line for each measure of one pair."""
    rows = [
        (
            row["measure"],
            row["items"],
            f"{_number(row['value'])} [{_number(row['low'])}, {_number(row['high'])}]",
            _number(row["floor"]),
            _number(row["ceiling"]),
        )
        for row in table.to_dict("records")
    ]
    _print(("measure", "items", "value [95%]", "floor", "ceiling"), rows)


def print_tasks(table: pd.DataFrame, measures: Sequence[str]) -> None:
    """A line for each task."""
    values = table.set_index(["task", "measure"])
    rows = []
    for task in dict.fromkeys(table["task"]):
        known = [measure for measure in measures if (task, measure) in values.index or measure == "items"]
        cells = {m: values.loc[(task, "agreement" if m == "items" else m)] for m in known}
        rows.append((task, *(_cell(cells.get(measure), measure) for measure in measures)))
    _print(("task", *measures), rows)


def _cell(row: pd.Series | None, measure: str) -> str:
    if row is None:
        return ""
    if measure == "items":
        return f"{row['items']:,}"
    floor = f" ({_number(row['floor'])})" if measure == "agreement" else ""
    return _number(row["value"]) + floor


def _solution(row: dict[str, object], name: str) -> dict[str, object]:
    answer = row[name]
    gold = str(row["ground_truth"]).split("A:")[-1].strip().replace(",", "")
    return {
        "instruction": row["question"],
        "output": answer["solution"] if isinstance(answer, dict) else "",
        "label": gold,
    }


def _scored(path: Path, task: str | None) -> Answers:
    return group_by_task(rescore(read_completions(path, task=task).answers))


def _number(value: float) -> str:
    if math.isnan(value):
        return ""
    return f"{value:.1f}" if abs(value) > 2 else f"{value:.3f}"


def _print(head: Iterable[str], rows: Iterable[Iterable[object]]) -> None:
    head = [*head]
    lines = [head, ["---"] * len(head), *rows]
    print("\n".join(f"| {' | '.join(str(cell) for cell in line)} |" for line in lines) + "\n")


if __name__ == "__main__":
    main()
