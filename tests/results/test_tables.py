from __future__ import annotations

import csv
from dataclasses import replace

import numpy as np
import pandas as pd
import pytest

from kdscope.core.errors import DataError
from kdscope.report import ReportTables, load_tables, save_tables
from kdscope.results.schema import SCHEMAS
from kdscope.results.tables import TABLE_NAMES
from tests.report.builders import build_tables, cell_row, empty_tables


@pytest.fixture(scope="module")
def tables():
    return build_tables()


def assert_same(left: ReportTables, right: ReportTables) -> None:
    for name in TABLE_NAMES:
        pd.testing.assert_frame_equal(getattr(left, name), getattr(right, name), check_exact=True)


def test_saved_and_loaded_unchanged(tables, tmp_path):
    save_tables(tables, tmp_path / "new" / "tables")
    assert_same(load_tables(tmp_path / "new" / "tables"), tables)


def test_csv_holds_the_same_numbers(tables, tmp_path):
    save_tables(tables, tmp_path)
    with (tmp_path / "gains.csv").open(encoding="utf-8", newline="") as file:
        rows = list(csv.DictReader(file))
    for column in ("gain", "low", "high", "p_value", "p_holm"):
        np.testing.assert_array_equal([float(row[column] or "nan") for row in rows], tables.gains[column])
    assert list(rows[0]) == [column.name for column in SCHEMAS["gains"].columns]


def test_identical_input_gives_identical_bytes(tables, tmp_path):
    save_tables(tables, tmp_path / "one")
    save_tables(build_tables(), tmp_path / "two")
    save_tables(load_tables(tmp_path / "one"), tmp_path / "three")
    names = sorted(path.name for path in (tmp_path / "one").iterdir())
    assert names == sorted(f"{name}.{kind}" for name in TABLE_NAMES for kind in ("csv", "parquet"))
    for name in names:
        first = (tmp_path / "one" / name).read_bytes()
        assert first == (tmp_path / "two" / name).read_bytes() == (tmp_path / "three" / name).read_bytes()


def test_rows_follow_the_cells_and_keep_their_own_order(tables):
    order = list(tables.cells["cell"])
    assert [order.index(cell) for cell in tables.training["cell"]] == sorted(
        order.index(cell) for cell in tables.training["cell"]
    )
    turned = replace(tables, accuracy=tables.accuracy.iloc[::-1])
    assert list(dict.fromkeys(turned.accuracy["cell"])) == list(dict.fromkeys(tables.accuracy["cell"]))
    assert list(turned.accuracy["task"][:2]) == ["average", "ARC-Easy"]


def test_empty_tables_have_their_columns_and_round_trip(tmp_path):
    tables = empty_tables()
    for name, schema in SCHEMAS.items():
        assert list(getattr(tables, name).columns) == [column.name for column in schema.columns]
    save_tables(tables, tmp_path)
    assert_same(load_tables(tmp_path), tables)


def test_missing_text_stays_missing(tmp_path):
    tables = empty_tables(cells=pd.DataFrame([cell_row("s/sft", "student", "sft", student="s", cause=None)]))
    save_tables(tables, tmp_path)
    assert load_tables(tmp_path).cells["teacher"].isna().all()
    assert "nan" not in (tmp_path / "cells.csv").read_text().lower()
    assert "None" not in (tmp_path / "cells.csv").read_text()


def change(frame: pd.DataFrame, column: str, value: object, row: int = 1) -> pd.DataFrame:
    changed = frame.astype({column: object})
    changed.loc[row, column] = value
    return changed


@pytest.mark.parametrize(
    ("table", "column", "value", "message"),
    [
        ("accuracy", "accuracy", 43.5, r"table 'accuracy', row 2: accuracy: 43\.5 is not between 0 and 1"),
        ("gains", "gain", -20.0, "row 2: gain: .* is not between -1 and 1"),
        ("cells", "role", "pupil", "row 2: role: 'pupil' is not one of teacher, student, base"),
        ("cells", "state", None, "row 2: state: a value is missing"),
        ("cells", "steps", 1.5, "steps: not a column of kind 'integer'"),
        ("training", "loss", "high", "loss: not a column of kind 'number'"),
        ("accuracy", "items", -1, "row 2: items: -1 is below 0"),
        ("cells", "labelled_examples", -1, "row 2: labelled_examples: -1 is below 0"),
        ("accuracy", "cell", "nobody", "cell: 'nobody' is not in table 'cells'"),
        ("gains", "control", "nobody", "control: 'nobody' is not in table 'cells'"),
        ("fidelity", "value", 40.0, "row 2: value: both_wrong_same is a share of items"),
    ],
)
def test_wrong_values_are_named_with_their_place(tables, table, column, value, message):
    with pytest.raises(DataError, match=message):
        replace(tables, **{table: change(getattr(tables, table), column, value)})


def test_bleu_may_exceed_one_and_kappa_may_be_negative(tables):
    fidelity = tables.fidelity.copy()
    fidelity.loc[fidelity["measure"] == "error_consistency_kappa", "value"] = -0.3
    assert (replace(tables, fidelity=fidelity).fidelity["value"] > 1).any()


def test_columns_must_be_those_of_the_schema(tables):
    with pytest.raises(DataError, match="table 'gains': no column 'p_holm'"):
        replace(tables, gains=tables.gains.drop(columns="p_holm"))
    with pytest.raises(DataError, match="table 'gains': unknown column 'p_hlom'"):
        replace(tables, gains=tables.gains.assign(p_hlom=0.1))


def test_tables_from_before_a_column_was_added_still_load(tables, tmp_path):
    new = replace(tables, cells=tables.cells.assign(labelled_examples=300, unlabelled_prompts=0))
    save_tables(new, tmp_path)
    assert load_tables(tmp_path).cells["labelled_examples"].tolist() == [300] * len(tables.cells)
    old = pd.read_parquet(tmp_path / "cells.parquet").drop(columns=["labelled_examples", "unlabelled_prompts"])
    old.to_parquet(tmp_path / "cells.parquet")
    loaded = load_tables(tmp_path)
    assert loaded.cells[["labelled_examples", "unlabelled_prompts"]].isna().all(axis=None)
    pd.testing.assert_frame_equal(loaded.cells[old.columns], new.cells[old.columns], check_exact=True)
    old.drop(columns="steps").to_parquet(tmp_path / "cells.parquet")
    with pytest.raises(DataError, match="table 'cells': no column 'steps'"):
        load_tables(tmp_path)


def test_a_row_may_not_repeat(tables):
    twice = pd.concat([tables.accuracy, tables.accuracy.head(1)])
    with pytest.raises(DataError, match="a second row for cell 'big/adapted/s0', task 'gsm8k', scoring 'robust'"):
        replace(tables, accuracy=twice)


def test_missing_and_damaged_files_are_named(tables, tmp_path):
    save_tables(tables, tmp_path)
    (tmp_path / "gains.parquet").write_bytes(b"PAR1 not really")
    with pytest.raises(DataError, match=r"gains\.parquet: not a readable parquet file"):
        load_tables(tmp_path)
    (tmp_path / "gains.parquet").unlink()
    with pytest.raises(DataError, match=r"gains\.parquet: this table is missing"):
        load_tables(tmp_path)
