"""The word problems, retold by a reader of their English: story, working and answer say the same."""

from __future__ import annotations

import random
import re
from itertools import pairwise

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from kdscope.tasks import mini_rows
from kdscope.tasks.mini import MINI_MAKERS
from kdscope.tasks.mini.problems import PEOPLE
from tests.tasks.mini.readers import MEN, WOMEN, equations, retell, split_question

STEPS = {"mini-one-step": 1, "mini-two-step": 2, "mini-distractor": 1, "mini-three-step": 3}
OUTPUT = re.compile(r"(?:(?:First |Then |[A-Z][a-z]+: )?\d+ [-+*] \d+ = \d+\. )+The answer is \d+\.")


@pytest.fixture(params=STEPS, scope="module")
def task(request: pytest.FixtureRequest) -> str:
    return str(request.param)


@pytest.fixture(scope="module")
def rows(task: str) -> list[dict[str, str]]:
    return [*mini_rows(task, "train", 500), *mini_rows(task, "test", 500)]


def test_every_equation_is_right_and_starts_from_the_result_before(task: str, rows: list[dict[str, str]]) -> None:
    compute = {"+": int.__add__, "-": int.__sub__, "*": int.__mul__}
    for row in rows:
        steps = equations(row["output"])
        assert len(steps) == STEPS[task]
        assert [compute[sign](a, b) for a, sign, b, _ in steps] == [c for *_, c in steps]
        assert [a for a, *_ in steps[1:]] == [c for *_, c in steps[:-1]]
        assert all(1 <= c <= 99 for *_, c in steps)
        assert row["answer"] == str(steps[-1][-1])


def test_the_output_is_the_working_and_the_answer(rows: list[dict[str, str]]) -> None:
    for row in rows:
        assert OUTPUT.fullmatch(row["output"]), row["output"]
        assert row["output"].endswith(f" The answer is {row['answer']}.")


def test_first_is_only_said_where_something_follows(task: str, rows: list[dict[str, str]]) -> None:
    firsts = [row["output"].startswith("First ") for row in rows]
    assert any(firsts) == (STEPS[task] > 1)
    assert [row["output"].count("Then ") for row in rows] == [(STEPS[task] - 1) * first for first in firsts]


def test_quantities_are_within_what_a_small_model_can_learn(task: str, rows: list[dict[str, str]]) -> None:
    steps = [equations(row["output"]) for row in rows]
    starts = {start for (start, sign, *_), *_ in steps if sign != "*"}
    factors = {factor for ((a, sign, b, _), *_) in steps for factor in (a, b) if sign == "*"}
    changes = {n for row in steps for _, sign, n, _ in row if sign != "*"}
    assert (min(starts), max(starts)) == (3, 60)
    assert (min(factors), max(factors)) == (2, 9)
    assert (min(changes), max(changes)) == (2, 39)


def test_the_story_means_what_the_working_computes(task: str, rows: list[dict[str, str]]) -> None:
    for row in rows:
        account = retell(*split_question(row["instruction"]))
        steps = equations(row["output"])
        assert str(account.count) == row["answer"], row["instruction"]
        assert account.used == [steps[0][0], *(b for _, _, b, _ in steps)]
        assert len(account.ignored) == (task == "mini-distractor")


@given(seed=st.integers(0, 2**64), kind=st.sampled_from(list(STEPS)))
@settings(max_examples=300, deadline=None)
def test_any_draw_can_be_retold(seed: int, kind: str) -> None:
    problem = MINI_MAKERS[kind](random.Random(seed))
    account = retell(problem.story, problem.question)
    assert str(account.count) == problem.answer
    assert problem == MINI_MAKERS[kind](random.Random(seed))


def test_a_pronoun_only_follows_a_sentence_about_the_person_it_means(rows: list[dict[str, str]]) -> None:
    """As `retell` asks of every story by its grammar, here by the first word of the sentence before."""
    pronouns, followed = dict(PEOPLE), 0
    for row in rows:
        sentences = ["", *re.split(r"(?<=\.) (?!Each one)", row["instruction"])]
        for before, pronoun in [(one, other.split(" ")[0]) for one, other in pairwise(sentences)]:
            if pronoun in ("She", "He"):
                subject = before.split(" ")[0]
                assert pronoun in (subject, pronouns.get(subject)), row["instruction"]
                followed += 1
    assert followed > len(rows) / 10


def test_no_pronoun_but_for_the_person_asked_about(rows: list[dict[str, str]]) -> None:
    for row in rows:
        assert not re.search(r"\b(she|he|her|his|him|it|they|them)\b", row["instruction"])
        assert not re.search(r"\b([Tt]hey|[Tt]hem|[Ii]t|[Ss]he|[Hh]e)\b", row["output"])


@pytest.mark.parametrize(
    "story",
    [
        "Ann has 2 eggs. Eva gives Ann 3 eggs. She buys 4 more.",
        "Ann has 2 eggs. Later Eva brings 3 more eggs for Ann. She buys 4 more.",
        "There are 2 eggs on the table of Ann. She buys 4 more.",
        "Ann has 2 eggs. Ben is 5 years old. She buys 4 more.",
        "Ann has 2 eggs. He buys 4 more.",
    ],
)
def test_the_reader_refuses_a_pronoun_that_means_somebody_else(story: str) -> None:
    question = "How many eggs does Ann have now?"
    with pytest.raises(AssertionError):
        retell(story, question)
    named = re.sub(r"\b(She|He)\b", "Ann", story)
    assert retell(named, question).count == sum(int(n) for n in re.findall(r"\d+", named) if n != "5")


def test_distractors_come_in_every_form_and_place() -> None:
    """Other people's things, other things, ages; before, within and after what matters."""
    rows = mini_rows("mini-distractor", "test", 300)
    stories = [split_question(row["instruction"])[0] for row in rows]
    asides = [
        [retell(*split_question(row["instruction"])).ignored[0] == int(n) for n in re.findall(r"\d+", story)].index(
            True
        )
        for row, story in zip(rows, stories, strict=True)
    ]
    assert set(asides) == {0, 1, 2}
    forms = (r"years old\.", r"in the next room\.", r"also has \d+", r"owns \d+", r"(?<!also )has \d+")
    assert all(sum(bool(re.search(form, story)) for story in stories) > 20 for form in forms)


def test_every_operation_is_common(task: str, rows: list[dict[str, str]]) -> None:
    signs = [sign for row in rows for _, sign, _, _ in equations(row["output"])]
    assert {sign for sign in "+-*" if signs.count(sign) / len(signs) > 0.1} == set("+-*")


def test_no_answer_is_common_enough_to_guess(rows: list[dict[str, str]]) -> None:
    answers = [row["answer"] for row in rows]
    assert max(answers.count(answer) for answer in set(answers)) / len(answers) < 0.08
    assert len(set(answers)) > 50


def test_the_pronouns_know_everybody() -> None:
    told = {
        name for row in mini_rows("mini-two-step", "train", 500) for name in re.findall("[A-Z][a-z]+", row["output"])
    }
    assert told - {"First", "Then", "The"} == WOMEN | MEN
