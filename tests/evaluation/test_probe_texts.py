"""What is done to traces: nothing is lost, cuts are beginnings, mistakes are in one place and the same every time."""

from __future__ import annotations

import json
from fractions import Fraction
from pathlib import Path

import numpy as np
import pytest
from hypothesis import assume, given, settings
from hypothesis import strategies as st

from kdscope.answers.quantities import find_quantities
from kdscope.evaluation.probe_texts import (
    add_mistake,
    area_over_curve,
    reasoning_in,
    split_trace,
    trace_of,
    truncate,
    with_cue,
)
from kdscope.fidelity.equations import parse_equations

GSM8K = (
    "Janet sells 16 - 3 - 4 = <<16-3-4=9>>9 duck eggs a day.\n"
    "She makes 9 * 2 = $<<9*2=18>>18 every day at the farmer's market.\n#### 18"
)
any_text = st.text(alphabet="ab 12.\n=!?,:)-#$ü", max_size=120)
sentence = st.builds(
    "{} has {} {}{}".format,
    st.sampled_from(["Ann", "So he", "1. She", "Step 2: It"]),
    st.sampled_from(["3", "1,200", "4.50", "2 + 5 = 7", "3 * 2 = <<3*2=6>>6", "$12", "half of 10", "no"]),
    st.sampled_from(["pens", "nets a day", ""]),
    st.sampled_from([". ", ".\n", "\n", "! "]),
)
trace = st.lists(sentence, max_size=6).map("".join)


@given(any_text)
@settings(deadline=None)
def test_sentences_are_the_text(text: str) -> None:
    parts = split_trace(text)
    assert "".join(parts) == text
    assert all(parts)


@given(st.one_of(any_text, trace), st.lists(st.fractions(0, 1, max_denominator=100), min_size=2, max_size=2))
@settings(deadline=None)
def test_cuts_are_beginnings_and_grow(text: str, fractions: list[Fraction]) -> None:
    short, long = (truncate(text, fraction) for fraction in sorted(fractions))
    assert long.startswith(short)
    assert text.startswith(long)
    assert short == short.rstrip()
    assert truncate(text, 0) == ""
    assert truncate(text, 1.0) == text.rstrip()
    assert truncate(text, float(fractions[0])) == truncate(text, fractions[0])


@given(trace)
@settings(deadline=None)
def test_reasoning_is_a_beginning_without_the_end(text: str) -> None:
    reasoning = reasoning_in(text + "The answer is 4. Good.")
    assert reasoning == text
    assert text.startswith(reasoning_in(text))
    assert reasoning_in(text) != text or not text


@pytest.mark.parametrize(
    ("text", "parts"),
    [
        ("1. Ann has 3.\n2. Bo has 4.", ["1. Ann has 3.\n", "2. Bo has 4."]),
        ("Step 1:\nAdd them.\nStep 2: 3 + 4 = 7", ["Step 1:\nAdd them.\n", "Step 2: 3 + 4 = 7"]),
        ("Mr. Tan has Rs. 40. He pays 5 p.m. on Monday.", ["Mr. Tan has Rs. 40. ", "He pays 5 p.m. on Monday."]),
        ("  Yes.\n\n", ["  Yes.\n\n"]),
        ("18.", ["18."]),
        ("...", ["..."]),
        ("", []),
    ],
)
def test_sentences_as_a_reader_sees_them(text: str, parts: list[str]) -> None:
    assert split_trace(text) == parts


def test_a_worked_solution_cut_by_quarters() -> None:
    first, second, _ = GSM8K.split("\n")
    cuts = [truncate(GSM8K, fraction) for fraction in (0.0, 0.25, 0.5, 0.75, 1.0)]
    assert cuts == ["", "", first, f"{first}\n{second}", GSM8K]
    assert reasoning_in(GSM8K) == f"{first}\n{second}\n"
    assert with_cue(cuts[2]) == f"{first}\nThe answer is"


def test_a_trace_ends_where_another_question_begins() -> None:
    assert trace_of(f"  {GSM8K} ") == GSM8K
    assert trace_of("It is 4.\n\n### Instruction:\nWhat is 5 - 1 = 4?") == "It is 4."


