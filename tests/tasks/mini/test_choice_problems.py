"""The choice tasks, answered by readers of their English; how far one gets without computing is said and bounded."""

from __future__ import annotations

import json
import math
import random
import re
from collections import Counter
from collections.abc import Callable, Hashable, Iterable, Sequence
from pathlib import Path

import pytest

from kdscope.tasks import get_task, mini_rows
from kdscope.tasks.mini import MINI_MAKERS
from tests.tasks.mini.readers import Choice, Claim, Comparison, equations, read_choice, read_claim, wording

COMPARE = [*mini_rows("mini-compare", "train", 2000), *mini_rows("mini-compare", "test", 2000)]
CHOOSE = [*mini_rows("mini-choose", "train", 2000), *mini_rows("mini-choose", "test", 2000)]
CLAIMS = [read_claim(row["instruction"]) for row in COMPARE]
CHOICES = [read_choice(row["instruction"]) for row in CHOOSE]
TOLD: dict[str, Sequence[Claim | Choice]] = {"mini-compare": CLAIMS, "mini-choose": CHOICES}
HALVES = {"train": slice(0, 2000), "test": slice(2000, 4000)}
# Results of 1 and 99 have room on one side only.
RESULTS = (range(2, 4), range(4, 7), range(7, 10), range(10, 30), range(30, 99))
OUTPUT = re.compile(
    r"(?:[A-Z][a-z]+: )?\d+ [-+*] \d+ = (\d+)\. (\d+) is (more|less) than (\d+)\. the correct answer is (\w+)"
)

# What the question's number is compared with instead of the result, and how often that is right at most.
SHORTCUTS: dict[str, tuple[Callable[[Comparison], float], float]] = {
    "the first number told": (lambda told: told.account.used[0], 0.64),
    "the last number told": (lambda told: told.account.used[1], 0.64),
    "the smaller number told": (lambda told: min(told.account.used), 0.64),
    "the larger number told": (lambda told: max(told.account.used), 0.68),
    "20, whatever is told": (lambda told: 20, 0.70),
    "the sum of the numbers told": (lambda told: sum(told.account.used), 0.78),
}


def share_right(told: Sequence[Comparison], estimate: Callable[[Comparison], float]) -> float:
    """How often the question's number is on the same side of the estimate as of the result."""
    return sum((estimate(one) > one.bound) == (one.relation == "more") for one in told) / len(told)


def is_even(outcomes: Iterable[object], possible: int) -> bool:
    """Whether each of the outcomes is as frequent as in a fair draw, within 4 binomial standard deviations."""
    counts = Counter(outcomes)
    total, share = counts.total(), 1 / possible
    margin = 4 * math.sqrt(total * share * (1 - share))
    return len(counts) == possible and all(abs(count - total * share) < margin for count in counts.values())


def learned(cues: list[Hashable], answers: list[str]) -> dict[Hashable, str]:
    """The most frequent answer of each cue."""
    seen: dict[Hashable, Counter[str]] = {cue: Counter() for cue in cues}
    for cue, answer in zip(cues, answers, strict=True):
        seen[cue][answer] += 1
    return {cue: counts.most_common(1)[0][0] for cue, counts in seen.items()}


def groups(told: Iterable[Comparison], group_of: Callable[[Comparison], Hashable]) -> dict[Hashable, list[Comparison]]:
    found: dict[Hashable, list[Comparison]] = {}
    for one in told:
        found.setdefault(group_of(one), []).append(one)
    return found


def test_the_measure_of_evenness_can_fail() -> None:
    assert is_even("ab" * 500, 2)
    assert not is_even("ab" * 430 + "a" * 140, 2)
    assert not is_even("ab" * 500, 3)
    assert not is_even("aab" * 300, 2)


@pytest.mark.parametrize("task", TOLD)
def test_stories_are_worked_and_answered_as_they_are_told(task: str) -> None:
    for row, told in zip(COMPARE if task == "mini-compare" else CHOOSE, TOLD[task], strict=True):
        ((a, _, b, _),) = equations(row["output"])
        assert (told.account.used, told.account.ignored) == ([a, b], [])
        result, bound = str(told.account.count), str(told.bound)
        worked = OUTPUT.fullmatch(row["output"])
        assert worked, row["output"]
        assert worked.groups() == (result, result, told.relation, bound, told.answer)
        assert (row["answer"], row["input"]) == (told.answer, "")


@pytest.mark.parametrize("task", TOLD)
def test_the_number_asked_about_is_near_the_result(task: str) -> None:
    assert {told.bound for told in TOLD[task]} <= set(range(1, 100))
    assert {abs(told.bound - told.account.count) for told in TOLD[task]} == set(range(1, 21))


