"""The declared mappings: a hub row must become exactly the row of the published file."""

from __future__ import annotations

import json
import re
from collections.abc import Callable
from pathlib import Path

import pytest

from kdscope.tasks import FieldMapping, HubDataset, find_task_file, get_task, list_tasks, list_training_sets

Columns = dict[str, object]
PAPER = [task for task in list_tasks() if task.domain != "instruction" and not task.generated]
INSTRUCTION = [task for task in list_tasks() if task.domain == "instruction"]
WITHOUT_HUB = {"AddSub", "SingleEq"}


def hub_fields(name: str) -> FieldMapping:
    source = next(source for source in get_task(name).sources if isinstance(source, HubDataset))
    return source.fields


MADE = {
    "gsm8k": (
        {"question": "How many legs have 3 cats?", "answer": "3 * 4 = <<3*4=12>>12\n#### 12"},
        "How many legs have 3 cats?",
        "12.0",
    ),
    "SVAMP": (
        {"Body": "There are 3 cats and 2 dogs ", "Question": "How many animals are there?", "Answer": "5.0"},
        "There are 3 cats and 2 dogs. How many animals are there?",
        "5.0",
    ),
    "MultiArith": ({"question": " Sam has 2 cats. ", "final_ans": "8"}, " Sam has 2 cats. ", "8.0"),
    "AQuA": (
        {"question": "What is 2(3 + 4)? ", "options": ["A)14", "B)2(7)", "C)(9)"], "correct": "A", "rationale": ""},
        "What is 2(3 + 4)? Answer Choices: (A) 14 (B) 2 (7)  (C)  (9) ",
        "A",
    ),
    "hellaswag": (
        {
            "activity_label": "Skating",
            "ctx_a": "A girl ties her skates.",
            "ctx_b": "she",
            "ctx": "A girl ties her skates. she",
            "endings": ["sleeps.", "flies.", "glides off.", "melts."],
            "label": "2",
        },
        "Please choose the correct ending to complete the given sentence: Skating: A girl ties her skates. she\n\n"
        "Ending1: sleeps. Ending2: flies. Ending3: glides off. Ending4: melts.\n\n"
        "Answer format: ending1/ending2/ending3/ending4",
        "ending3",
    ),
    "boolq": (
        {"question": "can cats swim", "passage": "Cats can swim.", "answer": True},
        "Please answer the following question with true or false, question: can cats swim?\n\n"
        "Answer format: true/false",
        "true",
    ),
    "social_i_qa": (
        {
            "context": "Ana lost her key.",
            "question": "How would Ana feel?",
            "answerA": "glad",
            "answerB": "upset",
            "answerC": "sleepy",
            "label": "2",
        },
        "Please choose the correct answer to the question: Ana lost her key. How would Ana feel?\n\n"
        "Answer1: glad Answer2: upset Answer3: sleepy\n\nAnswer format: answer1/answer2/answer3",
        "answer2",
    ),
    "piqa": (
        {"goal": "Dry a shirt", "sol1": "Hang it in the sun.", "sol2": "Bury it.", "label": 0},
        "Please choose the correct solution to the question: Dry a shirt\n\n"
        "Solution1: Hang it in the sun.\n\nSolution2: Bury it.\n\nAnswer format: solution1/solution2",
        "solution1",
    ),
    "ARC-Easy": (
        {
            "id": "x",
            "question": "What do bees make?",
            "choices": {"text": ["milk", "honey", "silk"], "label": ["1", "2", "3"]},
            "answerKey": "2",
        },
        "Please choose the correct answer to the question: What do bees make?\n\n"
        "Answer1: milk Answer2: honey Answer3: silk\n\nAnswer format: answer1/answer2/answer3",
        "answer2",
    ),
    "ARC-Challenge": (
        {
            "question": "What floats?",
            "choices": {"text": ["iron", "gold", "lead", "tin", "cork"], "label": list("ABCDE")},
            "answerKey": "E",
        },
        "Please choose the correct answer to the question: What floats?\n\n"
        "Answer1: iron Answer2: gold Answer3: lead Answer4: tin Answer5: cork\n\n"
        "Answer format: answer1/answer2/answer3/answer4/answer5",
        "answer5",
    ),
    "winogrande": (
        {
            "sentence": "The cup did not fit the box as the _ was big.",
            "option1": "cup",
            "option2": "box",
            "answer": "1",
        },
        "Please choose the correct answer to fill in the blank to complete the given sentence: "
        "The cup did not fit the box as the _ was big.\n\nOption1: cup Option2: box Answer format: option1/option2",
        "option1",
    ),
    "openbookqa": (
        {
            "question_stem": "A plant needs",
            "choices": {"text": ["sun", "salt", "sand", "soap"], "label": list("ABCD")},
            "answerKey": "A",
        },
        "Please choose the correct answer to the question: A plant needs\n\n"
        "Answer1: sun Answer2: salt Answer3: sand Answer4: soap\n\n"
        "Answer format: answer1/answer2/answer3/answer4",
        "answer1",
    ),
}


