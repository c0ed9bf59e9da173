"""The tidy tables of a study: checked once when they are made, saved as parquet and CSV, read back unchanged."""

from __future__ import annotations

from collections.abc import Callable, Collection, Iterable, Mapping, Sequence
from dataclasses import dataclass, field, fields
from functools import cached_property
from pathlib import Path
from types import MappingProxyType
from typing import Any

import numpy as np
import pandas as pd

from kdscope.core.errors import DataError
from kdscope.results.csv_cells import write_csv
from kdscope.results.labels import CellName, name_cells
from kdscope.results.measures import AVERAGE, AVERAGES, MEASURES, POOLS
from kdscope.results.run_file import WRITTEN_AGAIN
from kdscope.results.schema import SCHEMAS, ColumnSchema, TableSchema

_DTYPES: Mapping[str, Any] = MappingProxyType(
    {
        "text": pd.StringDtype(na_value=np.nan),
        "integer": pd.Int64Dtype(),
        "number": np.dtype("float64"),
        "flag": pd.BooleanDtype(),
    }
)


@dataclass(frozen=True, eq=False)
class ReportTables:
    """The tables of `SCHEMAS`, one pandas frame each; a frame without rows may also come without columns.

    The last four may be left out: `probes` has what models answer from other traces, `contamination` counts the items
    that training sets hold, `clean` has the results with and without them, `statistics` what can be concluded.

    Rows of `cells` keep the order they are given in (the study's order); the other tables follow the order of their
    cells, and otherwise keep their own. Columns come out in the schema's order with the schema's types; optional
    columns that are not there come out without values.

    Raises:
        DataError: a column is missing, unknown or of the wrong kind, a value is out of range, a row repeats another,
            or a table speaks of a cell that `cells` does not have. Names the table, the row (from 1) and the column.
    """

    cells: pd.DataFrame
    accuracy: pd.DataFrame
    gains: pd.DataFrame
    fidelity: pd.DataFrame
    tests: pd.DataFrame
    training: pd.DataFrame
    probes: pd.DataFrame = field(default_factory=pd.DataFrame)
    contamination: pd.DataFrame = field(default_factory=pd.DataFrame)
    clean: pd.DataFrame = field(default_factory=pd.DataFrame)
    statistics: pd.DataFrame = field(default_factory=pd.DataFrame)

    def __post_init__(self) -> None:
        for name in TABLE_NAMES:
            object.__setattr__(self, name, _checked(getattr(self, name), name))
        _check_shares(self.fidelity)
        position = {cell: row for row, cell in enumerate(self.cells["cell"])}
        for name in TABLE_NAMES[1:]:
            frame = getattr(self, name)
            for column in _CELL_COLUMNS[name]:
                _check_known(frame, name, column, position)
            if "cell" in frame.columns:
                order = frame["cell"].map(position).astype("int64").sort_values(kind="stable").index
                object.__setattr__(self, name, frame.loc[order].reset_index(drop=True))

    def only(self, cells: Collection[str]) -> ReportTables:
        """The tables as if the study had these cells only."""
        frames: dict[str, pd.DataFrame] = {name: getattr(self, name) for name in TABLE_NAMES}
        for name, columns in _CELL_COLUMNS.items():
            for column in columns:
                frames[name] = frames[name][frames[name][column].isin(cells)]
        return ReportTables(**frames)

    @cached_property
    def names(self) -> dict[str, CellName]:
        """How every cell is called, in the order of `cells`."""
        return name_cells(self.cells)

    @cached_property
    def tasks(self) -> list[str]:
        """The tasks of `accuracy` in their order of appearance, means over tasks last."""
        return sorted(dict.fromkeys(self.accuracy["task"]), key=lambda task: task in AVERAGES)

    def named(self, rows: pd.DataFrame) -> pd.DataFrame:
        """The rows with what their cells are (names, method, role, place, unadapted teacher), in the cells' order."""
        place = {cell: number for number, cell in enumerate(self.names)}
        hollow = self._of_unadapted_teachers
        names = [self.names[cell] for cell in rows["cell"]]
        return rows.assign(
            model=[name.model for name in names],
            short=[name.short for name in names],
            method=[name.method for name in names],
            role=[name.role for name in names],
            place=[place[name.cell] for name in names],
            unadapted=[name.cell in hollow for name in names],
        ).sort_values("place", kind="stable")

    def with_names(self, rows: pd.DataFrame) -> pd.DataFrame:
        """The rows with model and training of their cells in front, as a paper's tables name them."""
        names = [self.names[cell] for cell in rows["cell"]]
        front = {"model": [name.model for name in names], "trained_with": [name.short for name in names]}
        return pd.concat([pd.DataFrame(front, index=rows.index), rows], axis=1).reset_index(drop=True)

    @cached_property
    def _of_unadapted_teachers(self) -> frozenset[str]:
        """Students of an unadapted teacher where others had an adapted one: where all are alike, none stands out."""
        taught = select(self.cells, role="student")
        if not (taught["teacher_condition"] == "adapted").any():
            return frozenset()
        return frozenset(select(taught, teacher_condition="base")["cell"])


