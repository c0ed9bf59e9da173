from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest

from kdscope.core.errors import DataError, StudyError
from kdscope.tasks import (
    FieldMapping,
    HubDataset,
    RepositoryFile,
    Task,
    default_registry,
    find_task_file,
    list_tasks,
    read_task_definitions,
    registry_with,
    task_from_json,
    task_to_json,
)

EXAMPLE = Path(__file__).resolve().parents[2] / "examples" / "own_task" / "tasks"
SMALL = "name: mine\nanswer: number\nfile: rows.jsonl\n"


def folder_with(tmp_path: Path, text: str, name: str = "mine.yaml") -> Path:
    (tmp_path / "rows.jsonl").write_text('{"instruction": "1 + 1?", "answer": 2}\n')
    (tmp_path / name).write_text(text)
    return tmp_path


def only_task(tmp_path: Path, text: str, name: str = "mine.yaml") -> Task:
    (task,) = read_task_definitions(folder_with(tmp_path, text, name))
    return task


def test_the_smallest_definition(tmp_path: Path) -> None:
    task = only_task(tmp_path, SMALL)
    assert (task.name, task.domain, task.answer_kind, task.labels, task.chance) == ("mine", "math", "number", (), 0.0)
    assert (task.file, task.fields, task.template) == ((tmp_path / "rows.jsonl").resolve(), None, None)
    assert (task.licence, task.citation, task.description, task.aliases) == ("not stated", "not stated", "", ())
    assert not task.generated
    assert task.locations() == ()


def test_every_key(tmp_path: Path) -> None:
    text = """
name: mine
answer: label
labels: [answer1, answer2, answer3]
chance: 0.25
domain: math
file: rows.jsonl
template: plain
licence: MIT
citation: me
description: what it is
aliases: [own, other]
fields:
  instruction: "{question} {@options}"
  input: "{context?}"
  output: "{@answer}"
  answer: "{label}"
  options: ["{a}", "{b}", "{c}"]
  option: "{@number}) {@text}"
  separator: " "
  label: "answer{@number}"
  answers: {0: answer1, 1: answer2, no: answer3}
"""
    task = only_task(tmp_path, text)
    assert (task.domain, task.template, task.licence, task.aliases) == ("math", "plain", "MIT", ("own", "other"))
    assert (task.chance, task.citation, task.description) == (0.25, "me", "what it is")
    assert task.fields is not None
    assert task.fields.row({"question": "Q", "a": 1, "b": 2, "c": 3, "label": "no"}) == {
        "instruction": "Q 1) 1 2) 2 3) 3",
        "input": "",
        "output": "answer3",
        "answer": "answer3",
    }


