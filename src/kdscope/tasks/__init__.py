"""What is asked of a model: the tasks, how they are put to it, and how its answers are read and scored.

Planning imports this room, so it uses the standard library only.
"""

from kdscope.tasks.catalogue import default_registry, get_task, list_tasks
from kdscope.tasks.extraction import Extraction, extract_published
from kdscope.tasks.mini import mini_rows
from kdscope.tasks.quantities import numbers_match
from kdscope.tasks.registry import Task, TaskRegistry
from kdscope.tasks.robust import extract_robust
from kdscope.tasks.scoring import Score, score_completion
from kdscope.tasks.template import PromptTemplate, get_template, list_templates

__all__ = [
    "Extraction",
    "PromptTemplate",
    "Score",
    "Task",
    "TaskRegistry",
    "default_registry",
    "extract_published",
    "extract_robust",
    "get_task",
    "get_template",
    "list_tasks",
    "list_templates",
    "mini_rows",
    "numbers_match",
    "score_completion",
]
