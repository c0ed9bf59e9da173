"""The catalogue of methods says for each what a study, a loss, a sentence and a figure need."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

import kdscope
from kdscope.results.methods import METHODS, SYMBOLS, has_divergence, method_names, method_sentence, published_names
from kdscope.study.arms import Method

SOURCE = Path(kdscope.__file__).parent


def test_marks_of_no_two_methods_are_alike() -> None:
    looks = [(method.colour, method.shape, method.open_marks) for method in METHODS.values()]
    # An adapted teacher's mark is that of no student.
    assert len(set(looks)) == len(looks)
    assert {method.shape for method in METHODS.values()} <= set(SYMBOLS)


def test_settings_are_keys_of_a_study() -> None:
    for method in METHODS.values():
        assert method.settings <= set(Method.model_fields), method.name


def test_pseudo_methods_cannot_be_asked_for() -> None:
    assert not {"base", "adapt"} & set(method_names())
    with pytest.raises(ValueError, match="literal_error"):
        Method(name="adapt")


def test_unknown_names_have_no_divergence_and_stay_as_they_are() -> None:
    assert not has_divergence("SeqKD")
    assert method_sentence("SeqKD") == "SeqKD"
    assert published_names()["forward_kl"] == "SeqKD"


@pytest.mark.parametrize("name", method_names())
def test_a_method_is_named_where_it_is_declared_only(name: str) -> None:
    quoted = re.compile(rf"[\"']{name}[\"']")
    rooms = ("api", "cli", "core", "data", "models", "pipeline", "report", "results", "stages", "study", "view")
    files = [path for room in rooms for path in (SOURCE / room).rglob("*.py") if quoted.search(path.read_text())]
    assert [path.name for path in files] == ["methods.py"]
