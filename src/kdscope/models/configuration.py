"""The JSON configurations of models and adapters, and the bounds of the numbers in them. Without torch.

They may come from anybody, and what is built from them takes the time and the memory that their numbers say.
"""

from __future__ import annotations

import json
import math
import re
from collections.abc import Iterable, Iterator, Mapping
from pathlib import Path
from types import MappingProxyType
from typing import Any

from kdscope.core.errors import ModelFileError

CONFIG = "config.json"
MAX_JSON_BYTES = 2**26

LIMITS: Mapping[str, tuple[re.Pattern[str], int, int]] = MappingProxyType(
    {
        "layers": (re.compile(r"num_(hidden_)?layers|n_layers?"), 1, 1024),
        "modules": (re.compile(r"(num|n)_.*(layer|block|head|expert|group)s?|(.*_)?(r|rank)"), -1, 2**16),
        "sizes": (re.compile(r"(?!.*window).*_(size|dim)|d_(model|ff|kv|inner)|n_(embd|inner)"), -1, 2**24),
        "positions": (re.compile(r"max_position_embeddings|n_positions|n_ctx|max_seq(uence)?_len(gth)?"), -1, 2**28),
        "other": (re.compile(r"(?s:.*)"), -(2**63), 2**63),
    }
)
"""Numbers of a configuration: names of keys, and the least and the largest number there (-1 often stands for none).

The first kind whose names fit holds; fractions of the last kind have no bounds.
"""


MAX_EXPERTS = 2**19
"""Of all layers together."""
_EXPERTS = re.compile(r"(num|n)_.*experts")


def read_object(file: Path) -> dict[str, Any]:
    """The JSON object in a file.

    Raises:
        ModelFileError: It cannot be read, is longer than `MAX_JSON_BYTES`, or is no JSON object.
    """
    try:
        if file.exists() and not file.is_file():
            raise ModelFileError(f"{file} is not a file")
        if (size := file.stat().st_size) > MAX_JSON_BYTES:
            raise ModelFileError(f"{file} has {size} bytes; at most {MAX_JSON_BYTES} are read")
        return parse_object(file.read_bytes(), file)
    except OSError as error:
        raise ModelFileError(f"{file} cannot be read: {error.strerror or error}") from None


def parse_object(text: bytes, file: Path) -> dict[str, Any]:
    """The same of text at hand; `file` is what errors name."""
    try:
        value = json.loads(text)
    except RecursionError:
        raise ModelFileError(f"{file} is nested too deeply to be a configuration") from None
    except ValueError as error:
        raise ModelFileError(f"{file} is not a JSON object: {error}") from None
    if not isinstance(value, dict):
        raise ModelFileError(f"{file} is not a JSON object: a {type(value).__name__} is at its top")
    return value


def read_config(folder: Path) -> dict[str, Any]:
    """config.json of a model folder.

    Raises:
        ModelFileError: There is none, or it is no JSON object.
    """
    return read_object(folder / CONFIG)


def text_config(config: Mapping[str, Any]) -> Mapping[str, Any]:
    """The part of a configuration that is about the language model: of those with other parts too, one."""
    inner = config.get("text_config")
    return inner if isinstance(inner, dict) else config


def check_numbers(values: Mapping[str, Any], file: Path, *, finite: bool = False) -> None:
    """Refuse numbers beyond `LIMITS`, at any depth, what is not a number, and if asked infinity too.

    Raises:
        ModelFileError: Names the file and the key.
    """
    for place, key, value in leaves(values):
        whole = is_whole(value)
        if not whole and not isinstance(value, float):
            continue
        if math.isnan(value) or (finite and math.isinf(value)):
            raise ModelFileError(f"{file}: {place!r:.80} is {value}; it is a finite number")
        kind, low, high = next((kind, low, high) for kind, (names, low, high) in LIMITS.items() if names.fullmatch(key))
        if (whole or kind != "other") and not low <= value <= high:
            raise ModelFileError(f"{file}: {place!r:.80} is {value!s:.40}; it is a number from {low} to {high}")


def check_config(config: Mapping[str, Any], file: Path, *, trusted: bool = False) -> None:
    """Refuse a configuration whose numbers are beyond `LIMITS`, or whose code is another repository's.

    Raises:
        ModelFileError: Names the file and the key.
    """
    check_numbers(config, file)
    for part in (config, *(part for part in config.values() if isinstance(part, dict))):
        layers, experts = _largest(part, LIMITS["layers"][0]), _largest(part, _EXPERTS)
        if layers * experts > MAX_EXPERTS:
            raise ModelFileError(f"{file} asks for {layers} layers of {experts} experts; at most {MAX_EXPERTS} in all")
    for place, key, value in leaves(config):
        if key.endswith("_implementation") and isinstance(value, str) and "/" in value:
            raise ModelFileError(f"{file}: {place!r:.80} takes code from the repository {value!r:.80}; leave it out")
    if trusted:
        check_own_code(config, file)


def _largest(config: Mapping[str, Any], names: re.Pattern[str]) -> int:
    return max((value for key, value in config.items() if names.fullmatch(key) and is_whole(value)), default=1)


def check_own_code(config: Mapping[str, Any], file: Path) -> None:
    """Refuse code of another repository, which would be whatever that repository holds on the day.

    Raises:
        ModelFileError: Names the file and the code.
    """
    for _, _, name in leaves(config.get("auto_map")):
        if isinstance(name, str) and "--" in name:
            raise ModelFileError(
                f"{file}: auto_map takes code from another repository ({name!r:.80}), which is not pinned; copy that "
                "code into the folder of the model"
            )


def leaves(values: object) -> Iterator[tuple[str, str, Any]]:
    """What is neither a mapping nor a list, at any depth: its place, the last key above it, the value."""
    left: list[tuple[str, str, Any]] = [("", "", values)]
    while left:
        place, key, value = left.pop()
        if isinstance(value, Mapping):
            left += [(f"{place}.{name}".removeprefix("."), str(name), part) for name, part in value.items()]
        elif isinstance(value, list):
            left += [(place, key, part) for part in value]
        else:
            yield place, key, value


def some_of(names: Iterable[str]) -> str:
    """The first three of some names in order, printable and cut, and whether there are more.

    >>> some_of(["d", "c", "b", "a"]), some_of(["a"])
    ('a, b, c, ...', 'a')
    """
    ordered = sorted(name if name.isprintable() else repr(name) for name in names)
    return ", ".join(name[:120] for name in ordered[:3]) + (", ..." if len(ordered) > 3 else "")


def is_whole(value: object) -> bool:
    """Whether a value is a whole number, which true and false are not."""
    return isinstance(value, int) and not isinstance(value, bool)
