"""Results on a model card: accuracy beside control, teacher and untrained model, fidelity, training, and cautions."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from operator import itemgetter
from typing import Any

import pandas as pd

from kdscope.core.errors import DataError
from kdscope.report.cautions import cautions
from kdscope.report.contamination import contamination_caution
from kdscope.report.facts import PageFacts
from kdscope.report.fidelity_tables import card_fidelity
from kdscope.report.training import training_rules
from kdscope.results.findings import (
    CHECKPOINTS,
    Finding,
    Setting,
    Verdict,
    distilled_only,
    not_distilled,
    settings_of_cells,
)
from kdscope.results.formatting import MISSING, count, is_missing, p_value, plural, points
from kdscope.results.hypotheses import CONFIRMATORY, H1_STUDENT
from kdscope.results.measures import AVERAGES, POOLS
from kdscope.results.methods import SFT
from kdscope.results.table import Row, gain, share
from kdscope.results.tables import ReportTables, records, select

_FACTS = (
    ("parameters", "parameters", "{:,.0f}"),
    ("trained_parameters", "of which trained", "{:,.0f}"),
    ("labelled_examples", "labelled examples", "{:,.0f}"),
    ("unlabelled_prompts", "unlabelled prompts", "{:,.0f}"),
    ("steps", "optimiser steps", "{:,.0f}"),
    ("target_tokens", "target tokens", "{:,.0f}"),
    ("training_seconds", "seconds, loading included", "{:,.0f}"),
    ("peak_memory_bytes", "peak memory", "{:,.1f} GiB"),
    ("kept_step", "step whose weights are kept", "{:,.0f}"),
    ("validation_loss", "validation loss, nats a token", "{:.4f}"),
    ("validation_accuracy", "score on greedy answers to the validation split", "{:.3f}"),
    ("learning_rate", "peak learning rate", "{:g}"),
    ("tuning_runs", "runs spent on choosing the learning rate", "{:,.0f}"),
    ("rates_tried", "learning rates tried", "{}"),
)
_UNITS = {"peak_memory_bytes": 2**30}


@dataclass(frozen=True)
class CardResults:
    """What the tables say of one model.

    Attributes:
        method: How it was trained; `adapt` for a teacher.
        distilled: Whether it learned from a teacher.
        condition: The teacher's: adapted or base.
        scoring: The scoring of the conclusions.
        tasks: The rows of table `accuracy` of every task.
        compared: Rows of text: task, items, accuracy, gain, adjusted p, and accuracy of control, teacher and base.
        fidelity: Rows of text: measure, value, shuffled, control, minus control, ceiling, normalised.
        training: Facts of the training and their values.
        headline: The results in sentences.
        rules: Which checkpoint was kept and how learning rates were chosen, in sentences.
        unseen: What the study could not see.
        warnings: What a reader must know before using it.
    """

    method: str
    distilled: bool
    condition: str
    scoring: str
    tasks: tuple[Row, ...]
    compared: tuple[tuple[str, ...], ...]
    fidelity: tuple[tuple[str, ...], ...]
    training: tuple[tuple[str, str], ...]
    headline: tuple[str, ...]
    rules: tuple[str, ...]
    unseen: tuple[str, ...]
    warnings: tuple[str, ...]

    @property
    def adjusted(self) -> tuple[str, ...]:
        """Which rows of `compared` have an adjusted p."""
        return tuple(row[0] for row in self.compared if row[4] != MISSING)

    @property
    def unadjusted(self) -> bool:
        """Whether other rows have a gain without one."""
        return any(row[3] != MISSING and row[4] == MISSING for row in self.compared)


def card_results(tables: ReportTables, page: PageFacts, cell: str) -> CardResults:
    """What the tables say of one model.

    Raises:
        DataError: The run has no such model.
    """
    cell_row = next((row for row in records(tables.cells) if row["cell"] == cell), None)
    if cell_row is None:
        raise DataError(f"the run has no model '{cell}'")
    left_out = cell in not_distilled(tables)
    tables = distilled_only(tables)
    others = _others(tables, cell_row)
    near = tables.only({cell, *others.values()})
    scoring = page.scoring
    gains = _by_task(select(near.gains, cell=cell, scoring=scoring))
    evaluated = _by_task(select(near.accuracy, cell=cell, scoring=scoring))
    return CardResults(
        method=str(cell_row["method"]),
        distilled=cell_row["role"] == "student" and not is_missing(cell_row["teacher"]),
        condition="" if is_missing(cell_row["teacher_condition"]) else str(cell_row["teacher_condition"]),
        scoring=scoring,
        tasks=tuple(row for task, row in evaluated.items() if task not in AVERAGES),
        compared=tuple(_compared(near, scoring, cell, others, gains)),
        fidelity=card_fidelity(near, cell, others.get("teacher", "")),
        training=tuple(
            (name, form.format(cell_row[key] / _UNITS[key] if key in _UNITS else cell_row[key]))
            for key, name, form in _FACTS
            if not is_missing(cell_row[key])
        ),
        headline=(
            *([_left_in_warm_start(cell_row)] if left_out else []),
            *_headline(cell_row, evaluated, gains, compared=not left_out),
            *(_setting_sentences(tables, cell) if evaluated else []),
        ),
        rules=tuple(training_rules(tables.cells[tables.cells["role"] == "student"])) if others else (),
        unseen=() if left_out else tuple(_unseen(tables.statistics, cell_row)),
        warnings=tuple(_warnings(near, page)),
    )


def _others(tables: ReportTables, cell_row: Row) -> dict[str, str]:
    """The models this one is compared with, by role: its control, its teacher, its untrained self."""
    others: dict[str, str] = {}
    controls = select(tables.gains, cell=cell_row["cell"])["control"].unique()
    if len(controls):
        others["control"] = str(controls[0])
    if cell_row["role"] != "student":
        return others
    taught_by = itemgetter("teacher", "teacher_condition")
    for row in records(tables.cells):
        if row["role"] == "teacher" and taught_by(row) == taught_by(cell_row):
            others["teacher"] = row["cell"]
        if row["role"] == "base" and row["student"] == cell_row["student"]:
            others["base"] = row["cell"]
    return others


def _by_task(rows: pd.DataFrame) -> dict[str, dict[str, Any]]:
    return {row["task"]: row for row in records(rows)}


def _compared(
    near: ReportTables, scoring: str, cell: str, others: Mapping[str, str], gains: Mapping[str, Row]
) -> list[tuple[str, ...]]:
    of_others = {name: _by_task(select(near.accuracy, cell=label, scoring=scoring)) for name, label in others.items()}
    accuracies = _by_task(select(near.accuracy, cell=cell, scoring=scoring))
    tasks = [*accuracies, *(task for task in gains if task not in accuracies)]
    shown = []
    for task in tasks:
        accuracy = accuracies.get(task)
        words = f"{task} over tasks" if task in AVERAGES else "all items together" if task in POOLS else task
        beside = [_share(of_others.get(name, {}).get(task)) for name in ("control", "teacher", "base")]
        items = count((accuracy or gains.get(task, {})).get("items"))
        shown.append((words, items, _share(accuracy), *_gain(gains.get(task)), *beside))
    return shown


def _share(row: Row | None) -> str:
    return MISSING if row is None else share(row, "accuracy").shown


def _gain(row: Row | None) -> tuple[str, str]:
    return (MISSING, MISSING) if row is None else (gain(row).shown, p_value(row["p_holm"]))


def _setting_sentences(tables: ReportTables, cell: str) -> list[str]:
    """What the statistics say of the setting that this model is one run of, in every domain."""
    sentences = []
    for domain, setting in settings_of_cells(tables).get(cell, []):
        where = f" on {domain} tasks" if domain else ""
        gain = setting.gain
        if gain is not None and gain.verdict is not Verdict.NO_CLAIM:
            significant = ("not " if gain.verdict is Verdict.OPEN else "") + "statistically significant"
            whose = f"Over {plural(gain.runs, 'training run')} this setting differs from SFT"
            whose = "This checkpoint differs from its SFT control's" if gain.scope == CHECKPOINTS else whose
            sentences.append(
                f"{whose}{where} by {gain.text} points ({_kind(gain)} 95% interval), "
                f"adjusted p {p_value(gain.p_adjusted)}, {significant}."
            )
        elif gain is not None:
            sentences.append(
                f"Nothing is claimed of this setting{where}: the variation between training runs is not known."
            )
        sentences += _fidelity_sentences(setting, where)
    return sentences


def _fidelity_sentences(setting: Setting, where: str) -> list[str]:
    if setting.fidelity is not None:
        beside = "" if setting.inherited is None else f"; inherited errors {setting.inherited.text} points"
        return [
            f"Fidelity (agreement with the teacher beyond accuracy) minus the control's{where}: "
            f"{setting.fidelity.text} points{beside}."
        ]
    if setting.level is None:
        return []
    level = setting.level.text.replace("+", "")
    return [
        f"Agreement with the teacher beyond accuracy{where}: {level} points. There is no control, and items of shared "
        "difficulty alone give some of it."
    ]


def _kind(finding: Finding) -> str:
    return "simultaneous" if finding.simultaneous else "pointwise"


def _headline(
    cell_row: Row,
    evaluated: Mapping[str, Row],
    gains: Mapping[str, Row],
    *,
    compared: bool,
) -> list[str]:
    if not evaluated:
        return ["It was not evaluated: nothing is known of how good it is."]
    tasks = [name for name in evaluated if name not in AVERAGES]
    average = tasks[0] if len(tasks) == 1 else next((name for name in AVERAGES if name in evaluated), tasks[0])
    alike = [name for name in tasks if str(evaluated[name]["metric"]) == str(evaluated[average]["metric"])]
    if average in AVERAGES and len(alike) == 1:
        average = alike[0]  # it is that task's value
    over = f"averaged over {len(alike)} tasks" if average in AVERAGES else f"on {average}"
    sentences = [f"Accuracy {_share(evaluated[average])}%, {over}."]
    together = next((gains[name] for name in (*POOLS, *tasks) if name in gains), None)
    if together is not None:
        where = "on all items together" if together["task"] in POOLS else f"on {together['task']}"
        adjusted = "" if is_missing(together["p_holm"]) else f", adjusted p {p_value(together['p_holm'])}"
        sentences.append(
            "Over items alone, this checkpoint minus that of the same student fine-tuned on the same data without the "
            f"teacher: "
            f"{_gain(together)[0]} points {where}{adjusted}.{_range(gains, tasks)}"
        )
    elif cell_row["role"] == "student" and cell_row["method"] != SFT and compared:
        sentences.append("No fine-tuned control was evaluated beside it: whether the teacher helped is not known.")
    return sentences


def _left_in_warm_start(cell_row: Row) -> str:
    kept = "its kept step" if is_missing(cell_row["kept_step"]) else f"kept step {int(cell_row['kept_step']):,}"
    return f"Not distilled ({kept} lies in its warm start): its method trained it not one step."


def _range(gains: Mapping[str, Row], tasks: list[str]) -> str:
    """One number for tasks that went opposite ways says nothing of either."""
    known = {task: gains[task]["gain"] for task in tasks if task in gains and not is_missing(gains[task]["gain"])}
    if len(known) < 2 or min(known.values()) * max(known.values()) >= 0:
        return ""
    low, high = (choose(known, key=lambda task: known[task]) for choose in (min, max))
    return f" Tasks differ: from {points(known[low])} on {low} to {points(known[high])} on {high}."


def _unseen(statistics: pd.DataFrame, cell_row: Row) -> list[str]:
    """The primary question about this student, and the smallest gain that would have been found."""
    if cell_row["role"] != "student":
        return []
    rows = select(statistics, hypothesis=H1_STUDENT, role=CONFIRMATORY, group=str(cell_row["student"]))
    return [str(row["sentence"]) for row in records(rows) if not is_missing(row["sentence"])]


def _warnings(near: ReportTables, page: PageFacts) -> list[str]:
    contamination = contamination_caution(near, excluded=page.contaminated_items_excluded)
    cautioned = cautions(near, page.scoring) if len(near.accuracy) else []
    return [sentence for sentence in (contamination, *cautioned, *page.warnings) if sentence]
