"""CSV of tables whose cells no spreadsheet takes for formulas, and the way back.

Text that begins with ``=``, ``+``, ``-`` or ``@``, also after white space, or with a tab or a line break, has an
apostrophe in front of it in every CSV file that kdscope writes; so has such text that brings apostrophes of its own.
Reading takes one away again. Numbers stay as they are, also where they are text.
"""

from __future__ import annotations

import csv
import re
from pathlib import Path
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    import pandas as pd

_SIGN = r"[\t\r\n]|\s*[=+\-@\uff1d\uff0b\uff0d\uff20]"  # the last four are their full-width forms
_FORMULA = re.compile(rf"'*(?:{_SIGN})")
_NUMBER = re.compile(r"[-+]?(?:\d+\.?\d*|\.\d+)(?:[eE][-+]?\d+)?")
_GUARDED = re.compile(rf"'+(?:{_SIGN})")


def guarded(value: Any) -> Any:
    """A cell as it is written: text that could pass for a formula begins with an apostrophe.

    >>> guarded("=1+1"), guarded("'=1+1"), guarded("it's"), guarded("-1.5")
    ("'=1+1", "''=1+1", "it's", '-1.5')
    """
    if not isinstance(value, str) or _NUMBER.fullmatch(value) or not _FORMULA.match(value):
        return value
    return f"'{value}"


def unguarded(cell: str) -> str:
    """The text that `guarded` was given.

    >>> unguarded("'=1+1"), unguarded("''=1+1"), unguarded("it's"), unguarded("-1.5")
    ('=1+1', "'=1+1", "it's", '-1.5')
    """
    return cell[1:] if _GUARDED.match(cell) else cell


def csv_text(frame: pd.DataFrame) -> str:
    """The rows of a table as CSV, its text `guarded`, its numbers as they were computed."""
    from pandas.api.types import is_bool_dtype, is_numeric_dtype

    columns = {
        place: column if is_numeric_dtype(column) or is_bool_dtype(column) else column.astype(object).map(guarded)
        for place, (_, column) in enumerate(frame.items())
    }
    safe = frame.__class__(columns, index=frame.index).set_axis(list(map(guarded, frame.columns)), axis=1)
    text = str(safe.to_csv(index=False, lineterminator="\n"))
    # A carriage return alone does not have its cell quoted, and would end the row for a reader.
    return str(safe.to_csv(index=False, lineterminator="\n", quoting=csv.QUOTE_NONNUMERIC)) if "\r" in text else text


def write_csv(frame: pd.DataFrame, path: Path) -> None:
    """Write `csv_text` as a file in UTF-8; half a surrogate pair, which is no text, becomes a question mark."""
    path.write_text(csv_text(frame), encoding="utf-8", errors="replace", newline="")
