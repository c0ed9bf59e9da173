"""Choice problems: the result of one operation is compared with a number near it."""

from __future__ import annotations

import random
from dataclasses import dataclass
from typing import Literal

from kdscope.tasks.mini.arithmetic import LARGEST, Told, tell
from kdscope.tasks.mini.problem import MiniProblem
from kdscope.tasks.mini.sentences import EITHER, ONE_SIDED

_FURTHEST = 20
"""The number is at most so far from the result."""


@dataclass(frozen=True, slots=True)
class _Compared:
    """A story, a number near its result, and on which side of that the result is."""

    told: Told
    bound: int
    relation: Literal["more", "less"]

    @property
    def working(self) -> str:
        return f"{self.told.working} {self.told.result} is {self.relation} than {self.bound}."


def compare(rng: random.Random) -> MiniProblem:
    """Whether somebody then has more, or less, than a number: true or false."""
    compared = _compared(rng)
    asked = rng.choice(("more", "less"))
    question = rng.choice(ONE_SIDED).format(**compared.told.words, n=compared.bound, side=asked)
    answer = "true" if asked == compared.relation else "false"
    return MiniProblem(compared.told.story, question, compared.working, answer, compared.told.key)


def choose(rng: random.Random) -> MiniProblem:
    """Which of the two it is: the options are the words, in either order."""
    compared = _compared(rng)
    options = tuple(rng.sample(("more", "less"), 2))
    question = rng.choice(EITHER).format(**compared.told.words, n=compared.bound)
    answer = f"answer{options.index(compared.relation) + 1}"
    return MiniProblem(compared.told.story, question, compared.working, answer, compared.told.key, options)


def _compared(rng: random.Random) -> _Compared:
    """The result lies on either side with the same chance, but where there is no room on one of them."""
    told = tell(rng, 1)
    below, above = told.result - 1, LARGEST - told.result
    is_more = rng.random() < 1 / 2 if below and above else bool(below)
    distance = rng.randint(1, min(_FURTHEST, below if is_more else above))
    bound = told.result - distance if is_more else told.result + distance
    return _Compared(told, bound, "more" if is_more else "less")
