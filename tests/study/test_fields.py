"""Every number of a study has two bounds, which the JSON schema states and the loader keeps."""

from __future__ import annotations

import copy
import math
import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import yaml

from kdscope.core.errors import StudyError
from kdscope.results.methods import METHODS
from kdscope.study.arms import applicable_settings
from kdscope.study.dump import study_schema
from kdscope.study.load import read_study

SCHEMA = study_schema()
LOWER, UPPER = ("minimum", "exclusiveMinimum"), ("maximum", "exclusiveMaximum")
AWKWARD = ("-1", "0", ".nan", ".inf", "-.inf", "1e22", "1" + 30 * "0", "1" + 5000 * "0", "1_000", "true", "'1'", "[]")
STUDY = {
    "name": "demo",
    "data": {"path": "train.jsonl"},
    "tasks": {"folder": "tasks", "names": ["gsm8k"]},
    "teachers": [{"name": "big", "path": "teacher"}],
    "students": [{"name": "small", "path": "student"}],
    "methods": ["sft"],
    "training": {"epochs": 2},
}


def _branches(schema: dict[str, Any]) -> Iterator[dict[str, Any]]:
    """A schema with its references followed, and all that it allows instead."""
    if "$ref" in schema:
        schema = SCHEMA["$defs"][schema["$ref"].split("/")[-1]]
    yield schema
    for key in ("anyOf", "allOf"):
        for branch in schema.get(key, ()):
            yield from _branches(branch)
    for key in ("items", "additionalProperties"):
        if isinstance(schema.get(key), dict):
            yield from _branches(schema[key])


def _is_number(schema: dict[str, Any]) -> bool:
    kinds = schema.get("type", ())
    return bool({"integer", "number"} & {kinds} if isinstance(kinds, str) else {"integer", "number"} & set(kinds))


def _numbers(
    schema: dict[str, Any], at: tuple[str, ...] = ()
) -> Iterator[tuple[tuple[str, ...], list[dict[str, Any]]]]:
    """Every numeric setting: its keys, and the schemas of its numbers."""
    found = list(_branches(schema))
    if numbers := [branch for branch in found if _is_number(branch)]:
        yield at, numbers
    for branch in found:
        for key, inner in branch.get("properties", {}).items():
            yield from _numbers(inner, (*at, key))


NUMBERS = {keys: schemas for keys, schemas in _numbers(SCHEMA) if keys[-1] != "settings"}


def _study_with(keys: tuple[str, ...], value: Any) -> dict[str, Any]:
    """A study in which this setting has an effect."""
    values: dict[str, Any] = copy.deepcopy(STUDY)
    if keys[0] == "methods":
        values["methods"] = [{"name": next(name for name in METHODS if keys[-1] in applicable_settings(name))}]
    inner: Any = values
    for part in keys[:-1]:
        if part == "mini":
            inner.pop("path", None)
            inner["mini"] = {"tasks": ["mini-choose"], "rows_per_task": 5}
        inner = inner.setdefault(part, {})
        inner = inner[0] if isinstance(inner, list) else inner
    inner[keys[-1]] = value
    return values


def _read(folder: Path, keys: tuple[str, ...], written: str) -> tuple[Any, ...] | StudyError:
    """The values of a setting in a study that has it written so, or why it is refused."""
    text = yaml.safe_dump(_study_with(keys, "PLACE"), sort_keys=False).replace("PLACE", written)
    (folder / "study.yaml").write_text(text)
    try:
        found: Any = read_study(folder / "study.yaml").study
    except StudyError as error:
        return error
    for part in keys:
        found = getattr(found[0] if isinstance(found, tuple) else found, part)
    return found if isinstance(found, tuple) else (found,)


def test_there_are_many_numeric_settings() -> None:
    assert len(NUMBERS) > 60
    assert {("seeds",), ("students", "tuning", "rank"), ("tasks", "mini_items")} <= NUMBERS.keys()


def test_every_number_of_the_schema_has_both_bounds() -> None:
    for keys, schemas in _numbers(SCHEMA):
        for schema in schemas:
            assert any(key in schema for key in LOWER), keys
            assert any(key in schema for key in UPPER), keys


