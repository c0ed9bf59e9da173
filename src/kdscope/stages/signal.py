"""Where each student's knowledge of its teacher comes from: decided from the study alone, before anything runs."""

from __future__ import annotations

from typing import Literal

from kdscope.models.source import read_config
from kdscope.results.methods import FORWARD_KL, has_divergence, samples_student
from kdscope.study.arms import Student
from kdscope.study.grid import Cell

Path = Literal["none", "words", "live", "replay", "replay + live", "expectation"]

# What modules that hold an output head are called; an adapter on one makes the head train.
_HEADS = frozenset({"lm_head", "embed_out", "output", "output_layer"})


def signal_of(cell: Cell, asked: str) -> Path:
    """Which path a cell takes.

    - none: `sft`. words: `seqkd`, which learns from text the teacher wrote.
    - live: the teacher runs on every batch, as the study may ask (`teacher_signal: live`), and as it must on every
      sample of the student's own (`gkd` with on_policy_probability 1).
    - replay: recorded hidden states of the teacher, for all other divergences; `gkd` replays where it trains on
      references, and asks live where it trains on samples.
    - expectation: forward KL with a frozen head that is linear, of which one vector a token is left to know.

    It depends on the cell and on `asked` only: another cell in the study never changes how this one is trained.
    """
    method = cell.method
    if not has_divergence(method.name):
        return "none" if cell.teacher is None else "words"
    sampled = samples_student(method.name) and method.on_policy_probability > 0
    if asked == "live" or (sampled and method.on_policy_probability == 1):
        return "live"
    if sampled:
        return "replay + live"
    condensed = method.name == FORWARD_KL and method.probability_epsilon == 0 and has_frozen_linear_head(cell.student)
    return "expectation" if condensed and asked == "auto" else "replay"


def has_frozen_linear_head(student: Student) -> bool:
    """Whether the output head keeps its weights, and its logits are not capped.

    Of a hub model nothing is read before it runs: should its head turn out to be capped, the expectation is refused.
    """
    tuning = student.tuning
    if tuning.kind == "full":
        return False
    targets = () if isinstance(tuning.target_modules, str) else tuning.target_modules
    if any(name.split(".")[-1] in _HEADS for name in targets):
        return False
    try:
        config = read_config(student.path) if student.path is not None else {}
    except (OSError, ValueError):
        return True  # the model's own check will say what is wrong with it
    return config.get("text_config", config).get("final_logit_softcapping") is None
