"""Numbers as a reader sees them."""

from __future__ import annotations

import pytest

from kdscope.results.formatting import format_p


@pytest.mark.parametrize(
    ("p", "written"), [(0.05, ".05"), (0.0503, ".0503"), (0.0009, "< .001"), (1.0, "1"), (0.9999, "1"), (0.123, ".12")]
)
def test_p_values_are_written_as_in_papers(p, written):
    assert format_p(p) == written
