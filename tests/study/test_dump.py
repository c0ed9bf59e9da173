"""A study written back is the same study, and the editor's schema agrees with the loader."""

import copy
from pathlib import Path

import jsonschema
import pytest
import yaml
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from kdscope.core.errors import StudyError
from kdscope.study.dump import study_schema, study_yaml
from kdscope.study.load import load_study
from kdscope.study.schema import Study


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


def test_what_a_generated_study_says_is_written_and_nothing_it_does_not(workspace):
    written = yaml.safe_load(study_yaml(load_study(_example(workspace, "generated"))))
    assert written["data"] == {
        "mini": {"tasks": ["mini-one-step", "mini-choose"], "rows_per_task": 30, "skip_per_task": 200, "seed": 3},
        "limit": None,
        "seed": 0,
        "validation_items": 10,
        "unlabelled": {"path": str(workspace / "train.jsonl"), "limit": 1, "seed": 5},
    }
    names = ["mini-one-step", "mini-choose"]
    assert written["tasks"] == {
        "names": names,
        "limit": None,
        "mini_items": 12,
        "mini_seed": 4,
        "exclude_contaminated": False,
    }
    assert written["teachers"][0]["data"]["limit"] == 150
    assert "mini" not in written["teachers"][1]["data"]
    conditions = {method["name"]: method.get("teacher_condition") for method in written["methods"]}
    assert conditions == {"sft": None, "forward_kl": ["adapted", "base"], "seqkd": ["adapted"], "gkd": None}
    assert (written["training"].get("epochs"), written["training"]["max_steps"]) == (None, 40)
    assert (written["teacher_training"]["epochs"], written["teacher_training"].get("max_steps")) == (2, None)


def test_alternatives_a_study_does_not_take_are_not_written(workspace):
    written = yaml.safe_load(study_yaml(load_study(_example(workspace, "full"))))
    assert written["data"].keys() == {"path", "limit", "seed", "validation_items"}
    assert "data" not in written["teachers"][0]
    assert "max_steps" not in written["training"]
    assert not [method for method in written["methods"] if "teacher_condition" in method]


@pytest.mark.parametrize("training", ["{max_steps: 7}", "{epochs: 2}"])
@pytest.mark.parametrize("teacher", ["{max_steps: 9}", "{epochs: 5}", "{learning_rate: 1e-5}"])
@pytest.mark.parametrize("preset", ["", "preset: published\n"])
def test_every_length_of_training_round_trips(workspace, tmp_path, training, teacher, preset):
    text = _example(workspace, "minimal").read_text("utf-8")
    study = _reload(tmp_path, f"{preset}{text}training: {training}\nteacher_training: {teacher}\n")
    assert _reload(tmp_path, study_yaml(study)) == study


def test_pages_show_no_more_of_a_path_than_its_end(workspace):
    text = study_yaml(load_study(_example(workspace, "generated")), shorten_paths=True)
    assert str(workspace.parent) not in text
    written = yaml.safe_load(text)
    paths = [written["data"]["unlabelled"]["path"], written["teachers"][1]["data"]["path"]]
    assert paths == [f".../{workspace.name}/train.jsonl"] * 2


def _example(workspace, name):
    text = (Path(__file__).parent / "examples" / f"{name}.yaml").read_text("utf-8")
    (workspace / "study.yaml").write_text(text, encoding="utf-8")
    return workspace / "study.yaml"


def test_a_study_survives_the_json_that_stages_are_told_it_in(example):
    study = load_study(example)
    assert Study.model_validate_json(study.model_dump_json()) == study


def test_settings_without_effect_are_left_out(example):
    for method in yaml.safe_load(study_yaml(load_study(example)))["methods"]:
        assert method["name"] != "sft" or method.keys() == {"name", "prompt_in_loss"}
        assert method["name"] != "seqkd" or method.keys() <= {"name", "prompt_in_loss", "teacher_condition"}


_NUMBERS = st.floats(1e-3, 1e3)
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
    numbers = {"2e-4": "0.0002", "1e-4": "0.0001", "1e-3": "0.001", "1e-2": "0.01"}
    for written, plain in numbers.items():
        text = text.replace(written, plain)
    return text