@pytest.mark.parametrize(
    ("lines", "domain", "labels", "chance"),
    [
        ("answer: letter", "commonsense", ("A", "B", "C", "D", "E"), 1 / 5),
        ("answer: letter\nlabels: [A, B, C]", "commonsense", ("A", "B", "C"), 1 / 3),
        ("answer: label\nlabels: [true, false]", "commonsense", ("true", "false"), 1 / 2),
        ("answer: text", "instruction", (), 0.0),
    ],
)
def test_what_follows_from_the_answer(
    tmp_path: Path, lines: str, domain: str, labels: tuple[str, ...], chance: float
) -> None:
    task = only_task(tmp_path, SMALL.replace("answer: number", lines))
    assert (task.domain, task.labels, task.chance) == (domain, labels, chance)


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("", r"mine.yaml: the file is empty; a task is a mapping"),
        ("- a\n", r"mine.yaml:1: a task is a mapping"),
        ("name: [\n", r"mine.yaml:2: not valid YAML"),
        (SMALL + "lables: [a]\n", r"mine.yaml:4: lables: unknown key; did you mean 'labels'\?"),
        (SMALL + "colour: red\n", r"mine.yaml:4: colour: unknown key; known here: name, answer, "),
        (SMALL + "name: again\n", r"mine.yaml:4: name: this key is given twice"),
        ("answer: number\nfile: rows.jsonl\n", r"mine.yaml:1: name: this key is required"),
        ("name: mine\nfile: rows.jsonl\n", r"mine.yaml:1: answer: this key is required: one of number, letter"),
        ("name: mine\nanswer: number\n", r"mine.yaml:1: file: this key is required"),
        (SMALL.replace("number", "nubmer"), r"mine.yaml:2: answer: expected one of .*; did you mean 'number'\?"),
        (SMALL.replace("rows.jsonl", "gone.jsonl"), r"mine.yaml:3: file: no such file: .*gone.jsonl"),
        (SMALL.replace("name: mine", "name: 7"), r"mine.yaml:1: name: expected text; put it in quotes"),
        (SMALL.replace("name: mine", "name: a/b"), r"mine.yaml:1: name: a name has letters, digits"),
        (SMALL.replace("name: mine", 'name: ""'), r"mine.yaml:1: name: expected text"),
        (SMALL + "labels: [A]\n", r"mine.yaml:4: labels: a task whose answer is a number has no labels"),
        (SMALL.replace("number", "label"), r"labels: a task whose answer is a label lists its labels"),
        (SMALL.replace("number", "label") + "labels: [yes, no]\n", r"mine.yaml:4: labels: labels must be one word"),
        (SMALL.replace("number", "letter") + "labels: [A, C]\n", r"mine.yaml:4: labels: labels must be A to at most E"),
        (SMALL + "chance: 1\n", r"mine.yaml:4: chance: expected a number from 0 to below 1"),
        (SMALL + "chance: high\n", r"mine.yaml:4: chance: expected a number"),
        (SMALL + "chance: .nan\n", r"mine.yaml:4: chance: expected a number"),
        (SMALL.replace("rows.jsonl", "a" * 5000), r"mine.yaml:3: file: no such file"),
        (SMALL + "domain: maths\n", r"mine.yaml:4: domain: expected one of .*; did you mean 'math'\?"),
        (SMALL + "template: alpca\n", r"mine.yaml:4: template: expected one of .*; did you mean 'alpaca'\?"),
        (SMALL + "aliases: [[a]]\n", r"mine.yaml:4: aliases: expected a list of texts"),
        (SMALL + "aliases: gsm8k\n", r"mine.yaml:1: name: mine and gsm8k are both called 'gsm8k'"),
        (SMALL.replace("mine", "GSM-8K"), r"mine.yaml:1: name: GSM-8K and gsm8k are both called 'gsm8k'"),
        (SMALL + "fields: text\n", r"mine.yaml:4: fields: expected a mapping"),
        (
            SMALL + "fields:\n  instuction: '{q}'\n",
            r"mine.yaml:5: fields.instuction: unknown key; did you mean 'instru",
        ),
        (SMALL + "fields:\n  answer: '{q'\n", r"mine.yaml:5: fields.answer: '{q' is no pattern"),
        (SMALL + "fields:\n  answer: '{q:big}'\n", r"mine.yaml:5: fields.answer: unknown filter 'big'"),
        (SMALL + "fields:\n  answers: [a]\n", r"mine.yaml:5: fields.answers: expected a mapping of what"),
        (SMALL + "fields:\n  options: [[a]]\n", r"mine.yaml:5: fields.options: expected a list of texts"),
    ],
)
def test_errors_name_file_line_and_key(tmp_path: Path, text: str, message: str) -> None:
    with pytest.raises(StudyError, match=message):
        read_task_definitions(folder_with(tmp_path, text))


def test_all_problems_at_once_in_file_order(tmp_path: Path) -> None:
    with pytest.raises(StudyError) as caught:
        read_task_definitions(folder_with(tmp_path, SMALL + "chance: 2\ncolour: red\ntemplate: none\n"))
    lines = str(caught.value).splitlines()
    assert [line.partition("mine.yaml:")[2].split(":")[0] for line in lines] == ["4", "5", "6"]


SOURCES = """
name: mine
answer: number
test_items: 7
sources:
  - {repository: a/b, commit: 0123456789abcdef0123456789abcdef01234567, path: test.json}
  - dataset_id: a/b
    split: test
    fields: {instruction: "{question}", answer: "{key:float}"}
"""


def test_a_task_whose_rows_can_be_fetched(tmp_path: Path) -> None:
    task = only_task(tmp_path, SOURCES)
    assert (task.file, task.test_items, task.generated) == (None, 7, False)
    assert task.locations() == ("mine/test.json", "tasks/mine/test.json")
    file, dataset = task.sources
    assert isinstance(file, RepositoryFile)
    assert (file.path, file.git_blob, file.fields) == ("test.json", None, None)
    assert isinstance(dataset, HubDataset)
    assert dataset.fields == FieldMapping("{question}", answer="{key:float}")