TABLE_NAMES = tuple(table.name for table in fields(ReportTables))
"""The tables' names, which are also their file names."""
_CELL_COLUMNS: Mapping[str, tuple[str, ...]] = MappingProxyType(
    {
        name: tuple(
            column.name
            for column in schema.columns
            if column.name in ("cell", "control", "teacher_cell") and column.kind == "text"
        )
        for name, schema in SCHEMAS.items()
    }
)
"""Which columns name cells; in `fidelity`, `control` is a number."""
_LATER = ("statistics",)
"""Tables that runs of before there were such do not have."""


def save_tables(tables: ReportTables, folder: Path) -> None:
    """Writes `<table>.parquet` and `<table>.csv` for every table; the same tables always give the same bytes."""
    folder.mkdir(parents=True, exist_ok=True)
    for name in TABLE_NAMES:
        frame: pd.DataFrame = getattr(tables, name)
        frame.to_parquet(folder / f"{name}.parquet", engine="pyarrow", index=False)
        write_csv(frame, folder / f"{name}.csv")


def load_tables(folder: Path) -> ReportTables:
    """Reads the parquet files that `save_tables` wrote, also those from before a table got its optional columns.

    Raises:
        DataError: a file is missing or is not parquet, or its rows break the schema.
    """
    later = {file.stem for file in missing_tables(folder)}
    return ReportTables(**{name: _read(folder / f"{name}.parquet") for name in TABLE_NAMES if name not in later})


def missing_tables(folder: Path) -> tuple[Path, ...]:
    """The files that `load_tables` does without, because older runs do not have them."""
    return tuple(file for name in _LATER if not (file := folder / f"{name}.parquet").exists())


def records(frame: pd.DataFrame) -> list[dict[str, Any]]:
    """The rows, one dictionary each, with None for NA: `DataFrame.to_dict`, but faster for many small frames."""
    names = [str(name) for name in frame.columns]
    columns = [[None if value is pd.NA else value for value in series.tolist()] for _, series in frame.items()]
    return [dict(zip(names, row, strict=True)) for row in zip(*columns, strict=True)]


def known_counts(rows: Iterable[Mapping[str, Any]], column: str) -> list[int]:
    """The different whole numbers that a column of records holds, smallest first."""
    return sorted({int(row[column]) for row in rows if not pd.isna(row[column])})


def select(frame: pd.DataFrame, **equal: str) -> pd.DataFrame:
    """The rows in which every named column has the given value."""
    chosen = pd.Series(True, index=frame.index)
    for column, value in equal.items():
        chosen &= frame[column] == value
    return frame[chosen]


def pooled(frame: pd.DataFrame) -> pd.DataFrame:
    """The rows over all items together, or means over tasks where nothing else is known (`pooled_task`)."""
    tasks = list(frame["task"].unique())
    return frame[frame["task"] == pooled_task(tasks)] if len(tasks) > 1 else frame


def pooled_task(tasks: Sequence[str]) -> str:
    """Of the tasks of a table's rows the one that stands for all items: a pool, or failing that a mean over tasks.

    A study with one task of each metric needs no row beside the tasks' own: the first task's then stand for all.
    """
    return next((pool for pool in (*POOLS, *AVERAGES) if pool in tasks), tasks[0])


def averages(tables: ReportTables, scoring: str) -> pd.DataFrame:
    """The mean over tasks of every cell: of tasks with a right answer, or failing that of those of free text."""
    rows = select(tables.accuracy, scoring=scoring)
    tasks = set(rows["task"])
    return rows[rows["task"] == next((name for name in AVERAGES if name in tasks), AVERAGE)]


