"""What the commands share."""

from __future__ import annotations

import pytest

from kdscope.cli.application import one_of
from kdscope.core.errors import DataError


def test_an_option_of_few_values() -> None:
    assert one_of("--unit", "percent", ("auto", "percent", "fraction")) == "percent"
    with pytest.raises(DataError, match=r"^--unit is auto, percent or fraction, not 'points'$"):
        one_of("--unit", "points", ("auto", "percent", "fraction"))
