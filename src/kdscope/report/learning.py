"""Who learned from what: one row per group of models that were trained on the same sort of thing."""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass

from kdscope.report.training_rules import training_rules
from kdscope.results.formatting import MISSING, is_missing, span
from kdscope.results.methods import BASE, SEQKD, SFT, has_divergence, samples_student
from kdscope.results.table import Row, Table, TableCell, numbers, texts
from kdscope.results.tables import ReportTables, known_counts, records
from kdscope.study.arms import Method

_REFERENCES = "reference answers"
_CHOSEN = ("step kept", "learning rate")
_OWN_SHARE = re.compile(r"(?:^|-)on_policy_probability(\d+(?:\.\d+)?(?:e-?\d+)?)(?=-|$)")


@dataclass(frozen=True)
class Lesson:
    """What a method makes a model learn from, beside the labelled examples' prompts.

    Attributes:
        responses: Where the responses to labelled prompts come from; empty where they are not used, or not known.
        samples: The student's own samples, where it trains on them.
        probabilities: Whether the teacher's probabilities are used; None where that is not known.
    """

    responses: str
    samples: str = ""
    probabilities: bool | None = False


def learning_view(tables: ReportTables) -> Table:
    """One row per group of models that learned from the same sort of thing."""
    groups: dict[str, list[Row]] = {}
    cells = records(tables.cells)
    told = any(not is_missing(row["keep"]) for row in cells)  # runs of earlier versions do not tell
    for row in cells:
        if row["role"] != "base":
            groups.setdefault(_sort_of_model(row), []).append(row)
    return Table(
        key="learning",
        title="Who learned from what",
        notes=(
            "How many labelled examples, and how many unlabelled prompts that the teacher answered, a model "
            "trained on, each as often as its steps allow, and where the responses came from. Using the teacher's "
            "probabilities means comparing the student's distribution over the next token with the teacher's, for "
            "every token of a response. A range where models of a group differ; a dash where none was trained.",
            *training_rules(tables.cells),
        ),
        columns=(
            *texts("models"),
            *numbers("labelled", "unlabelled"),
            *texts("responses", "teacher's probabilities"),
            *numbers("optimiser steps", *(_CHOSEN if told else ())),
        ),
        rows=tuple((*_group_row(rows), *(_chosen(rows) if told else ())) for rows in groups.values()),
        source="cells",
        empty="The study trains nothing.",
    )


def _sort_of_model(row: Row) -> str:
    """What rows of one group share, unique to the group."""
    if row["role"] == "teacher":
        return f"teacher {row['teacher']} {row['method']}"
    if has_divergence(row["method"]):
        return f"divergence, {'on' if _own_share(row) else 'off'} policy"
    return f"student {row['method']}"


def _group_row(rows: Sequence[Row]) -> tuple[TableCell, ...]:
    trained = [row for row in rows if not is_missing(row["steps"])]
    lessons = [_lesson(row) for row in trained]
    return (
        TableCell(_name(rows)),
        _range(trained, "labelled_examples"),
        _range(trained, "unlabelled_prompts"),
        TableCell(_responses(trained, lessons)),
        TableCell(_probabilities(lessons)),
        _range(trained, "steps"),
    )


def _chosen(rows: Sequence[Row]) -> tuple[TableCell, ...]:
    return _range(rows, "kept_step"), _rates(rows)


def _rates(rows: Sequence[Row]) -> TableCell:
    values = sorted({float(row["learning_rate"]) for row in rows if not is_missing(row["learning_rate"])})
    return TableCell(", ".join(f"{value:g}" for value in values), value=values[-1]) if values else TableCell(MISSING)


def _name(rows: Sequence[Row]) -> str:
    first = rows[0]
    if first["role"] == "teacher":
        state = "as it came" if first["method"] == BASE else "adapted"
        return f"teacher {MISSING if is_missing(first['teacher']) else first['teacher']}, {state}"
    methods = ", ".join(dict.fromkeys(row["method"] for row in rows))
    return f"students: {methods}" + (" (the control)" if first["method"] == SFT else "")


def _lesson(row: Row) -> Lesson:
    method = row["method"]
    if row["role"] == "teacher" or method == SFT:
        return Lesson(_REFERENCES)
    if method == SEQKD:
        return Lesson("the teacher's own words")
    if not has_divergence(method):
        return Lesson("", probabilities=None)
    share = _own_share(row)
    part = "" if share == 1 else f" in about {100 * share:g}% of the steps after any warm start"
    samples = f"the student's own samples{part}"
    weighs = is_missing(row["kd_weight"]) or row["kd_weight"] > 0
    return Lesson("" if share == 1 else _REFERENCES, samples if share else "", weighs)


def _own_share(row: Row) -> float:
    """The probability that a step of gkd trains on the student's own samples; told where it is not the default."""
    if not samples_student(row["method"]):
        return 0.0
    told = None if is_missing(row["variant"]) else _OWN_SHARE.search(row["variant"])
    return float(told[1]) if told else float(Method.model_fields["on_policy_probability"].default)


def _responses(rows: Sequence[Row], lessons: Sequence[Lesson]) -> str:
    parts = dict.fromkeys([*(lesson.responses for lesson in lessons), *(lesson.samples for lesson in lessons)])
    answered = any(known_counts(rows, "unlabelled_prompts"))
    words = {_REFERENCES: f"{_REFERENCES}, for unlabelled prompts the teacher's own words"} if answered else {}
    return "; ".join(words.get(part, part) for part in parts if part) or MISSING


def _probabilities(lessons: Sequence[Lesson]) -> str:
    words = {True: "yes", False: "no", None: MISSING}
    return " or ".join(dict.fromkeys(words[lesson.probabilities] for lesson in lessons)) or MISSING


def _range(rows: Sequence[Row], column: str) -> TableCell:
    values = known_counts(rows, column)
    return TableCell(span(values), value=values[-1]) if values else TableCell(MISSING)
