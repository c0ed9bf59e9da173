"""What a study asks of its students, and the smallest gain it could see, before anything runs."""

from __future__ import annotations

from collections.abc import Mapping

from kdscope.statistics.planning import PlannedComparison, plan_comparisons
from kdscope.study.schema import Study
from kdscope.tasks import TaskRegistry

ONE_TASK = "any model, "
"""How the name of a comparison on one task begins."""


def planned_comparisons(study: Study, items: Mapping[str, int], registry: TaskRegistry) -> list[PlannedComparison]:
    """Each student against its control on all tasks of a domain, adjusted together; then any model on a single task.

    Tasks of free text have no right and wrong, so that nothing is said of them; they count among what is adjusted for.
    Without a control or a method beside it, nothing is
    compared.

    Args:
        study: The study.
        items: Independent items of each task.
        registry: The tasks.
    """
    if len({method.name == "sft" for method in study.methods}) < 2:
        return []
    domains: dict[str, list[str]] = {}
    free: set[str] = set()
    for name in study.tasks.names:
        task = registry.get(name)
        if task.answer_kind == "text":
            free.add(task.domain)
        else:
            domains.setdefault(task.domain, []).append(task.name)
    primary = {
        f"{student.name}, {domain}": sum(items[task] for task in tasks)
        for student in study.students
        for domain, tasks in domains.items()
    }
    single = {f"{ONE_TASK}{task}": items[task] for tasks in domains.values() if len(tasks) > 1 for task in tasks}
    return plan_comparisons(primary | single, confirmatory=primary, further=len(free) * len(study.students))
