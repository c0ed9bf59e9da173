"""Files that a study names: there, and what it takes them for."""

import json
from dataclasses import dataclass
from pathlib import Path

import pytest

from kdscope.api.study_files import check_files, count_layers
from kdscope.core.errors import DataError, StudyError
from kdscope.study.load import read_study

EXAMPLES = Path(__file__).parent / "examples"


@dataclass(frozen=True)
class FolderTask:
    name: str
    generated: bool = False
    file: Path | None = None

    def locations(self):
        return (f"{self.name}/test.json", f"tasks/{self.name}/test.json")


def find_task(name):
    files = {"gsm8k": "gsm8k", "svamp": "SVAMP", "boolq": "boolq"}
    generated = {"mini-one-step": "mini-one-step", "mini-choose": "mini-choose", "one": "mini-one-step"}
    canonical = (files | generated).get(name.lower())
    if canonical is None:
        raise DataError(f"unknown task {name!r}")
    return FolderTask(canonical, canonical in generated.values())


@pytest.fixture
def problem(workspace):
    """Checks a study with one change, and gives the key, the line and the text of the single problem it is told."""

    def check(old="", new="", name="minimal", start=None):
        text = (EXAMPLES / f"{name}.yaml").read_text(encoding="utf-8") if start is None else start
        assert old in text
        (workspace / "study.yaml").write_text(text.replace(old, new, 1), encoding="utf-8")
        with pytest.raises(StudyError) as caught:
            check_files(read_study(workspace / "study.yaml"), find_task)
        message = str(caught.value)
        assert "\n" not in message
        assert message.startswith(f"{workspace / 'study.yaml'}:{caught.value.line}: {caught.value.key}: ")
        return caught.value.key, caught.value.line, message

    return check


def test_examples_whose_files_are_there_pass(example):
    check_files(read_study(example), find_task)


def test_a_hub_model_is_not_looked_up(workspace):
    text = (workspace / "study.yaml").write_text(
        "name: x\ndata: {path: train.jsonl}\ntasks: {folder: tasks, names: gsm8k}\nmethods: sft\n"
        f"students: {{name: s, hub: a/b, revision: {'0a' * 20}}}\n"
    )
    assert text
    check_files(read_study(workspace / "study.yaml"), find_task)


def test_no_data_file(problem):
    key, line, message = problem("train.jsonl", "elsewhere.jsonl")
    assert (key, line) == ("data.path", 3)
    assert "elsewhere.jsonl" in message


def test_a_folder_as_data_file(problem):
    assert "is a folder" in problem("train.jsonl", "tasks")[2]


def test_no_task_folder(problem):
    assert problem("folder: tasks", "folder: nowhere")[:2] == ("tasks.folder", 5)


def test_unknown_task(problem):
    key, _, message = problem("SVAMP", "svaamp")
    assert key == "tasks.names[1]"
    assert "unknown task 'svaamp'" in message


def test_the_same_task_under_two_names(problem):
    assert "'svamp' and 'SVAMP' are the same task" in problem("[gsm8k, SVAMP]", "[SVAMP, svamp]")[2]


def test_a_task_without_its_file(problem, workspace):
    (workspace / "tasks" / "SVAMP" / "test.json").unlink()
    key, _, message = problem()
    assert key == "tasks.names[1]"
    assert "SVAMP/test.json" in message


def three_sources(**rows):
    """A study with rows in three places: files, but where a test says otherwise."""
    given = {name: rows.get(name, "path: train.jsonl") for name in ("data", "unlabelled", "teacher")}
    return (
        "name: x\ndata:\n  {data}\n  unlabelled:\n    {unlabelled}\ntasks: {{folder: tasks, names: gsm8k}}\n"
        "teachers:\n  name: big\n  path: teacher\n  data:\n    {teacher}\n"
        "students: {{name: small, path: student}}\nmethods: sft\ntraining: {{max_steps: 5}}\n"
    ).format(**given)


KEYS = {"data": ("data", 3), "unlabelled": ("data.unlabelled", 5), "teacher": ("teachers.data", 11)}


