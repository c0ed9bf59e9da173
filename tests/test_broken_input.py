"""Broken studies and data files: each gets one readable answer that says where and what."""

import json
from pathlib import Path

import pytest

from kdscope.api.study_files import check_files
from kdscope.core.errors import DataError, KdscopeError, StudyError
from kdscope.data.examples import read_examples
from kdscope.study.load import read_study
from kdscope.tasks import get_task
from tests.builders import HOLLOW_WEIGHTS, read_items

STUDY = """\
name: demo
data:
  path: train.jsonl
tasks:
  folder: tasks
  names: [gsm8k]
teachers:
  - name: big
    path: teacher
students:
  - name: small
    path: student
    keep_layers: 2
methods:
  - sft
  - name: reverse_kl
    kd_temperature: [1, 2]
training:
  epochs: 3
"""

JARGON = ("pydantic", "http", "Value error", "Input should", "validation error", "type=", "Traceback", "None", "Errno")


@pytest.fixture
def workspace(tmp_path: Path) -> Path:
    """Everything that the study names."""
    for name, layers in (("teacher", 6), ("student", 3)):
        (tmp_path / name).mkdir()
        (tmp_path / name / "config.json").write_text(json.dumps({"num_hidden_layers": layers}))
        (tmp_path / name / "tokenizer.json").write_text("{}")
        (tmp_path / name / "model.safetensors").write_bytes(HOLLOW_WEIGHTS)
    (tmp_path / "train.jsonl").write_text('{"instruction": "1+1?", "output": "2"}\n')
    (tmp_path / "tasks" / "gsm8k").mkdir(parents=True)
    (tmp_path / "tasks" / "gsm8k" / "test.json").write_text("[]")
    return tmp_path


def _assert_readable(error: KdscopeError, file: Path, place: str, words: str) -> None:
    message = str(error)
    assert message.startswith(f"{file}{place}")
    assert words in message
    assert "\n" not in message
    assert not [word for word in JARGON if word in message.replace(str(file), "")]


