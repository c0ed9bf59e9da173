"""Malformed text: a JSON-like value with a part that cannot be meant, or bytes that are damaged."""

from __future__ import annotations

import copy
import json
import random
from typing import Any

DEEP = "\0deep"
"""Stands for lists nested 100,000 deep, which no library writes."""
NUMBERS: tuple[Any, ...] = (float("nan"), float("inf"), float("-inf"), -1, -(10**30), 10**30, 1e300, True, "1_000", "")
"""Where a number of a study is expected, none of these may be accepted."""
THINGS: tuple[Any, ...] = (
    *NUMBERS,
    *(None, 0, 1, -0.0, [], {}, [[]], {"": ""}, [None], "x" * 5_000, "\x1b[31mred\x07", "a\0b", "\uffff", "\ud800"),
    *("\u202eabc", "../../etc/passwd", "/dev/zero", "~", "*", "=1+1", "${HOME}", "{{ 1 }}", "<script>", "'", '"', DEEP),
)


def paths(value: Any, path: tuple[Any, ...] = ()) -> list[tuple[Any, ...]]:
    """The ways to every part of a JSON-like value, that to the whole first."""
    found = [path]
    items = value.items() if isinstance(value, dict) else enumerate(value) if isinstance(value, list) else ()
    for key, part in items:
        found += paths(part, (*path, key))
    return found


def at(value: Any, path: tuple[Any, ...]) -> Any:
    """The part of a value at the end of a path."""
    for key in path:
        value = value[key]
    return value


def replaced(value: Any, path: tuple[Any, ...], new: Any) -> Any:
    """A copy of the value with another part at the end of a path."""
    if not path:
        return new
    result = copy.deepcopy(value)
    at(result, path[:-1])[path[-1]] = new
    return result


def mutated(value: Any, rng: random.Random) -> tuple[Any, str]:
    """A copy in which one part is replaced, left out, renamed or repeated; and what was done, in words."""
    path = rng.choice(paths(value)[1:] or [()])
    kind = rng.random()
    if kind < 0.7 or not path:
        new = rng.choice(THINGS)
        return replaced(value, path, new), f"{_name(path)} = {ascii(new)[:40]}"
    result = copy.deepcopy(value)
    parent = at(result, path[:-1])
    if isinstance(parent, list):
        parent.insert(0, copy.deepcopy(parent[path[-1]]))
        return result, f"{_name(path)} repeated"
    part = parent.pop(path[-1])
    if kind > 0.85:
        parent[str(path[-1]) + rng.choice("_sx \x1b")] = part
        return result, f"{_name(path)} renamed"
    return result, f"{_name(path)} left out"


def _name(path: tuple[Any, ...]) -> str:
    return ".".join(str(key) for key in path) or "everything"


def to_json(value: Any) -> str:
    """JSON text, with NaN and infinity as Python writes them and the deep lists written out."""
    return json.dumps(value, ensure_ascii=True).replace(json.dumps(DEEP), "[" * 100_000 + "]" * 100_000)


def damaged(data: bytes, rng: random.Random) -> tuple[bytes, str]:
    """Bytes cut, flipped, doubled, or in another encoding; and what was done."""
    place = rng.randrange(max(1, len(data)))
    ways = {
        "cut": data[:place],
        "empty": b"",
        "a byte flipped": data[:place]
        + bytes([(data[place] if data else 0) ^ (1 << rng.randrange(8))])
        + data[place + 1 :],
        "bytes that are not UTF-8": data[:place] + b"\xff\xfe\xc3" + data[place:],
        "a byte order mark": b"\xef\xbb\xbf" + data,
        "UTF-16": data.decode("utf-8", "replace").encode("utf-16"),
        "twice": data + data,
        "a NUL": data[:place] + b"\0" + data[place:],
        "an escape": data[:place] + b"\x1b[2J" + data[place:],
        "Windows line ends": data.replace(b"\n", b"\r\n"),
        "a part moved": data[place:] + data[:place],
        "binary": bytes(rng.randrange(256) for _ in range(2_000)),
    }
    name = rng.choice(sorted(ways))
    return ways[name], name
