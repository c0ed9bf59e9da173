"""The catalogue of measures: complete, consistent, and the only place where a measure is described."""

from dataclasses import fields
from pathlib import Path

import pytest

import kdscope
from kdscope.evaluation.distributions import DistributionRow
from kdscope.fidelity.steps import StepScores
from kdscope.results.measures import (
    CARD_MEASURES,
    DISTRIBUTION_STEMS,
    MEASURES,
    PAGE_MEASURES,
    PAPER_MEASURES,
    MeasureEntry,
    describe_measure,
    is_own,
)

SOURCE = Path(kdscope.__file__).parent
# Also columns of records, metrics of tasks, methods or divergences: their words are not only a measure's.
SHARED_WORDS = {"accuracy", "gain", "agreement", "fidelity", "rouge_l", "both_right"}


@pytest.mark.parametrize("name", sorted(set(MEASURES) - SHARED_WORDS))
def test_measure_is_named_in_at_most_two_files(name: str) -> None:
    having = [file for file in SOURCE.rglob("*.py") if f'"{name}"' in file.read_text(encoding="utf-8")]
    assert len(having) <= 2, having


def test_measures_of_every_table_are_in_the_catalogue() -> None:
    assert {*PAGE_MEASURES, *PAPER_MEASURES, *CARD_MEASURES} <= set(MEASURES)
    assert all(MEASURES[name].paper for name in PAPER_MEASURES)
    assert all(MEASURES[name].card for name in CARD_MEASURES)


def test_fields_of_the_dataclasses_that_hold_measures_are_in_the_catalogue() -> None:
    assert set(StepScores._fields) <= set(MEASURES)
    assert all(
        hasattr(DistributionRow, stem) or stem in {f.name for f in fields(DistributionRow)}
        for stem in DISTRIBUTION_STEMS
    )


@pytest.mark.parametrize(
    ("name", "label", "factor", "decimals"),
    [
        ("agreement", "agreement", 100, 1),
        ("agreement_beyond_accuracy", "agreement beyond accuracy", 100, 1),
        ("bleu_both_right", "bleu both right", 1, 1),
        ("forward_kl_gold", "forward kl gold", 1, 3),
        ("error_consistency_kappa", "error consistency kappa", 1, 2),
        ("a_foreign_measure", "a foreign measure", 1, 2),
    ],
)
def test_label_and_scale_of_measures(name: str, label: str, factor: float, decimals: int) -> None:
    entry = describe_measure(name)
    assert (entry.label, entry.factor, entry.decimals) == (label, factor, decimals)


def test_headings_of_distributions_say_whose_text_is_read() -> None:
    assert MEASURES["forward_kl_teacher"].paper == "KL on the teacher's text, nats"
    assert MEASURES["forward_kl_gold"].card == "KL(teacher, student) on the reference, nats"
    assert MEASURES["top1_agreement_gold"].card == "same next token on the reference"


def test_perfect_values_are_those_of_a_model_against_itself() -> None:
    assert MEASURES["forward_kl_student"].perfect == 0
    assert MEASURES["top1_agreement_gold"].perfect == 1
    assert MEASURES["nll_gap_gold"].perfect is None
    assert all(
        entry.direction == (1 if entry.perfect else -1) for entry in MEASURES.values() if entry.perfect is not None
    )


def test_a_measure_of_an_extension_is_described_by_its_entry() -> None:
    assert is_own("same_length")
    MEASURES.add(mine := MeasureEntry("same_length", "answers", "percent"))
    try:
        assert describe_measure("same_length") == mine
        assert is_own("same_length")
    finally:
        MEASURES.remove("same_length")
    assert not is_own("forward_kl_gold")
