"""The robust rules against hand-labelled forms, OpenAI's own verdicts and two real models' outputs."""

from __future__ import annotations

import json
import re
from collections import Counter
from pathlib import Path

import pytest

from kdscope.answers import numbers_match
from kdscope.tasks import get_task, list_tasks

GOLDEN = [
    json.loads(line)
    for line in (Path(__file__).parent / "golden_robust.jsonl").read_text(encoding="utf-8").splitlines()
]

# Short answers of the kinds that users of evaluation tools report as misread: written by hand, with what a careful
# reader takes (`want`, null where nothing is answered) or must not take (`not`).
CASES = [json.loads(line) for line in (Path(__file__).parent / "cases.jsonl").read_text(encoding="utf-8").splitlines()]
QUESTIONS = json.loads((Path(__file__).parent / "case_questions.json").read_text(encoding="utf-8"))
KINDS = sorted({case["kind"] for case in CASES})


def _is_read_right(case: dict[str, str | None], value: str | None) -> bool:
    expected = case.get("not", case.get("want"))
    is_number = get_task(str(case["question"]).split()[0]).answer_kind == "number"
    if value is None or expected is None:
        same = value is expected
    else:
        same = numbers_match(value, expected) if is_number else value == expected
    return same is ("not" not in case)


@pytest.mark.parametrize("kind", KINDS)
def test_every_case_of_a_kind_is_read_as_a_careful_reader_reads_it(kind: str) -> None:
    misread = []
    for case in (case for case in CASES if case["kind"] == kind):
        task, reason = get_task(case["question"].split()[0]), case.get("finish_reason", "stop")
        found = task.extract(case["completion"], finish_reason=reason, instruction=QUESTIONS[case["question"]])
        if not _is_read_right(case, found.value):
            misread.append((case, found))
    assert misread == []


ORDINARY = [
    ("gsm8k 5", "She has 9 eggs, but it is $2 each. So she makes 9 * 2 = $18.", "18"),
    ("gsm8k 5", "16 - 3 = 12. Wait, 13.\n13 - 4 = 9.\n9 * 2 = 18.", "18"),
    ("gsm8k 5", "Does she sell all 16? No, 9 eggs.\n9 * 2 = 18 dollars.", "18"),
    ("gsm8k 5", "The answer is 18. The price was $4, but is now $2.", "18"),
    ("gsm8k 5", "The answer is 18. That is wrong to some, as 20 is asked for.", "18"),
    ("gsm8k 5", "E = 16, S = 9, so M = 18", "18"),
    ("gsm8k 5", "=> 18", "18"),
    ("gsm8k 5", "The answer is 18 squared meters.", "18"),
    ("gsm8k 5", "[Reasoning]\n16 - 7 = 9, 9 * 2 = 18.\n[Answer]\n18", "18"),
    ("gsm8k 5", "Sure! Here is the solution.\n\n**Problem:** 16 eggs.\n\nThe answer is 18.", "18"),
    ("ARC-Easy 1", "The answer is answer2. No, answer1 does not work.", "answer2"),
    ("ARC-Easy 1", "The answer is answer2. Wait, could it be answer3? No, it is too small.", "answer2"),
    ("gsm8k 5", "Here we go:\nExample 1: not needed.\nThe answer is 18.", "18"),
    ("boolq 1", "I don't think it's true.", "false"),
    ("boolq 1", "I do not believe that this is false.", "true"),
    ("boolq 1", "I think it's true.", "true"),
]
"""Steps that are corrected, headings and restated questions, which end or replace no answer."""


@pytest.mark.parametrize(("question", "completion", "value"), ORDINARY)
def test_the_way_to_an_answer_is_not_taken_for_another_one(question: str, completion: str, value: str) -> None:
    task = get_task(question.split()[0])
    found = task.extract(completion, finish_reason="stop", instruction=QUESTIONS[question])
    assert found.value == value


@pytest.mark.parametrize(
    ("question", "completion", "value"),
    [
        ("A film cost 25 million. How many millions did two cost?", "The answer is 50 million.", "50"),
        ("How much does she pay, in thousands of dollars?", "She pays $2 thousand a month.", "2"),
        ("How many million people live there?", "There are five million people.", "5"),
        ("How many people live there, of 8 million?", "The answer is 5 million.", "5000000"),
    ],
)
def test_a_question_in_millions_is_answered_in_millions(question: str, completion: str, value: str) -> None:
    assert get_task("gsm8k").extract(completion, finish_reason="stop", instruction=question).value == value


def test_the_cases_are_many_of_each_kind() -> None:
    assert len(KINDS) == 16
    assert min(Counter(case["kind"] for case in CASES).values()) >= 20