@pytest.mark.parametrize("task", TOLD)
def test_a_result_is_as_often_more_as_less(task: str) -> None:
    """Within each wording of the question and each size of the result, where there is room on both sides."""
    with_room: list[Comparison] = [told for told in TOLD[task] if 1 < told.account.count < 99]
    by_wording = groups(with_room, lambda told: wording(told.question))
    assert len(by_wording) == 4
    by_result = [[told for told in with_room if told.account.count in results] for results in RESULTS]
    for group in [with_room, *by_wording.values(), *by_result]:
        assert len(group) > 100
        assert is_even((told.relation for told in group), 2)


@pytest.mark.parametrize("task", TOLD)
def test_a_result_of_one_is_always_less(task: str) -> None:
    assert {told.relation for told in TOLD[task] if told.account.count == 1} == {"less"}


def test_questions_are_as_often_true_as_false() -> None:
    """All of them, which ask for "more"; within each wording of the question; and for every size of the result."""
    assert {told.asked for told in CLAIMS} == {"more"}
    assert is_even((told.answer for told in CLAIMS), 2)
    assert len({wording(told.question) for told in CLAIMS}) == 4
    for asked in {wording(told.question) for told in CLAIMS}:
        assert is_even((told.answer for told in CLAIMS if wording(told.question) == asked), 2)
    for results in RESULTS:
        assert is_even((told.answer for told in CLAIMS if told.account.count in results), 2)


def test_the_options_are_the_two_words_and_equally_often_right() -> None:
    assert all(told.options == {"answer1": "more", "answer2": "less"} for told in CHOICES)
    assert is_even((told.answer for told in CHOICES), 2)


def test_makers_also_draw_what_the_tasks_leave_out() -> None:
    """The pretraining text asks both ways; see `suite._is_one_sided`."""
    drawn = [MINI_MAKERS["mini-compare"](random.Random(seed)).question for seed in range(200)]
    assert is_even((" more than " in question for question in drawn), 2)
    assert is_even((MINI_MAKERS["mini-choose"](random.Random(seed)).options for seed in range(200)), 2)


@pytest.mark.parametrize("task", TOLD)
@pytest.mark.parametrize("half", HALVES)
@pytest.mark.parametrize("shortcut", SHORTCUTS)
def test_a_shortcut_is_wrong_in_many_cases(task: str, half: str, shortcut: str) -> None:
    estimate, most = SHORTCUTS[shortcut]
    assert share_right(TOLD[task][HALVES[half]], estimate) < most


@pytest.mark.parametrize("task", TOLD)
def test_shortcuts_reach_what_the_package_says(task: str) -> None:
    """Two thirds from the question's number alone, three quarters from adding whatever is asked."""
    number, adding = (share_right(TOLD[task], SHORTCUTS[name][0]) for name in list(SHORTCUTS)[-2:])
    assert number == pytest.approx(2 / 3, abs=0.03)
    assert adding == pytest.approx(3 / 4, abs=0.03)
    assert share_right(TOLD[task], lambda told: told.account.count) == 1


@pytest.mark.parametrize("task", TOLD)
def test_learning_the_answer_of_each_question_does_not_help(task: str) -> None:
    train, test = TOLD[task][HALVES["train"]], TOLD[task][HALVES["test"]]

    def accuracy(cue_of: Callable[[Claim | Choice], Hashable]) -> float:
        rule = learned([cue_of(told) for told in train], [told.answer for told in train])
        return sum(rule[cue_of(told)] == told.answer for told in test) / len(test)

    def in_words(told: Claim | Choice) -> tuple[Hashable, ...]:
        return wording(told.question), told.options["answer1"] if isinstance(told, Choice) else told.asked

    assert accuracy(in_words) < 0.55
    assert accuracy(lambda told: (in_words(told), told.relation)) == 1


def test_the_extractor_sees_the_same_options() -> None:
    task = get_task("mini-choose")
    assert [task.options(row["instruction"]) for row in CHOOSE] == [told.options for told in CHOICES]


def test_forms_are_those_of_the_real_tasks(shared_data: Path) -> None:
    """The request before the question and the list of labels at the end, word for word."""

    def frame(instruction: str) -> tuple[str, str]:
        opening, closing = instruction.split(":")[0], instruction.rsplit("\n\n", 1)[1]
        return opening, re.sub(r"(?:/answer\d)+", "/...", closing)

    for mini, real in (("mini-compare", "boolq"), ("mini-choose", "social_i_qa")):
        published = json.loads((shared_data / "tasks" / real / "test.json").read_text(encoding="utf-8"))[0]
        made = mini_rows(mini, "test", 1)[0]
        assert frame(made["instruction"]) == frame(published["instruction"])
        assert made["output"].endswith(
            published["output"].rstrip("0123456789").rsplit(" ", 1)[0] + f" {made['answer']}"
        )
