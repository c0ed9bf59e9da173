from __future__ import annotations

import dataclasses
import json
import re
import subprocess
import sys
from pathlib import Path

import pytest

from kdscope.core.errors import DataError
from kdscope.tasks import Task, TaskRegistry, default_registry, find_task_file, get_task, list_tasks

NAMES = [
    "gsm8k",
    "SVAMP",
    "MultiArith",
    "AddSub",
    "AQuA",
    "SingleEq",
    "hellaswag",
    "boolq",
    "social_i_qa",
    "piqa",
    "ARC-Easy",
    "ARC-Challenge",
    "winogrande",
    "openbookqa",
]


def make_task(name: str = "mine", **changes: object) -> Task:
    task = Task(name, "math", "number", (), 0.0, 3, "nobody", "MIT", "a test")
    return dataclasses.replace(task, **changes)  # type: ignore[arg-type]


def test_the_papers_fourteen_tasks() -> None:
    assert [task.name for task in list_tasks()[:14]] == NAMES
    assert [task.domain for task in list_tasks()[:14]] == ["math"] * 6 + ["commonsense"] * 8
    assert not any(task.generated for task in list_tasks()[:14])


def test_the_instruction_sets_and_then_the_generated_tasks_follow() -> None:
    assert len(list_tasks()) == 25
    assert [task.name for task in list_tasks()[14:19]] == ["dolly", "self_inst", "vicuna", "s_ni", "unni"]
    assert all(task.generated and task.test_items is None for task in list_tasks()[19:])
    assert all(task.name.startswith("mini-") for task in list_tasks()[19:])


@pytest.mark.parametrize(("name", "labels"), [("mini-compare", "true false"), ("mini-choose", "answer1 answer2")])
def test_generated_choices_are_between_two(name: str, labels: str) -> None:
    task = get_task(name)
    assert (task.answer_kind, task.labels, task.chance) == ("label", tuple(labels.split()), 1 / 2)


@pytest.mark.parametrize(
    ("typed", "name"),
    [
        ("GSM8K", "gsm8k"),
        ("svamp", "SVAMP"),
        ("aqua", "AQuA"),
        ("siqa", "social_i_qa"),
        ("SocialIQA", "social_i_qa"),
        ("arc-e", "ARC-Easy"),
        ("arc_challenge", "ARC-Challenge"),
        ("ARC-C", "ARC-Challenge"),
        ("obqa", "openbookqa"),
        (" winogrande ", "winogrande"),
        ("MINI-One-Step", "mini-one-step"),
        ("mini_choose", "mini-choose"),
        ("SVAMP", "SVAMP"),
        ("multi_arith", "MultiArith"),
        ("single-eq", "SingleEq"),
        ("ARC_Easy", "ARC-Easy"),
        ("arc-c", "ARC-Challenge"),
        ("sni", "s_ni"),
        ("SInst", "s_ni"),
        ("super_natural_instructions", "s_ni"),
        ("uinst", "unni"),
        ("Unnatural-Instructions", "unni"),
        ("SelfInst", "self_inst"),
        ("self_instruct", "self_inst"),
        ("Dolly", "dolly"),
    ],
)
def test_names_in_any_case_and_aliases(typed: str, name: str) -> None:
    assert get_task(typed).name == name
    assert typed in default_registry()


@pytest.mark.parametrize(
    ("typed", "meant"),
    [("gsm8", "gsm8k"), ("hellswag", "hellaswag"), ("arc-eazy", "ARC-Easy"), ("mini-chose", "mini-choose")],
)
def test_an_unknown_name_is_answered_with_the_closest(typed: str, meant: str) -> None:
    with pytest.raises(DataError, match=f"unknown task '{typed}'; did you mean {meant}\\?"):
        get_task(typed)


def test_an_unknown_name_near_nothing_lists_what_there_is() -> None:
    with pytest.raises(DataError, match=r"unknown task 'zzzz' \(known: gsm8k, .*openbookqa, .*mini-choose\)"):
        get_task("zzzz")


def test_extending_makes_a_new_registry() -> None:
    before = default_registry()
    after = before.extended([make_task()])
    assert (len(before), len(after)) == (25, 26)
    assert after.get("MINE").name == "mine"
    assert "mine" not in before
    assert list(after)[:25] == list(before)


@pytest.mark.parametrize("clash", [make_task("GSM8K"), make_task("other", aliases=("obqa",))])
def test_two_tasks_cannot_share_a_name(clash: Task) -> None:
    with pytest.raises(DataError, match="are both called"):
        default_registry().extended([clash])


def test_tasks_and_registries_are_immutable() -> None:
    with pytest.raises(dataclasses.FrozenInstanceError):
        get_task("gsm8k").name = "other"  # type: ignore[misc]
    with pytest.raises(dataclasses.FrozenInstanceError):
        default_registry().tasks = ()  # type: ignore[misc]
    assert hash(get_task("gsm8k")) == hash(get_task("gsm8k"))
    assert TaskRegistry(list_tasks()) == default_registry()


