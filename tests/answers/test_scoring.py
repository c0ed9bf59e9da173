from __future__ import annotations

import pytest

from kdscope.core.errors import DataError
from kdscope.tasks import get_task


def test_both_scorings_are_kept() -> None:
    score = get_task("gsm8k").score(
        "The answer is 3 days for 24 sacks.", "3.0", finish_reason="stop", instruction="24 sacks"
    )
    assert (score.published_value, score.correct_published) == ("24.0", False)
    assert (score.robust_value, score.correct_robust) == ("3", True)
    assert (score.robust_rule, score.robust_status, score.truncated) == ("marker", "explicit", False)


@pytest.mark.parametrize("name", ["gsm8k", "AQuA", "boolq"])
def test_unparsed_is_wrong_in_both(name: str) -> None:
    gold = {"gsm8k": "0", "AQuA": "A", "boolq": "true"}[name]
    score = get_task(name).score("hmm", gold, finish_reason="length")
    assert (score.published_value, score.robust_value) == (None, None)
    assert (score.correct_published, score.correct_robust) == (False, False)
    assert (score.robust_status, score.truncated) == ("unparsed", True)


@pytest.mark.parametrize(
    ("predicted", "gold", "published", "robust"),
    [
        ("0.1666", "0.16666666666666666", True, False),
        ("0.165", "0.16666666666666666", False, False),
        ("4.0009", "4", True, False),
        ("1/6", "0.16666666666666666", False, True),
        ("20.52", "20.52", True, True),
    ],
)
def test_the_two_tolerances(predicted: str, gold: str, published: bool, robust: bool) -> None:
    score = get_task("AddSub").score(f"The answer is {predicted} .", gold, finish_reason="stop")
    assert (score.correct_published, score.correct_robust) == (published, robust)


@pytest.mark.parametrize("reason", ["stop", "length", "run_on"])
def test_a_free_text_is_kept_and_never_right(reason: str) -> None:
    score = get_task("dolly").score(" A poem.</s> ", "A poem.", finish_reason=reason)
    assert (score.published_value, score.robust_value) == ("A poem.", "A poem.")
    assert (score.robust_rule, score.robust_status, score.truncated) == ("text", "explicit", False)
    assert (score.correct_published, score.correct_robust) == (False, False)
    blank = get_task("dolly").score("\n", "A poem.", finish_reason=reason)
    assert (blank.robust_value, blank.robust_status, blank.truncated) == (None, "unparsed", reason == "length")


@pytest.mark.parametrize(
    ("name", "value", "gold", "robust", "published"),
    [
        ("gsm8k", "4", "4.0", True, True),
        ("gsm8k", "4.0005", "4", False, True),
        ("gsm8k", "four", "4", False, False),
        ("gsm8k", "nan", "4", False, False),
        ("gsm8k", None, "4", False, False),
        ("AQuA", "B", "B", True, True),
        ("AQuA", "b", "B", False, False),
        ("boolq", "true", "false", False, False),
        ("dolly", "A poem.", "A poem.", False, False),
    ],
)
def test_is_right(name: str, value: str | None, gold: str, robust: bool, published: bool) -> None:
    task = get_task(name)
    assert task.is_correct(value, gold) is robust
    assert task.is_correct(value, gold, "published") is published


@pytest.mark.parametrize("rules", ["robust", "published"])
def test_is_right_needs_a_usable_gold(rules) -> None:
    with pytest.raises(DataError, match="the gold answer 'F' is not one of A, B, C, D, E"):
        get_task("AQuA").is_correct(None, "F", rules)


@pytest.mark.parametrize(
    ("name", "gold", "expected"),
    [("gsm8k", "five", "a number"), ("gsm8k", "inf", "a number"), ("boolq", "True", "one of true, false")],
)
def test_an_unusable_gold(name: str, gold: str, expected: str) -> None:
    with pytest.raises(DataError, match=f"{name}: the gold answer '{gold}' is not {expected}"):
        get_task(name).score("5", gold, finish_reason="stop")
