"""The catalogue of measures: name, unit, direction, reference values and labels of everything that is measured.

Whatever computes, tabulates, draws or words a measure looks it up here, so that a measure is described once. What a
measure *is* (its formula and citation) stands where it is computed: `kdscope.fidelity`, `kdscope.evaluation`.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace
from typing import Literal

from kdscope.core.catalogue import Catalogue

Metric = Literal["accuracy", "rouge_l"]
"""What a task is scored by: right answers, or ROUGE-L of free text."""
AVERAGE, POOLED = "average", "pooled"
"""Task names in tables: the unweighted mean over tasks, and all items together."""
AVERAGE_OF: Mapping[Metric, str] = {"accuracy": AVERAGE, "rouge_l": f"{AVERAGE} (rouge_l)"}
"""The two metrics are never averaged with each other."""
POOLED_OF: Mapping[Metric, str] = {"accuracy": POOLED, "rouge_l": f"{POOLED} (rouge_l)"}
AVERAGES, POOLS = tuple(AVERAGE_OF.values()), tuple(POOLED_OF.values())

Family = Literal["accuracy", "answers", "traces", "steps", "distributions", "calibration", "probes"]
Direction = Literal[-1, 0, 1]
Unit = Literal["percent", "points", "score", "nats", "number"]
_FACTOR: Mapping[Unit, float] = {"percent": 100.0, "points": 100.0}
_DECIMALS: Mapping[Unit, int] = {"percent": 1, "points": 1, "score": 1, "nats": 3, "number": 2}


@dataclass(frozen=True, slots=True)
class MeasureEntry:
    """What is known of a measure besides its formula.

    Attributes:
        name: Its name in tables.
        family: What it looks at.
        unit: percent (a share between 0 and 1, shown times 100), points (a difference of shares, likewise), score (0 to
            100), nats, or number.
        direction: 1 where a student more like its teacher has a larger value, -1 where a smaller one, 0 where the value
            is neither better nor worse, as a part of a composition.
        has_floor: Whether it says something between answers to different items.
        perfect: What a model gives against itself, where that needs no second run of the teacher.
        has_margin: Whether a margin of non-inferiority in points makes sense: of raw agreement a student has more if it
            is merely better.
        paper: Heading in the tables of a paper.
        card: Heading on a model card.
        meaning: What it measures, where the name does not tell.
    """

    name: str
    family: Family
    unit: Unit = "percent"
    direction: Direction = 1
    has_floor: bool = True
    perfect: float | None = None
    has_margin: bool = False
    paper: str = ""
    card: str = ""
    meaning: str = ""

    @property
    def label(self) -> str:
        """The name in words."""
        return self.name.replace("_", " ")

    @property
    def factor(self) -> float:
        """What a value is multiplied by to be shown."""
        return _FACTOR.get(self.unit, 1.0)

    @property
    def decimals(self) -> int:
        """Decimals with which it is shown."""
        return _DECIMALS[self.unit]

    @property
    def in_percent(self) -> bool:
        """Whether it is a share or a difference of shares."""
        return self.unit in ("percent", "points")


AGREEMENT, BOTH_PARSED, BLEU = "agreement", "agreement_both_parsed", "bleu"
HEADLINE = "agreement_beyond_accuracy"
"""The measure of answers that is first looked at: agreement corrected for both accuracies."""
MATCHED_CONTROL = "agreement_beyond_matched_control"
ITEM_MEASURE = "sentence_bleu"
"""What is kept of every item: the published study's measure, text by text.

