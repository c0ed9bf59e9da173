"""The mini tasks: their names, how their problems are put, and as many of them as anyone asks for."""

from __future__ import annotations

import itertools
import json
import random
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from functools import lru_cache, partial
from itertools import islice
from pathlib import Path
from types import MappingProxyType
from typing import get_args

from kdscope.core.errors import DataError
from kdscope.core.seeds import derive_seed
from kdscope.tasks.mini.problems import (
    Maker,
    MiniProblem,
    MiniSplit,
    choose,
    compare,
    count,
)
from kdscope.tasks.task import Task


@dataclass(frozen=True, slots=True)
class _Mini:
    """A mini task: what draws its problems, and what a list of tasks says of it."""

    make: Maker
    description: str
    labels: tuple[str, ...] = ()


_SUITE: Mapping[str, _Mini] = MappingProxyType(
    {
        "mini-one-step": _Mini(partial(count, steps=1), "generated word problems of one operation"),
        "mini-two-step": _Mini(partial(count, steps=2), "generated word problems of two operations"),
        "mini-distractor": _Mini(
            partial(count, steps=1, aside=True),
            "generated word problems of one operation, with a number that is not needed",
        ),
        "mini-three-step": _Mini(partial(count, steps=3), "generated word problems of three operations"),
        "mini-compare": _Mini(
            compare, "generated: whether a result is more, or less, than a number", ("true", "false")
        ),
        "mini-choose": _Mini(
            choose, "generated: of two options, more or less than a number, the right one", ("answer1", "answer2")
        ),
    }
)
MINI_MAKERS: Mapping[str, Maker] = MappingProxyType({name: mini.make for name, mini in _SUITE.items()})


def mini_tasks() -> tuple[Task, ...]:
    """The six generated tasks, word problems first.

    >>> [task.name for task in mini_tasks() if task.labels]
    ['mini-compare', 'mini-choose']
    """
    return tuple(
        Task(
            name,
            domain="commonsense" if mini.labels else "math",
            answer_kind="label" if mini.labels else "number",
            labels=mini.labels,
            chance=1 / len(mini.labels) if mini.labels else 0.0,
            test_items=None,
            citation="kdscope",
            licence="Apache-2.0",
            description=mini.description,
        )
        for name, mini in _SUITE.items()
    )


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
    return [dict(row) for row in made.rows[:items]]


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


def row_of(task: str, problem: MiniProblem) -> dict[str, str]:
    """A problem as the real tasks of its form would put and solve it: a row of LLM-Adapters (Hu et al. 2023)."""
    asked = f"{problem.story} {problem.question}"
    if task == "mini-compare":
        request = f"Please answer the following question with true or false, question: {asked}"
        return _choice_row(request, ("true", "false"), problem)
    if task == "mini-choose":
        numbered = dict(enumerate(problem.options, 1))
        options = " ".join(f"Answer{number}: {text}" for number, text in numbered.items())
        request = f"Please choose the correct answer to the question: {asked}\n\n{options}"
        return _choice_row(request, tuple(f"answer{number}" for number in numbered), problem)
    return _row(asked, f"{problem.working} The answer is {problem.answer}.", problem.answer)


def write_mini_files(
    folder: Path, tasks: Iterable[str] = tuple(MINI_MAKERS), *, train: int, test: int, seed: int = 0
) -> list[Path]:
    """Write <folder>/<task>/train.json and test.json in the schema of LLM-Adapters; returns the files.

    Raises:
        DataError: One of the names is not a mini task's.
        StudyError: A number is out of its bounds.
    """
    # The schema of a study loads YAML, which who only asks for tasks need not wait for.
    from kdscope.study.fields import MiniRows, Seed
    from kdscope.study.problems import check_argument

    check_argument(MiniRows, train, "train")
    check_argument(MiniRows, test, "test")
    check_argument(Seed, seed, "seed")
    written = []
    for task in tasks:
        for split, rows in (
            ("train", mini_rows(task, "train", train, seed)),
            ("test", mini_rows(task, "test", test, seed)),
        ):
            file = folder / task / f"{split}.json"
            file.parent.mkdir(parents=True, exist_ok=True)
            file.write_text(json.dumps(rows, indent=1) + "\n", encoding="utf-8")
            written.append(file)
    return written


@dataclass(frozen=True, slots=True)
class _Made:
    """The rows of a task that were asked for so far, and where the others come from."""

    rows: list[dict[str, str]]
    rest: Iterator[MiniProblem]


@lru_cache(maxsize=32)
def _made(task: str, split: MiniSplit, seed: int) -> _Made:
    # Planning a study asks for the same rows several times, in lists of several lengths.
    return _Made([], mini_problems(task, split, seed))


def _choice_row(request: str, labels: tuple[str, ...], problem: MiniProblem) -> dict[str, str]:
    instruction = f"{request}\n\nAnswer format: {'/'.join(labels)}"
    return _row(instruction, f"{problem.working} the correct answer is {problem.answer}", problem.answer)


def _row(instruction: str, output: str, answer: str) -> dict[str, str]:
    return {"instruction": instruction, "input": "", "output": output, "answer": answer}


def _endless(task: str, split: MiniSplit, seed: int) -> Iterator[MiniProblem]:
    told: set[tuple[str, str]] = set()
    for number in itertools.count():
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
