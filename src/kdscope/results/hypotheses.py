"""Catalogue of hypotheses: every question that the protocols ask of a study, how it is adjusted, and what it is called.

A row of a table of statistics names its question in the column ``hypothesis``. What else must be known of a question
(its multiplicity family, the level of its interval, its title in tables, the fragments its sentence is made of) stands
here, in one entry each; `kdscope.protocols` computes the rows.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from types import MappingProxyType
from typing import Literal

CONFIRMATORY, EXPLORATORY, DETAIL, SENSITIVITY = "confirmatory", "exploratory", "detail", "sensitivity"
"""Roles of a row: the one primary question; other questions asked of a study; the same by method or task; the same with
other choices."""

H1, H1_STUDENT, H1_GRID, H1_ANOVA = "H1", "H1-student", "H1-grid", "H1-anova"
H2, H3, H3_2, H4, H5 = "H2", "H3", "H3.2", "H4", "H5"
METHOD, EQUIVALENCE, CELL = "method", "equivalence", "cell"
TEMPERATURE, ABLATION, UNADAPTED_TEACHER = "temperature", "ablation", "unadapted_teacher"
LARGEST_GAIN, BEST_TEMPERATURE = "largest_gain", "best_temperature"
FIDELITY, INHERITED, SHARED_RIGHT, SHARED_WRONG = "fidelity", "inherited_errors", "shared_right", "shared_wrong"
"""Differences to the control in likeness to the teacher."""
FIDELITY_LEVEL, FIDELITY_METHOD, NONINFERIORITY = "fidelity_level", "fidelity_method", "fidelity_noninferiority"
EFFECT, VARIANCE = "effect_size", "variance"

LEVEL = 0.05
"""The level of adjusted p-values."""
HOLM, BENJAMINI_YEKUTIELI, BONFERRONI = "Holm", "Benjamini-Yekutieli", "Bonferroni"
Form = Literal["gain", "relation", "equivalence", "noninferiority", "methods", "level", "effect", "variance"]


@dataclass(frozen=True, slots=True)
class Hypothesis:
    """One question.

    Fragments of sentences are format strings: ``{group}`` is the row's group with the method's name spelled out,
    ``{student}`` the same as it stands, ``{first}`` and ``{second}`` its parts around a dash, ``{what}`` and ``{cell}``
    those around the last colon, ``{checkpoints}`` *checkpoint* where there is one run.

    Attributes:
        name: in the column ``hypothesis``.
        title: what it asks, as a table has it.
        form: the kind of sentence it gets.
        family: questions that are adjusted together within a domain and a role; by itself where empty.
        adjustment: name of the correction within the family.
        confidence: level of its interval in percent.
        subject: who gains, of rows with training runs random, and of rows without a test.
        against: what the subject is compared with.
        checkpoint: subject and verb of a statement about trained models and no method.
        checkpoint_against: what those are compared with.
        untested_against: what the subject of a row without a test is compared with; as ``against`` where empty.
        verbs: of an estimate above and below zero.
        related_to: of a relation: what the gain may go with.
        predictor: likewise: its column in the gains of the published protocol.
        furthest: the largest estimate there can be, in points.
    """

    name: str
    title: str = ""
    form: Form = "gain"
    family: str = ""
    adjustment: str = HOLM
    confidence: int = 95
    subject: str = "Distillation"
    against: str = " over SFT"
    checkpoint: str = "The checkpoints of {group} scored"
    checkpoint_against: str = " its SFT checkpoint"
    untested_against: str = ""
    verbs: tuple[str, str] = ("gained", "lost")
    related_to: str = ""
    predictor: str = ""
    furthest: float = 100.0


def _relation(name: str, title: str, related_to: str, predictor: str) -> Hypothesis:
    return Hypothesis(
        name,
        title,
        form="relation",
        family="relations",
        adjustment=BENJAMINI_YEKUTIELI,
        subject=f"Whether the gain goes with {related_to}",
        related_to=related_to,
        predictor=predictor,
    )


def _likeness(name: str, title: str, measure: str, *, family: str = "", furthest: float = 100.0) -> Hypothesis:
    """A measure of likeness to the teacher, compared with the control's."""
    return Hypothesis(
        name,
        title,
        family=family,
        subject=f"{measure} of {{group}}",
        against=" than that of its SFT control",
        checkpoint=f"{measure} of the checkpoint of {{group}} is",
        checkpoint_against=" that of its SFT checkpoint",
        untested_against=" against that of its SFT control",
        verbs=("is higher by", "is lower by"),
        furthest=furthest,
    )