BROKEN_STUDIES = [
    # what is written, instead of what: line, key, words
    ("  epoch: 3", "  epochs: 3", 19, "training.epoch", "unknown key; did you mean 'epochs'?"),
    (
        "  qqqq: 3",
        "  epochs: 3",
        19,
        "training.qqqq",
        "unknown key; known here: epochs, max_steps, batch_size_sequences",
    ),
    ("epochs: 3", "training:\n  epochs: 3", 18, "epochs", "unknown key; it belongs in 'training'"),
    ("  epochs: three", "  epochs: 3", 19, "training.epochs", "expected a whole number, given the text 'three'"),
    ("  epochs: 2.5", "  epochs: 3", 19, "training.epochs", "expected a whole number, given the number 2.5"),
    ("  epochs: 0", "  epochs: 3", 19, "training.epochs", "expected at least 1, given the number 0"),
    ("  epochs:", "  epochs: 3", 19, "training.epochs", "expected a whole number, given nothing"),
    ("  learning_rate: .inf", "  epochs: 3", 19, "training.learning_rate", "expected a finite number"),
    ("  learning_rate: -3e-4", "  epochs: 3", 19, "training.learning_rate", "expected more than 0, given the number"),
    ("  gradient_checkpointing: yes", "  epochs: 3", 19, "training.gradient_checkpointing", "expected true or false"),
    ("  schedule: cosin", "  epochs: 3", 19, "training.schedule", "did you mean 'cosine'?"),
    ("training: 3", "training:\n  epochs: 3", 18, "training", "expected a mapping (key: value), given the number 3"),
    ("training:\n", "training:\n  epochs: 3", 18, "training", "expected a mapping (key: value), given nothing"),
    ("name: 7", "name: demo", 1, "name", "expected text, given the number 7; put it in quotes"),
    ("name: a/b", "name: demo", 1, "name", "a name has 1 to 64 letters"),
    ("description: x\n", "name: demo\n", 1, "name", "this key is required"),
    ("  limit: 4", "  path: train.jsonl", 2, "data", "give either 'path' (a file) or 'mini'"),
    ("  - reversekl", "  - sft", 15, "methods[0]", "did you mean 'reverse_kl'?"),
    ("  - name: reversekl", "  - name: reverse_kl", 16, "methods[1].name", "did you mean 'reverse_kl'?"),
    ("    kd_temperature: [1, 0]", "    kd_temperature: [1, 2]", 17, "methods[1].kd_temperature[1]", "at least 0.001"),
    ("    kd_temperature: []", "    kd_temperature: [1, 2]", 17, "methods[1].kd_temperature", "given an empty list"),
    ("    beta: 0.3", "    kd_temperature: [1, 2]", 17, "methods[1].beta", "does not apply to method 'reverse_kl'"),
    ("    keep_layers: half", "    keep_layers: 2", 13, "students[0].keep_layers", "a whole number or a list, given"),
    ("    keep_layers: [2, 1]", "    keep_layers: 2", 13, "students[0].keep_layers", "must increase"),
    ("    keep_layers: [0, -1]", "    keep_layers: 2", 13, "students[0].keep_layers[1]", "expected at least 0"),
    ("    keep_layers: 4", "    keep_layers: 2", 13, "students[0].keep_layers", "of a model that has 3"),
    ("    tuning: {kind: full, rank: 4}", "    keep_layers: 2", 13, "students[0].tuning.rank", "tuned in full"),
    ("    tuning: fulll", "    keep_layers: 2", 13, "students[0].tuning", "did you mean 'full'?"),
    ("    hub: a/b", "    path: teacher", 8, "teachers[0]", "needs 'revision'"),
    ("    hub: a/b\n    revision: main", "    path: teacher", 10, "teachers[0].revision", "40 hexadecimal digits"),
    ("    hub: a/../b\n", "    path: teacher\n", 9, "teachers[0].hub", "'owner/name'"),
    ("    path: teacher\n    hub: a/b", "    path: teacher", 9, "teachers[0].path", "either 'path'"),
    ("    path: ${NO_SUCH_VARIABLE}/x", "    path: teacher", 9, "teachers[0].path", "'NO_SUCH_VARIABLE' is not set"),
    ("    path: nowhere", "    path: teacher", 9, "teachers[0].path", "no folder"),
    ("", "teachers:\n  - name: big\n    path: teacher\n", 11, "methods", "'reverse_kl' needs at least one teacher"),
    ("  path: gone.jsonl", "  path: train.jsonl", 3, "data.path", "no file"),
    ("  names: [gsm8]", "  names: [gsm8k]", 6, "tasks.names[0]", "did you mean gsm8k?"),
    ("  names: [gsm8k, gsm8k]", "  names: [gsm8k]", 6, "tasks.names", "listed twice"),
    ("  path: a\n  path: b", "  path: train.jsonl", 4, "data.path", "this key is given twice; the first is in line 3"),
    ("name: !!python/name:os.system", "name: demo", 1, "name", "tag"),
    ("preset: publish\nname: demo", "name: demo", 1, "preset", "did you mean 'published'?"),
]


@pytest.mark.parametrize(("new", "old", "line", "key", "words"), BROKEN_STUDIES, ids=lambda value: str(value)[:40])
def test_a_broken_study(workspace, new, old, line, key, words):
    file = workspace / "study.yaml"
    assert old in STUDY
    file.write_text(STUDY.replace(old, new, 1), encoding="utf-8")
    with pytest.raises(StudyError) as caught:
        check_files(read_study(file), get_task)
    _assert_readable(caught.value, file, f":{line}: {key}: ", words)
    assert (caught.value.file, caught.value.line, caught.value.key) == (file, line, key)


def test_the_study_itself_is_not_broken(workspace):
    (workspace / "study.yaml").write_text(STUDY)
    check_files(read_study(workspace / "study.yaml"), get_task)


UNREADABLE_STUDIES = [
    (b"", "", "empty"),
    (b"# only a comment\n", "", "empty"),
    (b"- a\n- b\n", ":1", "not a list or a single value"),
    (b"hello", ":1", "not a list or a single value"),
    (b"name: demo\n\tdata: x\n", ":2", "indent with spaces"),
    (b"name: 'demo\ndata: x\n", ":3", "that starts in line 1"),
    (b"name: demo\ndata: [a, b\ntasks: x\n", ":3", "not valid YAML"),
    (b"name: a: b\n", ":1", "not valid YAML"),
    (b"name: *nothing\n", ":1", "undefined alias"),
    (b"name: demo\n---\nname: other\n", ":2", "expected a single document"),
    (b"name: d\xe9mo\n", ":1", "not UTF-8"),
    ("name: demo\n".encode("utf-16"), ":1", "not UTF-8"),
    (b"name: demo\ndescription: a\x00b\n", ":2", "control character U+0000"),
    (b'name: "\\UFFFFFFFF"\n', ":1", "no character"),
    (b"name: " + b"[" * 3000, "", "nested too deeply"),
    (b"#" * (2**20 + 1), "", "at most 1048576"),
    (b"a: &a [*a]\n", ":1", "alias of itself"),
]


