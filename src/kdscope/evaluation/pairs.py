"""A student beside its teacher, item by item: rows of the fidelity table."""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, fields

from kdscope.errors import DataError
from kdscope.evaluation.records import Record
from kdscope.fidelity import AnswerFidelity, answer_fidelity, corpus_bleu, corpus_chrf, shuffled_floor
from kdscope.tasks import get_task
from kdscope.tasks.quantities import parse_number

POOLED = "pooled"
_FLOOR_REPEATS = 5
_FLOOR_SEED = 0
_TAG = "\x1f"


@dataclass(frozen=True)
class FidelityRow:
    """One measure of one pair on one task.

    Attributes:
        task: Task name, or "pooled" for all items together.
        measure: Its name.
        value: NaN where it is not defined.
        items: Items it was measured on.
        floor: The same measure when every student answer meets another item's teacher; NaN where not measured.
    """

    task: str
    measure: str
    value: float
    items: int
    floor: float


def compare_records(
    student: Mapping[str, Sequence[Record]], teacher: Mapping[str, Sequence[Record]], scoring: str
) -> list[FidelityRow]:
    """Fidelity of a student to a teacher on each task, then on all items together.

    Args:
        student: Records of each task.
        teacher: The teacher's records of the same tasks and items, in the same order.
        scoring: Which answers are compared: robust or published.

    Raises:
        DataError: The two did not answer the same items.
    """
    rows: list[FidelityRow] = []
    for task in student:
        check_same_items(task, student[task], teacher.get(task, ()))
        rows += _rows(task, student[task], teacher[task], scoring)
    if len(student) > 1:
        pooled = [[record for task in student for record in side[task]] for side in (student, teacher)]
        rows += _rows(POOLED, pooled[0], pooled[1], scoring)
    return rows


def answer_of(record: Record, scoring: str) -> str | None:
    """The answer a record holds under one of the two scorings."""
    return record.robust_value if scoring == "robust" else record.published_value


def is_correct(record: Record, scoring: str) -> bool:
    """Whether it is right under one of the two scorings."""
    return record.correct_robust if scoring == "robust" else record.correct_published


def _rows(task: str, student: Sequence[Record], teacher: Sequence[Record], scoring: str) -> list[FidelityRow]:
    numeric = frozenset(name for name in {r.task for r in student} if get_task(name).answer_kind == "number")
    teacher_keys, student_keys = ([_answer_key(r, scoring, numeric) for r in side] for side in (teacher, student))
    measured = answer_fidelity(
        teacher_keys,
        student_keys,
        [is_correct(r, scoring) for r in teacher],
        [is_correct(r, scoring) for r in student],
    )
    tasks = [r.task for r in student]
    floor = shuffled_floor(_agreement, teacher_keys, student_keys, _FLOOR_SEED, _FLOOR_REPEATS, tasks)
    rows = [
        FidelityRow(
            task, name, float(getattr(measured, name)), measured.items, floor if name == "agreement" else math.nan
        )
        for name in (field.name for field in fields(AnswerFidelity))
        if name != "items" and (name != "cohen_kappa" or not numeric)
    ]
    return rows + _trace_rows(task, student, teacher)


def _answer_key(record: Record, scoring: str, numeric: frozenset[str]) -> str | None:
    """The answer in a form that is equal for equal answers; numbers that are not integers to six digits.

    Unlike a tolerance around one of the two, it does not matter which model is asked first.
    """
    value = answer_of(record, scoring)
    if value is None:
        return None
    number = parse_number(value) if record.task in numeric else None
    if number is not None:
        value = str(number.numerator) if number.denominator == 1 else f"{float(number):.6g} or so"
    # Pooled items mix tasks: an answer keeps its task, so that only answers to the same question kind can agree.
    return f"{record.task}{_TAG}{value}"


def _agreement(teacher_keys: list[str | None], student_keys: list[str | None]) -> float:
    same = sum(t is not None and t == s for t, s in zip(teacher_keys, student_keys, strict=True))
    return same / len(teacher_keys)


def _trace_rows(task: str, student: Sequence[Record], teacher: Sequence[Record]) -> list[FidelityRow]:
    measures: dict[str, Callable[[list[str], list[str]], float]] = {
        "bleu": lambda t, s: corpus_bleu(s, t),
        "chrf": lambda t, s: corpus_chrf(s, t),
    }
    written, taught, tasks = [r.completion for r in student], [r.completion for r in teacher], [r.task for r in student]
    rows = []
    for name, measure in measures.items():
        floor = shuffled_floor(measure, taught, written, _FLOOR_SEED, 1, tasks)
        rows.append(FidelityRow(task, name, measure(taught, written), len(written), floor))
    return rows


def check_same_items(task: str, first: Sequence[Record], second: Sequence[Record]) -> None:
    """Two models can be compared item by item only if they answered the same items, in the same order.

    Raises:
        DataError: They did not.
    """
    if [(r.item_id, r.item_hash) for r in first] != [(r.item_id, r.item_hash) for r in second]:
        raise DataError(f"the two models did not answer the same items of {task}")