BLEU sees numbers, signs and any script, of which ROUGE-L's words are a part; value F1 and other measures of steps are
for mathematics only."""
BOTH_WRONG_SAME = "both_wrong_same"
DECOMPOSITION = ("both_right", BOTH_WRONG_SAME, "both_wrong_different", "only_teacher_right", "only_student_right")
"""The five shares that every item falls into exactly once; they add up to 1."""

BOTH_RIGHT = "_both_right"
"""Ending of a measure of traces or steps on the items that both models have right."""
_PREFIXES = {"_gold": "on the reference", "_teacher": "on the teacher's text", "_student": "on the student's text"}
"""Endings of measures of distributions: whose text both models read."""

_ACCURACY = (
    MeasureEntry("accuracy", "accuracy", has_floor=False, meaning="share of right answers"),
    MeasureEntry("gain", "accuracy", "points", has_floor=False, meaning="accuracy minus that of the SFT control"),
)
_ANSWERS = (
    MeasureEntry(AGREEMENT, "answers", paper="agreement", card="same answer as the teacher"),
    MeasureEntry(BOTH_PARSED, "answers"),
    MeasureEntry("agreement_when_teacher_right", "answers"),
    MeasureEntry(
        *("error_inheritance", "answers"),
        paper="errors inherited",
        card="where the teacher is wrong: the same wrong answer",
    ),
    MeasureEntry("same_wrong_given_both_wrong", "answers", has_margin=True),
    *(MeasureEntry(name, "answers", direction=0, has_floor=False) for name in DECOMPOSITION),
    MeasureEntry("error_consistency_kappa", "answers", "number"),
    MeasureEntry("agreement_from_accuracy", "answers", direction=0, has_floor=False),
    MeasureEntry(
        *(HEADLINE, "answers", "points"),
        has_floor=False,
        has_margin=True,
        paper="agreement beyond accuracy",
        card="the same, beyond what both accuracies give",
    ),
    MeasureEntry("shared_right_beyond_accuracy", "answers", "points", has_floor=False, has_margin=True),
    MeasureEntry("shared_wrong_beyond_accuracy", "answers", "points", has_floor=False, has_margin=True),
    MeasureEntry("cohen_kappa", "answers", "number"),
    MeasureEntry(MATCHED_CONTROL, "answers", "points", has_floor=False, has_margin=True),
)
_TRACES = (
    MeasureEntry(BLEU, "traces", "score", paper="BLEU", card="BLEU of its text against the teacher's"),
    MeasureEntry(ITEM_MEASURE, "traces", "score"),
    MeasureEntry("chrf", "traces", "score"),
    MeasureEntry("rouge_l", "traces"),
)
_STEPS = (
    MeasureEntry("step_count", "steps"),
    MeasureEntry("equation_f1", "steps"),
    MeasureEntry("value_f1", "steps", paper="intermediate values, F1", card="same intermediate values (F1)"),
    MeasureEntry("operator_similarity", "steps", card="same operations"),
    MeasureEntry("graph_f1", "steps"),
    MeasureEntry("shape_f1", "steps"),
    MeasureEntry("step_ratio", "steps", "number", 0, has_floor=False),
)
_DISTRIBUTIONS = (
    MeasureEntry(*("forward_kl_", "distributions", "nats", -1, False, 0.0), paper="KL", card="KL(teacher, student)"),
    MeasureEntry("reverse_kl_", "distributions", "nats", -1, False, 0.0),
    MeasureEntry("jensen_shannon_", "distributions", "nats", -1, False, 0.0),
    MeasureEntry("total_variation_", "distributions", "percent", -1, False, 0.0),
    MeasureEntry("top1_agreement_", "distributions", "percent", 1, False, 1.0, card="same next token"),
    MeasureEntry("top5_overlap_", "distributions", "percent", 1, False, 1.0),
    MeasureEntry("nll_gap_", "distributions", "nats", 0, False),
)
"""Up to the ending that says whose text is read."""
_CALIBRATION = (
    MeasureEntry("ece", "calibration", direction=0, has_floor=False),
    MeasureEntry("ece_gap", "calibration", "points", 0, False),
    MeasureEntry("brier", "calibration", "number", 0, False),
    MeasureEntry("brier_gap", "calibration", "number", 0, False),
    MeasureEntry("nll", "calibration", "nats", 0, False),
    MeasureEntry("nll_gap", "calibration", "nats", 0, False),
    MeasureEntry("confidence_distance", "calibration", direction=-1),
)
_PROBES = tuple(
    MeasureEntry(name, "probes", direction=0, has_floor=False, meaning=meaning)
    for name, meaning in (
        (
            "early_answer_area",
            "area over the curve of agreement with the final answer, as more of the own trace is seen",
        ),
        ("mistake_changed", "the final answer changed, after a mistake in the own trace"),
        (
            "no_mistake_changed",
            "the final answer changed all the same, without the mistake: the floor of mistake_changed",
        ),
        ("finish_own_accuracy", "right, going on from the own reasoning, cut; mean over the cuts"),
        ("finish_own_agreement", "the teacher's answer, going on from the own reasoning, cut"),
        ("finish_teacher_accuracy", "right, going on from the teacher's reasoning, cut"),
        ("finish_teacher_agreement", "the teacher's answer, going on from the teacher's reasoning, cut"),
    )
)
_PUBLISHED = (
    MeasureEntry("agreement_2", "answers"),
    MeasureEntry("fidelity", "traces", "score"),
    MeasureEntry("fidelity_2", "traces", "score"),
)
"""Of the published study's tables only (see `kdscope.protocols.published`)."""


