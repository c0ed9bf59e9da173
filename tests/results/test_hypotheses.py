"""The catalogue of hypotheses: complete, with fragments that can be filled in, and families that belong together."""

from __future__ import annotations

import pytest

from kdscope.results.hypotheses import BENJAMINI_YEKUTIELI, HYPOTHESES, RELATIONS, hypothesis

FIELDS = {name: name for name in ("group", "student", "first", "second", "what", "cell", "checkpoints")}


def test_relations_are_h2_to_h5():
    assert RELATIONS == ("H2", "H3", "H3.2", "H4", "H5")
    assert all(hypothesis(name).predictor and hypothesis(name).related_to for name in RELATIONS)


@pytest.mark.parametrize("name", HYPOTHESES)
def test_fragments_of_sentences_have_known_fields_only(name):
    entry = hypothesis(name)
    for text in (entry.subject, entry.against, entry.checkpoint, entry.checkpoint_against, entry.untested_against):
        text.format(**FIELDS)


def test_a_family_has_one_adjustment():
    by_family = {}
    for entry in HYPOTHESES.values():
        by_family.setdefault(entry.family or entry.name, set()).add(entry.adjustment)
    assert all(len(adjustments) == 1 for adjustments in by_family.values())
    assert by_family["relations"] == {BENJAMINI_YEKUTIELI}


def test_a_hypothesis_outside_of_the_catalogue_is_called_by_its_name():
    assert hypothesis("H9").title == "H9"
    assert hypothesis("H9").family == ""
