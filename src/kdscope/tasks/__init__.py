"""What is asked of a model: the tasks, how they are put to it, and how its answers are read and scored.

Planning imports this room, so it uses the standard library only.
"""

from kdscope.tasks.catalogue import default_registry, get_task, list_tasks
from kdscope.tasks.definitions import read_task_definitions, registry_with, task_from_json, task_to_json
from kdscope.tasks.extraction import Extraction, extract_published
from kdscope.tasks.locate import find_task_file, find_training_file
from kdscope.tasks.mapping import FieldMapping
from kdscope.tasks.mini import mini_rows
from kdscope.tasks.quantities import numbers_match
from kdscope.tasks.references import ReferenceAnswer, read_reference
from kdscope.tasks.registry import Task, TaskRegistry
from kdscope.tasks.robust import extract_robust
from kdscope.tasks.scoring import Score, score_completion
from kdscope.tasks.sources import HubDataset, RepositoryFile, Source
from kdscope.tasks.template import PromptTemplate, get_template, list_templates
from kdscope.tasks.training_sets import TrainingSet, get_training_set, list_training_sets

__all__ = [
    "Extraction",
    "FieldMapping",
    "HubDataset",
    "PromptTemplate",
    "ReferenceAnswer",
    "RepositoryFile",
    "Score",
    "Source",
    "Task",
    "TaskRegistry",
    "TrainingSet",
    "default_registry",
    "extract_published",
    "extract_robust",
    "find_task_file",
    "find_training_file",
    "get_task",
    "get_template",
    "get_training_set",
    "list_tasks",
    "list_templates",
    "list_training_sets",
    "mini_rows",
    "numbers_match",
    "read_reference",
    "read_task_definitions",
    "registry_with",
    "score_completion",
    "task_from_json",
    "task_to_json",
]