def _read(path: Path) -> pd.DataFrame:
    try:
        return pd.read_parquet(path, engine="pyarrow")
    except FileNotFoundError:
        raise DataError(f"this table is missing; {WRITTEN_AGAIN}", file=path) from None
    except (OSError, ValueError) as error:
        raise DataError(f"not a readable parquet file ({error})", file=path) from error


def _checked(frame: pd.DataFrame, name: str) -> pd.DataFrame:
    schema = SCHEMAS[name]
    names = [column.name for column in schema.columns]
    if frame.empty and not len(frame.columns):
        frame = pd.DataFrame(columns=names)
    absent = [column.name for column in schema.columns if column.optional and column.name not in frame.columns]
    frame = frame.assign(**dict.fromkeys(absent))
    missing = [column for column in names if column not in frame.columns]
    unknown = [str(column) for column in frame.columns if column not in names]
    if missing or unknown:
        parts = [
            f"{kind} column '{columns[0]}'" for kind, columns in (("no", missing), ("unknown", unknown)) if columns
        ]
        raise DataError(" and ".join(parts), file=f"table '{name}'")
    frame = frame.reset_index(drop=True)
    checked = pd.DataFrame({column.name: _coerced(frame[column.name], column, name) for column in schema.columns})
    _check_key(checked, schema, name)
    return checked


def _coerced(series: pd.Series, column: ColumnSchema, table: str) -> pd.Series:
    try:
        if column.kind == "number":
            series = pd.to_numeric(series.astype(object).where(series.notna(), np.nan))
        series = series.astype(_DTYPES[column.kind])
    except (TypeError, ValueError) as error:
        raise DataError(
            f"not a column of kind '{column.kind}' ({error})", file=_place(table), key=column.name
        ) from None
    _check_values(series, column, table)
    return series


def _check_values(series: pd.Series, column: ColumnSchema, table: str) -> None:
    wrong = pd.Series(False, index=series.index)
    if column.required:
        wrong |= series.isna()
    if column.choices:
        wrong |= series.notna() & ~series.isin(column.choices)
    if column.lowest is not None:
        wrong |= (series < column.lowest).fillna(False)
    if column.highest is not None:
        wrong |= (series > column.highest).fillna(False)
    _refuse(wrong, lambda row: _complaint(series[row], column), table, column.name)


def _complaint(value: Any, column: ColumnSchema) -> str:
    if pd.isna(value):
        return "a value is missing"
    if column.choices:
        return f"{value!r} is not one of {', '.join(column.choices)}"
    if column.highest is not None:
        return f"{value} is not between {column.lowest:g} and {column.highest:g}"
    return f"{value} is below 0"


def _check_key(frame: pd.DataFrame, schema: TableSchema, table: str) -> None:
    def told(row: int) -> str:
        return "a second row for " + ", ".join(f"{name} {frame[name][row]!r}" for name in schema.key)

    if schema.key:
        _refuse(frame.duplicated(subset=list(schema.key)), told, table)


def _check_known(frame: pd.DataFrame, table: str, column: str, known: Mapping[str, int]) -> None:
    strange = ~frame[column].isin(list(known))
    _refuse(strange, lambda row: f"{frame[column][row]!r} is not in table 'cells'", table, column)


def _check_shares(fidelity: pd.DataFrame) -> None:
    shares = [name for name, one in MEASURES.items() if one.family == "answers" and one.unit == "percent"]
    measures, values = fidelity["measure"], fidelity["value"]

    def told(row: int) -> str:
        return f"{measures[row]} is a share of items, {values[row]} is not between 0 and 1"

    _refuse(measures.isin(shares) & ~values.fillna(0.0).between(0, 1), told, "fidelity", "value")


def _refuse(wrong: pd.Series, complaint: Callable[[int], str], table: str, column: str = "") -> None:
    """Refuse a table at the first row that is wrong."""
    if wrong.any():
        row = int(np.argmax(wrong.to_numpy(dtype=bool)))
        raise DataError(complaint(row), file=_place(table), row=row + 1, key=column)


def _place(table: str) -> str:
    return f"table '{table}'"
