"""A study file becomes the study it describes; anything else becomes one error."""

import random
from pathlib import Path

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from kdscope.core.errors import StudyError
from kdscope.study.dump import study_schema
from kdscope.study.load import load_study, read_study

EXAMPLES = Path(__file__).parent / "examples"
FULL = (EXAMPLES / "full.yaml").read_text(encoding="utf-8")
MINIMAL = (EXAMPLES / "minimal.yaml").read_text(encoding="utf-8")


@pytest.fixture
def write(tmp_path):
    def write_study(text: str) -> Path:
        (tmp_path / "study.yaml").write_text(text, encoding="utf-8")
        return tmp_path / "study.yaml"

    return write_study


def test_every_kind_of_value_arrives(write, tmp_path):
    study = load_study(write(FULL))
    assert study.description == "All keys: a study with colons, 'quotes' and ünïcode."
    assert study.data.path == tmp_path / "train.jsonl"
    assert study.tasks.names == ("gsm8k", "boolq")
    big, far = study.teachers
    assert (big.condition, big.tuning.rank, big.tuning.learning_rate) == (("adapted", "base"), 16, 2e-4)
    assert (far.path, far.hub, far.condition) == (None, "Qwen/Qwen2.5-0.5B", ("adapted",))
    assert [student.keep_layers for student in study.students] == [2, (0, 2)]
    assert study.students[1].tuning.kind == "full"
    assert [method.name for method in study.methods] == ["sft", "seqkd", "forward_kl", "gkd"]
    assert study.methods[2].kd_temperature == (1.0, 2.5)
    assert (study.methods[2].kd_weight, study.methods[2].teacher_noise_std) == ((0.5,), (0.0, 0.01))
    assert (study.training.epochs, study.teacher_training.epochs, study.runtime.dtype) == (1, 2, "float32")


def test_the_lines_of_a_study_are_known(write):
    source = read_study(write(MINIMAL)).source
    assert source.line(("students", 0, "path")) == 1 + MINIMAL.splitlines().index("    path: student")


def test_paths_take_home_folder_environment_and_the_study_folder(write, tmp_path, monkeypatch):
    monkeypatch.setenv("HOME", str(tmp_path / "home"))
    monkeypatch.setenv("MODELS", str(tmp_path / "models"))
    text = MINIMAL.replace("path: train.jsonl", "path: ../up/train.jsonl").replace("folder: tasks", "folder: ~/tasks")
    study = load_study(write(text.replace("path: student", "path: ${MODELS}/a$$b")))
    assert study.data.path == tmp_path.parent / "up" / "train.jsonl"
    assert study.tasks.folder == tmp_path / "home" / "tasks"
    assert study.students[0].path == tmp_path / "models" / "a$b"


def test_relative_paths_do_not_depend_on_the_current_folder(write, tmp_path, monkeypatch):
    write(MINIMAL)
    (tmp_path / "elsewhere").mkdir()
    monkeypatch.chdir(tmp_path / "elsewhere")
    assert load_study(Path("../study.yaml")).data.path == tmp_path / "train.jsonl"


def test_a_study_reached_through_a_link_finds_its_neighbours(write, tmp_path):
    write(MINIMAL.replace("path: train.jsonl", "path: ../train.jsonl"))
    (tmp_path / "deep").mkdir()
    (tmp_path / "deep" / "link").symlink_to(tmp_path, target_is_directory=True)
    assert load_study(tmp_path / "deep" / "link" / "study.yaml").data.path == tmp_path.parent / "train.jsonl"


@pytest.mark.parametrize(
    ("old", "new", "words"),
    [
        ("path: train.jsonl", "path: ${NOT_SET_ANYWHERE}/x", "variable 'NOT_SET_ANYWHERE' is not set"),
        ("path: train.jsonl", "path: ~nobody-of-this-name/x", "no home folder '~nobody-of-this-name'"),
        ("path: train.jsonl", "path: ''", "the path is empty"),
        ("path: train.jsonl", 'path: "a\\0b"', "U+0000"),
        ("path: train.jsonl", f"path: {'a' * 5000}", ": data.path: the path cannot be read: File name too long"),
        ("path: train.jsonl", f"path: {'a/' * 3000}", ": data.path: the path cannot be read: File name too long"),
        ("path: train.jsonl", "path: loop", ": data.path: the path cannot be read: Too many levels of symbolic links"),
    ],
)
def test_paths_that_lead_nowhere(write, tmp_path, old, new, words):
    (tmp_path / "loop").symlink_to("loop")
    with pytest.raises(StudyError) as caught:
        load_study(write(MINIMAL.replace(old, new)))
    assert (caught.value.line, caught.value.key) == (3, "data.path")
    assert words in str(caught.value)


def test_all_problems_are_reported_once_in_file_order(write):
    text = FULL.replace("epochs: 1", "epoch: 1").replace("kd_weight: 0.5", "kd_weight: 1.5")
    text = text.replace("  limit: 400", "  limit: 400\n  limit: many").replace("path: teacher", "path: ${NOT_SET_HERE}")
    path = write(text)
    with pytest.raises(StudyError) as caught:
        load_study(path)
    assert str(caught.value).splitlines() == [
        f"{path}:6: data.limit: this key is given twice; the first is in line 5",
        f"{path}:14: teachers[0].path: the environment variable 'NOT_SET_HERE' is not set",
        f"{path}:{_line(text, 'kd_weight')}: methods[2].kd_weight: expected at most 1, given the number 1.5",
        f"{path}:{_line(text, 'epoch:')}: training.epoch: unknown key; did you mean 'epochs'?",
    ]
    assert (caught.value.line, caught.value.key) == (6, "data.limit")


