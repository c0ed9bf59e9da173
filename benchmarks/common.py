"""Arms in processes of their own, in alternating rounds: their time, step by step, and their peak memory.

An arm is one way of doing the work, such as a trainer. Each run of an arm has a fresh process: it loads its models,
takes some steps to warm up, and then its steps are timed. Rounds alternate over the arms (A B C, A B C, ...), so that
what slows the machine for a while slows all of them, and ratios are taken within a round.
"""

from __future__ import annotations

import json
import os
import subprocess
import sys
import tempfile
import time
from argparse import Namespace
from collections.abc import Callable, Mapping, Sequence
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any

from settings import Settings
from workload import make_sequences, read_sequences, write_sequences

if TYPE_CHECKING:
    from kdscope.data.batches import TokenSequence

Say = Callable[[str], None]


class Clock:
    """When each step ended, with the device idle."""

    def __init__(self, device: str) -> None:
        self._on_cuda = device == "cuda"
        self.started = time.perf_counter()
        self.ends: list[float] = []
        self.processor_ends: list[float] = []

    def now(self) -> float:
        """Seconds, once the device has done what it was asked."""
        if self._on_cuda:
            import torch

            torch.cuda.synchronize()
        return time.perf_counter()

    def tick(self) -> None:
        """A step has ended."""
        self.ends.append(self.now())
        self.processor_ends.append(time.process_time())


@dataclass(frozen=True)
class Task:
    """What one run of an arm is given.

    Attributes:
        settings: The settings of all arms.
        sequences: The training sequences, `batch_size` for each step in this order.
        folder: Shared by the arms of one round: what one of them records, others read.
        clock: Told after every optimiser step.
    """

    settings: Settings
    sequences: list[TokenSequence]
    folder: Path
    clock: Clock

    def scratch(self) -> Path:
        """A fresh folder."""
        return Path(tempfile.mkdtemp(dir=self.folder))


@dataclass(frozen=True)
class Outcome:
    """What an arm says of its run.

    Attributes:
        losses: Of every step, warm-up included.
        one_off_seconds: Time of work that is done once and then serves any number of trainings.
        facts: Anything else worth keeping.
    """

    losses: Sequence[float] = ()
    one_off_seconds: float | None = None
    facts: Mapping[str, Any] = field(default_factory=dict)


Arm = Callable[[Task], Outcome]


def peak_memory_bytes(device: str) -> int:
    """Most memory this process has had so far: of the GPU's allocator, or resident (Linux: of this program alone)."""
    if device == "cuda":
        import torch

        return int(torch.cuda.max_memory_allocated())
    status = Path("/proc/self/status")
    if status.exists():
        # getrusage would also count the process that this one was forked from.
        line = next(line for line in status.read_text().splitlines() if line.startswith("VmHWM"))
        return int(line.split()[1]) * 1024
    import resource

    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * (1 if sys.platform == "darwin" else 1024)


def run_rounds(
    program: Path,
    arms: Sequence[str],
    settings: Settings,
    rounds: int,
    say: Say,
    sequences: Sequence[TokenSequence] | None = None,
) -> list[dict[str, Any]]:
    """Every arm once a round; what each run measured, or the `error` it ended with.

    Args:
        program: The file that is started for every run; it ends in `run_arm`.
        arms: Names, in the order of a round.
        settings: For all of them.
        rounds: How often.
        say: Told a line after every run.
        sequences: What to train on; by default as many as the steps consume.
    """
    measured: list[dict[str, Any]] = []
    with tempfile.TemporaryDirectory(prefix="kdscope-benchmark-") as name:
        work = Path(name)
        write_sequences(make_sequences(settings) if sequences is None else sequences, work / "sequences.json")
        for number in range(rounds):
            folder = work / f"round-{number}"
            folder.mkdir()
            for arm in arms:
                row = {"arm": arm, "round": number, **_run_apart(program, arm, settings, folder)}
                measured.append(row)
                say(f"round {number + 1}/{rounds}  {arm}: {_in_short(row)}")
    return measured


def run_arm(arguments: Namespace, arms: Mapping[str, Arm]) -> None:
    """One arm, in the process that was started for it."""
    asked = json.loads(arguments.task.read_text())
    settings, folder = Settings(**asked["settings"]), Path(asked["folder"])
    clock = Clock(settings.device)
    sequences = read_sequences(folder.parent / "sequences.json")
    outcome = arms[arguments.arm](Task(settings, sequences, folder, clock))
    timed = sequences[settings.warmup_steps * settings.batch_size :]
    measured = {
        "step_seconds": _durations(clock.ends, settings.warmup_steps),
        "step_processor_seconds": _durations(clock.processor_ends, settings.warmup_steps),
        "examples": settings.steps * settings.batch_size,
        "tokens": sum(len(s.token_ids) for s in timed),
        "seconds_to_first_step": clock.ends[0] - clock.started if clock.ends else None,
        "peak_memory_bytes": peak_memory_bytes(settings.device),
        "losses": list(outcome.losses),
        "one_off_seconds": outcome.one_off_seconds,
        "one_off_examples": len(sequences),
    }
    Path(asked["answer"]).write_text(json.dumps(measured | dict(outcome.facts)))


def _run_apart(program: Path, arm: str, settings: Settings, folder: Path) -> dict[str, Any]:
    task, answer = folder / f"{arm}.task.json", folder / f"{arm}.answer.json"
    task.write_text(json.dumps({"settings": asdict(settings), "folder": str(folder), "answer": str(answer)}))
    command = [sys.executable, str(program), "--arm", arm, "--task", str(task)]
    done = subprocess.run(
        command, env=_environment(settings), stdout=subprocess.PIPE, stderr=subprocess.STDOUT, errors="replace"
    )
    if done.returncode == 0:
        result: dict[str, Any] = json.loads(answer.read_text())
        return result
    lines = [line for line in done.stdout.splitlines() if line.strip()] or [f"it ended with {done.returncode}"]
    return {"error": lines[-1].strip(), "output": lines[-40:]}


def _environment(settings: Settings) -> dict[str, str]:
    threads = str(settings.threads)
    own = {"OMP_NUM_THREADS": threads, "MKL_NUM_THREADS": threads, "TOKENIZERS_PARALLELISM": "false"}
    # Nothing is looked up, and no trainer looks for a place to report to.
    offline = {"HF_HUB_OFFLINE": "1", "WANDB_MODE": "disabled", "HF_DATASETS_DISABLE_PROGRESS_BARS": "1"}
    tunables = [os.environ.get("GLIBC_TUNABLES", ""), "glibc.malloc.hugetlb=1"]
    paging = {"GLIBC_TUNABLES": ":".join(filter(None, tunables))} if settings.huge_pages else {}
    return {**os.environ, **own, **offline, **paging}


def _durations(ends: Sequence[float], warmup: int) -> list[float]:
    return [after - before for before, after in zip(ends[warmup - 1 :], ends[warmup:], strict=False)]


def _in_short(row: Mapping[str, Any]) -> str:
    if "error" in row:
        return f"failed: {row['error']}"
    if row["step_seconds"]:
        rate = row["examples"] / sum(row["step_seconds"])
        return f"{rate:.2f} examples/s, {row['peak_memory_bytes'] / 2**30:.2f} GiB"
    return f"{row['one_off_seconds'] or 0.0:.2f} s"
