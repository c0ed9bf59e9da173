"""Rows come back from parquet as they were."""

from __future__ import annotations

import math
from dataclasses import dataclass
from pathlib import Path

import pandas as pd
import pytest

from kdscope.core.errors import DataError
from kdscope.evaluation.pair_reading import PairReading, kept_reading
from kdscope.evaluation.row_files import read_row_file, write_row_file


@dataclass(frozen=True)
class Some:
    name: str
    count: int
    share: float
    right: bool
    maybe: str | None
    unknown: bool | None


@dataclass(frozen=True)
class More(Some):
    extra: int = 0


ROWS = [Some("a\n", 1, 0.1, True, None, None), Some("ü", 2, math.inf, False, "x", True)]


def test_there_and_back(tmp_path: Path) -> None:
    write_row_file(ROWS, Some, tmp_path / "rows.parquet")
    assert read_row_file(Some, tmp_path / "rows.parquet") == ROWS
    assert list(pd.read_parquet(tmp_path / "rows.parquet").columns) == list(vars(ROWS[0]))


def test_no_rows_have_columns_all_the_same(tmp_path: Path) -> None:
    write_row_file([], Some, tmp_path / "rows.parquet")
    assert read_row_file(Some, tmp_path / "rows.parquet") == []
    assert "unknown" in pd.read_parquet(tmp_path / "rows.parquet").columns


def test_what_cannot_be_read_is_named(tmp_path: Path) -> None:
    write_row_file(ROWS, Some, tmp_path / "rows.parquet")
    with pytest.raises(DataError, match=r"rows\.parquet: extra: this column is missing"):
        read_row_file(More, tmp_path / "rows.parquet")
    (tmp_path / "broken.parquet").write_text("no")
    with pytest.raises(DataError, match=r"broken\.parquet: the table cannot be read"):
        read_row_file(Some, tmp_path / "broken.parquet")


def test_a_reading_is_made_once_and_a_broken_one_anew(tmp_path: Path) -> None:
    made: list[int] = []

    def read() -> PairReading:
        made.append(1)
        if len(made) == 1:
            raise KeyboardInterrupt
        return PairReading([], [])

    with pytest.raises(KeyboardInterrupt):
        kept_reading(tmp_path / "part", read)
    for _ in range(2):
        assert kept_reading(tmp_path / "part", read) == PairReading([], [])
    assert len(made) == 2
