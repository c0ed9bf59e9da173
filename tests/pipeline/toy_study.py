"""A small study to be killed: run as `toy_study.py STORE LOG STEP_SECONDS`, it prints what it executed.

Every stage takes three steps, keeps a checkpoint after each, and notes starts, steps and ends in a log outside the
store. With `every-call` as a fourth argument the study is run once for every call to the file system it makes, in a
child that dies right there, and then again to the end.
"""

from __future__ import annotations

import hashlib
import json
import os
import sys
import time
from pathlib import Path

from kdscope.pipeline.events import Events
from kdscope.pipeline.run import StageContext, run_plan
from kdscope.pipeline.stage import Stage, in_order
from kdscope.pipeline.store import Store

STEPS = 3


class Log(Events):
    def __init__(self, path: Path) -> None:
        self.path = path

    def note(self, *words: object) -> None:
        descriptor = os.open(self.path, os.O_WRONLY | os.O_APPEND | os.O_CREAT)
        os.write(descriptor, (" ".join(map(str, words)) + "\n").encode())
        os.close(descriptor)

    def waiting(self, stages):
        self.note("waiting", *(stage.label for stage in stages))

    def warning(self, message):
        self.note("warning", message)


def study(cells: int) -> list[Stage]:
    data = Stage("prepare", "data", 1, {"steps": STEPS}, {})
    teacher = Stage("train", "teacher", 1, {"steps": STEPS}, {"data": data})
    if not cells:
        return [teacher]
    marks = {}
    for i in range(cells):
        student = Stage("train", f"student{i}", 1, {"steps": STEPS, "seed": i}, {"teacher": teacher, "data": data})
        marks[f"m{i}"] = Stage("evaluate", f"mark{i}", 1, {"steps": STEPS}, {"model": student})
    return [Stage("report", "report", 1, {"steps": STEPS}, marks)]


def execute(stage: Stage, context: StageContext, log: Log, seconds: float) -> None:
    log.note("start", stage.label)
    checkpoint = context.scratch / "checkpoint"
    step, value = json.loads(checkpoint.read_text()) if checkpoint.exists() else (0, stage.identity)
    for _ in range(step, STEPS):
        for role, folder in sorted(context.inputs.items()):
            value = hashlib.sha256(f"{value}{role}{(folder / 'value').read_text()}".encode()).hexdigest()
        time.sleep(seconds)
        log.note("step", stage.label, step)
        step += 1
        (context.scratch / "new").write_text(json.dumps([step, value]))
        (context.scratch / "new").replace(checkpoint)
    (context.output / "parts").mkdir()
    (context.output / "parts" / "bytes").write_bytes(bytes.fromhex(value) * 1000)
    (context.output / "value").write_text(value)
    log.note("end", stage.label)


def run(root: Path, log: Log, seconds: float, cells: int = 2) -> list[str]:
    result = run_plan(
        study(cells), Store(root), lambda s, c: execute(s, c, log, seconds), events=log, poll_seconds=0.01
    )
    assert not result.failed, result.messages
    return [stage.label for stage in result.executed]


def die_at_call(number: int, root: Path) -> None:
    """From now on, end this process, as SIGKILL would, at its n-th call that has to do with the store."""
    left = [number]
    calls = ("open", "os.rename", "os.mkdir", "os.remove", "os.rmdir", "fcntl.flock")

    def watch(event: str, arguments: tuple[object, ...]) -> None:
        # Besides paths in the store: descriptors (flock) and names relative to one (the removal of a tree).
        if event in calls and (str(arguments[0]).startswith(str(root)) or not str(arguments[0]).startswith("/")):
            left[0] -= 1
            if left[0] == 0:
                os._exit(9)

    sys.addaudithook(watch)


def every_call(folder: Path, log: Log) -> None:
    """Die at the first call, the second, and so on; after each, finish in peace and say what that took."""
    os.fsync = lambda descriptor: None  # processes die here, not machines; this only saves time
    number, status = 0, 9
    while status == 9:
        number += 1
        root = folder / str(number)
        child = os.fork()
        if child == 0:
            die_at_call(number, root)
            run(root, log, 0, cells=0)
            os._exit(0)
        status = os.waitstatus_to_exitcode(os.waitpid(child, 0)[1])
        store, stages = Store(root), in_order(study(0))
        facts = {"status": status, "before": [store.inspect(stage, full=True).state for stage in stages]}
        facts["executed"] = run(root, log, 0, cells=0)
        facts["left"] = [str(path) for name in ("building", "scratch", "damaged") for path in root.glob(f"{name}/*")]
        facts["value"] = (store.path(stages[-1]) / "value").read_text()
        print(json.dumps(facts), flush=True)


if __name__ == "__main__":
    store_root, log_path, step_seconds = Path(sys.argv[1]), Path(sys.argv[2]), float(sys.argv[3])
    if sys.argv[4:] == ["every-call"]:
        every_call(store_root, Log(log_path))
    else:
        print(json.dumps(run(store_root, Log(log_path), step_seconds)))
