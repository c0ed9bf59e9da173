"""From single runs to a table and a JSON file: medians, ratios, and what they were measured on."""

from __future__ import annotations

import json
import os
import platform
from collections.abc import Callable, Mapping, Sequence
from dataclasses import asdict, dataclass
from datetime import UTC, datetime
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path
from statistics import median
from typing import Any

from settings import Settings

_PACKAGES = ("kdscope", "torch", "transformers", "peft", "accelerate", "trl", "liger-kernel", "triton")
_FLAGS = ("avx2", "avx512f", "avx512_bf16", "amx_bf16", "amx_tile", "bf16", "asimd")
_GIB = 2**30

Run = Mapping[str, Any]


@dataclass(frozen=True)
class Ratio:
    """One arm measured against another, within each round.

    Attributes:
        arm: What is praised.
        against: What it is compared with.
        quantity: Name of the quantity.
        values: One a round: above 1 means more of the quantity than the other arm has.
    """

    arm: str
    against: str
    quantity: str
    values: tuple[float, ...]

    @property
    def middle(self) -> float:
        """The median over the rounds."""
        return median(self.values)


def examples_per_second(run: Run) -> float:
    """Over all timed steps of a run."""
    return float(run["examples"] / sum(run["step_seconds"]))


def examples_per_processor_second(run: Run) -> float:
    """The same by processor time of all threads, which other programs on the machine disturb less."""
    return float(run["examples"] / sum(run["step_processor_seconds"]))


def tokens_per_second(run: Run) -> float:
    """Real tokens, prompt and response, over all timed steps of a run; padding is not counted."""
    return float(run["tokens"] / sum(run["step_seconds"]))


def peak_memory_gib(run: Run) -> float:
    """Of the whole process, from its start."""
    return float(run["peak_memory_bytes"] / _GIB)


def of_arm(runs: Sequence[Run], arm: str) -> list[Run]:
    """The successful runs of an arm."""
    return [run for run in runs if run["arm"] == arm and "error" not in run]


def middle(runs: Sequence[Run], arm: str, quantity: Callable[[Run], float]) -> float | None:
    """The median over the rounds; None where the arm never succeeded."""
    values = [quantity(run) for run in of_arm(runs, arm)]
    return median(values) if values else None


def ratio(runs: Sequence[Run], arm: str, against: str, quantity: Callable[[Run], float]) -> Ratio | None:
    """An arm's quantity divided by another's, in every round in which both succeeded."""
    other = {run["round"]: quantity(run) for run in of_arm(runs, against)}
    values = [quantity(run) / other[run["round"]] for run in of_arm(runs, arm) if run["round"] in other]
    return Ratio(arm, against, quantity.__name__, tuple(values)) if values else None


def ratios(
    runs: Sequence[Run], pairs: Sequence[tuple[str, str]], quantities: Sequence[Callable[[Run], float]]
) -> list[Ratio]:
    """The ratios of pairs (arm, against) that can be told."""
    found = (ratio(runs, arm, against, quantity) for arm, against in pairs for quantity in quantities)
    return [one for one in found if one is not None]


def describe_machine(device: str) -> dict[str, Any]:
    """Processor, cores, memory, GPU, and the versions of what computes."""
    lines = _read("/proc/cpuinfo").splitlines()
    facts = {key.strip(): value.strip() for key, _, value in (line.partition(":") for line in lines)}
    flags = set(facts.get("flags", facts.get("Features", "")).split())
    memory = os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES") / _GIB
    return {
        "processor": facts.get("model name") or platform.processor() or platform.machine(),
        "processor_flags": [flag for flag in _FLAGS if flag in flags],
        "cores": len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count(),
        "memory_gib": round(memory, 1),
        "gpu": _describe_gpu() if device == "cuda" else None,
        "load_average": os.getloadavg()[0],
        "system": platform.platform(),
        "python": platform.python_version(),
        "versions": {name: found for name in _PACKAGES if (found := _version(name)) is not None},
    }


def one_line(machine: Mapping[str, Any]) -> str:
    """The machine in a line of text."""
    packages = ", ".join(f"{name} {number}" for name, number in machine["versions"].items())
    gpu = f", {machine['gpu']['name']}" if machine["gpu"] else ""
    flags = f" ({', '.join(machine['processor_flags'])})" if machine["processor_flags"] else ""
    return f"{machine['processor']}{flags}, {machine['cores']} cores, {machine['memory_gib']:.0f} GiB{gpu}\n{packages}"


def write_results(
    file: Path | None, settings: Settings, machine: Mapping[str, Any], runs: Sequence[Run], compared: Sequence[Ratio]
) -> None:
    """Every single timing, the ratios, and where they come from; nothing without a file."""
    if file is None:
        return
    document = {
        "date": datetime.now(UTC).isoformat(timespec="seconds"),
        "machine": machine,
        "settings": asdict(settings),
        "ratios": [asdict(one) | {"median": one.middle} for one in compared],
        "runs": list(runs),
    }
    file.parent.mkdir(parents=True, exist_ok=True)
    file.write_text(json.dumps(document, indent=1) + "\n", encoding="utf-8")


def _describe_gpu() -> dict[str, Any]:
    import torch

    properties = torch.cuda.get_device_properties(0)
    return {"name": properties.name, "memory_gib": round(properties.total_memory / _GIB, 1), "cuda": torch.version.cuda}


def _version(package: str) -> str | None:
    try:
        return version(package)
    except PackageNotFoundError:
        return None


def _read(file: str) -> str:
    try:
        return Path(file).read_text(encoding="utf-8", errors="replace")
    except OSError:
        return ""
