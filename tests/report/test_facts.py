from __future__ import annotations

import json

import pytest

from kdscope.core.errors import DataError
from kdscope.report.facts import load_facts, save_facts

from .builders import build_facts


def test_facts_come_back_as_they_were(tmp_path):
    facts = build_facts(
        description="Zwei\nZeilen „ü“ \u2028 <b>", stages={"adapt_teacher big": "0f" * 32}, seeds=[3, 1]
    )
    save_facts(facts, tmp_path / "tables" / "facts.json")
    assert load_facts(tmp_path / "tables" / "facts.json") == facts


def test_same_facts_same_bytes(tmp_path):
    for name in ("a", "b"):
        save_facts(build_facts(), tmp_path / name)
    assert (tmp_path / "a").read_bytes() == (tmp_path / "b").read_bytes()


def test_facts_of_before_a_field_was_there(tmp_path):
    save_facts(build_facts(stages={"a": "b"}, seeds=[0]), tmp_path / "facts.json")
    values = json.loads((tmp_path / "facts.json").read_text())
    del values["stages"]
    (tmp_path / "facts.json").write_text(json.dumps(values))
    assert load_facts(tmp_path / "facts.json") == build_facts(stages={}, seeds=[0])


@pytest.mark.parametrize(
    ("text", "complaint"),
    [
        (None, "facts.json: this file is missing"),
        ("{", "not readable JSON"),
        ("[]", "not the facts of a page"),
        ("{}", "name: this fact is missing"),
        ('{"colour": 1}', "colour: a page has no such fact"),
        ('{"name": 3}', "name: this fact is not of its kind"),
        ("[" * 100_000, "not readable JSON"),
    ],
)
def test_what_is_wrong_is_told(tmp_path, text, complaint):
    if text is not None:
        (tmp_path / "facts.json").write_text(text)
    with pytest.raises(DataError, match=complaint):
        load_facts(tmp_path / "facts.json")


def test_failures_are_pairs(tmp_path):
    save_facts(build_facts(), tmp_path / "facts.json")
    values = json.loads((tmp_path / "facts.json").read_text())
    (tmp_path / "facts.json").write_text(json.dumps(values | {"failures": [None]}))
    with pytest.raises(DataError, match="failures: this fact is not of its kind"):
        load_facts(tmp_path / "facts.json")
