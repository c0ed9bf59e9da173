"""Synthetic tables with known answers: item-level coin tosses from a seeded generator, counted the way tables are."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pandas as pd
from statsmodels.stats.contingency_tables import mcnemar
from statsmodels.stats.proportion import proportion_confint

from kdscope.report import PageFacts, ReportTables
from kdscope.results.measures import DECOMPOSITION

ITEMS = {"gsm8k": 400, "SVAMP": 300, "ARC-Easy": 500}
CHANCE = {"gsm8k": 0.0, "SVAMP": 0.0, "ARC-Easy": 0.25}
SKILL = {
    "tiny": {"sft": 0.20, "seqkd": 0.21, "forward_kl": 0.19, "reverse_kl": 0.20, "jsd": 0.05},
    "small": {"sft": 0.35, "seqkd": 0.46, "forward_kl": 0.36, "reverse_kl": 0.26, "jsd": 0.35},
}
FAILED = "tiny/reverse_kl/teacher/s0"
BELOW_CHANCE = "tiny/jsd/teacher/s0"
TEACHER = "big/adapted/s0"
Z = 1.959963984540054


def cell_row(cell: str, role: str, method: str, **values: object) -> dict[str, object]:
    row = {
        "cell": cell,
        "role": role,
        "student": None,
        "teacher": None,
        "teacher_condition": None,
        "method": method,
        "variant": None,
        "kd_temperature": np.nan,
        "kd_weight": np.nan,
        "teacher_noise_std": np.nan,
        "seed": 0,
        "state": "done",
        "cause": None,
        "parameters": 134_515_008,
        "trained_parameters": 2_442_240,
        "steps": 200,
        "target_tokens": 181_234,
        "validation_loss": 1.234,
    }
    return row | values


def build_cells() -> pd.DataFrame:
    rows = [cell_row(TEACHER, "teacher", "adapt", teacher="big", teacher_condition="adapted")]
    for student, methods in SKILL.items():
        rows.append(
            cell_row(
                f"{student}/base", "base", "base", student=student, parameters=80_000_000, steps=0, trained_parameters=0
            )
        )
        for method in methods:
            cell = f"{student}/{method}/s0" if method == "sft" else f"{student}/{method}/teacher/s0"
            taught = (
                {} if method == "sft" else {"teacher": "big", "teacher_condition": "adapted", "kd_temperature": 1.0}
            )
            failed = {"state": "failed", "cause": "the loss became NaN at step 17"} if cell == FAILED else {}
            rows.append(cell_row(cell, "student", method, student=student, parameters=80_000_000, **taught, **failed))
    return pd.DataFrame(rows)


def toss(cells: pd.DataFrame, rng: np.random.Generator) -> dict[str, dict[str, np.ndarray]]:
    """Right or wrong for every item of every finished cell."""
    rights: dict[str, dict[str, np.ndarray]] = {}
    for row in cells[cells["state"] == "done"].to_dict("records"):
        skill = {"teacher": 0.55, "base": 0.08}.get(row["role"]) or SKILL[row["student"]][row["method"]]
        bonus = {task: 0.0 if row["cell"] == BELOW_CHANCE else chance for task, chance in CHANCE.items()}
        rights[row["cell"]] = {task: rng.random(n) < skill + bonus[task] * (1 - skill) for task, n in ITEMS.items()}
    return rights


def accuracy_rows(cell: str, scoring: str, rights: dict[str, np.ndarray]) -> list[dict[str, object]]:
    rows = []
    for task, right in rights.items():
        low, high = proportion_confint(int(right.sum()), len(right), method="wilson")
        rows.append(
            {
                "cell": cell,
                "task": task,
                "scoring": scoring,
                "items": len(right),
                "correct": int(right.sum()),
                "accuracy": right.mean(),
                "low": low,
                "high": high,
                "unparsed_rate": 0.62 if cell == BELOW_CHANCE else 0.03,
                "truncated_rate": 0.11,
                "chance": CHANCE[task],
                "below_chance": high < CHANCE[task],
            }
        )
    mean = {
        name: float(np.mean([row[name] for row in rows])) for name in ("accuracy", "unparsed_rate", "truncated_rate")
    }
    bounds = {"low": np.nan, "high": np.nan, "chance": np.nan, "below_chance": False}
    counts = {"items": sum(ITEMS.values()), "correct": sum(row["correct"] for row in rows)}
    return [*rows, {"cell": cell, "task": "average", "scoring": scoring, **counts, **mean, **bounds}]


def gain_row(
    cell: str, control: str, task: str, scoring: str, ours: np.ndarray, theirs: np.ndarray
) -> dict[str, object]:
    only_cell, only_control, n = int((ours & ~theirs).sum()), int((~ours & theirs).sum()), len(ours)
    gain = (only_cell - only_control) / n
    spread = Z * np.sqrt(max(only_cell + only_control - n * gain**2, 0)) / n
    test = mcnemar([[0, only_cell], [only_control, 0]], exact=True)
    return {
        "cell": cell,
        "control": control,
        "task": task,
        "scoring": scoring,
        "items": n,
        "only_cell": only_cell,
        "only_control": only_control,
        "gain": gain,
        "low": gain - spread,
        "high": gain + spread,
        "p_value": min(test.pvalue, 1.0),
        "p_holm": np.nan,
        "method_of_test": "McNemar exact; Wald interval of the paired difference",
    }


def build_gains(rights: dict[str, dict[str, np.ndarray]], scoring: str) -> list[dict[str, object]]:
    rows = []
    for cell in rights:
        student, method = cell.split("/")[:2]
        if student not in SKILL or method in ("sft", "base"):
            continue
        control = f"{student}/sft/s0"
        pairs = {task: (rights[cell][task], rights[control][task]) for task in ITEMS}
        pairs["pooled"] = tuple(np.concatenate([pair[side] for pair in pairs.values()]) for side in (0, 1))
        rows += [gain_row(cell, control, task, scoring, *pair) for task, pair in pairs.items()]
    together = [row for row in rows if row["task"] == "pooled"]
    running = 0.0
    for rank, row in enumerate(sorted(together, key=lambda row: row["p_value"])):
        running = max(running, min(1.0, row["p_value"] * (len(together) - rank)))
        row["p_holm"] = running
    return rows


def build_fidelity(rights: dict[str, dict[str, np.ndarray]], rng: np.random.Generator) -> list[dict[str, object]]:
    rows = []
    for cell, own in rights.items():
        if cell.split("/")[0] not in SKILL or cell.endswith("/base"):
            continue
        for task in (*ITEMS, "pooled"):
            teacher, student = (
                np.concatenate(list(side.values())) if task == "pooled" else side[task]
                for side in (rights[TEACHER], own)
            )
            same = rng.random(len(teacher)) < (0.1 if "/sft/" in cell else 0.3)
            shares = (
                teacher & student,
                ~teacher & ~student & same,
                ~teacher & ~student & ~same,
                teacher & ~student,
                ~teacher & student,
            )
            values = dict(zip(DECOMPOSITION, (float(share.mean()) for share in shares), strict=True))
            values["agreement"] = values["both_right"] + values["both_wrong_same"]
            values["bleu"] = 8.0 + 20 * values["agreement"] + (0 if "/sft/" in cell else 6.0)
            values["error_consistency_kappa"] = 0.21
            for measure, value in values.items():
                floor = 0.11 if measure == "agreement" else 3.0 if measure == "bleu" else np.nan
                rows.append(
                    {"cell": cell, "teacher_cell": TEACHER, "task": task, "measure": measure, "value": value}
                    | {"items": len(teacher), "floor": floor}
                )
    return rows


def build_training(cells: pd.DataFrame, rng: np.random.Generator) -> list[dict[str, object]]:
    rows = []
    for row in cells[cells["method"] != "base"].to_dict("records"):
        for step in range(10, 201, 10):
            loss = 1.1 + 1.4 * np.exp(-step / 60) + 0.02 * rng.standard_normal() + 0.1 * (len(row["method"]) % 3)
            rows.append(
                {
                    "cell": row["cell"],
                    "step": step,
                    "tokens": 900,
                    "loss": loss,
                    "cross_entropy": loss,
                    "divergence": np.nan if row["method"] in ("sft", "seqkd", "adapt") else loss / 2,
                    "learning_rate": 3e-4 * (1 - step / 201),
                    "gradient_norm": 0.8,
                    "validation_loss": loss if step % 20 == 0 else np.nan,
                }
            )
    return rows


def build_tests() -> list[dict[str, object]]:
    row = {"protocol": "published", "hypothesis": "H1", "group": "seqkd", "task": "pooled"}
    t_test = row | {"test": "one-sample t, one-sided", "statistic": 1.75, "p_value": 0.0871, "n": 6}
    anova = row | {"group": "all", "test": "one-way ANOVA", "statistic": 4.4, "p_value": 0.02, "n": 21}
    return [t_test, anova]


def build_tables(seed: int = 0) -> ReportTables:
    """2 students x 5 methods x 3 tasks under one teacher; one failed cell, one below chance."""
    rng = np.random.default_rng(seed)
    cells = build_cells()
    accuracy, gains = [], []
    for scoring in ("robust", "published"):
        rights = toss(cells, np.random.default_rng([seed, scoring == "robust"]))
        for cell, own in rights.items():
            accuracy += accuracy_rows(cell, scoring, own)
        gains += build_gains(rights, scoring)
        if scoring == "robust":
            fidelity = build_fidelity(rights, rng)
    return ReportTables(
        cells=cells,
        accuracy=pd.DataFrame(accuracy),
        gains=pd.DataFrame(gains),
        fidelity=pd.DataFrame(fidelity),
        tests=pd.DataFrame(build_tests()),
        training=pd.DataFrame(build_training(cells, rng)),
    )


def taught_row(cell: str, method: str, **values: object) -> dict[str, object]:
    """A finished distilled student of `designed_tables`."""
    taught = {"student": "tiny", "teacher": "big", "teacher_condition": "adapted", "steps": 120}
    return cell_row(cell, "student", method, **taught, labelled_examples=300, unlabelled_prompts=1800) | values


def designed_cells() -> pd.DataFrame:
    """A teacher with much labelled data, students with little and with prompts that the teacher answered."""
    divergence = {"kd_temperature": 1.0, "kd_weight": 1.0}
    unadapted = {"teacher_condition": "base"}
    untrained = {"steps": None, "labelled_examples": None, "unlabelled_prompts": None}
    teacher = {"teacher": "big", "teacher_condition": "adapted", "steps": 450, "labelled_examples": 2400}
    control = {"student": "tiny", "steps": 120, "labelled_examples": 300, "unlabelled_prompts": 0}
    rows = [
        cell_row("big", "teacher", "adapt", **teacher, unlabelled_prompts=0),
        cell_row("big@base", "teacher", "base", teacher="big", **unadapted, **untrained),
        cell_row("tiny/base", "base", "base", student="tiny", **untrained),
        cell_row("tiny/sft", "student", "sft", **control),
        taught_row("tiny/seqkd", "seqkd"),
        taught_row("tiny/seqkd@base", "seqkd", **unadapted),
        taught_row("tiny/fkl-T1", "forward_kl", **divergence),
        taught_row("tiny/fkl-T2", "forward_kl", **divergence | {"kd_temperature": 2.0}),
        taught_row("tiny/rkl", "reverse_kl", **divergence),
        taught_row("tiny/gkd", "gkd", **divergence),
    ]
    return pd.DataFrame(rows)


def pooled_gains_rows(gains: dict[str, tuple[float, float, float]], control: str = "tiny/sft") -> pd.DataFrame:
    """One pooled gain (gain, low, high) for every cell named."""
    rows = [
        {"cell": cell, "control": control, "task": "pooled", "scoring": "robust", "items": 1200}
        | {"only_cell": 0, "only_control": 0, "gain": gain, "low": low, "high": high}
        | {"p_value": 0.5, "p_holm": 0.5, "method_of_test": "exact"}
        for cell, (gain, low, high) in gains.items()
    ]
    return pd.DataFrame(rows)


def designed_tables() -> ReportTables:
    """`designed_cells` with a gain for every distilled student."""
    gains = {
        "tiny/seqkd": (0.041, 0.02, 0.062),
        "tiny/seqkd@base": (-0.012, -0.03, 0.006),
        "tiny/fkl-T1": (0.05, 0.02, 0.08),
        "tiny/fkl-T2": (0.031, 0.001, 0.061),
        "tiny/rkl": (0.0, -0.02, 0.02),
        "tiny/gkd": (0.01, -0.01, 0.03),
    }
    return empty_tables(cells=designed_cells(), gains=pooled_gains_rows(gains))


def empty_tables(**given: pd.DataFrame) -> ReportTables:
    """Tables without rows, except those given."""
    names = ("cells", "accuracy", "gains", "fidelity", "tests", "training")
    return ReportTables(**{name: given.get(name, pd.DataFrame()) for name in names})


def only(tables: ReportTables, cells: list[str]) -> ReportTables:
    """The tables as they would be if only these cells had been in the study."""
    frames = {}
    for name in ("cells", "accuracy", "gains", "fidelity", "training"):
        frame = getattr(tables, name)
        named = {"cell", "control", "teacher_cell"} if name == "gains" else {"cell", "teacher_cell"}
        for column in named & set(frame.columns):
            frame = frame[frame[column].isin(cells)]
        frames[name] = frame
    return replace(tables, tests=pd.DataFrame(), **frames)


def stated(**given: object) -> dict[str, object]:
    """A result of the statistics: the primary question's answer for a student."""
    row: dict[str, object] = {
        "protocol": "rigorous",
        "domain": "math",
        "hypothesis": "H1-student",
        "group": "small",
        "task": "Average",
    }
    row |= {"test": "mid-p", "statistic": 1.0, "p_value": 0.01, "n": 100, "estimate": 3.0, "low": 1.0, "high": 5.0}
    row |= {"p_adjusted": 0.02, "note": "One run.", "unit": "items", "per": "", "role": "confirmatory"}
    return row | {"detectable": 4.25, "margin": None, "sentence": "Distillation gained 3.0. One run."} | given


def build_facts(**given: object) -> PageFacts:
    values: dict[str, object] = {
        "name": "smollm2-math",
        "description": "Does distillation beat fine-tuning for two cut-down students?",
        "study_yaml": "name: smollm2-math\nseeds: [0]\n",
        "versions": {"kdscope": "0.1.0", "torch": "2.13.0"},
        "hardware": "2 CPU cores, bfloat16",
        "seeds": (0,),
        "warnings": ["AddSub shares items with the training set."],
        "failures": [(FAILED, "the loss became NaN at step 17")],
        "data_facts": {"training rows": "7,373 (100 held out)", "evaluation items": "1,200"},
    }
    return PageFacts(**(values | given))  # type: ignore[arg-type]
