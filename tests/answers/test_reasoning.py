from __future__ import annotations

import pytest

from kdscope.answers.reasoning import without_reasoning


@pytest.mark.parametrize(
    ("completion", "said"),
    [
        ("So 12.", "So 12."),
        ("<think>28</think>12", "12"),
        ("28</think>12", "12"),
        ("<think>28", ""),
        ("12<think>28", "12</s>"),
        ("12 <think>28</think> apples", "12  apples"),
        ("<think>a</think>28</think>12", "12"),
        ("<think>say <think> aloud</think>12", "12"),
        ("<THINKING>28</Thinking>12", "12"),
        ("<reasoning>28</reasoning>12", "12"),
        ("◁think▷28◁/think▷12", "12"),
        ("[THINK]28[/THINK]12", "12"),
        ("<seed:think>28</seed:think>12", "12"),
        ("<|begin_of_thought|>28<|end_of_thought|>12", "12"),
        ("Thinking...\n28\n...done thinking.\n12", "\n12"),
        ("<|channel|>analysis<|message|>28<|end|><|start|>assistant<|channel|>final<|message|>12", "12"),
        ("<|channel|>analysis<|message|>28", ""),
        ("analysisSo 28?assistantfinal12", "12"),
        ("analysisSo 28", ""),
        ("analysis of the data: 12", "analysis of the data: 12"),
        ("I think <b>12</b> [thinking aloud]", "I think <b>12</b> [thinking aloud]"),
    ],
)
def test_what_is_said_outside_reasoning(completion: str, said: str) -> None:
    assert without_reasoning(completion) == said


def test_a_megabyte_of_reasoning_is_passed_over() -> None:
    assert without_reasoning(f"<think>{'28 ' * 400_000}</think>12") == "12"
