"""Tables of studies of any size, made in a moment: numbers without a meaning, in the shape that a run gives them."""

from __future__ import annotations

from itertools import product

import numpy as np
import pandas as pd

from kdscope.report import ReportTables
from kdscope.results.measures import DECOMPOSITION

from .builders import cell_row

METHODS = ("seqkd", "forward_kl", "reverse_kl", "jsd", "gkd", "skew_kl", "skew_reverse_kl", "total_variation")
TASKS = tuple(f"task-{number}" for number in range(1, 15))
ITEMS = 500
_SCORINGS = ("robust", "published")
_MEASURES = (*DECOMPOSITION, "agreement", "bleu", "value_f1", "error_consistency_kappa")


def large_tables(
    students: int = 10,
    teachers: int = 2,
    temperatures: int = 3,
    *,
    methods: tuple[str, ...] = METHODS,
    tasks: tuple[str, ...] = TASKS,
    losses: int = 8,
) -> ReportTables:
    """A grid of `students` x `teachers` x methods x `temperatures`, with controls, untrained models and teachers.

    As it is: 502 models on 14 tasks.
    """
    rng = np.random.default_rng(0)
    cells = pd.DataFrame(_cells(students, teachers, temperatures, methods))
    compared = cells[cells["role"] == "student"]
    distilled = compared[compared["method"] != "sft"]
    return ReportTables(
        cells=cells,
        accuracy=_accuracy(cells["cell"], tasks, rng),
        gains=_gains(distilled, tasks, rng),
        fidelity=_fidelity(compared, teachers, tasks, rng),
        tests=pd.DataFrame(),
        training=_training(cells[cells["method"] != "base"]["cell"], losses, rng),
        statistics=pd.DataFrame(_statistics(distilled, rng)),
    )


def _cells(students: int, teachers: int, temperatures: int, methods: tuple[str, ...]) -> list[dict[str, object]]:
    costs = {"training_seconds": 613.0, "peak_memory_bytes": 3e9}
    taught_by = [f"teacher-{number}b" for number in range(1, teachers + 1)]
    rows = [
        cell_row(f"teacher/{name}/s0", "teacher", "adapt", teacher=name, teacher_condition="adapted", **costs)
        for name in taught_by
    ]
    for number in range(1, students + 1):
        student, size = f"student-{number}", {"parameters": 100_000_000 * number, **costs}
        rows.append(cell_row(f"{student}/base", "base", "base", student=student, **size))
        rows.append(cell_row(f"{student}/sft/s0", "student", "sft", student=student, **size))
        rows += [
            cell_row(
                f"{student}/{method}-T{temperature}/{teacher}/s0",
                "student",
                method,
                student=student,
                teacher=teacher,
                teacher_condition="adapted",
                kd_temperature=float(temperature),
                **size,
            )
            for teacher, method, temperature in product(taught_by, methods, range(1, temperatures + 1))
        ]
    return rows


def _grid(**columns: object) -> pd.DataFrame:
    return pd.DataFrame(list(product(*columns.values())), columns=list(columns))


def _accuracy(cells: pd.Series, tasks: tuple[str, ...], rng: np.random.Generator) -> pd.DataFrame:
    frame = _grid(cell=cells, scoring=_SCORINGS, task=(*tasks, "average"))
    right = rng.integers(100, 400, len(frame))
    share = right / ITEMS
    rates = {"unparsed_rate": 0.02, "truncated_rate": 0.01, "chance": 0.25, "below_chance": False}
    measured = {"correct": right, "accuracy": share, "low": share - 0.04, "high": share + 0.04}
    return frame.assign(items=ITEMS, **measured, **rates)


def _gains(distilled: pd.DataFrame, tasks: tuple[str, ...], rng: np.random.Generator) -> pd.DataFrame:
    frame = _grid(cell=distilled["cell"], scoring=_SCORINGS, task=(*tasks, "pooled"))
    gain = rng.normal(0.01, 0.03, len(frame))
    counts = {"items": ITEMS, "only_cell": 60, "only_control": 50}
    measured = {"gain": gain, "low": gain - 0.04, "high": gain + 0.04, "p_value": rng.random(len(frame)), "p_holm": 1.0}
    control = frame["cell"].str.partition("/")[0] + "/sft/s0"
    return frame.assign(control=control, **counts, **measured, method_of_test="McNemar, mid-p")


def _fidelity(compared: pd.DataFrame, teachers: int, tasks: tuple[str, ...], rng: np.random.Generator) -> pd.DataFrame:
    own = compared["teacher"].fillna("")
    pairs = pd.DataFrame(
        [
            (cell, f"teacher/{name}/s0")
            for cell, taught in zip(compared["cell"], own, strict=True)
            for name in ([taught] if taught else [f"teacher-{number}b" for number in range(1, teachers + 1)])
        ],
        columns=["cell", "teacher_cell"],
    )
    frame = pairs.merge(_grid(task=(*tasks, "pooled"), measure=_MEASURES), how="cross")
    value = rng.dirichlet(np.ones(len(DECOMPOSITION)), len(frame))[:, 0]
    frame = frame.assign(value=value, items=ITEMS, floor=0.1, control=0.3)
    taught = ~frame["cell"].str.contains("/sft/")
    place = rng.normal(0.4, 0.2, len(frame))
    limits = {"normalised": place, "normalised_low": place - 0.1, "normalised_high": place + 0.1}
    return frame.assign(**{name: np.where(taught, values, np.nan) for name, values in limits.items()})


def _training(cells: pd.Series, losses: int, rng: np.random.Generator) -> pd.DataFrame:
    frame = _grid(cell=cells, step=range(10, 10 * losses + 1, 10))
    loss = 1.0 + rng.random(len(frame))
    told = {"tokens": 900, "loss": loss, "cross_entropy": loss, "divergence": np.nan}
    return frame.assign(**told, learning_rate=1e-4, gradient_norm=1.0, validation_loss=loss)


def _statistics(distilled: pd.DataFrame, rng: np.random.Generator) -> list[dict[str, object]]:
    common = {"protocol": "rigorous", "domain": "math", "task": "Average", "test": "t", "statistic": 1.0, "n": 7000}
    common |= {"unit": "items", "per": "", "margin": None, "note": "One run a side.", "p_value": 0.2, "p_adjusted": 1.0}
    rows = []
    for hypothesis, role, groups in (
        ("H1-student", "confirmatory", distilled["student"].unique()),
        ("cell", "detail", distilled["cell"]),
    ):
        for group in groups:
            gain = float(rng.normal(1, 3))
            limits = {"estimate": gain, "low": gain - 2, "high": gain + 2, "detectable": 2.9}
            sentence = (
                f"{group}: {gain:.1f} points over SFT (math), 95% CI {gain - 2:.1f} to {gain + 2:.1f}, Holm-adjusted "
                "p 1, which is within what chance alone produces; with 7,000 items this study could not have seen "
                "less than 2.9. One run a side."
            )
            rows.append(
                common | limits | {"hypothesis": hypothesis, "role": role, "group": group, "sentence": sentence}
            )
    return rows