def _line(text: str, words: str) -> int:
    return next(number for number, line in enumerate(text.splitlines(), 1) if words in line)


def _load(folder: Path, data: bytes) -> None:
    """Only a `StudyError` may leave this quietly."""
    path = folder / "study.yaml"
    path.write_bytes(data)
    message = ""
    try:
        load_study(path)
    except StudyError as error:
        message = str(error)
    assert message == "" or message.startswith(str(path))
    assert "pydantic" not in message
    assert "another value" not in message


@given(data=st.text(max_size=80).map(lambda text: text.encode("utf-8", "surrogatepass")) | st.binary(max_size=80))
@settings(max_examples=100, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
def test_any_file_is_a_study_or_a_study_error(tmp_path, data):
    _load(tmp_path, data)


@given(
    start=st.integers(0, len(FULL)),
    length=st.integers(0, 30),
    new=st.text(max_size=6)
    | st.sampled_from([": ", "- ", "[", "{", "*a", "&a ", "null", "\n", "1", "~", "!!x ", "${"]),
)
@settings(max_examples=200, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
def test_a_damaged_study_is_a_study_or_a_study_error(tmp_path, start, length, new):
    _load(tmp_path, (FULL[:start] + new + FULL[start + length :]).encode("utf-8"))


_KEYS = st.sampled_from(
    ["name", "path", "tuning", "methods", "teachers", "keep_layers", "kd_temperature", "training", "x"]
)
_TREES = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=5) | st.sampled_from(["sft", "lora"]),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(_KEYS, inner, max_size=3),
    max_leaves=6,
)


@given(
    section=st.sampled_from(
        ["data", "tasks", "teachers", "students", "methods", "training", "seeds", "name", "preset"]
    ),
    value=_TREES,
    preset=st.sampled_from(["", "preset: published\n"]),
)
@settings(max_examples=200, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
def test_a_section_of_the_wrong_shape_is_a_study_error(tmp_path, section, value, preset):
    import yaml

    values = {**yaml.safe_load(MINIMAL), section: value}
    _load(tmp_path, (preset + yaml.safe_dump(values)).encode("utf-8"))


def test_teacher_training_inherits_what_it_does_not_say(tmp_path):
    file = tmp_path / "study.yaml"
    file.write_text(
        "name: demo\ndata: {path: a.json}\ntasks: {folder: t, names: gsm8k}\n"
        "students: {name: s, path: m}\nmethods: sft\n"
        "training: {learning_rate: 1e-3, epochs: 2}\nteacher_training: {epochs: 8}\n"
    )
    study = load_study(file)
    assert (study.teacher_training.epochs, study.teacher_training.learning_rate) == (8, 1e-3)


_WORDS = (
    "sft",
    "gkd",
    "lora",
    "full",
    "gsm8k",
    "mini-choose",
    "kdscope:tiny-s",
    "a/b",
    "../x",
    "${X}",
    "\x1b[31m",
    "é" * 300,
)
_SCALARS = ("1", "0", "-1", "1.5", "1e400", "-.inf", ".nan", "1_000", "9" * 5000, "true", "null", "''", "x", "!!int x")
_SHAPES = (
    "[]",
    "{}",
    "[[[[1]]]]",
    "{a: {b: {c: 1}}}",
    "&a [*a]",
    "*gone",
    "[1, 2",
    "- - -",
    "{<<: 1}",
    "? [1]",
    "|\n  text",
    "\t1",
)


def _written(rng, schema, definitions, depth=0):
    """A value for a schema of a study as someone might write it: mostly of the right shape, sometimes not."""
    while "$ref" in schema:
        schema = definitions[schema["$ref"].split("/")[-1]]
    if depth > 4 or rng.random() < 0.1:
        return rng.choice(rng.choice((_WORDS, _SCALARS, _SHAPES)))
    if "anyOf" in schema:
        return _written(rng, rng.choice(schema["anyOf"]), definitions, depth)
    if "properties" in schema:
        wanted = {*schema.get("required", ()), *rng.sample(sorted(schema["properties"]), k=2)}
        keys = [key for key in schema["properties"] if key in wanted and rng.random() < 0.95]
        keys += rng.choices(keys, k=rng.random() < 0.05) if keys else []
        told = (f"{key}: {_written(rng, schema['properties'][key], definitions, depth + 1)}" for key in keys)
        return "{" + ", ".join(told) + "}"
    if schema.get("type") == "array":
        entries = (_written(rng, schema["items"], definitions, depth + 1) for _ in range(rng.choice((0, 1, 1, 2, 3))))
        return "[" + ", ".join(entries) + "]"
    if "enum" in schema:
        return str(rng.choice(schema["enum"]))
    return {"string": rng.choice(_WORDS), "boolean": "true"}.get(schema.get("type"), rng.choice(_SCALARS))


def test_400_studies_of_a_grammar_are_studies_or_study_errors(tmp_path):
    rng, schema = random.Random(7), study_schema()
    for _ in range(400):
        keys = {"name", "data", "tasks", "students", "methods", *rng.sample(sorted(schema["properties"]), k=4)}
        lines = [f"{key}: {_written(rng, schema['properties'][key], schema['$defs'])}\n" for key in sorted(keys)]
        _load(tmp_path, "".join(lines).encode("utf-8"))
