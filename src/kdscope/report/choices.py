"""What a reader can choose to see: students, methods, tasks, and which of them a row or a column is about."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

from kdscope.report.figures import task_names
from kdscope.report.marks import CONTROLS
from kdscope.results.labels import CellName, students
from kdscope.results.measures import AVERAGES, POOLS
from kdscope.results.table import Table
from kdscope.results.tables import ReportTables


@dataclass(frozen=True)
class Choices:
    """Students and tasks of the study, and the methods compared with the controls, which are always shown."""

    students: tuple[str, ...]
    methods: tuple[str, ...]
    tasks: tuple[str, ...]
    cells: Mapping[str, CellName]

    @property
    def any(self) -> bool:
        """Whether there is anything to choose between."""
        return max(len(self.students), len(self.methods), len(self.tasks)) > 1

    def of_row(self, label: str) -> dict[str, str]:
        """The student and the method that a table's row is about, by its first entry."""
        name = self.cells.get(label)
        if name is None:
            return {"student": label} if label in self.students else {}
        about = {} if name.role == "teacher" else {"student": name.model}
        return about if name.method in CONTROLS else about | {"method": name.method}

    def of_columns(self, table: Table) -> dict[int, str]:
        """The tasks that a table's columns are about, means over tasks included, by place."""
        known = {*self.tasks, *AVERAGES, *POOLS}
        bare = {place: head if head in known else head.split(" (n=")[0] for place, head in enumerate(table.headings)}
        return {place: task for place, task in bare.items() if task in known}


def choices(tables: ReportTables) -> Choices:
    """What there is to choose between."""
    names = tables.names
    methods = dict.fromkeys(name.method for name in names.values() if name.role == "student")
    return Choices(
        students=tuple(students(names)),
        methods=tuple(method for method in methods if method not in CONTROLS),
        tasks=tuple(task for task in task_names(tables) if task not in (*AVERAGES, *POOLS)),
        cells=names,
    )