CHANGES = [
    (("epoch",), 1, False),
    (("training", "epochs"), "three", False),
    (("training", "epochs"), 0, False),
    (("data", "path"), None, False),
    (("students",), [], False),
    (("students",), {"name": "one", "path": "p"}, True),
    (("students", 0, "tuning"), "full", True),
    (("students", 0, "tuning"), "partial", False),
    *((("students", 0, "tuning"), {"learning_rate": rate}, True) for rate in (0.1, [0.1], [0.2, 0.1], None)),
    *((("students", 0, "tuning"), {"learning_rate": rate}, False) for rate in (0, [], [0], [0.1, 0.1], ["0.1"])),
    *((("training", "keep"), rule, True) for rule in ("last", "best_accuracy", "best_loss")),
    (("training", "keep"), "best", False),
    (("methods", 0), {"name": "gkd", "warm_start_steps": 3, "warm_start": "forward_kl"}, True),
    (("methods", 0), {"name": "gkd", "warm_start_steps": 3, "warm_start": "seqkd"}, False),
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
    (("data",), {"mini": {"tasks": ["a", "b"], "rows_per_task": 3}}, True),
    (("data",), {"mini": {"tasks": "a", "rows_per_task": 3, "skip_per_task": 0, "seed": 1}, "path": None}, True),
    (("data",), {"path": "p", "mini": None}, True),
    (("data",), {}, False),
    (("data",), {"path": "p", "mini": {"tasks": "a", "rows_per_task": 3}}, False),
    (("data",), {"mini": {"tasks": "a"}}, False),
    (("data",), {"mini": {"tasks": "a", "rows_per_task": 0}}, False),
    (("data",), {"mini": {"tasks": "a", "rows_per_task": 1, "skip_per_task": -1}}, False),
    (("data",), {"mini": {"tasks": [], "rows_per_task": 1}}, False),
    (("data",), {"mini": {"tasks": "a", "rows_per_task": 1, "rows": 1}}, False),
    (("data", "unlabelled"), {"path": "u", "limit": 4, "seed": 2}, True),
    (("data", "unlabelled"), None, True),
    (("data", "unlabelled"), {"limit": 4}, False),
    (("data", "unlabelled"), {"path": "u", "validation_items": 4}, False),
    (("teachers", 0, "data"), {"path": "p", "validation_items": 0}, True),
    (("teachers", 0, "data"), {"path": "p", "unlabelled": {"path": "u"}}, False),
    (("teachers", 0, "data"), None, True),
    (("teachers", 0, "data"), {}, False),
    (("tasks",), {"names": "mini-choose", "mini_items": 3, "mini_seed": 0}, True),
    (("tasks",), {"names": "mini-choose", "mini_items": 0}, False),
    (("tasks", "folder"), None, True),
    (("tasks", "mini_seed"), -1, False),
    (("training", "max_steps"), 1, True),
    (("training", "max_steps"), 0, False),
    (("training", "max_steps"), None, True),
    (("training", "max_steps"), 1.5, False),
    (("teacher_training",), {"epochs": 2}, True),
    (("teacher_training",), {"max_steps": 0}, False),
    (("methods", 0), {"name": "seqkd", "teacher_condition": "base"}, True),
    (("methods", 0), {"name": "seqkd", "teacher_condition": ["base", "adapted"]}, True),
    (("methods", 0), {"name": "seqkd", "teacher_condition": None}, True),
    (("methods", 0), {"name": "seqkd", "teacher_condition": []}, False),
    (("methods", 0), {"name": "seqkd", "teacher_condition": "adopted"}, False),
]


@pytest.mark.parametrize(("place", "value", "valid"), CHANGES)
def test_schema_and_loader_agree(place, value, valid, tmp_path):
    values = {
        "name": "demo",
        "data": {"path": "train.jsonl"},
        "tasks": {"folder": "tasks", "names": ["gsm8k"]},
        "teachers": [{"name": "big", "path": "teacher"}],
        "students": [{"name": "small", "path": "student"}],
        "methods": ["sft"],
        "training": {"max_steps": 5},
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
