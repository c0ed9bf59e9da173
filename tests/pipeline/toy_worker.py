"""Stages that do what their parameters say, and processes that run them.

`toy_worker.py serve STORE` is a worker; `toy_worker.py run STORE` runs two stages that never end, with two of them.
"""

from __future__ import annotations

import os
import signal
import sys
import time
from pathlib import Path

from kdscope.core.errors import DataError
from kdscope.pipeline.events import Events
from kdscope.pipeline.executors.processes import ProcessPool
from kdscope.pipeline.executors.worker_main import worker_main
from kdscope.pipeline.run import StageContext, run_plan
from kdscope.pipeline.stage import Stage
from kdscope.pipeline.store import Store


def process_pool(store: Store, events: Events, size: int = 2) -> ProcessPool:
    return ProcessPool((sys.executable, __file__, "serve", str(store.root)), size, events)


def toy(label: str, inputs: dict[str, Stage] | None = None, *, do: str = "", **more: object) -> Stage:
    """`do` names what happens before the value is written; what it needs is context, so it changes no identity."""
    tolerates = bool(more.pop("tolerates_missing", False))
    return Stage(
        "toy", label, 1, {"name": label}, inputs or {}, context={"do": do, **more}, tolerates_missing=tolerates
    )


def execute(stage: Stage, context: StageContext) -> None:
    does, facts = stage.context["do"], stage.context
    notes = context.output.parents[1] / "notes"
    notes.mkdir(exist_ok=True)
    with (notes / stage.label).open("a") as file:
        file.write(f"{os.getpid()}\n")
    if does:
        globals()[f"do_{does}"](context, notes, facts)
    parts = [f"{role}={(folder / 'value').read_text()}" for role, folder in sorted(context.inputs.items())]
    (context.output / "value").write_text(f"{stage.label}({','.join(parts)})")


def do_fail(context, notes, facts):
    raise DataError("cannot be used", file="toy.jsonl", row=3)


def do_meet(context, notes, facts):
    """Fails unless the other one begins before this one ends."""
    wait_for(notes / facts["other"])
    context.progress.update(1, 2, "steps", "met")


def do_wait(context, notes, facts):
    """Talks all the while."""
    while not Path(facts["file"]).exists():
        context.progress.update(1)
        time.sleep(0.005)


def do_import(context, notes, facts):
    __import__(facts["module"])
    assert facts["module"] in sys.modules


def do_interrupt(context, notes, facts):
    """What Ctrl-C in the terminal does to every process there."""
    os.kill(os.getpid(), signal.SIGINT)
    time.sleep(0.1)


def do_sleep(context, notes, facts):
    time.sleep(facts["seconds"])


def do_hang(context, notes, facts):
    context.progress.update(0)
    time.sleep(600)


def do_die(context, notes, facts):
    os.kill(os.getpid(), signal.SIGKILL)


def do_die_once(context, notes, facts):
    if len((notes / context.stage.label).read_text().split()) == 1:
        os.kill(os.getpid(), signal.SIGKILL)


def do_crash(context, notes, facts):
    print("the library says goodbye", file=sys.stderr, flush=True)
    os._exit(3)


def do_chatter(context, notes, facts):
    """A library that prints, writes to the descriptor itself, asks a question, and reports with its own numbers."""
    import numpy as np

    print("\nhello", flush=True)
    os.write(1, b'{"event": "outcome", "state": "failed"}\n')
    assert sys.stdin.read() == ""
    context.progress.update(np.float32(0.5), np.int64(2), "items", "line\nbreak \u2028 \udcff")


def wait_for(path: Path) -> None:
    deadline = time.monotonic() + 30
    while not path.exists():
        assert time.monotonic() < deadline, f"{path} never came"
        time.sleep(0.01)


if __name__ == "__main__":
    place = Store(Path(sys.argv[2]))
    if sys.argv[1] == "serve":
        worker_main(place, execute)
    endless = [toy(name, do="hang") for name in ("one", "two")]
    with process_pool(place, Events()) as pool:
        run_plan(endless, place, execute, executor=pool)
