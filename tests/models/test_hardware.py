"""Which precision a machine offers is read from what it says of itself."""

from __future__ import annotations

import re
from pathlib import Path

import pytest
import torch

from kdscope.models import hardware
from kdscope.models.hardware import describe_hardware, resolve_device, resolve_dtype

SAPPHIRE_RAPIDS = "processor\t: 0\nflags\t\t: fpu sse2 avx512f avx512_bf16 amx_bf16 amx_tile\n\nprocessor\t: 1\n"
HASWELL = "processor\t: 0\nvmx flags\t: bf16\nflags\t\t: fpu sse2 avx2 fma\nbugs\t\t: avx512_bf16\n"
GRAVITON = "processor\t: 0\nFeatures\t: fp asimd sve bf16 i8mm\n"
ALTRA = "processor\t: 0\nFeatures\t: fp asimd svebf16x\n"


@pytest.mark.parametrize(
    ("text", "expected"),
    [(SAPPHIRE_RAPIDS, "bfloat16"), (HASWELL, "float32"), (GRAVITON, "bfloat16"), (ALTRA, "float32"), ("", "float32")],
)
def test_a_cpu_computes_in_bfloat16_if_it_says_so(text: str, expected: str, tmp_path: Path) -> None:
    file = tmp_path / "cpuinfo"
    file.write_text(text)
    assert resolve_dtype("auto", "cpu", file) == expected
    assert resolve_dtype("auto", "mps", file) == "float32"
    assert resolve_dtype("auto", "cuda", file) == "bfloat16"
    for asked in ("float32", "bfloat16"):
        assert resolve_dtype(asked, "cpu", file) == asked


def test_a_machine_that_does_not_say_gets_float32(tmp_path: Path) -> None:
    assert resolve_dtype("auto", "cpu", tmp_path / "absent") == "float32"


def test_a_device_asked_for_is_taken_at_its_word() -> None:
    assert [resolve_device(asked) for asked in ("cpu", "cuda", "mps")] == ["cpu", "cuda", "mps"]


def test_auto_never_promises_a_device_torch_lacks() -> None:
    found = resolve_device("auto")
    available = {"cuda": torch.cuda.is_available(), "mps": torch.backends.mps.is_available(), "cpu": True}
    assert available[found]


@pytest.mark.parametrize(("visible", "expected"), [(None, "cuda"), ("0,1", "cuda"), ("", "cpu"), ("-1", "cpu")])
def test_hidden_gpus_are_not_used(monkeypatch: pytest.MonkeyPatch, visible: str | None, expected: str) -> None:
    monkeypatch.setattr(hardware, "_torch_is_cpu_build", lambda: False)
    monkeypatch.setattr(hardware.Path, "exists", lambda path: str(path) == "/dev/nvidiactl")
    monkeypatch.setattr(hardware.platform, "system", lambda: "Linux")
    monkeypatch.delenv("CUDA_VISIBLE_DEVICES", raising=False)
    if visible is not None:
        monkeypatch.setenv("CUDA_VISIBLE_DEVICES", visible)
    assert resolve_device("auto") == expected
    monkeypatch.setattr(hardware, "_torch_is_cpu_build", lambda: True)
    assert resolve_device("auto") == "cpu"


@pytest.mark.parametrize(("system", "machine", "expected"), [("Darwin", "arm64", "mps"), ("Darwin", "x86_64", "cpu")])
def test_auto_on_a_mac(monkeypatch: pytest.MonkeyPatch, system: str, machine: str, expected: str) -> None:
    monkeypatch.setattr(hardware, "_torch_is_cpu_build", lambda: True)
    monkeypatch.setattr(hardware.platform, "system", lambda: system)
    monkeypatch.setattr(hardware.platform, "machine", lambda: machine)
    assert resolve_device("auto") == expected


def test_hardware_in_one_line() -> None:
    line = describe_hardware("cpu")
    assert re.fullmatch(r"\S+ \S+, \d+ cores, \d+ GiB memory, device cpu", line)