def _variants() -> list[MeasureEntry]:
    """The measures with an ending: of both-right items, and of the text that both models read."""
    conditioned = [replace(one, name=one.name + BOTH_RIGHT, paper="", card="") for one in (*_TRACES, *_STEPS)]
    read = [
        replace(
            stem,
            name=stem.name.removesuffix("_") + ending,
            paper=_on(stem.paper, where, stem.unit),
            card=_on(stem.card, where, stem.unit),
        )
        for ending, where in _PREFIXES.items()
        for stem in _DISTRIBUTIONS
    ]
    return conditioned + read


def _on(heading: str, where: str, unit: Unit) -> str:
    return f"{heading} {where}{', nats' if unit == 'nats' else ''}" if heading else ""


_BASIC = (*_ACCURACY, *_ANSWERS, *_TRACES, *_STEPS, *_CALIBRATION, *_PROBES, *_PUBLISHED)
MEASURES: Catalogue[MeasureEntry] = Catalogue("measure", (*_BASIC, *_variants()))
"""Every measure by its name, also those that extensions add."""
_BUILT_IN = frozenset(MEASURES)
DISTRIBUTION_STEMS = tuple(stem.name.removesuffix("_") for stem in _DISTRIBUTIONS)
"""Measures of distributions, without the ending that says whose text is read."""
PROBE_MEASURES: Mapping[str, str] = {entry.name: entry.meaning for entry in _PROBES}
"""Names and meanings of the causal probes; each is a fraction of 1."""

PAGE_MEASURES = (
    *(AGREEMENT, HEADLINE, "error_inheritance", "same_wrong_given_both_wrong", "error_consistency_kappa"),
    *(BLEU, BLEU + BOTH_RIGHT, "value_f1", "operator_similarity", "shape_f1"),
    *("top1_agreement_gold", "forward_kl_gold", "forward_kl_student", "ece_gap"),
)
"""The measures of the page, beside those of extensions; the file has all of them, task by task."""
PAPER_MEASURES = (AGREEMENT, HEADLINE, "error_inheritance", BLEU, "value_f1", "forward_kl_teacher")
"""The measures of a paper's table, where a study has them, beside those of extensions."""
CARD_MEASURES = (
    *(AGREEMENT, HEADLINE, "error_inheritance", BLEU, "value_f1", "operator_similarity"),
    *("top1_agreement_gold", "forward_kl_gold"),
)
"""The measures of a model card."""


def describe_measure(name: str) -> MeasureEntry:
    """The entry of a measure; of one that is not in the catalogue (of an extension not loaded), a plain number.

    >>> entry = describe_measure("forward_kl_teacher")
    >>> entry.unit, entry.decimals, entry.paper
    ('nats', 3, "KL on the teacher's text, nats")
    """
    return MEASURES.get(name) or MeasureEntry(name, "answers", "number", 0, has_floor=False)


def is_own(name: str) -> bool:
    """Whether a measure is of an extension, loaded or not."""
    return name not in _BUILT_IN