@pytest.mark.parametrize(("content", "place", "words"), UNREADABLE_STUDIES, ids=lambda value: str(value)[:40])
def test_a_file_that_is_no_study(tmp_path, content, place, words):
    file = tmp_path / "study.yaml"
    file.write_bytes(content)
    with pytest.raises(StudyError) as caught:
        read_study(file)
    _assert_readable(caught.value, file, f"{place}: ", words)


@pytest.mark.parametrize(("name", "words"), [("nowhere.yaml", "no such file"), (".", "this is a folder")])
def test_no_file_to_read(tmp_path, name, words):
    with pytest.raises(StudyError) as caught:
        read_study(tmp_path / name)
    _assert_readable(caught.value, tmp_path / name, ": ", words)


GOOD = '{"instruction": "a", "input": "", "output": "b", "answer": "1"}'
BROKEN_DATA = [
    # file name, content, place, words
    ("train.jsonl", GOOD + '\n{"instruction": "a"}\n', ", row 2: output", "missing; the row has 'instruction'"),
    ("train.jsonl", GOOD + "\n" + GOOD[:-5], ", row 2: ", "invalid JSON, column"),
    ("train.jsonl", GOOD + "\n[1]\n", ", row 2: ", "expected an object with keys, given a list"),
    ("train.jsonl", GOOD.replace('"a"', '"  "'), ", row 1: instruction", "the text is empty"),
    ("train.jsonl", GOOD.replace('"b"', '["b"]'), ", row 1: output", "expected text, given a list"),
    ("train.jsonl", GOOD.replace('""', "5"), ", row 1: input", "expected text, given a number"),
    ("train.jsonl", GOOD.replace('"b"', '"\\ud83d"'), ", row 1: output", "surrogate"),
    ("train.jsonl", "\n \n", ": ", "the file is empty"),
    ("train.jsonl", "[" * 100_000, ", row 1: ", "nested too deeply"),
    ("train.json", f"[{GOOD},\n {GOOD}", ": ", "invalid JSON in line 2"),
    ("train.json", f"[{GOOD},\n {GOOD.replace('instruction', 'question')}]", ", row 2: instruction", "missing"),
    ("train.json", '{\n "rows": []\n}', ": ", "expected a list of rows, given an object"),
    ("train.json", f"[{GOOD}, null]", ", row 2: ", "expected an object with keys, given null"),
    ("train.json", "[]", ": ", "the list is empty"),
    ("train.json", "", ": ", "the file is empty"),
    ("train.json", f"[{GOOD}, {'9' * 5000}]", ": ", "a number too long"),
    ("train.json", b"[\n\xff\xfe]", ": ", "not UTF-8 text (line 2)"),
    ("gsm8k/test.json", f"[{GOOD.replace('1', 'one')}]", ", row 1: answer", "is not a number"),
    ("gsm8k/test.json", f"[{GOOD.replace('answer', 'gold')}]", ", row 1: answer", "the key is missing"),
    ("boolq/test.json", f"[{GOOD}]", ", row 1: answer", "'1' is not an answer of boolq: true, false"),
]


@pytest.mark.parametrize(("name", "content", "place", "words"), BROKEN_DATA, ids=lambda value: str(value)[:40])
def test_broken_data(tmp_path, name, content, place, words):
    file = tmp_path / name
    file.parent.mkdir(exist_ok=True)
    file.write_bytes(content if isinstance(content, bytes) else content.encode())
    with pytest.raises(DataError) as caught:
        read_items(get_task(name.split("/")[0]), tmp_path) if "/" in name else read_examples(file)
    _assert_readable(caught.value, file, place, words)


@pytest.mark.parametrize(("name", "words"), [("nowhere.json", "no such file"), (".", "this is a folder")])
def test_no_data_to_read(tmp_path, name, words):
    with pytest.raises(DataError) as caught:
        read_examples(tmp_path / name)
    _assert_readable(caught.value, tmp_path / name, ": ", words)
