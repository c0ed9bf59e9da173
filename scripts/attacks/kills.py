"""Runs that are killed at random instants until they end, and must end as if nobody had killed them."""

from __future__ import annotations

import os
import random
import signal
import time
from contextlib import suppress
from pathlib import Path

from attacks.commands import complaint, start
from attacks.result import Result
from attacks.world import RUN_SECONDS, World, difference, new_world

_MEAN_SECONDS = 1.5
_MOST_KILLS = 12
_NONE = "none, as the run was over before"


def kill_until_done(reference: World, folder: Path, rng: random.Random) -> list[Result]:
    """One study, killed up to twelve times; every kill is a try, and all share what the study comes to.

    Either the whole process group dies, as when a machine goes down, or with two workers one of them alone.
    """
    workers = rng.choice([1, 1, 2])
    world = new_world(folder, workers=workers)
    kills: list[str] = []
    while True:
        struck = ""
        call = start(["run", "study.yaml", "--quiet"], folder)
        if len(kills) < _MOST_KILLS:
            time.sleep(rng.expovariate(1 / (_MEAN_SECONDS * workers)))
            alone = workers > 1 and rng.random() < 0.5
            if struck := _strike(call.pid, alone):
                kills.append(struck)
            if not alone:
                call.kill()
        outcome = call.wait(RUN_SECONDS)
        problem = "" if outcome.code == -signal.SIGKILL else complaint(outcome, RUN_SECONDS)
        if outcome.code != 0 and not struck:
            problem = problem or f"exit code {outcome.code} of a run that was left alone: {outcome.err.strip()[-200:]}"
        if problem or outcome.code == 0:
            break
    problem = problem or difference(world, reference) or _left_over(world)
    return [Result("kills", what, problem) for what in kills or ([_NONE] if problem else [])]


def _strike(pid: int, alone: bool) -> str:
    if not alone:
        return "the run" if os.path.exists(f"/proc/{pid}") and _state(pid) != "Z" else ""
    children = _children(pid)
    if not children:
        return ""
    with suppress(ProcessLookupError):
        os.kill(children[-1], signal.SIGKILL)
        return "a worker"
    return ""


def _state(pid: int) -> str:
    with suppress(OSError):
        return Path(f"/proc/{pid}/stat").read_text().rpartition(") ")[2][0]
    return "Z"


def _children(pid: int) -> list[int]:
    with suppress(OSError):
        return [int(child) for child in Path(f"/proc/{pid}/task/{pid}/children").read_text().split()]
    return []


def _left_over(world: World) -> str:
    debris = [path for name in ("building", "scratch") for path in (world.store / name).glob("*")]
    return f"{debris[0].relative_to(world.folder)} was left behind" if debris else ""
