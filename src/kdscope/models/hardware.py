"""Which device and precision this machine offers, found without importing torch so that planning stays fast."""

from __future__ import annotations

import os
import platform
import sys
from contextlib import suppress
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path

_NATIVE_BF16 = frozenset({"amx_bf16", "avx512_bf16", "bf16"})


def resolve_device(asked: str) -> str:
    """'auto' becomes cuda, mps or cpu; anything else is taken at its word (loading checks it)."""
    if asked != "auto":
        return asked
    if not _torch_is_cpu_build() and _has_nvidia_gpu():
        return "cuda"
    return "mps" if platform.system() == "Darwin" and platform.machine() == "arm64" else "cpu"


def resolve_dtype(asked: str, device: str, cpuinfo: Path = Path("/proc/cpuinfo")) -> str:
    """'auto' becomes bfloat16 where the device computes in it, else float32."""
    if asked != "auto":
        return asked
    if device == "cuda":
        return "bfloat16"
    return "bfloat16" if device == "cpu" and _NATIVE_BF16 & _cpu_flags(cpuinfo) else "float32"


def describe_hardware(device: str) -> str:
    """One line for a report: processor, cores, memory, device."""
    cores = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count()
    memory = os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES") / 2**30
    return f"{platform.machine()} {platform.system()}, {cores} cores, {memory:.0f} GiB memory, device {device}"


def forget_peak_memory(device: str) -> None:
    """Measure peak memory from now on, where the system can (a GPU; the process on Linux)."""
    if device == "cuda":
        if "torch" in sys.modules:
            sys.modules["torch"].cuda.reset_peak_memory_stats()
        return
    with suppress(OSError):
        Path("/proc/self/clear_refs").write_text("5", encoding="ascii")


def peak_memory_bytes(device: str) -> int | None:
    """The most memory held since `forget_peak_memory`: of the GPU by torch, else of this process; None if unknown."""
    if device == "cuda" and "torch" in sys.modules:
        return int(sys.modules["torch"].cuda.max_memory_allocated())
    with suppress(OSError, IndexError, ValueError):
        status = Path("/proc/self/status").read_text(encoding="ascii", errors="replace")
        return 1024 * int(status.split("VmHWM:", 1)[1].split()[0])
    return None


def _has_nvidia_gpu() -> bool:
    hidden = os.environ.get("CUDA_VISIBLE_DEVICES") in ("", "-1")
    return not hidden and Path("/dev/nvidiactl").exists()


def _torch_is_cpu_build() -> bool:
    try:
        return version("torch").endswith("+cpu")
    except PackageNotFoundError:
        return True


def _cpu_flags(cpuinfo: Path) -> set[str]:
    try:
        lines = cpuinfo.read_text().splitlines()
    except OSError:
        return set()
    return next((set(line.split(":", 1)[1].split()) for line in lines if line.startswith(("flags", "Features"))), set())
