"""The mini tasks: their names, how their problems are put, and as many of them as anyone asks for."""

from __future__ import annotations

import random
from collections.abc import Iterator, Mapping
from dataclasses import asdict, dataclass
from functools import lru_cache
from itertools import count, islice
from types import MappingProxyType
from typing import get_args

from kdscope.core.errors import DataError
from kdscope.core.seeds import derive_seed
from kdscope.tasks.mini.arithmetic import one_step, three_steps, two_steps, with_distractor
from kdscope.tasks.mini.choices import choose, compare
from kdscope.tasks.mini.problem import Maker, MiniProblem, MiniSplit

MINI_MAKERS: Mapping[str, Maker] = MappingProxyType(
    {
        "mini-one-step": one_step,
        "mini-two-step": two_steps,
        "mini-distractor": with_distractor,
        "mini-three-step": three_steps,
        "mini-compare": compare,
        "mini-choose": choose,
    }
)


@dataclass(frozen=True, slots=True)
class MiniRow:
    """One row in the schema of LLM-Adapters (Hu et al. 2023, arXiv 2304.01933)."""

    instruction: str
    input: str
    output: str
    answer: str


def mini_rows(task: str, split: MiniSplit, items: int, seed: int = 0) -> list[dict[str, str]]:
    """The first `items` rows of a mini task, all different; a longer list begins with the shorter one.

    No row of one split has the calculation of a row of the other, in whatever words and whichever task: see
    `MiniProblem.key`. Only the whole calculation is disjoint: the equation of a one-step test problem is mostly also a
    step of some training problem of two or three. Items of the same key are not independent, and where there is one
    operation, keys are few: 639 of 3,074 are for testing, and a third of the items share 7 products.

    Raises:
        DataError: There is no such mini task or split, or `items` is negative.

    >>> rows = mini_rows("mini-compare", "test", 5)
    >>> mini_rows("mini-compare", "test", 3) == rows[:3]
    True
    """
    if items < 0:
        raise DataError(f"items must be at least 0, not {items}", key=task)
    made = _made(task, split, seed)
    made.rows.extend(row_of(task, problem) for problem in islice(made.rest, max(0, items - len(made.rows))))
    return [asdict(row) for row in made.rows[:items]]


def mini_problems(task: str, split: MiniSplit, seed: int = 0) -> Iterator[MiniProblem]:
    """Problems of a task without end, no two with the same text.

    Raises:
        DataError: There is no such mini task or split.
    """
    if task not in MINI_MAKERS:
        raise DataError(f"unknown mini task {task!r} (known: {', '.join(MINI_MAKERS)})")
    if split not in get_args(MiniSplit):
        raise DataError(f"unknown split {split!r} (known: {', '.join(get_args(MiniSplit))})", key=task)
    return _endless(task, split, seed)


def row_of(task: str, problem: MiniProblem) -> MiniRow:
    """A problem as the real tasks of its form would put and solve it."""
    asked = f"{problem.story} {problem.question}"
    if task == "mini-compare":
        request = f"Please answer the following question with true or false, question: {asked}"
        return _choice_row(request, ("true", "false"), problem)
    if task == "mini-choose":
        numbered = dict(enumerate(problem.options, 1))
        options = " ".join(f"Answer{number}: {text}" for number, text in numbered.items())
        request = f"Please choose the correct answer to the question: {asked}\n\n{options}"
        return _choice_row(request, tuple(f"answer{number}" for number in numbered), problem)
    return MiniRow(asked, "", f"{problem.working} The answer is {problem.answer}.", problem.answer)


@dataclass(frozen=True, slots=True)
class _Made:
    """The rows of a task that were asked for so far, and where the others come from."""

    rows: list[MiniRow]
    rest: Iterator[MiniProblem]


@lru_cache(maxsize=32)
def _made(task: str, split: MiniSplit, seed: int) -> _Made:
    # Planning a study asks for the same rows several times, in lists of several lengths.
    return _Made([], mini_problems(task, split, seed))


def _choice_row(request: str, labels: tuple[str, ...], problem: MiniProblem) -> MiniRow:
    instruction = f"{request}\n\nAnswer format: {'/'.join(labels)}"
    return MiniRow(instruction, "", f"{problem.working} the correct answer is {problem.answer}", problem.answer)


def _endless(task: str, split: MiniSplit, seed: int) -> Iterator[MiniProblem]:
    told: set[tuple[str, str]] = set()
    for number in count():
        problem = MINI_MAKERS[task](random.Random(derive_seed("mini", task, split, seed, number)))
        text = (problem.story, problem.question)
        if problem.split == split and text not in told and _is_one_sided(task, problem):
            told.add(text)
            yield problem


def _is_one_sided(task: str, problem: MiniProblem) -> bool:
    """Whether the answer follows from the side the result is on; a maker also draws problems asked the other way.

    Which side it is and which side was asked for make the answer together, an exclusive or: models of half a million
    parameters, right about the side, did not learn it from thousands of examples. Such a task would tell nothing.
    """
    if task == "mini-compare":
        return " more than " in problem.question
    return task != "mini-choose" or problem.options == ("more", "less")
