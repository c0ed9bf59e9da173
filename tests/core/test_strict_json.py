"""JSON that says one thing: what `json` reads otherwise than it is written is an error that names the key."""

from __future__ import annotations

import json

import pytest

from kdscope.core.strict_json import UnmeantError, strict_loads


@pytest.mark.parametrize(
    ("text", "key"),
    [
        ('{"a": 1, "b": {"c": 1, "d": 2, "c": 1}}', "c"),
        ('[{"a": [1, [NaN]]}]', "a"),
        ('{"a": {"b": -Infinity}}', "b"),
        ('{"a": 1e400}', "a"),
        ('{"a\\n\\u001b": NaN}', "a\\n\\x1b"),
    ],
)
def test_what_cannot_be_meant_is_refused_with_its_key(text: str, key: str) -> None:
    with pytest.raises(UnmeantError) as caught:
        strict_loads(text)
    assert caught.value.key == key


@pytest.mark.parametrize("text", ['{"a": [1, 2.5, {"a": null}], "b": "NaN"}', "[]", "1e308"])
def test_anything_else_is_read_as_json_reads_it(text: str) -> None:
    assert strict_loads(text) == json.loads(text)