@pytest.mark.parametrize("name", MADE)
def test_a_hub_row_becomes_the_published_form(name: str) -> None:
    columns, instruction, answer = MADE[name]
    row = hub_fields(name).row(columns)  # type: ignore[arg-type]
    assert (row["instruction"], row["input"], row["answer"]) == (instruction, "", answer)
    if get_task(name).answer_kind == "label":
        assert row["output"] == f"the correct answer is {answer}"


def test_every_task_of_the_paper_has_both_kinds_of_source_where_known() -> None:
    for task in PAPER:
        assert [source for source in task.sources if not isinstance(source, HubDataset)]
        assert any(isinstance(source, HubDataset) for source in task.sources) == (task.name not in WITHOUT_HUB)
    assert {task.name for task in PAPER} == MADE.keys() | WITHOUT_HUB


def test_training_splits() -> None:
    with_training = {task.name for task in PAPER if task.train_sources}
    assert with_training == {task.name for task in PAPER if task.domain == "commonsense"} | {"gsm8k"}
    for name in with_training - {"gsm8k"}:
        columns, instruction, _ = MADE[name]
        assert get_task(name).train_sources[-1].fields.row(columns)["instruction"] == instruction  # type: ignore


def test_the_instruction_sets() -> None:
    assert [(task.name, task.test_items) for task in INSTRUCTION] == [
        ("dolly", 500),
        ("self_inst", 242),
        ("vicuna", 80),
        ("s_ni", 1694),
        ("unni", 10_000),
    ]
    for task in INSTRUCTION:
        assert (task.answer_kind, task.labels, task.chance, task.generated) == ("text", (), 0.0, False)
        assert isinstance(task.sources[-1], HubDataset)
        assert task.sources[-1].file is not None


def test_an_instruction_row_keeps_all_its_references() -> None:
    fields = hub_fields("s_ni")
    row = fields.row({"instruction": "Sum up.", "input": "A story.", "output": ["One.", "Two."], "topic": "x"})
    assert row == {"instruction": "Sum up.", "input": "A story.", "output": ["One.", "Two."], "answer": ""}
    assert hub_fields("vicuna").row({"instruction": "Why?", "output": "So."})["input"] == ""


def test_the_page_lists_every_task_as_declared() -> None:
    page = (Path(__file__).resolve().parents[2] / "docs" / "tasks.md").read_text(encoding="utf-8")
    rows = [[cell.strip() for cell in line.split("|")[1:-1]] for line in page.splitlines() if line.startswith("| `")]
    listed = [row for row in rows if len(row) == 6]
    declared = [task for task in list_tasks() if not task.generated]
    assert [row[0].strip("`") for row in listed] == [task.name for task in declared]
    for row, task in zip(listed, declared, strict=True):
        assert row[1] == ", ".join(task.aliases)
        assert row[2] == f"{task.test_items:,}"
        assert (row[5] == "yes") == bool(task.train_sources)
        assert row[4] in ("", "0", f"{task.chance:.3f}".removeprefix("0"))
    sets = {row[0].strip("`"): row[2] for row in rows if len(row) == 4}
    assert sets == {entry.name: ", ".join(entry.contaminates) for entry in list_training_sets()}


# What follows takes the published instructions apart and puts them together again.


def split_choice(instruction: str, stem: str, separator: str) -> tuple[str, list[str]]:
    _, _, rest = instruction.partition(": ")
    question, _, rest = rest.partition(f"\n\n{stem}1: ")
    end = f" Answer format: {stem.lower()}1" if stem == "Option" else f"\n\nAnswer format: {stem.lower()}1"
    options = rest[: rest.rindex(end)]
    return question, re.split(rf"{separator}{stem}\d: ", options)


def position(answer: str, first: int = 1) -> str:
    return str(int(answer[-1]) - 1 + first)


def from_hellaswag(row: dict[str, str]) -> Columns:
    question, endings = split_choice(row["instruction"], "Ending", " ")
    activity, _, ctx = question.partition(": ")
    return {"activity_label": activity, "ctx": ctx, "endings": endings, "label": position(row["answer"], 0)}


def from_boolq(row: dict[str, str]) -> Columns:
    question = row["instruction"].partition("question: ")[2].removesuffix("?\n\nAnswer format: true/false")
    return {"question": question, "answer": row["answer"] == "true"}


def from_siqa(row: dict[str, str]) -> Columns:
    text, options = split_choice(row["instruction"], "Answer", " ")
    context, _, question = text.rpartition(" ")
    named = dict(zip(("answerA", "answerB", "answerC"), options, strict=True))
    return {"context": context, "question": question, **named, "label": position(row["answer"])}