@pytest.mark.parametrize("case", GOLDEN, ids=lambda case: f"{case['task']}-{case['note']}")
def test_hand_labelled(case) -> None:
    extraction = get_task(case["task"]).extract(
        case["completion"], finish_reason=case["finish_reason"], instruction=case["instruction"]
    )
    assert (extraction.value, extraction.status) == (case["value"], case["status"])
    assert extraction.truncated is case["truncated"]


def test_the_hand_labelled_cases_cover_every_task_and_status() -> None:
    scored_by_value = {task.name for task in list_tasks() if not task.generated and task.answer_kind != "text"}
    assert {case["task"] for case in GOLDEN} == scored_by_value | {"dolly"}
    assert min(Counter(case["status"] for case in GOLDEN).values()) >= 8


def test_openai_verdicts_on_gsm8k_solutions(real_data) -> None:
    """`is_correct` was decided by OpenAI's own grader (Cobbe et al. 2021) on 4 models x 660 items."""
    task, differing, total = get_task("gsm8k"), [], 0
    for row in real_data.lines("gsm8k_solutions.jsonl"):
        gold = row["ground_truth"].rsplit("A: ", 1)[1].replace(",", "")
        for model, answer in row.items():
            if not isinstance(answer, dict):
                continue
            reason = "stop" if re.search(r"^A: ", answer["solution"], re.MULTILINE) else "length"
            score = task.score(answer["solution"], gold, finish_reason=reason, instruction=row["question"])
            total += 1
            if score.correct_robust != answer["is_correct"]:
                differing.append((model, answer["solution"]))
    assert total == 2640
    assert differing == []


# Of each task's two outputs files together: at most so many finished completions without an answer; at most so many
# that the published rules call right and the robust ones wrong; at least so many the other way round. The second were
# read one by one: cut before a conclusion; "37 pictures ... and 2 pictures"; the echo "solution1/solution2". In AQuA
# the published rule takes the first capital A to E of any word, so it is often right by luck. The third are mostly
# conclusions that go on after the answer: "Damien makes $75 in a 30 day month".
REAL_OUTPUTS = {
    "gsm8k": (2, 6, 33),
    "SVAMP": (4, 0, 9),
    "MultiArith": (1, 1, 11),
    "AddSub": (0, 0, 0),
    "SingleEq": (0, 2, 7),
    "AQuA": (115, 56, 39),
    "boolq": (0, 0, 0),
    "social_i_qa": (0, 0, 0),
    "piqa": (18, 10, 1),
    "ARC-Easy": (7, 1, 0),
    "ARC-Challenge": (3, 1, 0),
    "winogrande": (0, 0, 0),
    "openbookqa": (2, 1, 0),
}


@pytest.mark.parametrize("name", REAL_OUTPUTS)
def test_real_outputs(name: str, real_data) -> None:
    task = get_task(name)
    unread = lost = gained = 0
    for row, item, reason in real_data.outputs(name):
        gold, instruction = item["answer"], item["instruction"]
        score = task.score(row["output"], gold, finish_reason=reason, instruction=instruction)
        unread += score.robust_value is None and not score.truncated
        lost += score.correct_published and not score.correct_robust
        gained += score.correct_robust and not score.correct_published
    most_unread, most_lost, least_gained = REAL_OUTPUTS[name]
    assert unread <= most_unread
    assert lost <= most_lost
    assert gained >= least_gained


def test_aqua_is_not_credited_for_luck(real_data) -> None:
    task, published, robust = get_task("AQuA"), 0, 0
    for row, item, reason in real_data.outputs("AQuA"):
        score = task.score(row["output"], item["answer"], finish_reason=reason, instruction=item["instruction"])
        published += score.correct_published
        robust += score.correct_robust
    assert robust < published


@pytest.mark.parametrize(
    "task",
    [task for task in list_tasks() if task.answer_kind == "number" and not task.generated],
    ids=lambda task: task.name,
)
def test_a_real_closing_statement_is_read_alike_by_both_rules(task, real_data) -> None:
    """Completions that end on "the answer is N." say one thing only."""
    plain = re.compile(r"answer (?:in Arabic numerals )?is:? \$?-?[\d.,]+\.?</s>$")
    compared = 0
    for row, item, reason in real_data.outputs(task.name):
        if not plain.search(row["output"]):
            continue
        robust = task.extract(row["output"], finish_reason=reason, instruction=item["instruction"])
        assert (robust.rule, robust.status) == ("marker", "explicit")
        assert float(robust.value or "nan") == float(task.extract(row["output"], "published").value or "nan")
        compared += 1
    assert compared > 50