@pytest.mark.parametrize(
    ("old", "new", "message"),
    [
        ("test_items: 7", "test_items: 0", r"mine.yaml:4: test_items: expected a whole number from 1"),
        ("test_items: 7", "test_items: [7]", r"mine.yaml:4: test_items: expected a whole number from 1"),
        (
            "test_items: 7",
            "test_items: 1" + 22 * "0",
            r"mine.yaml:4: test_items: expected a whole number from 1 to 1000000000",
        ),
        ("split: test", "splits: test", r"mine.yaml:8: sources\[1\].splits: unknown key; did you mean 'split'"),
        ("    split: test\n", "", r"mine.yaml:7: sources\[1\].split: this key is required"),
        ("commit: 0123", "commit: main", r"mine.yaml:6: sources\[0\].commit: 'main.*' is not a full id"),
        ("{question}", "{question", r"mine.yaml:9: sources\[1\].fields.instruction: '{question' is no pattern"),
    ],
)
def test_errors_in_sources_name_line_and_key(tmp_path: Path, old: str, new: str, message: str) -> None:
    with pytest.raises(StudyError, match=message):
        read_task_definitions(folder_with(tmp_path, SOURCES.replace(old, new)))


PYTHON = """
from pathlib import Path
from kdscope.tasks import Task
def made(name): return Task(name, "math", "number", (), 0.0, None, "", "", "", file=Path("rows.jsonl"))
"""


def test_python_files(tmp_path: Path) -> None:
    (tmp_path / "more").mkdir()
    folder = folder_with(tmp_path, PYTHON + "TASKS = [made('two'), made('three')]", "b.py")
    folder_with(tmp_path, PYTHON + "TASK = made('one')", "a.py")
    (tmp_path / "_helper.py").write_text("raise ValueError")
    (tmp_path / "notes.txt").write_text("nothing")
    tasks = read_task_definitions(folder)
    assert [task.name for task in tasks] == ["one", "two", "three"]
    assert {task.file for task in tasks} == {(tmp_path / "rows.jsonl").resolve()}


@pytest.mark.parametrize(
    ("text", "message"),
    [
        (
            PYTHON.replace(', file=Path("rows.jsonl")', "") + "TASK = made('x')",
            r"own.py: x: needs a file, or test_items",
        ),
        ("TASK = 1", r"own.py: TASK: expected a Task"),
        ("TASKS = []", r"own.py: TASKS: expected a list of Task, at least one"),
        ("TASKS = [1]", r"own.py: TASKS: expected a list of Task"),
        ("x = 1", r"own.py: sets neither TASK nor TASKS"),
        ("TASK = TASKS = 1", r"own.py: sets both TASK and TASKS"),
        ("x = 1\nx = (", r"own.py:2: not valid Python"),
        ("x = 1\n\n1 / 0", r"own.py:3: fails with ZeroDivisionError: division by zero"),
        ("import sys\nsys.exit(3)", r"own.py:2: fails with SystemExit: 3"),
        ("import sys\nsys.exit('no\\nnor yes')", r"own.py:2: fails with SystemExit: no$"),
        ("class Stop(BaseException): ...\nraise Stop('here')", r"own.py:2: fails with Stop: here$"),
        (PYTHON + "TASK = made('a b')", r"own.py:\d+: fails with DataError: a b: a name has"),
        (PYTHON + "TASK = made('SVAMP')", r"own.py: name: SVAMP and SVAMP are both called 'svamp'"),
        (PYTHON.replace("rows", "gone") + "TASK = made('x')", r"own.py: x: no such file: .*gone.jsonl"),
    ],
)
def test_python_files_that_cannot_be_used(tmp_path: Path, text: str, message: str) -> None:
    with pytest.raises(StudyError, match=message):
        read_task_definitions(folder_with(tmp_path, text, "own.py"))


def test_a_python_task_may_lie_in_the_data_folder(tmp_path: Path) -> None:
    text = PYTHON.replace(', file=Path("rows.jsonl")', "").replace("None", "7") + "TASK = made('own')"
    task = only_task(tmp_path, text, "own.py")
    assert (task.test_items, task.locations()) == (7, ("own/test.json", "tasks/own/test.json"))


