"""JSON that says one thing: a key twice in one object, NaN, Infinity and numbers beyond float64 are refused.

Python's reader takes the last value of a key and any of those numbers, so that what is read is not what is written.
"""

from __future__ import annotations

import json
import math
from collections.abc import Iterable
from typing import Any


class UnmeantError(ValueError):
    """An object of a JSON text has a key twice, or a number that is none; `key` is where."""

    def __init__(self, message: str, key: str) -> None:
        self.message, self.key = message, repr(key[:40])[1:-1]
        super().__init__(f"{self.key}: {message}")


def strict_decoder() -> json.JSONDecoder:
    """A decoder whose methods raise `UnmeantError` beside the errors of `json`."""
    return json.JSONDecoder(object_pairs_hook=_object)


def strict_loads(text: str) -> Any:
    """The value of a JSON text.

    Raises:
        ValueError: It is not JSON, or not of the strict kind.

    >>> strict_loads('{"a": 1, "a": 2}')
    Traceback (most recent call last):
        ...
    kdscope.core.strict_json.UnmeantError: a: the key is given twice, and only one of its values can count
    """
    return strict_decoder().decode(text)


def _object(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    values = dict(pairs)
    if len(values) < len(pairs):
        keys = [key for key, _ in pairs]
        twice = next(key for key in values if keys.count(key) > 1)
        raise UnmeantError("the key is given twice, and only one of its values can count", twice)
    for key, value in pairs:
        if isinstance(value, (float, list)) and not _finite((value,)):
            raise UnmeantError("NaN or Infinity is written, or a number too large to be read", key)
    return values


def _finite(values: Iterable[Any]) -> bool:
    """Whether every number is finite, in lists within lists too; objects were looked at when they ended."""
    return all(
        math.isfinite(value) if isinstance(value, float) else not isinstance(value, list) or _finite(value)
        for value in values
    )