@given(trace, st.integers(0, 99))
@settings(max_examples=200, deadline=None)
def test_a_mistake_is_in_one_place(text: str, seed: int) -> None:
    mistake = add_mistake(text, "task/0", seed)
    assume(mistake is not None)
    assert mistake is not None
    parts = split_trace(text)
    before, step = "".join(parts[: mistake.step]), parts[mistake.step].rstrip()
    assert mistake.sentences == len(parts)
    assert mistake.right == (before + step).rstrip()
    assert mistake.right != mistake.wrong
    assert mistake.wrong.startswith(before)
    right, wrong = find_quantities(step), find_quantities(mistake.wrong[len(before) :])
    changed = [(old.value, new.value) for old, new in zip(right, wrong, strict=True) if old.value != new.value]
    assert changed
    assert len(set(changed)) == 1, "one number, wherever it stands"
    assert changed[0][1] > changed[0][0]
    assert mistake == add_mistake(text, "task/0", seed)


def test_where_mistakes_are_depends_on_seed_and_item() -> None:
    text = "Ann has 3 pens. Bo has 4 nets. Cy has 5 cups. Dee has 6 caps. So 3 + 4 + 5 + 6 = 18. The answer is 18."
    wrong = {str(add_mistake(text, f"t/{item}", seed)) for item in range(10) for seed in range(10)}
    assert len(wrong) > 20
    assert all("answer" not in one for one in wrong)


@pytest.mark.parametrize(
    ("text", "wrong"),
    [
        ("So 9 * 2 = $<<9*2=18>>18 a day.\n#### 18", [f"So 9 * 2 = $<<9*2={n}>>{n} a day." for n in range(19, 28)]),
        ("He pays 5 + 5 = 10 now. A: 10", [f"He pays 5 + 5 = {n} now." for n in range(11, 20)]),
        ("It is 1,900.50 now. So be it.", [f"It is {n:,}.50 now." for n in range(2000, 2900, 100)]),
        ("1. Of 8 eggs. Done.", [f"1. Of {n} eggs." for n in range(9, 18)]),
    ],
)
def test_results_are_what_goes_wrong(text: str, wrong: list[str]) -> None:
    found = {mistake.wrong for seed in range(200) if (mistake := add_mistake(text, "t/0", seed))}
    assert found == set(wrong)


@pytest.mark.parametrize(
    "text", ["", "No numbers here. The answer is 4.", "It is 7.", "1. First.\n2. Then.\nA: 3", "At 4:00 sharp. A: 4"]
)
def test_nothing_to_get_wrong(text: str) -> None:
    assert add_mistake(text, "t/0", 0) is None


def test_real_solutions_get_wrong_equations(shared_data: Path) -> None:
    lines = (shared_data / "outputs" / "gsm8k_solutions.jsonl").read_text(encoding="utf-8").splitlines()[:300]
    right = wrong = without = 0
    for number, line in enumerate(lines):
        text = json.loads(line)["175b_finetuning"]["solution"]
        assert "".join(split_trace(text)) == text
        mistake = add_mistake(text, f"gsm8k/{number}", seed=0)
        if mistake is None:
            without += 1
            continue
        step = split_trace(mistake.right)[-1]
        if all(equation.holds for equation in parse_equations(step)) and parse_equations(step):
            right += 1
            wrong += not all(equation.holds for equation in parse_equations(split_trace(mistake.wrong)[-1]))
    assert without <= 3
    assert right > 200
    assert wrong / right > 0.97


@given(st.lists(st.floats(0, 1), min_size=2, max_size=9))
@settings(deadline=None)
def test_the_area_is_what_numpy_integrates(agreement: list[float]) -> None:
    fractions = np.linspace(0, 1, len(agreement)).tolist()
    expected = 1 - np.trapezoid(agreement, fractions)
    assert area_over_curve(fractions, agreement) == pytest.approx(expected, abs=1e-12)


def test_the_area_of_those_who_knew_before_and_of_those_who_need_it_all() -> None:
    fractions = [0.0, 0.25, 0.5, 0.75, 1.0]
    assert area_over_curve(fractions, [1.0] * 5) == 0.0
    assert area_over_curve(fractions, [0.0] * 4 + [1.0]) == 0.875