def test_two_files_cannot_declare_one_name(tmp_path: Path) -> None:
    folder_with(tmp_path, SMALL, "a.yaml")
    with pytest.raises(StudyError, match=r"b.yml:1: name: mine and mine are both called 'mine'"):
        read_task_definitions(folder_with(tmp_path, SMALL, "b.yml"))


def test_folders_without_a_task(tmp_path: Path) -> None:
    with pytest.raises(StudyError, match="this folder declares no task"):
        read_task_definitions(tmp_path)
    with pytest.raises(StudyError, match="no such folder of task definitions"):
        read_task_definitions(tmp_path / "gone")
    with pytest.raises(StudyError, match="no such folder of task definitions"):
        read_task_definitions(tmp_path / ("a" * 5000))


@pytest.mark.parametrize("name", ["own.py", "own.yaml"])
def test_a_pipe_is_no_file_of_a_task(tmp_path: Path, name: str) -> None:
    os.mkfifo(tmp_path / name)
    with pytest.raises(StudyError, match=f"{name}: this is a device or a pipe, not a file"):
        read_task_definitions(tmp_path)


def test_a_registry_with_own_tasks(tmp_path: Path) -> None:
    registry = registry_with(folder_with(tmp_path, SMALL))
    assert list(registry)[:-1] == list(default_registry())
    assert registry.get("MINE").file == (tmp_path / "rows.jsonl").resolve()
    assert "mine" not in default_registry()
    assert registry_with(None) == default_registry()


def test_an_own_tasks_file_is_found_without_a_data_folder(tmp_path: Path) -> None:
    task = only_task(tmp_path, SMALL)
    assert find_task_file(task, None) == task.file
    with pytest.raises(DataError, match="mine: has test items only"):
        find_task_file(task, None, "train")
    (tmp_path / "rows.jsonl").unlink()
    with pytest.raises(DataError, match=r"rows.jsonl: mine: no such file"):
        find_task_file(task, None)


@pytest.mark.parametrize("task", list_tasks(), ids=lambda task: task.name)
def test_a_task_survives_json(task: Task) -> None:
    values = task_to_json(task)
    assert task_from_json(json.loads(json.dumps(values))) == task
    assert values["name"] == task.name


def test_own_tasks_survive_json_and_paths_are_texts() -> None:
    for task in read_task_definitions(EXAMPLE):
        values = json.loads(json.dumps(task_to_json(task)))
        assert values["file"] == str(task.file)
        assert task_from_json(values) == task


def test_values_of_no_task() -> None:
    with pytest.raises(DataError, match=r"these are not the values of a Task: .*colour"):
        task_from_json({**task_to_json(list_tasks()[0]), "colour": "red"})
    with pytest.raises(DataError, match="these are not the values of a Task"):
        task_from_json({"name": "x"})


def test_the_example() -> None:
    opposites, conversion = read_task_definitions(EXAMPLE)
    assert (opposites.name, conversion.name) == ("opposites", "unit-conversion")
    assert conversion.file is not None
    assert conversion.fields is not None
    rows = [json.loads(line) for line in conversion.file.read_text(encoding="utf-8").splitlines()]
    made = [conversion.fields.row(row) for row in rows]
    assert made[0]["instruction"] == "A rope is 3 metres long. How many centimetres is that?"
    assert [row["answer"] for row in made] == ["300", "120", "1500", "0.25", "1.5", "0.8"]
    assert opposites.file is not None
    assert opposites.fields is not None
    chosen = [opposites.fields.row(row) for row in json.loads(opposites.file.read_text(encoding="utf-8"))]
    assert [row["answer"] for row in chosen] == ["answer2", "answer1", "answer3", "answer3"]
    assert str(chosen[0]["instruction"]).endswith(
        "Answer1: soon Answer2: late Answer3: never\n\nAnswer format: answer1/answer2/answer3"
    )


def test_planning_does_not_pay_for_yaml() -> None:
    code = "import sys, kdscope.tasks; print([name for name in ('yaml', 'pydantic', 'runpy') if name in sys.modules])"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert "yaml" not in done.stdout
    assert "pydantic" not in done.stdout
