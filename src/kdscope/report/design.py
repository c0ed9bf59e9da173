"""The design of a study in one sentence: who saw how many examples and prompts, as the cells tell it."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import pandas as pd

from kdscope.results.formatting import is_missing, span
from kdscope.results.methods import SFT
from kdscope.results.tables import known_counts, records

Row = Mapping[str, Any]


def design_sentence(cells: pd.DataFrame) -> str:
    """Who saw what, in one sentence; empty where every model learned from equally many labelled examples alone."""
    known = records(cells[cells["labelled_examples"].notna()])
    trained = [row for row in known if row["role"] == "student"]
    teachers = [row for row in known if row["role"] == "teacher"]
    special = len(known_counts(known, "labelled_examples")) > 1 or any(known_counts(trained, "unlabelled_prompts"))
    if not trained or not special:
        return ""
    distilled = [row for row in trained if row["method"] != SFT]
    clauses = [
        _about_teachers(teachers),
        _about_students(trained, as_many=known_counts(teachers, "labelled_examples")),
        _about_prompts(distilled),
        _about_controls([row for row in trained if row["method"] == SFT], distilled),
    ]
    return f"Who saw what: {'; '.join(clause for clause in clauses if clause)}."


def _about_teachers(rows: Sequence[Row]) -> str:
    several = len({row["teacher"] for row in rows}) > 1
    return f"the teacher{'s' if several else ''} learned from {_examples(rows)}" if rows else ""


def _about_students(rows: Sequence[Row], as_many: list[int]) -> str:
    own = known_counts(rows, "labelled_examples")
    who = "every student" if len(own) == 1 else "students"
    if not as_many:
        return f"{who} learned from {_examples(rows)}"
    return f"{who} {'also ' if own == as_many else ''}had {span(own)}"


def _about_prompts(rows: Sequence[Row]) -> str:
    """The prompts that distilled students saw."""
    seeing = [row for row in rows if not is_missing(row["unlabelled_prompts"]) and row["unlabelled_prompts"] > 0]
    if not seeing:
        return ""
    who = "distilled students" if len(seeing) == len(rows) else "some distilled students"
    prompts = span(known_counts(seeing, "unlabelled_prompts"))
    whose = "the" if len({row["teacher"] for row in seeing}) == 1 else "their"
    return f"{who} also saw {prompts} prompts without answers, which {whose} teacher answered"


def _about_controls(controls: Sequence[Row], distilled: Sequence[Row]) -> str:
    if not controls or not distilled:
        return ""
    own, theirs = known_counts(controls, "labelled_examples"), known_counts(distilled, "labelled_examples")
    steps, their_steps = known_counts(controls, "steps"), known_counts(distilled, "steps")
    who, same = "the" if len(controls) == 1 else "every", "the same " if own == theirs else ""
    text = f"{who} SFT control had {same}{span(own)}"
    if not steps or not their_steps:
        return text
    if steps == their_steps and len(steps) == 1:
        return f"{text} and as many steps ({span(steps)})"
    return f"{text}, and {span(steps)} steps where distilled students had {span(their_steps)}"


def _examples(rows: Sequence[Row]) -> str:
    values = known_counts(rows, "labelled_examples")
    return f"{span(values)} labelled {'example' if values == [1] else 'examples'}"
