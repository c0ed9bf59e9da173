"""Headers of safetensors files are what the library would accept, or the file is refused."""

from __future__ import annotations

import json
import os
from pathlib import Path
from typing import Any

import pytest
import torch
from safetensors import SafetensorError, safe_open
from safetensors.torch import save_file

from kdscope.core.errors import ModelError
from kdscope.models.headers import tensor_shapes


def entry(shape: list[Any], start: int, stop: int, dtype: Any = "F32") -> dict[str, Any]:
    return {"dtype": dtype, "shape": shape, "data_offsets": [start, stop]}


def write(file: Path, header: object, size: int, length: int | None = None) -> Path:
    text = header if isinstance(header, bytes) else json.dumps(header).encode()
    file.write_bytes((len(text) if length is None else length).to_bytes(8, "little") + text + b"\0" * size)
    return file


def test_shapes_of_every_precision(tmp_path: Path) -> None:
    kinds = (
        "float64",
        "float32",
        "bfloat16",
        "float16",
        "int64",
        "int32",
        "int16",
        "int8",
        "uint8",
        "bool",
        "float8_e4m3fn",
    )
    tensors = {kind: torch.zeros(3, 2).to(getattr(torch, kind)) for kind in kinds}
    tensors |= {"scalar": torch.zeros(()), "none": torch.zeros(0, 4)}
    save_file(tensors, tmp_path / "x.safetensors", metadata={"format": "pt"})
    assert tensor_shapes(tmp_path / "x.safetensors") == {name: tuple(t.shape) for name, t in tensors.items()}


BROKEN: dict[str, tuple[object, int]] = {
    "a list": ([], 0),
    "garbage": (b"\xff\xfe garbage", 0),
    "deep": (b'{"a":' * 100_000, 0),
    "an entry that is a list": ({"a": [1]}, 4),
    "no shape": ({"a": {"dtype": "F32", "data_offsets": [0, 4]}}, 4),
    "a negative shape": ({"a": entry([-1], 0, 4)}, 4),
    "a shape of true": ({"a": entry([True], 0, 4)}, 4),
    "a shape of fractions": ({"a": entry([1.0], 0, 4)}, 4),
    "a shape too big": ({"a": entry([2**62, 2**62], 0, 4)}, 4),
    "too many dimensions": ({"a": entry([1] * 1000, 0, 4)}, 4),
    "offsets the wrong way": ({"a": entry([1], 4, 0)}, 4),
    "one offset": ({"a": {"dtype": "F32", "shape": [1], "data_offsets": [0]}}, 4),
    "another size": ({"a": entry([2], 0, 4)}, 4),
    "a dtype that is none": ({"a": entry([4], 0, 4, 7)}, 4),
    "overlap": ({"a": entry([2], 0, 8), "b": entry([2], 4, 12)}, 12),
    "a hole": ({"a": entry([1], 0, 4), "b": entry([1], 8, 12)}, 12),
    "bytes missing": ({"a": entry([2], 0, 8)}, 4),
    "bytes left": ({"a": entry([1], 0, 4)}, 8),
}


@pytest.mark.parametrize("kind", BROKEN)
def test_a_broken_header_is_refused_as_the_library_does(kind: str, tmp_path: Path) -> None:
    header, size = BROKEN[kind]
    file = write(tmp_path / "x.safetensors", header, size)
    with pytest.raises(ModelError, match=r"x\.safetensors is not a safetensors file \(.*\); was it downloaded whole\?"):
        tensor_shapes(file)
    if kind != "too many dimensions":
        with pytest.raises((SafetensorError, OverflowError)), safe_open(file, "pt"):
            pass


@pytest.mark.parametrize("length", [0, 1, 50, 10**8 + 1, 2**64 - 1])
def test_a_header_of_another_length_is_refused(length: int, tmp_path: Path) -> None:
    with pytest.raises(ModelError, match="is not a safetensors file"):
        tensor_shapes(write(tmp_path / "x.safetensors", {"a": entry([1], 0, 4)}, 4, length))


def test_a_pipe_is_not_waited_for(tmp_path: Path) -> None:
    os.mkfifo(tmp_path / "x.safetensors")
    with pytest.raises(ModelError, match="is not a safetensors file"):
        tensor_shapes(tmp_path / "x.safetensors")
