"""The mini tasks as tasks: how their answers look, and that they are made, not published."""

from __future__ import annotations

from kdscope.answers import AnswerKind
from kdscope.tasks.task import Domain, Task


def mini_tasks() -> tuple[Task, ...]:
    """The six generated tasks, word problems first.

    >>> [task.name for task in mini_tasks() if task.labels]
    ['mini-compare', 'mini-choose']
    """
    return (
        _number_task("mini-one-step", "generated word problems of one operation"),
        _number_task("mini-two-step", "generated word problems of two operations"),
        _number_task("mini-distractor", "generated word problems of one operation, with a number that is not needed"),
        _number_task("mini-three-step", "generated word problems of three operations"),
        _choice_task("mini-compare", ("true", "false"), "generated: whether a result is more, or less, than a number"),
        _choice_task(
            "mini-choose",
            ("answer1", "answer2"),
            "generated: of two options, more or less than a number, the right one",
        ),
    )


def _number_task(name: str, description: str) -> Task:
    return _task(name, "math", "number", (), 0.0, description)


def _choice_task(name: str, labels: tuple[str, ...], description: str) -> Task:
    return _task(name, "commonsense", "label", labels, 1 / len(labels), description)


def _task(
    name: str, domain: Domain, answer_kind: AnswerKind, labels: tuple[str, ...], chance: float, description: str
) -> Task:
    return Task(
        name,
        domain,
        answer_kind,
        labels,
        chance,
        test_items=None,
        citation="kdscope",
        licence="Apache-2.0",
        description=description,
    )
