"""Evaluation tasks and training sets: where their rows come from, and how items are put into a prompt.

Planning imports this room, so it uses the standard library only.
"""

from kdscope.tasks.definitions import read_task_definitions, registry_with
from kdscope.tasks.mapping import FieldMapping
from kdscope.tasks.mini import mini_rows
from kdscope.tasks.registry import (
    TaskRegistry,
    TrainingSet,
    built_in_registry,
    default_registry,
    find_training_file,
    get_task,
    get_training_set,
    list_tasks,
    list_training_sets,
)
from kdscope.tasks.sources import HubDataset, RepositoryFile, Source
from kdscope.tasks.task import Task, find_task_file, task_from_json, task_to_json
from kdscope.tasks.template import PromptTemplate, get_template, list_templates

__all__ = [
    "FieldMapping",
    "HubDataset",
    "PromptTemplate",
    "RepositoryFile",
    "Source",
    "Task",
    "TaskRegistry",
    "TrainingSet",
    "built_in_registry",
    "default_registry",
    "find_task_file",
    "find_training_file",
    "get_task",
    "get_template",
    "get_training_set",
    "list_tasks",
    "list_templates",
    "list_training_sets",
    "mini_rows",
    "read_task_definitions",
    "registry_with",
    "task_from_json",
    "task_to_json",
]
