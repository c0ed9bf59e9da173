"""Schema of a study's tidy tables: kind and range of every column, and which columns identify a row.

Shares (accuracy, rates, agreement) are between 0 and 1; BLEU and chrF run from 0 to 100, as sacrebleu gives them.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from functools import partial
from types import MappingProxyType
from typing import Any, Literal

from kdscope.results.hypotheses import CONFIRMATORY, DETAIL, EXPLORATORY, SENSITIVITY
from kdscope.results.measures import AVERAGE_OF

Kind = Literal["text", "integer", "number", "flag"]


@dataclass(frozen=True)
class ColumnSchema:
    """One column: its name, what its values are, and what they may be.

    `required` values are never missing; an `optional` column may be missing as a whole, as it is in tables that were
    saved before there was such a column.
    """

    name: str
    kind: Kind
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


def _columns(kind: Kind, *names: str, **limits: Any) -> tuple[ColumnSchema, ...]:
    return tuple(ColumnSchema(name, kind, **limits) for name in names)


_texts = partial(_columns, "text")
_numbers = partial(_columns, "number")
_counts = partial(_columns, "integer", lowest=0)
_amounts = partial(_columns, "number", lowest=0.0)
_shares = partial(_columns, "number", lowest=0.0, highest=1.0)
_differences = partial(_columns, "number", lowest=-1.0, highest=1.0)

_CELL, _TASK = _texts("cell", "task", required=True)
(_SCORING,) = _texts("scoring", required=True, choices=("robust", "published"))

SCHEMAS: Mapping[str, TableSchema] = MappingProxyType(
    {
        "cells": TableSchema(
            (
                _CELL,
                *_texts("role", required=True, choices=("teacher", "student", "base")),
                *_texts("student", "teacher"),
                *_texts("teacher_condition", choices=("adapted", "base")),
                *_texts("method", required=True),
                *_texts("variant"),
                *_numbers("kd_temperature", "kd_weight", "teacher_noise_std"),
                *_columns("integer", "seed"),
                *_texts("state", required=True, choices=("done", "failed")),
                *_texts("cause"),
                *_counts("parameters", "trained_parameters", "steps", "target_tokens"),
                *_numbers("validation_loss"),
                *_counts("labelled_examples", "unlabelled_prompts", optional=True),
                *_amounts("training_seconds", optional=True),
                *_counts("peak_memory_bytes", "kept_step", optional=True),
                *_texts("keep", choices=("last", "best_accuracy", "best_loss"), optional=True),
                *_counts("warm_start_steps", optional=True),
                *_columns("flag", "distilled", optional=True),
                *_amounts("learning_rate", optional=True),
                *_counts("tuning_runs", optional=True),
                *_texts("rates_tried", optional=True),
                *_shares("validation_accuracy", optional=True),
                *_counts("other_rule_step", optional=True),
            ),
            key=("cell",),
        ),
        "accuracy": TableSchema(
            (
                *(_CELL, _TASK, _SCORING),
                *_texts("metric", choices=tuple(AVERAGE_OF), optional=True),
                *_counts("items", "correct"),
                *_shares("accuracy"),
                *_amounts("stderr", optional=True),
                *_shares("low", "high", "unparsed_rate", "truncated_rate", "chance"),
                *_columns("flag", "below_chance"),
            ),
            key=("cell", "task", "scoring"),
        ),
        "gains": TableSchema(
            (
                _CELL,
                *_texts("control", required=True),
                *(_TASK, _SCORING),
                *_counts("items", required=True),
                *_counts("only_cell", "only_control"),
                *_differences("gain", "low", "high"),
                *_shares("p_value", "p_holm"),
                *_texts("method_of_test"),
            ),
            key=("cell", "control", "task", "scoring"),
        ),
        "fidelity": TableSchema(
            (
                _CELL,
                *_texts("teacher_cell", required=True),
                _TASK,
                *_texts("family", optional=True),
                *_texts("measure", required=True),
                *_numbers("value"),
                *_numbers("low", "high", optional=True),
                *_counts("items"),
                *_numbers("floor"),
                *_numbers("floor_spread", "control", optional=True),
                *_numbers("over_control", "over_control_low", "over_control_high", optional=True),
                *_numbers("ceiling", "normalised", "normalised_low", "normalised_high", optional=True),
                *_texts("reason", optional=True),
            ),
            key=("cell", "teacher_cell", "task", "measure"),
        ),
        "tests": TableSchema(
            (
                *_texts("protocol", "hypothesis", required=True),
                *_texts("group", "task"),
                *_texts("test", required=True),
                *_numbers("statistic"),
                *_shares("p_value"),
                *_counts("n"),
            )
        ),
        "statistics": TableSchema(
            (
                *_texts("protocol", required=True),
                *_texts("domain"),
                *_texts("hypothesis", required=True),
                *_texts("group", "task"),
                *_texts("test", required=True),
                *_numbers("statistic"),
                *_shares("p_value"),
                *_counts("n"),
                *_numbers("estimate", "low", "high"),
                *_shares("p_adjusted"),
                *_texts("note", "unit", "per"),
                *_texts("role", choices=(CONFIRMATORY, EXPLORATORY, SENSITIVITY, DETAIL)),
                *_numbers("detectable", "margin"),
                *_texts("sentence"),
                *_texts("scope", choices=("runs", "checkpoints", ""), optional=True),
                *_texts("student", "teacher", "method", "ablation", "reference", optional=True),
                *_numbers("temperature", "low_simultaneous", "high_simultaneous", "run_sd", optional=True),
                *_numbers("item_stderr", "p_exact", "stderr", "df", optional=True),
                *_counts("runs", "control_runs", optional=True),
            )
        ),
        "training": TableSchema(
            (
                _CELL,
                *_counts("step", required=True),
                *_counts("tokens"),
                *_numbers("loss", "cross_entropy", "divergence", "learning_rate", "gradient_norm", "validation_loss"),
                *_shares("validation_accuracy", optional=True),
            ),
            key=("cell", "step"),
        ),
        "probes": TableSchema(
            (
                *(_CELL, _TASK),
                *_texts("measure", required=True),
                *_shares("value", "low", "high"),
                *_counts("items", required=True),
            ),
            key=("cell", "task", "measure"),
        ),
        "contamination": TableSchema(
            (
                *_texts("training_set", required=True),
                _TASK,
                *_counts("items", "exact", "near", "some", required=True),
                *_texts("examples"),
            ),
            key=("training_set", "task"),
        ),
        "clean": TableSchema(
            (
                *(_CELL, _TASK, _SCORING),
                *_counts("items_all"),
                *_shares("accuracy_all"),
                *_differences("gain_all", "low_all", "high_all"),
                *_counts("items_clean"),
                *_shares("accuracy_clean"),
                *_differences("gain_clean", "low_clean", "high_clean"),
            ),
            key=("cell", "task", "scoring"),
        ),
    }
)
"""The tables, in the order in which a reader meets them."""
