"""Which checkpoint is kept decides which method wins: one study under two rules.

    python benchmarks/keep_rule.py
    python benchmarks/keep_rule.py --store .kdscope --out runs --seeds 0 1

Runs keep_rule.yaml with `training.keep: last` (the default) and with `best_loss` (the lowest cross-entropy on gold
references), teachers alike. Told are the mean accuracy over tasks of every training run, and the difference between the
two methods, paired by seed, with its 95% t interval.
"""

from __future__ import annotations

from argparse import ArgumentParser
from collections.abc import Mapping, Sequence
from math import sqrt
from pathlib import Path
from statistics import mean, stdev

import pandas as pd
from scipy.stats import t

from kdscope.api import load_study, run_study
from kdscope.study.schema import Study
from results import describe_machine, one_line

STUDY = Path(__file__).with_suffix(".yaml")
RULES = ("last", "best_loss")
CONTROL, METHOD = "sft", "reverse_kl"


def main(arguments: Sequence[str] | None = None) -> None:
    """Run both studies, print the table."""
    parser = ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument("--store", type=Path, default=None, help="where finished stages are kept")
    parser.add_argument("--out", type=Path, default=Path("runs"), help="folder of the two runs")
    parser.add_argument(
        "--seeds", type=int, nargs="+", default=None, help="training seeds; those of the study if absent"
    )
    asked = parser.parse_args(arguments)
    print(one_line(describe_machine("cpu")))
    for rule in RULES:
        study = under_rule(load_study(STUDY), rule, asked.seeds)
        result = run_study(study, store=asked.store, out=asked.out / study.name)
        tables = result.load_tables()
        if tables is None:
            raise SystemExit(f"{study.name}: there are no tables; see {asked.out / study.name}")
        print("\n".join(lines_of(rule, tables.cells, tables.accuracy)))


def under_rule(study: Study, rule: str, seeds: Sequence[int] | None = None) -> Study:
    """The study with a rule for its students; its teachers keep the rule they have."""
    training = study.training.model_copy(update={"keep": rule})
    changes = {"training": training, "name": f"{study.name}-{rule.replace('_', '-')}"}
    return study.model_copy(update=changes | ({"seeds": tuple(seeds)} if seeds else {}))


def lines_of(rule: str, cells: pd.DataFrame, accuracy: pd.DataFrame) -> list[str]:
    """A Markdown table of one run: accuracy by method and seed, difference, students kept in their warm start."""
    found = accuracy_by_seed(cells, accuracy)
    seeds = sorted(found[CONTROL])
    lines = ["", f"keep: {rule}", "", f"| % right | {' | '.join(f'seed {seed}' for seed in seeds)} | mean |"]
    lines.append("|---|" + "--:|" * (len(seeds) + 1))
    for method, own in found.items():
        row = [100 * own[seed] for seed in seeds]
        lines.append(f"| {method} | {' | '.join(f'{value:.1f}' for value in row)} | {mean(row):.1f} |")
    difference, low, high = paired(found[METHOD], found[CONTROL])
    lines += ["", f"{METHOD} - {CONTROL}: {difference:+.1f} points, 95% t interval {low:+.1f} to {high:+.1f}"]
    warm = int((cells["distilled"] == False).sum())  # noqa: E712 - the column also holds missing values
    return [*lines, f"students kept in their warm start: {warm}"]


def accuracy_by_seed(cells: pd.DataFrame, accuracy: pd.DataFrame) -> Mapping[str, Mapping[int, float]]:
    """The unweighted mean accuracy over tasks, by method and seed."""
    students = cells[cells["role"] == "student"].set_index("cell")
    rows = accuracy[(accuracy["task"] == "average") & (accuracy["scoring"] == "robust")]
    found: dict[str, dict[int, float]] = {}
    for cell, value in zip(rows["cell"], rows["accuracy"], strict=True):
        if cell in students.index:
            own = students.loc[cell]
            found.setdefault(str(own["method"]), {})[int(own["seed"])] = float(value)
    return found


def paired(first: Mapping[int, float], second: Mapping[int, float]) -> tuple[float, float, float]:
    """Mean difference over the seeds of both, in points, and its 95% t interval.

    >>> tuple(round(value, 2) for value in paired({0: 0.5, 1: 0.7}, {0: 0.4, 1: 0.5}))
    (15.0, -48.53, 78.53)
    """
    differences = [100 * (first[seed] - second[seed]) for seed in sorted(first.keys() & second.keys())]
    count = len(differences)
    half = float(t.ppf(0.975, count - 1)) * stdev(differences) / sqrt(count)
    return mean(differences), mean(differences) - half, mean(differences) + half


if __name__ == "__main__":
    main()
