"""What a mini problem is, and which split it belongs to."""

from __future__ import annotations

import random
from collections.abc import Callable
from dataclasses import dataclass
from typing import Literal

from kdscope.core.seeds import derive_seed

MiniSplit = Literal["train", "test"]
_TEST_SHARE_PERCENT = 20


@dataclass(frozen=True, slots=True)
class MiniProblem:
    """One generated problem.

    Attributes:
        story: What is told, as sentences.
        question: What is asked, as one sentence.
        working: The steps to the answer, as sentences; the answer itself is not named yet.
        answer: The answer, as the task's files write it.
        options: The texts to choose from, for choices.
        key: The calculation, the same for every kind of problem, whatever is told around it and in whatever order its
            first two numbers come.
    """

    story: str
    question: str
    working: str
    answer: str
    key: tuple[object, ...]
    options: tuple[str, ...] = ()

    @property
    def split(self) -> MiniSplit:
        """Decided by the key alone, so that no key of a training problem returns in a test problem."""
        return "test" if derive_seed("mini split", *self.key) % 100 < _TEST_SHARE_PERCENT else "train"


Maker = Callable[[random.Random], MiniProblem]
"""Draws a problem; everything in it is decided by the generator it is given."""
