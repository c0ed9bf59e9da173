"""Models and adapters mutated by a grammar: each is refused with the file and the reason, or loads as what it says.

Seeded, in one process; a failure prints the mutation.
"""

from __future__ import annotations

import json
import random
import shutil
import time
import warnings
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
import torch
from safetensors.torch import load_file

from kdscope.core.errors import KdscopeError
from kdscope.generation.base import Decoding
from kdscope.generation.huggingface import HuggingFaceGenerator
from kdscope.models.files import check_adapter, check_model, files_read
from kdscope.models.load import load_model, load_tokenizer
from kdscope.models.source import ModelPlace, read_shape
from tests.builders import make_model
from tests.models.test_load import make_adapter

TRIES = 80
MOST_SECONDS = 5.0
IDS = torch.arange(6).reshape(1, 6)
NUMBERS = (0, -1, 1, 7, 2**16, 2**31, 2**53, 2**64, 10**12, 10**30, 0.5, 1e308, float("inf"), float("nan"))
WORDS = ("", "x", "\x1b[31m", "\0", "../x", "/etc/passwd", "a" * 5000, "(a*)*$", "who/ever", "lora", "IA3", "cuda")
OTHERS = (None, True, False, [], {}, [[]], {"": {}}, [None] * 50, [{"a": 1}])


def values(rng: random.Random) -> Any:
    """A value of any kind."""
    return rng.choice((NUMBERS, WORDS, OTHERS)[rng.randrange(3)])


def places(value: Any) -> Iterator[tuple[Any, Any]]:
    """Every container in a value with each of its keys."""
    pairs = value.items() if isinstance(value, dict) else enumerate(value) if isinstance(value, list) else ()
    for key, part in list(pairs):
        yield value, key
        yield from places(part)


def mutated(value: Any, rng: random.Random) -> bytes:
    """The JSON text of a value in which one or a few things have changed, or a damaged text."""
    value = json.loads(json.dumps(value))
    for _ in range(rng.choice((1, 1, 2, 5))):
        where, key = rng.choice(list(places(value)))
        kind = rng.randrange(4)
        if kind == 0:
            where[key] = values(rng)
        elif kind == 1 and isinstance(where[key], int):
            where[key] = rng.choice((-where[key], where[key] + 1, where[key] * 2, where[key] * 1000, str(where[key])))
        elif kind == 2 and isinstance(where, dict):
            del where[key]
        else:
            where[key] = {"again": where[key]}
        if not value:
            break
    return damaged(json.dumps(value).encode(), rng)


def damaged(text: bytes, rng: random.Random) -> bytes:
    """Mostly the text itself; else cut, with another byte in it, or something else altogether."""
    at, kind = rng.randrange(len(text)), rng.randrange(12)
    others = (b"", b"[]", b"null", b"1", b'"x"', b"\xff\xfe", b"[" * 100_000, b'{"a":' * 100_000)
    made = {0: text[:at], 1: text[:at] + bytes([rng.randrange(256)]) + text[at + 1 :], 2: rng.choice(others)}
    return made.get(kind, text)


def mutated_header(file: Path, rng: random.Random) -> None:
    data = file.read_bytes()
    length = int.from_bytes(data[:8], "little")
    header = mutated(json.loads(data[8 : 8 + length]), rng)
    told = rng.choice((len(header),) * 6 + (0, length * 2, 2**40, 2**64 - 1))
    rest = data[8 + length :]
    cut = rng.choice((len(rest),) * 6 + (0, len(rest) // 2, len(rest) - 1))
    file.write_bytes(told.to_bytes(8, "little") + header + rest[:cut])


def change_json(file: Path, rng: random.Random) -> None:
    file.write_bytes(mutated(json.loads(file.read_bytes()), rng))


@pytest.fixture(scope="module")
def sound(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("sound")
    make_model(folder / "model", layers=2, hidden=8, spread=0.3)
    (folder / "model" / "generation_config.json").write_text('{"eos_token_id": [256, 3], "temperature": 0.5}')
    make_adapter(folder / "model", folder / "adapter")
    return folder


TARGETS: dict[str, tuple[str, Callable[[Path, random.Random], None]]] = {
    "config": ("model/config.json", change_json),
    "generation_config": ("model/generation_config.json", change_json),
    "tokenizer": ("model/tokenizer.json", change_json),
    "tokenizer_config": ("model/tokenizer_config.json", change_json),
    "header": ("model/model.safetensors", mutated_header),
    "adapter_config": ("adapter/adapter_config.json", change_json),
    "adapter_header": ("adapter/adapter_model.safetensors", mutated_header),
}


def told_or_loaded(folder: Path, file: str) -> str:
    """What is said of the model with its adapter; its first words name the file, or nothing is said and it works."""
    adapted = file.startswith("adapter")
    place = ModelPlace(str(folder / "model"), adapter=str(folder / "adapter") if adapted else None)
    try:
        check_model(folder / "model")
        files_read(folder / "model")
        read_shape(folder / "model")
        if adapted:
            check_adapter(folder / "adapter")
        tokenizer = load_tokenizer(place)
        model = load_model(place, "float32", "cpu")
    except KdscopeError as error:
        return str(error)
    with torch.no_grad():
        assert torch.isfinite(model(IDS).logits).all()
    assert HuggingFaceGenerator(model, tokenizer).generate([[5, 6]], Decoding(1))
    stored, loaded = load_file(folder / "model" / "model.safetensors"), dict(model.named_parameters())
    assert adapted or all(torch.equal(weight, loaded[name].to(weight.dtype)) for name, weight in stored.items())
    return ""


@pytest.mark.parametrize("target", TARGETS)
def test_a_mutated_model_is_refused_in_one_line_or_loads_right(target: str, sound: Path, tmp_path: Path) -> None:
    file, change = TARGETS[target]
    refused = 0
    for number in range(TRIES):
        folder = Path(shutil.copytree(sound, tmp_path / "tried"))
        change(folder / file, random.Random(f"{target} {number}"))
        began = time.process_time()
        try:
            with warnings.catch_warnings():
                warnings.simplefilter("ignore")
                told = told_or_loaded(folder, file)
        except BaseException as error:
            error.add_note(f"mutation {number} of {file}: {(folder / file).read_bytes()[:3000]!r}")
            raise
        assert time.process_time() - began < MOST_SECONDS, f"mutation {number} of {file}"
        assert "\n" not in told
        assert "\x1b" not in told
        assert not told or str(folder / file.split("/")[0]) in told, told
        refused += bool(told)
        shutil.rmtree(folder)
    assert refused > TRIES // 4
