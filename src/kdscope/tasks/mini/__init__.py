"""The mini suite: generated tasks in the form of the real ones, with worked solutions and without end.

On mini-compare and mini-choose chance is 1/2, but the question's number alone (is it above 20?) gives away two thirds
of the answers, and always adding the story's two numbers, whatever happens in it, three quarters.
"""

from kdscope.tasks.mini.problems import MiniProblem, MiniSplit
from kdscope.tasks.mini.suite import (
    MINI_MAKERS,
    mini_problems,
    mini_rows,
    mini_tasks,
    row_of,
    write_mini_files,
)

__all__ = [
    "MINI_MAKERS",
    "MiniProblem",
    "MiniSplit",
    "mini_problems",
    "mini_rows",
    "mini_tasks",
    "row_of",
    "write_mini_files",
]
