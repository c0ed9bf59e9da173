"""Which control stands beside which student."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from kdscope.results.methods import SFT


def controls_of(arms: Sequence[Mapping[str, Any]]) -> dict[str, str]:
    """For every other student the SFT student of the same base, seed and target tokens, or failing that the first.

    Args:
        arms: The models, each with label, role and, for students, method, student, seed and prompt_in_loss.
    """
    students = [arm for arm in arms if arm["role"] == "student"]
    sft = [arm for arm in students if arm["method"] == SFT]
    controls = {}
    for arm in students:
        alike = [c for c in sft if (c["student"], c["seed"]) == (arm["student"], arm["seed"])]
        alike.sort(key=lambda c: c["prompt_in_loss"] != arm["prompt_in_loss"])
        if arm["method"] != SFT and alike:
            controls[str(arm["label"])] = str(alike[0]["label"])
    return controls
