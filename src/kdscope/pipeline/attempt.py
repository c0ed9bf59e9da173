"""One attempt at one stage, in this process and under the stage's lock; and the memory that stages share."""

from __future__ import annotations

import gc
import time
import traceback
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Literal, TypeAlias, TypeVar

from kdscope.core.errors import KdscopeError, ModelFileError, StoreError
from kdscope.pipeline.events import Events, Progress
from kdscope.pipeline.fingerprint import JSON
from kdscope.pipeline.stage import Stage
from kdscope.pipeline.store import Store

Value = TypeVar("Value")


class Resources:
    """Keeps the one thing that was expensive to load last, such as a model, for the next stage that asks for it.

    Who changes what it got from here must not leave it changed.
    """

    def __init__(self) -> None:
        self._slot: dict[str, object] = {}

    def get(self, key: str, make: Callable[[], Value]) -> Value:
        """What `make` returned for this key, if it was the last one asked for; otherwise made now.

        The old one is let go before the new one is made, so that the two are never in memory together.
        """
        if key not in self._slot:
            self.clear()
            self._slot[key] = make()
        return self._slot[key]  # type: ignore[return-value]

    def clear(self) -> None:
        """Let go of what is kept."""
        if self._slot:
            self._slot.clear()
            gc.unfreeze()  # the collection at the end of the stage looks at everything: something older was let go


@dataclass(frozen=True)
class StageContext:
    """What a stage function gets to work with.

    `inputs` are folders to read, by role. `output` is an empty folder to fill with regular files. `scratch` is for
    checkpoints: a killed attempt leaves it to the next, so what is written there must be replaced atomically.
    `facts` may be filled with what is worth knowing later; they go to the manifest.
    """

    stage: Stage
    inputs: Mapping[str, Path]
    output: Path
    scratch: Path
    progress: Progress
    resources: Resources
    facts: dict[str, JSON]


Execute: TypeAlias = Callable[[Stage, StageContext], None]


@dataclass(frozen=True)
class Outcome:
    """What became of a stage that was to be run.

    `executed`, `failed`: as it says. `reused`: it was complete by then. `elsewhere`: a process of another run is at
    it. `lost`: the process that ran it is gone. `message` tells why it failed or was lost, `bad_input` whether that is
    a file of a person's.
    """

    state: Literal["executed", "reused", "failed", "elsewhere", "lost"]
    message: str = ""
    seconds: float = 0.0
    bad_input: bool = False


def attempt(stage: Stage, store: Store, execute: Execute, resources: Resources, events: Events) -> Outcome:
    """Run the stage unless it is complete or another process is at it; the listener hears of its start and progress.

    Raises:
        StoreError: the store itself cannot be read or written.
        KeyboardInterrupt: passed on, with nothing half-written visible.
    """
    with store.try_lock(stage) as held:
        if not held:
            return Outcome("elsewhere")
        # Looked at under the lock: another process may have completed it since the plan was made.
        found = store.inspect(stage, full=True)
        if found.state == "done":
            return Outcome("reused")
        if found.state == "damaged":
            aside = store.set_aside(stage)
            events.warning(f"{stage.label}: {found.problem}; moved to {aside} and run again")
        events.started(stage)
        began = time.monotonic()
        try:
            _run(stage, store, execute, resources, events)
        except (Exception, SystemExit) as error:  # a user's function may call sys.exit, which must not end the study
            resources.clear()
            message = str(error) if isinstance(error, KdscopeError) else f"{type(error).__name__}: {error}"
            record_failure(stage, store, message, "".join(traceback.format_exception(error)), events)
            return Outcome("failed", message, bad_input=isinstance(error, ModelFileError))
        return Outcome("executed", seconds=time.monotonic() - began)


def record_failure(stage: Stage, store: Store, message: str, trace: str, events: Events) -> None:
    """Keep in the store why a stage failed; where that cannot be kept, the listener is told."""
    try:
        store.record_failure(stage, message, trace)
    except StoreError as trouble:
        events.warning(str(trouble))


def _run(stage: Stage, store: Store, execute: Execute, resources: Resources, events: Events) -> None:
    inputs = {role: store.path(parent) for role, parent in stage.inputs.items()}
    with store.build(stage) as work:
        progress = Progress(stage, events)
        execute(stage, StageContext(stage, inputs, work.output, work.scratch, progress, resources, work.facts))


@contextmanager
def collecting_new_garbage() -> Iterator[None]:
    """In the end collect what was made inside, also where an error is on its way: its frames forget their variables.

    A model that was trained sits in reference cycles, which only the garbage collector gives back, and a collection
    looks at every object: with torch, transformers and pandas there are half a million, which takes a quarter of a
    second and is most of what a small stage costs. What was there before is therefore left out until the end, unless
    `Resources` lets go of something older.
    """
    gc.freeze()
    try:
        yield
    except BaseException as error:
        _forget_variables(error)
        raise
    finally:
        gc.collect()
        gc.unfreeze()


def _forget_variables(error: BaseException | None) -> None:
    while error is not None:
        traceback.clear_frames(error.__traceback__)
        error = error.__cause__ or error.__context__
