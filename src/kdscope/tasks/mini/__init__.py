"""The mini suite: generated tasks in the form of the real ones, with worked solutions and without end."""

from kdscope.tasks.mini.catalogue import mini_tasks
from kdscope.tasks.mini.problem import MiniProblem, MiniSplit
from kdscope.tasks.mini.suite import MINI_MAKERS, MiniRow, mini_problems, mini_rows, row_of

__all__ = [
    "MINI_MAKERS",
    "MiniProblem",
    "MiniRow",
    "MiniSplit",
    "mini_problems",
    "mini_rows",
    "mini_tasks",
    "row_of",
]
