"""A table before it is HTML, LaTeX, Markdown or text."""

from __future__ import annotations

import pandas as pd
import pytest

from kdscope.results.table import (
    Table,
    TableCell,
    csv_text,
    decimal,
    estimate,
    gain,
    number,
    numbers,
    p_value,
    plain_table,
    share,
    terminal_text,
    text,
    texts,
)

NAN = float("nan")


def test_rows_have_as_many_entries_as_columns() -> None:
    with pytest.raises(ValueError, match="does not have 2 entries"):
        Table("gains", "Gains", (*texts("model"), *numbers("gain")), ((TableCell("a"),),))


def test_columns_show_records_by_heading_or_by_the_key_given() -> None:
    columns = (*texts("trained with"), *numbers("p", show=p_value, p="p_value"))
    table = Table.of([{"trained_with": "gkd", "p_value": 0.0312}], columns, key="k", title="T")
    assert [[cell.shown for cell in row] for row in table.rows] == [["gkd", ".031"]]
    assert table.headings == ("trained with", "p")


@pytest.mark.parametrize("missing", [None, NAN, pd.NA])
def test_missing_values_are_dashes_that_sort_nowhere(missing: object) -> None:
    row = {"accuracy": missing, "gain": missing, "low": 0.1, "high": 0.2}
    cells = (text(missing), number(missing), decimal(missing), p_value(missing), share(row, "accuracy"), gain(row))
    assert {cell.shown for cell in cells} == {"–"}
    assert {cell.sort for cell in cells} == {""}


def test_a_value_without_both_limits_stands_alone() -> None:
    assert estimate((0.5, 0.4, NAN), str).shown == "0.5"
    assert estimate((0.5, 0.4, 0.6), str, mark="*").shown == "0.5* [0.4, 0.6]"


def test_cells_sort_by_the_number_they_round() -> None:
    assert share({"accuracy": 0.123456}, "accuracy").sort == "0.123456"
    assert number(1234).sort == "1234.0"
    assert TableCell("3 of 4", value=3).sort == "3"


def test_a_column_without_numbers_is_one_of_text() -> None:
    table = Table("k", "T", (*texts("who"), *numbers("n", "m")), ((text("a"), number(1), number(None)),))
    assert table.text_columns == {0, 2}


def test_terminal_text_sets_numbers_flush_right() -> None:
    shown = terminal_text(plain_table(("who", "n"), [("a", "7"), ("student", "1,234")], numeric={1}))
    assert shown.splitlines() == ["who          n", "-------  -----", "a            7", "student  1,234"]
    assert terminal_text(plain_table(("who",), [], numeric=())).splitlines() == ["who", "---"]


def test_csv_has_numbers_as_they_were_computed() -> None:
    table = Table("k", "T", texts("a"), (), data=pd.DataFrame({"a": [0.123456789]}))
    assert csv_text(table) == "a\n0.123456789\n"
    with pytest.raises(ValueError, match="no numbers behind it"):
        csv_text(Table("k", "T", texts("a"), ()))