@pytest.mark.parametrize("place", KEYS)
@pytest.mark.parametrize(
    ("name", "words"),
    [
        ("mini-chose", "unknown task 'mini-chose'"),
        ("boolq", "boolq is not a mini task, its problems come from a file"),
        ("One", "'One' and 'mini-one-step' are the same task"),
    ],
)
def test_mini_problems_are_of_mini_tasks_each_once(problem, place, name, words):
    text = three_sources(**{place: f"mini: {{tasks: [mini-one-step, {name}], rows_per_task: 9}}"})
    key, line, message = problem(start=text)
    assert (key, line) == (f"{KEYS[place][0]}.mini.tasks[1]", KEYS[place][1])
    assert words in message


@pytest.mark.parametrize("place", KEYS)
@pytest.mark.parametrize(("path", "words"), [("nowhere.jsonl", "no file"), ("tasks", "is a folder, not a file")])
def test_every_source_of_rows_is_looked_at(problem, place, path, words):
    key, line, message = problem(start=three_sources(**{place: f"path: {path}"}))
    assert (key, line) == (f"{KEYS[place][0]}.path", KEYS[place][1])
    assert words in message
    assert path in message


def test_tasks_with_files_need_a_folder(problem):
    key, line, message = problem("  folder: tasks\n  names: [gsm8k, SVAMP]", "  names: [one, SVAMP]")
    assert (key, line) == ("tasks.names[1]", 5)
    assert "give 'folder', with SVAMP/test.json in it" in message


def test_a_folder_is_looked_at_even_if_no_task_needs_it(problem):
    old = "names: [mini-one-step, mini-choose]\n  mini_items"
    assert problem(old, f"folder: nowhere\n  {old}", "generated")[0] == "tasks.folder"


def test_no_model_folder(problem):
    assert problem("path: student", "path: nowhere")[:2] == ("students[0].path", 9)


@pytest.mark.parametrize(
    ("missing", "words"),
    [
        ("config.json", "no config.json"),
        ("tokenizer.json", "no tokenizer"),
        ("model.safetensors", "no weights"),
    ],
)
def test_incomplete_model_folders(problem, workspace, missing, words):
    (workspace / "student" / missing).unlink()
    assert words in problem()[2]


def test_an_adapter_is_no_model(problem, workspace):
    (workspace / "student" / "config.json").rename(workspace / "student" / "adapter_config.json")
    assert "is an adapter" in problem()[2]


def test_pickled_weights_are_refused_with_the_way_out(problem, workspace):
    (workspace / "student" / "model.safetensors").rename(workspace / "student" / "pytorch_model.bin")
    assert "convert them to safetensors" in problem()[2]


@pytest.mark.parametrize("text", ["", "{", "[1]", "\udcff"])
def test_a_broken_config(problem, workspace, text):
    (workspace / "student" / "config.json").write_bytes(text.encode("utf-8", "surrogateescape"))
    assert "is not a JSON object" in problem()[2]


def test_more_layers_kept_than_there_are(problem):
    key, _, message = problem("keep_layers: 2", "keep_layers: 4", "full")
    assert key == "students[0].keep_layers"
    assert "keeps 4 layers of a model that has 3" in message


def test_a_layer_that_does_not_exist(problem):
    key, _, message = problem("keep_layers: [0, 2]", "keep_layers: [0, 3]", "full")
    assert key == "students[1].keep_layers"
    assert "layer 3 does not exist" in message


def test_every_problem_in_file_order(workspace):
    (workspace / "study.yaml").write_text(
        "name: x\nstudents: {name: s, path: nowhere}\ndata: {path: none}\n"
        "tasks: {folder: tasks, names: what}\nmethods: sft\n"
    )
    with pytest.raises(StudyError) as caught:
        check_files(read_study(workspace / "study.yaml"), find_task)
    lines = str(caught.value).splitlines()
    assert [line.removeprefix(f"{workspace / 'study.yaml'}:").split(": ")[1] for line in lines] == [
        "students.path",
        "data.path",
        "tasks.names",
    ]


@pytest.mark.parametrize(
    ("config", "layers"),
    [
        ({"num_hidden_layers": 30}, 30),
        ({"n_layer": 12}, 12),
        ({"text_config": {"num_hidden_layers": 26}}, 26),
        ({"hidden_size": 8}, None),
    ],
)
def test_where_configs_keep_the_number_of_layers(tmp_path, config, layers):
    (tmp_path / "config.json").write_text(json.dumps(config))
    assert count_layers(tmp_path) == layers