def from_piqa(row: dict[str, str]) -> Columns:
    goal, (first, second) = split_choice(row["instruction"], "Solution", "\n\n")
    return {"goal": goal, "sol1": first, "sol2": second, "label": int(position(row["answer"], 0))}


def from_arc(row: dict[str, str]) -> Columns:
    question, options = split_choice(row["instruction"], "Answer", " ")
    # A few hundred items number their options; here every item with an odd number of characters does.
    labels = "12345" if len(question) % 2 else "ABCDE"
    choices = {"text": options, "label": list(labels[: len(options)])}
    return {"question": question, "choices": choices, "answerKey": labels[int(row["answer"][-1]) - 1]}


def from_winogrande(row: dict[str, str]) -> Columns:
    sentence, (first, second) = split_choice(row["instruction"], "Option", " ")
    return {"sentence": sentence, "option1": first, "option2": second, "answer": position(row["answer"])}


def from_openbookqa(row: dict[str, str]) -> Columns:
    stem, options = split_choice(row["instruction"], "Answer", " ")
    choices = {"text": options, "label": list("ABCD")}
    return {"question_stem": stem, "choices": choices, "answerKey": "ABCD"[int(row["answer"][-1]) - 1]}


def from_gsm8k(row: dict[str, str]) -> Columns:
    return {"question": row["instruction"], "answer": f"Some steps.\n#### {int(float(row['answer'])):,}"}


def from_svamp(row: dict[str, str]) -> Columns:
    body, _, question = row["instruction"].rpartition(". ")
    # The mapping adds a period where there is none; a body that ends in two has both already.
    body += "." if body.endswith(".") else ""
    return {"Body": body, "Question": question, "Answer": float(row["answer"])}


def from_multi_arith(row: dict[str, str]) -> Columns:
    return {"question": row["instruction"], "final_ans": row["answer"].removesuffix(".0")}


def from_aqua(row: dict[str, str]) -> Columns:
    question, _, written = row["instruction"].rpartition(" Answer Choices:")
    starts = [match.start() for match in re.finditer(r" \([A-E]\) ", written)]
    pieces = [written[start:end] for start, end in zip(starts, [*starts[1:], len(written)], strict=True)]
    options = [piece.replace(" (", "(").replace(") ", ")").removeprefix("(") for piece in pieces]
    return {"question": question, "options": options, "correct": row["answer"]}


INVERSES: dict[str, Callable[[dict[str, str]], Columns]] = {
    "gsm8k": from_gsm8k,
    "SVAMP": from_svamp,
    "MultiArith": from_multi_arith,
    "AQuA": from_aqua,
    "hellaswag": from_hellaswag,
    "boolq": from_boolq,
    "social_i_qa": from_siqa,
    "piqa": from_piqa,
    "ARC-Easy": from_arc,
    "ARC-Challenge": from_arc,
    "winogrande": from_winogrande,
    "openbookqa": from_openbookqa,
}


@pytest.mark.parametrize("name", INVERSES)
def test_every_published_row_comes_back(name: str, shared_data: Path) -> None:
    task, fields = get_task(name), hub_fields(name)
    rows = json.loads(find_task_file(task, shared_data).read_text(encoding="utf-8"))
    keys = ("instruction", "input", "output", "answer")
    # Another model wrote the outputs of the mathematics files.
    compared = keys if task.answer_kind == "label" else ("instruction", "input", "answer")
    for row in rows:
        made = fields.row(INVERSES[name](row))
        assert {key: made[key] for key in compared} == {key: row[key] for key in compared}


@pytest.mark.parametrize("name", ["boolq", "ARC-Easy", "ARC-Challenge", "openbookqa"])
def test_every_published_training_row_comes_back(name: str, shared_data: Path) -> None:
    task = get_task(name)
    fields = task.train_sources[-1].fields
    assert fields is not None
    rows = json.loads(find_task_file(task, shared_data, "train").read_text(encoding="utf-8"))
    assert all(fields.row(INVERSES[name](row)) == row for row in rows)


@pytest.mark.parametrize("name", ["dolly", "self_inst", "vicuna", "s_ni"])
def test_the_instruction_files(name: str, shared_data: Path) -> None:
    task = get_task(name)
    lines = find_task_file(task, shared_data).read_text(encoding="utf-8").rstrip("\n").split("\n")
    rows = [json.loads(line) for line in lines]
    assert len(rows) == task.test_items
    made = [hub_fields(name).row(row) for row in rows]
    assert [row["output"] for row in made] == [row["output"] for row in rows]
    assert any(isinstance(row["output"], list) for row in made) == (name == "s_ni")
