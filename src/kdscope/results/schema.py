"""What the columns of the report's tables are: their kind, their range, and which of them name a row.

Shares (accuracy, rates, agreement) are between 0 and 1; BLEU and chrF run from 0 to 100, as sacrebleu gives them.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from types import MappingProxyType
from typing import Literal


@dataclass(frozen=True)
class ColumnSchema:
    """One column: its name, what its values are, and what they may be.

    `required` values are never missing; an `optional` column may be missing as a whole, as it is in tables that were
    saved before there was such a column.
    """

    name: str
    kind: Literal["text", "integer", "number", "flag"]
    required: bool = False
    lowest: float | None = None
    highest: float | None = None
    choices: tuple[str, ...] = ()
    optional: bool = False


@dataclass(frozen=True)
class TableSchema:
    """The columns of one table, in order, and the names of those that together name a row (none: rows may repeat)."""

    columns: tuple[ColumnSchema, ...]
    key: tuple[str, ...] = ()


def _text(name: str, *, required: bool = False, choices: tuple[str, ...] = ()) -> ColumnSchema:
    return ColumnSchema(name, "text", required=required, choices=choices)


def _count(name: str, *, required: bool = False, optional: bool = False) -> ColumnSchema:
    return ColumnSchema(name, "integer", required=required, lowest=0, optional=optional)


def _number(name: str) -> ColumnSchema:
    return ColumnSchema(name, "number")


def _share(name: str) -> ColumnSchema:
    return ColumnSchema(name, "number", lowest=0.0, highest=1.0)


def _difference(name: str) -> ColumnSchema:
    return ColumnSchema(name, "number", lowest=-1.0, highest=1.0)


_CELL = _text("cell", required=True)
_TASK = _text("task", required=True)
_SCORING = _text("scoring", required=True, choices=("robust", "published"))

SCHEMAS: Mapping[str, TableSchema] = MappingProxyType(
    {
        "cells": TableSchema(
            (
                _CELL,
                _text("role", required=True, choices=("teacher", "student", "base")),
                _text("student"),
                _text("teacher"),
                _text("teacher_condition", choices=("adapted", "base")),
                _text("method", required=True),
                _text("variant"),
                _number("kd_temperature"),
                _number("kd_weight"),
                _number("teacher_noise_std"),
                ColumnSchema("seed", "integer"),
                _text("state", required=True, choices=("done", "failed")),
                _text("cause"),
                _count("parameters"),
                _count("trained_parameters"),
                _count("steps"),
                _count("target_tokens"),
                _number("validation_loss"),
                _count("labelled_examples", optional=True),
                _count("unlabelled_prompts", optional=True),
                ColumnSchema("training_seconds", "number", lowest=0.0, optional=True),
                ColumnSchema("peak_memory_bytes", "integer", lowest=0, optional=True),
                _count("kept_step", optional=True),
                ColumnSchema("keep", "text", choices=("last", "best_accuracy", "best_loss"), optional=True),
                _count("warm_start_steps", optional=True),
                ColumnSchema("distilled", "flag", optional=True),
                ColumnSchema("learning_rate", "number", lowest=0.0, optional=True),
                _count("tuning_runs", optional=True),
                ColumnSchema("rates_tried", "text", optional=True),
                ColumnSchema("validation_accuracy", "number", lowest=0.0, highest=1.0, optional=True),
                _count("other_rule_step", optional=True),
            ),
            key=("cell",),
        ),
        "accuracy": TableSchema(
            (
                _CELL,
                _TASK,
                _SCORING,
                ColumnSchema("metric", "text", choices=("accuracy", "rouge_l"), optional=True),
                _count("items"),
                _count("correct"),
                _share("accuracy"),
                ColumnSchema("stderr", "number", lowest=0.0, optional=True),
                _share("low"),
                _share("high"),
                _share("unparsed_rate"),
                _share("truncated_rate"),
                _share("chance"),
                ColumnSchema("below_chance", "flag"),
            ),
            key=("cell", "task", "scoring"),
        ),
        "gains": TableSchema(
            (
                _CELL,
                _text("control", required=True),
                _TASK,
                _SCORING,
                _count("items", required=True),
                _count("only_cell"),
                _count("only_control"),
                _difference("gain"),
                _difference("low"),
                _difference("high"),
                _share("p_value"),
                _share("p_holm"),
                _text("method_of_test"),
            ),
            key=("cell", "control", "task", "scoring"),
        ),
        "fidelity": TableSchema(
            (
                _CELL,
                _text("teacher_cell", required=True),
                _TASK,
                ColumnSchema("family", "text", optional=True),
                _text("measure", required=True),
                _number("value"),
                *(ColumnSchema(name, "number", optional=True) for name in ("low", "high")),
                _count("items"),
                _number("floor"),
                *(
                    ColumnSchema(name, "number", optional=True)
                    for name in (
                        "floor_spread",
                        "control",
                        "over_control",
                        "over_control_low",
                        "over_control_high",
                        "ceiling",
                        "normalised",
                        "normalised_low",
                        "normalised_high",
                    )
                ),
                ColumnSchema("reason", "text", optional=True),
            ),
            key=("cell", "teacher_cell", "task", "measure"),
        ),
        "tests": TableSchema(
            (
                _text("protocol", required=True),
                _text("hypothesis", required=True),
                _text("group"),
                _text("task"),
                _text("test", required=True),
                _number("statistic"),
                _share("p_value"),
                _count("n"),
            )
        ),
        "statistics": TableSchema(
            (
                _text("protocol", required=True),
                _text("domain"),
                _text("hypothesis", required=True),
                _text("group"),
                _text("task"),
                _text("test", required=True),
                _number("statistic"),
                _share("p_value"),
                _count("n"),
                *(_number(name) for name in ("estimate", "low", "high")),
                _share("p_adjusted"),
                *(_text(name) for name in ("note", "unit", "per")),
                _text("role", choices=("confirmatory", "exploratory", "sensitivity", "detail")),
                *(_number(name) for name in ("detectable", "margin")),
                _text("sentence"),
                ColumnSchema("scope", "text", choices=("runs", "checkpoints", ""), optional=True),
                *(
                    ColumnSchema(name, "text", optional=True)
                    for name in ("student", "teacher", "method", "ablation", "reference")
                ),
                *(
                    ColumnSchema(name, "number", optional=True)
                    for name in (
                        *("temperature", "low_simultaneous", "high_simultaneous", "run_sd"),
                        *("item_stderr", "p_exact", "stderr", "df"),
                    )
                ),
                *(_count(name, optional=True) for name in ("runs", "control_runs")),
            )
        ),
        "training": TableSchema(
            (
                _CELL,
                _count("step", required=True),
                _count("tokens"),
                _number("loss"),
                _number("cross_entropy"),
                _number("divergence"),
                _number("learning_rate"),
                _number("gradient_norm"),
                _number("validation_loss"),
                ColumnSchema("validation_accuracy", "number", lowest=0.0, highest=1.0, optional=True),
            ),
            key=("cell", "step"),
        ),
        "probes": TableSchema(
            (
                _CELL,
                _TASK,
                _text("measure", required=True),
                _share("value"),
                _share("low"),
                _share("high"),
                _count("items", required=True),
            ),
            key=("cell", "task", "measure"),
        ),
        "contamination": TableSchema(
            (
                _text("training_set", required=True),
                _TASK,
                _count("items", required=True),
                _count("exact", required=True),
                _count("near", required=True),
                _count("some", required=True),
                _text("examples"),
            ),
            key=("training_set", "task"),
        ),
        "clean": TableSchema(
            (
                _CELL,
                _TASK,
                _SCORING,
                *(
                    column
                    for part in ("all", "clean")
                    for column in (
                        _count(f"items_{part}"),
                        _share(f"accuracy_{part}"),
                        *(_difference(f"{name}_{part}") for name in ("gain", "low", "high")),
                    )
                ),
            ),
            key=("cell", "task", "scoring"),
        ),
    }
)
"""The tables, in the order in which a reader meets them."""
