"""A study written back is the same study, and the editor's schema agrees with the loader."""

import copy

import jsonschema
import pytest
import yaml
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from kdscope.errors import StudyError
from kdscope.study.dump import study_schema, study_yaml
from kdscope.study.load import load_study


def _reload(folder, text):
    (folder / "again.yaml").write_text(text, encoding="utf-8")
    return load_study(folder / "again.yaml")


def test_an_example_round_trips_with_all_its_defaults(example, tmp_path):
    study = load_study(example)
    text = study_yaml(study)
    assert _reload(tmp_path, text) == study
    assert study_yaml(_reload(tmp_path, text)) == text
    assert {"evaluation", "runtime", "seeds", "template"} <= yaml.safe_load(text).keys()
    assert yaml.safe_load(text)["training"]["batch_size_sequences"] == 16


def test_settings_without_effect_are_left_out(example):
    for method in yaml.safe_load(study_yaml(load_study(example)))["methods"]:
        assert method["name"] != "sft" or method.keys() == {"name", "prompt_in_loss"}


_NUMBERS = st.floats(1e-12, 1e6, allow_nan=False)
_NAMES = st.from_regex(r"[A-Za-z0-9][A-Za-z0-9._-]{0,12}", fullmatch=True) | st.sampled_from(
    ["1e-9", "no", "007", "1.5"]
)


@given(
    name=_NAMES,
    description=st.text(max_size=30),
    task=st.text(min_size=1, max_size=8),
    path=st.text("ab /.~$", min_size=1, max_size=8),
    temperatures=st.lists(_NUMBERS, min_size=1, max_size=3),
    tuning=st.sampled_from([None, "full", "lora"]),
    preset=st.sampled_from([None, "published"]),
)
@settings(max_examples=100, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
def test_any_study_round_trips(tmp_path, name, description, task, path, temperatures, tuning, preset):
    student = {"name": name, "path": f"./m{path.replace('$', '$$')}"}
    values = {
        "name": name,
        "description": description,
        "preset": preset,
        "data": {"path": "train.jsonl"},
        "tasks": {"folder": "tasks", "names": [task]},
        "teachers": [{"name": name, "path": "teacher"}],
        "students": [student if tuning is None else {**student, "tuning": tuning}],
        "methods": ["sft", {"name": "reverse_kl", "kd_temperature": temperatures}],
    }
    # JSON is YAML, and unlike PyYAML's dumper it quotes every text.
    import json

    study = _reload(tmp_path, json.dumps(values).replace("\x7f", "\\u007f")) if _ascii_safe(values) else None
    if study is not None:
        assert study.name == name
        assert _reload(tmp_path, study_yaml(study)) == study


@pytest.mark.parametrize(
    "text", ["\x85", "a\u2028b", " \u2029 ", "a\n\nb\n", " lead", "trail ", "\t", "#x", "\0", "\ufeff"]
)
def test_awkward_texts_round_trip(example, tmp_path, text):
    study = load_study(example).model_copy(update={"description": text})
    assert _reload(tmp_path, study_yaml(study)) == study


def _ascii_safe(values):
    """JSON writes characters beyond U+FFFF as two escapes, which YAML reads as two characters."""
    return all(character <= "\uffff" for character in str(values["description"]) + values["tasks"]["names"][0])


def test_the_schema_is_a_schema_and_accepts_the_examples(example):
    schema = study_schema()
    jsonschema.Draft7Validator.check_schema(schema)
    jsonschema.validate(yaml.safe_load(_with_plain_floats(example.read_text("utf-8"))), schema)


def test_the_schema_accepts_a_study_written_in_full(example):
    jsonschema.validate(yaml.safe_load(study_yaml(load_study(example))), study_schema())


def _with_plain_floats(text):
    """PyYAML alone reads 2e-4 as text; editors follow YAML 1.2, where it is a number."""
    return text.replace("2e-4", "0.0002").replace("1e-4", "0.0001").replace("1e-2", "0.01")


CHANGES = [
    (("epoch",), 1, False),
    (("training", "epochs"), "three", False),
    (("training", "epochs"), 0, False),
    (("data", "path"), None, False),
    (("students",), [], False),
    (("students",), {"name": "one", "path": "p"}, True),
    (("students", 0, "tuning"), "full", True),
    (("students", 0, "tuning"), "partial", False),
    (("students", 0, "keep_layers"), 4, True),
    (("students", 0, "keep_layers"), [0, 3], True),
    (("students", 0, "keep_layers"), "4", False),
    (("students", 0, "name"), "a/b", False),
    (("methods",), "sft", True),
    (("methods",), ["sft", "reversekl"], False),
    (("methods", 0), {"name": "sft", "prompt_in_loss": True}, True),
    (("methods", 0), {"prompt_in_loss": True}, False),
    (("tasks", "names"), "gsm8k", True),
    (("tasks", "names"), 3, False),
    (("seeds",), 4, True),
    (("seeds",), [1, 2], True),
    (("seeds",), 1.5, False),
    (("seeds",), [], False),
    (("runtime",), {"device": "gpu"}, False),
    (("preset",), "published", True),
    (("preset",), "paper", False),
]


@pytest.mark.parametrize(("place", "value", "valid"), CHANGES)
def test_schema_and_loader_agree(place, value, valid, tmp_path):
    values = {
        "name": "demo",
        "data": {"path": "train.jsonl"},
        "tasks": {"folder": "tasks", "names": ["gsm8k"]},
        "students": [{"name": "small", "path": "student"}],
        "methods": ["sft"],
        "training": {},
    }
    changed = inner = copy.deepcopy(values)
    for part in place[:-1]:
        inner = inner[part]
    inner[place[-1]] = value
    assert jsonschema.Draft7Validator(study_schema()).is_valid(changed) is valid
    try:
        _reload(tmp_path, yaml.safe_dump(changed))
    except StudyError:
        assert not valid
    else:
        assert valid
