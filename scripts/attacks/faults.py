"""A machine that lacks something while a study runs: disk, file sizes, open files, memory."""

from __future__ import annotations

import random
import resource
import signal
import subprocess
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

from attacks.commands import call, complaint
from attacks.result import Result
from attacks.world import RUN_SECONDS, World, difference, new_world


def fault_once(reference: World, folder: Path, rng: random.Random) -> Result:
    """Run a study under a limit; then without it, from what the first attempt left."""
    name = rng.choice([*_LIMITS, "disk space"])
    if name == "disk space":
        mebibytes = rng.choice([1, 2, 3, 4, 6])
        with _small_disk(folder, mebibytes) as mounted:
            if mounted:
                return Result("faults", f"{mebibytes} MiB of disk", _on_a_small_disk(folder, reference, mebibytes))
        name = "file size"
    limit, amounts = _LIMITS[name]
    amount = rng.choice(amounts)
    world = new_world(folder)
    problem = _attempt(world, lambda: resource.setrlimit(limit, (_amount(limit, amount),) * 2), reference)
    return Result("faults", f"{name} limited to {amount:,}", problem or _attempt(world, None, reference))


_DEATHS_BY_LIMIT = (-signal.SIGKILL, -signal.SIGXCPU, -signal.SIGSEGV, -signal.SIGABRT, -signal.SIGBUS, 127)
_LIMITS = {
    "file size": (resource.RLIMIT_FSIZE, [20_000, 60_000, 150_000, 300_000]),
    "open files": (resource.RLIMIT_NOFILE, [16, 24, 32, 40, 48, 64]),
    "memory above what is loaded": (resource.RLIMIT_AS, [10**7, 5 * 10**7, 10**8, 3 * 10**8, 10**9]),
    "processor seconds": (resource.RLIMIT_CPU, [1, 2, 3]),
}


def _amount(limit: int, amount: int) -> int:
    if limit == resource.RLIMIT_AS:
        pages = int(Path("/proc/self/statm").read_text().split()[0])
        return pages * resource.getpagesize() + amount
    if limit == resource.RLIMIT_CPU:
        used = resource.getrusage(resource.RUSAGE_SELF)
        return int(used.ru_utime + used.ru_stime) + amount
    return amount


def _attempt(world: World, prepare: Callable[[], None] | None, reference: World) -> str:
    outcome = call(["run", "study.yaml", "--quiet"], world.folder, prepare, RUN_SECONDS)
    # Native code that gets no memory, and a process whose processor time is over, may die without a word; what counts
    # is that nothing computed is lost.
    killed_by_limit = prepare is not None and outcome.code in _DEATHS_BY_LIMIT
    if not killed_by_limit and (problem := complaint(outcome, RUN_SECONDS)):
        return ("with the limit: " if prepare else "afterwards: ") + problem
    if outcome.code == 0:
        return difference(world, reference)
    return "" if prepare else f"afterwards: exit code {outcome.code}: {outcome.err.strip()[-200:]}"


@contextmanager
def _small_disk(folder: Path, mebibytes: int) -> Iterator[bool]:
    """A file system of this size at `folder`, where this user may mount one."""
    folder.mkdir(parents=True)
    options = ["-t", "tmpfs", "-o", f"size={mebibytes}m", "tmpfs", str(folder)]
    try:
        mounted = subprocess.run(["mount", *options], capture_output=True, check=False).returncode == 0
    except FileNotFoundError:
        mounted = False
    try:
        yield mounted
    finally:
        if mounted:
            subprocess.run(["umount", "-l", str(folder)], check=False)
        else:
            folder.rmdir()


def _on_a_small_disk(folder: Path, reference: World, mebibytes: int) -> str:
    world = new_world(folder / "world")
    outcome = call(["run", "study.yaml", "--quiet"], world.folder, seconds=RUN_SECONDS)
    if problem := complaint(outcome, RUN_SECONDS):
        return f"on the full disk: {problem}"
    if outcome.code == 0:
        return difference(world, reference)
    subprocess.run(["mount", "-o", "remount,size=64m", str(folder)], check=True)
    return _attempt(world, None, reference)