def _of_gains() -> Iterator[Hypothesis]:
    """Gains of students, settings and methods, and what they go with."""
    yield Hypothesis(
        H1_STUDENT,
        "gain of this student",
        against=" over SFT on {student}",
        checkpoint="The distilled {checkpoints} of {student} scored",
    )
    yield Hypothesis(H1, "mean gain", family="gain", subject="{group}")
    yield Hypothesis(H1_GRID, "mean gain, students and tasks like these", family="gain")
    yield Hypothesis(H1_ANOVA, "methods differ", form="methods", family="gain")
    yield _relation(H2, "gain by the teacher's accuracy", "the teacher's accuracy", "teacher_accuracy")
    yield _relation(H3, "gain by the student's size", "the student's size", "student_size")
    yield _relation(H3_2, "gain by the student's SFT accuracy", "the student's accuracy under SFT", "sft_accuracy")
    yield _relation(H4, "gain by agreement", "agreement with the teacher", "agreement")
    yield _relation(H5, "gain by fidelity of reasoning", "likeness to the teacher's texts", "fidelity")
    yield Hypothesis(CELL, "gain of this cell", subject="{group}")
    yield Hypothesis(
        ABLATION,
        "one setting changed",
        family="changed settings",
        subject='The ablation "{what}" of {cell}',
        against=" over the same without it",
        checkpoint='The checkpoints of the ablation "{what}" of {cell} scored',
        checkpoint_against=" the same without it",
    )
    yield Hypothesis(
        METHOD,
        "difference of two methods",
        family="gain",
        subject="{first}",
        against=" over {second}",
        checkpoint="The checkpoints of {first} scored",
        checkpoint_against=" those of {second}",
        untested_against=" against {second}",
    )
    yield Hypothesis(
        EQUIVALENCE,
        "two methods alike",
        form="equivalence",
        confidence=90,
        subject="{first}",
        untested_against=" against {second}",
    )
    yield Hypothesis(
        TEMPERATURE,
        "temperature",
        family="changed settings",
        subject="{group}",
        against="",
        checkpoint_against=" that of the temperature chosen beforehand",
    )
    yield Hypothesis(
        UNADAPTED_TEACHER,
        "unadapted against adapted teacher",
        family="changed settings",
        subject="An unadapted teacher ({group})",
        against=" over an adapted one",
    )
    yield Hypothesis(LARGEST_GAIN, "largest gain", adjustment=BONFERRONI, subject="{group}")
    yield Hypothesis(BEST_TEMPERATURE, "gain of the best temperature", subject="The best temperature of {group}")
    yield Hypothesis(EFFECT, "size of the effect", form="effect")
    yield Hypothesis(VARIANCE, "standard deviation", form="variance")


def _of_fidelity() -> Iterator[Hypothesis]:
    """Likeness to the teacher, of settings and of methods."""
    beyond = "Agreement with the teacher beyond accuracy"
    yield _likeness(FIDELITY, "fidelity minus the control's", beyond, furthest=200.0)
    both_right = "What both have right beyond accuracy"
    yield _likeness(SHARED_RIGHT, "of which both right", both_right, family="shared answers", furthest=200.0)
    both_wrong = "What both have wrong alike beyond chance"
    yield _likeness(SHARED_WRONG, "of which wrong alike", both_wrong, family="shared answers", furthest=200.0)
    yield _likeness(INHERITED, "inherited errors minus the control's", "The share of inherited errors")
    level = "Agreement of {group} with its teacher beyond accuracy"
    yield Hypothesis(FIDELITY_LEVEL, "fidelity, no control", form="level", subject=level)
    yield Hypothesis(
        FIDELITY_METHOD,
        "difference of two methods' fidelity",
        subject=f"{beyond} of {{first}}",
        against=" than that of {second}",
        checkpoint=f"{beyond} of the checkpoints of {{first}} is",
        checkpoint_against=" those of {second}",
        untested_against=" against {second}",
        verbs=("is higher by", "is lower by"),
    )
    yield Hypothesis(
        NONINFERIORITY,
        "not less faithful",
        form="noninferiority",
        confidence=90,
        subject=f"{beyond} of {{first}}",
        untested_against=" against {second}",
    )


HYPOTHESES = MappingProxyType({entry.name: entry for entry in (*_of_gains(), *_of_fidelity())})
"""All questions by name."""
RELATIONS = tuple(name for name, entry in HYPOTHESES.items() if entry.form == "relation")
"""What the gain may go with: `H2` to `H5`."""


def is_significant(p_adjusted: float) -> bool:
    """Whether an adjusted p-value is at most `LEVEL`; not where there is none."""
    return bool(p_adjusted <= LEVEL)


def hypothesis(name: str) -> Hypothesis:
    """The entry of a question; of one that is not in the catalogue an entry that calls it by its name.

    Example:
        >>> hypothesis("H3.2").related_to
        "the student's accuracy under SFT"
    """
    return HYPOTHESES.get(name) or Hypothesis(name, name)
