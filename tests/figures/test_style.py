"""Axes: what they span."""

from __future__ import annotations

import numpy as np
import pytest

from kdscope.figures.style import padded


@pytest.mark.parametrize(
    ("values", "span"),
    [
        ([0.0, 10.0], [-0.8, 10.8]),
        ([3.0], [2.0, 4.0]),
        ([0.0, -1.4e-14], [-1.0, 1.0]),
        ([1e6, 1e6 + 1e-5], [1e6 - 1.0, 1e6 + 1.0]),
        ([np.nan, np.inf], [0.0, 1.0]),
        ([], [0.0, 1.0]),
    ],
)
def test_padded_spans_the_values_and_one_where_they_are_equal_but_for_rounding(values, span):
    assert padded(np.array(values)) == pytest.approx(span, abs=1e-4)
