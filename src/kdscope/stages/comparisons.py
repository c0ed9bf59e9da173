"""What a study asks of its students, and the minimum detectable gain, before anything runs."""

from __future__ import annotations

from collections.abc import Mapping

from kdscope.results.methods import SFT
from kdscope.statistics.planning import Noise, PlannedComparison, Runs, plan_comparisons
from kdscope.study.schema import Study
from kdscope.tasks import TaskRegistry

ONE_TASK = "any model, "
"""How the name of a comparison on one task begins."""


def planned_comparisons(
    study: Study, items: Mapping[str, int], registry: TaskRegistry, noise: Noise = Noise()
) -> list[PlannedComparison]:
    """Each student against its control on all tasks of a domain, adjusted together; then any model on a single task.

    With one seed that is a difference of checkpoints, with several a gain of the student's settings.

    Tasks of free text have no right and wrong, so that nothing is said of them; they count among what is adjusted for.
    Without a control or a method beside it, nothing is
    compared.

    Args:
        study: The study.
        items: Independent items of each task.
        registry: The tasks.
        noise: What numbers are expected to vary with.
    """
    if len({method.name == SFT for method in study.methods}) < 2:
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
    runs = Runs(len(study.seeds), _main_settings(study), len(study.students))
    further = len(free) * len(study.students)
    return plan_comparisons(primary | single, noise=noise, runs=runs, confirmatory=primary, further=further)


def _main_settings(study: Study) -> int:
    """Distilled settings of one student that the primary question is a mean over: teachers times methods."""
    ablated = {"kd_temperature", "teacher_noise_std", "kd_weight", "teacher_condition"}
    methods = {method.model_dump_json(exclude=ablated) for method in study.methods if method.name != SFT}
    return max(1, len(methods) * max(1, len(study.teachers)))
