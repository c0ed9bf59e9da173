"""What a mark of a chart carries beside its look: the words a reader sees when pointing at it, and what it is about.

Both travel through the renderer in the mark's description; `svg.render_svg` takes them apart again.
"""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from typing import Any

import pandas as pd

from kdscope.results.formatting import is_missing
from kdscope.results.methods import ADAPT, BASE, SFT
from kdscope.results.tables import records

SEPARATOR = "\u241f"
CONTROLS = frozenset({SFT, BASE, ADAPT})
"""Methods that a choice of methods never hides, because everything is compared with them."""


def described(
    words: str,
    row: Mapping[str, Any],
    *,
    at_row: int | None = None,
    at_column: int | None = None,
    by_student: bool = False,
) -> str:
    """The words with what the mark is about: its method, its task, and the row and column of the panel it stands in.

    `by_student` for panels that hold several students: the mark then tells its own.
    """
    about: dict[str, str | int] = {"student": str(row["model"])} if by_student else {}
    if not is_missing(row.get("method")) and row["method"] not in CONTROLS:
        about["method"] = str(row["method"])
    if not is_missing(row.get("task")) and at_column is not None:
        about["task"] = str(row["task"])
    about |= {name: place for name, place in (("row", at_row), ("column", at_column)) if place is not None}
    return f"{words.replace(SEPARATOR, ' ')}{SEPARATOR}{json.dumps(about, ensure_ascii=False)}"


def taken_apart(description: str) -> tuple[str, dict[str, str]]:
    """The words, and what the mark is about.

    >>> taken_apart(described("3 points", {"method": "kd"}, at_row=2))
    ('3 points', {'method': 'kd', 'row': '2'})
    """
    words, _, about = description.partition(SEPARATOR)
    return words, {name: str(value) for name, value in json.loads(about or "{}").items()}


def tagged(
    rows: pd.DataFrame, *, in_rows: bool = False, columns: Sequence[str] = (), by_student: bool = False
) -> pd.DataFrame:
    """The rows of a panel with their `hover` words `described`.

    `in_rows` for panels whose vertical axis has a named row per cell; `columns` are the tasks along the horizontal one.
    """
    places = {name: place for place, name in enumerate(dict.fromkeys(rows["short"]))}
    hover = [
        described(
            str(row["hover"]),
            row,
            at_row=places[row["short"]] if in_rows else None,
            at_column=columns.index(row["task"]) if columns else None,
            by_student=by_student,
        )
        for row in records(rows)
    ]
    return rows.assign(hover=hover)
