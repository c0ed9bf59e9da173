"""How models were trained: who learned from what, which checkpoints were kept, and how learning rates were chosen."""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass

import pandas as pd

from kdscope.results.formatting import MISSING, is_missing, plural, span
from kdscope.results.methods import BASE, SEQKD, SFT, has_divergence, training_texts, usual_share
from kdscope.results.table import Row, Table, TableCell, numbers, texts
from kdscope.results.tables import ReportTables, known_counts, records

_REFERENCES = "reference answers"
_OWN_WORDS = "the teacher's own words"
_CHOSEN = ("step kept", "learning rate")
_OWN_SHARE = re.compile(r"(?:^|-)on_policy_probability(\d+(?:\.\d+)?(?:e-?\d+)?)(?=-|$)")
_TEXT = re.compile(r"(?:^|-)text_(gold|teacher|both)(?=-|$)")
_TEXTS = {"gold": _REFERENCES, "teacher": _OWN_WORDS, "both": f"{_REFERENCES} and {_OWN_WORDS}"}
_RULES = {
    "last": "Last checkpoint of every run.",
    "best_accuracy": "Checkpoint with the best validation accuracy of every run.",
    "best_loss": "Checkpoint with the lowest validation loss of every run.",
}
_SEVERAL = "Checkpoints by several rules: {}."


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
        return f"divergence, {'on' if _own_share(row) else 'off'} policy, {_training_text(row)}"
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
    if method != SEQKD and not has_divergence(method):
        return Lesson("", probabilities=None)
    responses = _TEXTS[_training_text(row)]
    if method == SEQKD:
        return Lesson(responses)
    share = _own_share(row)
    part = "" if share == 1 else f" in about {100 * share:g}% of the steps after any warm start"
    samples = f"the student's own samples{part}"
    weighs = is_missing(row["kd_weight"]) or row["kd_weight"] > 0
    return Lesson("" if share == 1 else responses, samples if share else "", weighs)


def _training_text(row: Row) -> str:
    """What labelled prompts are trained with; told where it is not the method's usual text."""
    told = None if is_missing(row["variant"]) else _TEXT.search(row["variant"])
    return told[1] if told else training_texts(row["method"])[0]


def _own_share(row: Row) -> float:
    """The probability that a step trains on the student's own samples; told where it is not the method's usual."""
    told = None if is_missing(row["variant"]) else _OWN_SHARE.search(row["variant"])
    return float(told[1]) if told else usual_share(row["method"])


def _responses(rows: Sequence[Row], lessons: Sequence[Lesson]) -> str:
    parts = dict.fromkeys([*(lesson.responses for lesson in lessons), *(lesson.samples for lesson in lessons)])
    answered = any(known_counts(rows, "unlabelled_prompts"))
    unlabelled = f"{_REFERENCES}, for unlabelled prompts {_OWN_WORDS}"
    words = {_REFERENCES: unlabelled} if answered else {}
    return "; ".join(words.get(part, part) for part in parts if part) or MISSING


def _probabilities(lessons: Sequence[Lesson]) -> str:
    words = {True: "yes", False: "no", None: MISSING}
    return " or ".join(dict.fromkeys(words[lesson.probabilities] for lesson in lessons)) or MISSING


def _range(rows: Sequence[Row], column: str) -> TableCell:
    values = known_counts(rows, column)
    return TableCell(span(values), value=values[-1]) if values else TableCell(MISSING)


def training_rules(cells: pd.DataFrame) -> list[str]:
    """The rule by which checkpoints were kept, what the other rule would have kept, and how rates were chosen.

    Nothing where the table does not tell, as in tables of before it did.
    """
    trained = [row for row in records(cells[cells["role"] == "student"]) if row["state"] == "done"]
    return [said for said in (_checkpoints(trained), _other_rule(trained), _rate_rule(trained)) if said]


def _checkpoints(rows: Sequence[Row]) -> str:
    rules = list(dict.fromkeys(str(row["keep"]) for row in rows if not is_missing(row["keep"])))
    if len(rules) > 1:
        return _SEVERAL.format(", ".join(rule.replace("_", " ") for rule in rules))
    return _RULES[rules[0]] if rules else ""


def _other_rule(rows: Sequence[Row]) -> str:
    """For how many runs another rule would have kept another step, where validation was generative."""
    known = [row for row in rows if not is_missing(row["other_rule_step"]) and not is_missing(row["kept_step"])]
    if not known:
        return ""
    differ = sum(int(row["other_rule_step"]) != int(row["kept_step"]) for row in known)
    other = "the lowest validation loss" if known[0]["keep"] == "best_accuracy" else "the best validation accuracy"
    if not differ:
        return f"Keeping {other} instead would have kept the same steps."
    return f"Keeping {other} instead would have kept another step in {differ} of {plural(len(known), 'run')}."


def _rate_rule(rows: Sequence[Row]) -> str:
    budgets = known_counts(rows, "tuning_runs")
    rates = sorted({float(row["learning_rate"]) for row in rows if not is_missing(row["learning_rate"])})
    if any(budgets):
        tried = list(dict.fromkeys(str(row["rates_tried"]) for row in rows if not is_missing(row["rates_tried"])))
        told = f" from {'; or from '.join(tried)}" if tried else ""
        return f"Learning rate chosen per method{told} on validation accuracy, {_budget(rows, budgets)}."
    if not rates:
        return ""
    one = f" ({rates[0]:g} for every method)" if len(rates) == 1 else ""
    return f"Learning rate not tuned{one}."


def _budget(rows: Sequence[Row], budgets: Sequence[int]) -> str:
    """The runs that choosing took; told as equal for all only where it was."""
    untuned = [row for row in rows if is_missing(row["tuning_runs"]) or not row["tuning_runs"]]
    if len(budgets) > 1 or untuned:
        known = [budget for budget in budgets if budget]
        spread = f"{known[0]} to {known[-1]}" if len(known) > 1 else str(known[0])
        also = f", {plural(len(untuned), 'model')} not tuned" if untuned else ""
        return f"an unequal budget of {spread} runs{also}"
    control = ", the control included" if any(row["method"] == SFT for row in rows) else ""
    return f"{plural(budgets[0], 'run')} each{control}"


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
