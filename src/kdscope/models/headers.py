"""Headers of safetensors files: what tensors are in them, told without numpy or torch."""

from __future__ import annotations

import math
from pathlib import Path
from typing import TypeGuard

from kdscope.core.errors import ModelFileError
from kdscope.models.configuration import is_whole, parse_object

MAX_HEADER_BYTES = 10**8
"""Of a safetensors file, as the library has it."""
_MAX_DIMENSIONS = 16
_BITS = {"F64": 64, "I64": 64, "U64": 64, "C64": 64, "F32": 32, "I32": 32, "U32": 32}
_BITS |= {"F16": 16, "BF16": 16, "I16": 16, "U16": 16, "F4": 4, "F6_E2M3": 6, "F6_E3M2": 6}
_BYTE = 8


def tensor_shapes(file: Path) -> dict[str, tuple[int, ...]]:
    """Shapes in a safetensors header: 8 bytes of its length, little-endian, JSON, then the tensors up to the file end.

    Read here and not by the library, which imports numpy, for which planning need not wait.

    Raises:
        ModelFileError: The file cannot be read; its header is cut, too long or no JSON object; its tensors do not lie
            one after the other up to the end, or do not take the bytes that their shapes take.
    """
    try:
        if file.exists() and not file.is_file():
            raise ModelFileError("it is not a file")
        with file.open("rb") as stream:
            length, size = int.from_bytes(stream.read(8), "little"), file.stat().st_size
            if not 2 <= length <= min(MAX_HEADER_BYTES, size - 8):
                raise ModelFileError(f"its header would have {length} bytes, of {size} in all")
            header = parse_object(stream.read(length), file)
        tensors = {name: entry for name, entry in header.items() if name != "__metadata__"}
        spans = [_span(entry, name) for name, entry in tensors.items()]
        _check_spans(spans, size - 8 - length)
    except OSError as error:
        raise ModelFileError(f"{file} cannot be read: {error.strerror or error}") from None
    except ModelFileError as error:
        reason = str(error).removeprefix(f"{file} ")
        raise ModelFileError(f"{file} is not a safetensors file ({reason}); was it downloaded whole?") from None
    return {name: tuple(entry["shape"]) for name, entry in tensors.items()}


def _span(entry: object, name: str) -> tuple[int, int]:
    """First and last byte of a tensor, which must hold what its shape says."""
    told = entry if isinstance(entry, dict) else {}
    shape, offsets, dtype = told.get("shape"), told.get("data_offsets"), told.get("dtype")
    if not _are_sizes(shape, _MAX_DIMENSIONS) or not _are_sizes(offsets, 2) or not isinstance(dtype, str):
        raise ModelFileError(f"{name!r:.80} has no dtype, shape and data_offsets")
    first, last = (*offsets, 0, 0)[:2]
    if (last - first) * 8 != math.prod(shape) * _BITS.get(dtype, _BYTE):
        raise ModelFileError(f"{name!r:.80} has {last - first} bytes for the shape {shape} of {dtype!r:.20}")
    return first, last


def _are_sizes(value: object, most: int) -> TypeGuard[list[int]]:
    return isinstance(value, list) and len(value) <= most and all(is_whole(n) and 0 <= n < 2**63 for n in value)


def _check_spans(spans: list[tuple[int, int]], size: int) -> None:
    end = 0
    for first, last in sorted(spans):
        if first != end:
            raise ModelFileError(f"a tensor starts at byte {first}, where the one before it ends at {end}")
        end = last
    if end != size:
        raise ModelFileError(f"its tensors take {end} bytes, and {size} are there")