@pytest.mark.parametrize("keys", NUMBERS, ids=".".join)
def test_every_awkward_value_of_every_number_is_within_its_bounds_or_refused(
    tmp_path: Path, keys: tuple[str, ...]
) -> None:
    lower = min(float(schema[key]) for schema in NUMBERS[keys] for key in LOWER if key in schema)
    upper = max(float(schema[key]) for schema in NUMBERS[keys] for key in UPPER if key in schema)
    for written in AWKWARD:
        found = _read(tmp_path, keys, written)
        if isinstance(found, StudyError):
            assert str(found).startswith(f"{tmp_path / 'study.yaml'}:{found.line}: "), written
        else:
            assert all(type(number) in (int, float) for number in found), written
            assert all(math.isfinite(number) and lower <= number <= upper for number in found), written


@pytest.mark.parametrize("keys", NUMBERS, ids=".".join)
def test_the_bounds_of_every_number_are_accepted_and_what_is_beyond_is_named(
    tmp_path: Path, keys: tuple[str, ...]
) -> None:
    schema = NUMBERS[keys][0]
    for key in ("minimum", "maximum"):
        if key in schema:
            found = _read(tmp_path, keys, f"{schema[key]:.12g}")
            # Another rule may hold, such as that steps stand instead of epochs.
            assert not isinstance(found, StudyError) or "expected" not in str(found), key
    beyond = f"{schema.get('maximum', schema.get('exclusiveMaximum')) + 1:.12g}"
    refused = _read(tmp_path, keys, beyond)
    assert isinstance(refused, StudyError)
    assert re.search(rf"expected .*(at most|less than) [\d.]+.*, given the number {beyond}", str(refused))
    assert refused.key.replace("[0]", "") == ".".join(keys)


@pytest.mark.parametrize(
    ("changes", "key", "words"),
    [
        ({"seeds": list(range(1001))}, "seeds", "expected at most 1000 values, given a list of 1001"),
        (
            {"seeds": list(range(1000)), "methods": ["sft"] * 11},
            "methods",
            "11000 trainings; a study has at most 10000",
        ),
        (
            {"seeds": list(range(200)), "tasks": {"folder": "tasks", "names": [f"t{n}" for n in range(501)]}},
            "methods",
            "100200 evaluations; a study has at most 100000",
        ),
    ],
)
def test_a_grid_is_counted_before_it_is_multiplied_out(
    tmp_path: Path, changes: dict[str, Any], key: str, words: str
) -> None:
    (tmp_path / "study.yaml").write_text(yaml.safe_dump({**STUDY, **changes}))
    with pytest.raises(StudyError, match=words) as error:
        read_study(tmp_path / "study.yaml")
    assert error.value.key == key


def test_learning_rates_that_are_compared_count_as_trainings(tmp_path: Path) -> None:
    rates = [1e-4 * (1 + number) for number in range(100)]
    students = [{"name": "small", "path": "student", "tuning": {"learning_rate": rates}}]
    method = {"name": "jsd", "kd_temperature": [1 + number / 100 for number in range(100)]}
    (tmp_path / "study.yaml").write_text(yaml.safe_dump({**STUDY, "students": students, "methods": [method]}))
    with pytest.raises(StudyError, match="10100 trainings"):
        read_study(tmp_path / "study.yaml")


def test_of_very_many_problems_a_hundred_are_told(tmp_path: Path) -> None:
    (tmp_path / "study.yaml").write_text(yaml.safe_dump(STUDY) + "".join(f"key{n}: 1\n" for n in range(5_000)))
    with pytest.raises(StudyError) as error:
        read_study(tmp_path / "study.yaml")
    lines = str(error.value).splitlines()
    assert (len(lines), lines[-1].endswith("study.yaml: and 4900 problems more")) == (101, True)


@pytest.mark.parametrize("section", ["evaluation", "teacher_generation"])
def test_a_sampling_temperature_is_0_or_one_that_logits_can_be_divided_by(tmp_path: Path, section: str) -> None:
    keys = (section, "sampling_temperature")
    assert _read(tmp_path, keys, "0") == (0.0,)
    assert _read(tmp_path, keys, "0.001") == (0.001,)
    refused = _read(tmp_path, keys, "1e-300")
    assert "expected 0 (greedy) or at least 0.001, given the number 1e-300" in str(refused)