@pytest.mark.parametrize(
    "changes",
    [
        {"labels": ("a",)},
        {"answer_kind": "label"},
        {"answer_kind": "label", "labels": ("answer1", "answer3")},
        {"answer_kind": "label", "labels": ("entailment", "neutral")},
        {"answer_kind": "letter", "labels": ("A", "C")},
        {"answer_kind": "letter", "labels": ("A", "B", "C", "D", "E", "F")},
        {"chance": 1.0},
        {"chance": -0.1},
        {"test_items": 0},
        {"test_items": -1},
        {"answer_kind": "text", "labels": ("a",)},
        {"answer_kind": "letter"},
        {"name": "mine/own"},
        {"name": "mine own"},
        {"name": "1mine"},
    ],
)
def test_an_impossible_task_is_refused(changes: dict[str, object]) -> None:
    with pytest.raises(DataError, match="mine"):
        make_task(**changes)


@pytest.mark.parametrize("name", NAMES)
def test_against_the_published_files(name: str, shared_data: Path) -> None:
    task = get_task(name)
    items = json.loads(find_task_file(task, shared_data).read_text(encoding="utf-8"))
    # Only the first 1,000 items of HellaSwag's 10,042 are at hand.
    assert len(items) == (1000 if name == "hellaswag" else task.test_items)
    answers = {item["answer"] for item in items}
    if task.answer_kind == "number":
        assert all(float(answer) is not None for answer in answers)
        assert task.chance == 0.0
    else:
        assert answers == set(task.labels) or (name == "ARC-Challenge" and answers == set(task.labels[:4]))
        assert task.chance == pytest.approx(sum(1 / count_options(item) for item in items) / len(items), abs=1e-12)


def count_options(item: dict[str, str]) -> int:
    instruction = item["instruction"]
    if "Answer Choices:" in instruction:
        return len(set(re.findall(r"\(([A-E])\)", instruction.split("Answer Choices:")[1])))
    return instruction.rsplit("format:", 1)[1].count("/") + 1


def test_where_a_task_is_looked_for(tmp_path: Path) -> None:
    task = get_task("ARC-Easy")
    assert task.locations() == ("ARC-Easy/test.json", "tasks/ARC-Easy/test.json")
    assert task.locations("train") == ("ARC-Easy/train.json", "tasks/ARC-Easy/train.json")
    with pytest.raises(DataError, match=r"ARC-Easy: no such file; looked for ARC-Easy/test.json, tasks/ARC-Easy/test"):
        find_task_file(task, tmp_path)
    for location in reversed(task.locations()):
        (tmp_path / location).parent.mkdir(parents=True)
        (tmp_path / location).write_text("[]")
        assert find_task_file(task, tmp_path) == tmp_path / location


@pytest.mark.parametrize("folder", ["s_ni", "sni", "sinst", "instruct/s_ni", "instruct/sni"])
def test_the_folder_of_an_instruction_set_has_several_names(folder: str, tmp_path: Path) -> None:
    file = tmp_path / folder / "valid.jsonl"
    file.parent.mkdir(parents=True)
    file.write_text("{}")
    assert find_task_file(get_task("s_ni"), tmp_path) == file


def test_generated_tasks_have_no_file(tmp_path: Path) -> None:
    assert get_task("mini-choose").locations() == ()
    with pytest.raises(DataError, match="mini-choose: its items are generated"):
        find_task_file(get_task("mini-choose"), tmp_path)
    with pytest.raises(DataError, match="gsm8k: no data folder is given"):
        find_task_file(get_task("gsm8k"), None)


def test_extracting_with_either_rules() -> None:
    task = get_task("gsm8k")
    text = "The answer is 3 days for 24 sacks."
    assert task.extract(text, "published").value == "24.0"
    robust = task.extract(text, instruction="24 sacks")
    assert (robust.value, robust.rule, robust.status) == ("3", "marker", "explicit")
    cut = task.extract("so she has 12", finish_reason="length")
    assert (cut.status, cut.truncated) == ("unparsed", True)
    with pytest.raises(DataError, match=r"rules: there are no rules 'strict' \(known: robust, published\)"):
        task.extract(text, "strict")  # type: ignore[arg-type]


@pytest.mark.parametrize(
    ("name", "value", "gold", "published", "robust"),
    [
        ("AddSub", "0.1666", "0.16666666666666666", True, False),
        ("gsm8k", "72", "72.0", True, True),
        ("gsm8k", "73", "72.0", False, False),
        ("boolq", "true", "true", True, True),
        ("boolq", "true", "false", False, False),
        ("AQuA", None, "A", False, False),
        ("dolly", "A cat.", "A cat.", False, False),
    ],
)
def test_is_correct(name: str, value: str | None, gold: str, published: bool, robust: bool) -> None:
    task = get_task(name)
    assert task.is_correct(value, gold, "published") is published
    assert task.is_correct(value, gold) is robust
    with pytest.raises(DataError, match="there are no rules"):
        task.is_correct(value, gold, "loose")  # type: ignore[arg-type]


def test_a_fraction_is_a_number() -> None:
    assert get_task("AddSub").is_correct("1/6", "0.16666666666666666")


def test_planning_can_afford_the_import() -> None:
    code = (
        "import sys; import kdscope.tasks; "
        "print([name for name in ('torch', 'pandas', 'scipy', 'numpy', 'transformers') if name in sys.modules])"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "[]"
