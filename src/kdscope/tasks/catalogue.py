"""The built-in tasks: the 14 of the paper, the five instruction sets, then the generated ones.

The paper's tasks go by the folder names of the LLM-Adapters data (Hu et al. 2023, arXiv 2304.01933).
"""

from __future__ import annotations

import functools

from kdscope.tasks.catalogue_commonsense import commonsense
from kdscope.tasks.catalogue_instruction import instruction_following
from kdscope.tasks.catalogue_math import mathematics
from kdscope.tasks.mini.catalogue import mini_tasks
from kdscope.tasks.registry import TaskRegistry
from kdscope.tasks.task import Task


@functools.cache
def default_registry() -> TaskRegistry:
    """The built-in tasks.

    First the 14 of Ramesh et al. 2025 (arXiv 2505.15442), mathematics before commonsense, then the five instruction
    sets of Gu et al. 2024 (arXiv 2306.08543), then the six generated mini tasks.

    >>> sum(not task.generated for task in default_registry()), len(default_registry())
    (19, 25)
    """
    return TaskRegistry((*mathematics(), *commonsense(), *instruction_following(), *mini_tasks()))


def get_task(name: str) -> Task:
    """The built-in task called `name`, in any case, common short names included.

    Raises:
        DataError: No built-in task has that name.

    >>> get_task("siqa").name
    'social_i_qa'
    """
    return default_registry().get(name)


def list_tasks() -> tuple[Task, ...]:
    """The built-in tasks: those of the paper, mathematics first, the instruction sets, then the generated ones."""
    return default_registry().tasks
