"""Records as a matrix: every record in its place, decoding seeds averaged, what cannot be is refused."""

from __future__ import annotations

import numpy as np
import pandas as pd
import pytest

from kdscope.core.errors import StatisticsError
from kdscope.protocols.item_matrix import MODEL_COLUMNS, item_matrix


def records():
    rows = [
        ("a", "S-1B", "", "sft", None, 0, "x", "1", 1),
        ("a", "S-1B", "", "sft", None, 0, "x", "2", 0),
        ("a", "S-1B", "", "sft", None, 0, "y", "1", 1),
        ("b", "S-1B", "T", "gkd", 1.0, 0, "y", "1", 0),
        ("b", "S-1B", "T", "gkd", 1.0, 0, "y", "1", 1),
        ("b", "S-1B", "T", "gkd", 1.0, 0, "x", "1", 1),
    ]
    return pd.DataFrame(rows, columns=[*MODEL_COLUMNS, "task", "item", "correct"])


def test_every_record_has_its_place_in_any_order():
    for order in ([0, 1, 2, 3, 4, 5], [5, 3, 1, 0, 4, 2]):
        found = item_matrix(records().iloc[order])
        model = {name: row for row, name in enumerate(found.models["model"])}
        place = {(t, i): n for n, (t, i) in enumerate(zip(found.items["task"], found.items["item"], strict=True))}
        assert found.correct[model["a"], place["x", "1"]] == 1
        assert found.correct[model["a"], place["x", "2"]] == 0
        assert found.correct[model["b"], place["y", "1"]] == 0.5
        assert np.isnan(found.correct[model["b"], place["x", "2"]])
        assert found.correct.shape == (2, 3)


def test_means_by_task_leave_out_what_was_not_measured():
    found = item_matrix(records())
    assert found.tasks == ("x", "y")
    assert found.by_task(found.correct).tolist() == [[0.5, 1.0], [1.0, 0.5]]


def test_clusters_default_to_items():
    assert item_matrix(records()).items["cluster"].nunique() == 3
    told = records().assign(cluster="one", contaminated=True)
    assert item_matrix(told).items["cluster"].nunique() == 1
    assert item_matrix(told).items["contaminated"].all()


def test_what_cannot_be_is_refused():
    with pytest.raises(StatisticsError, match="seed"):
        item_matrix(records().drop(columns="seed"))
    with pytest.raises(StatisticsError, match="between 0 and 1"):
        item_matrix(records().assign(correct=2))
    with pytest.raises(StatisticsError, match="between 0 and 1"):
        item_matrix(records().assign(correct=np.nan))
    with pytest.raises(StatisticsError, match="there must be some"):
        item_matrix(records().iloc[:0])
    mixed = records()
    mixed.loc[4, "teacher"] = "other"
    with pytest.raises(StatisticsError, match="b has more than one teacher"):
        item_matrix(mixed)
