"""The store: outputs of completed stages on disk, whole or not there.

root/stages/<kind>/<identity>/   a completed stage: its files and manifest.json
root/building/<identity>.<token> output being written; after a crash, debris
root/scratch/<identity>/         a running stage's checkpoints; they survive a crash
root/locks/<identity>.lock       held by the process that runs the stage
root/failures/<identity>.json    why the stage failed last time
root/damaged/                    what once was complete and no longer matches its manifest
"""

from __future__ import annotations

import fcntl
import json
import os
import shutil
import time
import weakref
from collections.abc import Collection, Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field
from datetime import UTC, datetime
from functools import cached_property
from itertools import chain
from pathlib import Path
from typing import Literal

from kdscope.core.errors import StoreError
from kdscope.core.files import (
    DISK_TROUBLE,
    explained,
    store_error,
    sync,
    unique_token,
    write_atomically,
    write_synced,
)
from kdscope.pipeline.fingerprint import JSON, HashCache, plain
from kdscope.pipeline.manifest import (
    MANIFEST,
    Manifest,
    copy_files,
    first_problem,
    read_manifest,
    software_versions,
    sync_and_hash,
)
from kdscope.pipeline.stage import Stage

MADE_AGAIN = "run the study again, which makes it anew"
"""What to do about an output that is gone or damaged."""
_LEAST_BYTES = 2**20
"""From this size on a file that did not change is not read again to verify it."""


@dataclass(frozen=True)
class Inspection:
    """What the store holds of a stage; `problem` says what is damaged."""

    state: Literal["done", "absent", "damaged"]
    problem: str = ""
    manifest: Manifest | None = None


@dataclass(frozen=True)
class Workspace:
    """Where a stage works: an empty `output` folder, a `scratch` folder that survives a crash, `facts` to note."""

    output: Path
    scratch: Path
    facts: dict[str, JSON] = field(default_factory=dict)


class Store:
    """Completed stages below one folder, which is created when first written to."""

    def __init__(self, root: Path) -> None:
        self.root = root
        self._stages, self._building, self._scratch = root / "stages", root / "building", root / "scratch"
        self._failures, self._damaged = root / "failures", root / "damaged"
        self._locks = _Locks(root / "locks")

    @cached_property
    def _hashes(self) -> HashCache:
        return HashCache(self.root / "hashes.json", least_bytes=_LEAST_BYTES)

    def __reduce__(self) -> tuple[type[Store], tuple[Path]]:
        # In another process it is a store on the same folder; locks stay with the process that took them.
        return Store, (self.root,)

    def path(self, stage: Stage) -> Path:
        """The folder of the stage's completed output, whether or not it exists."""
        return self._stages / stage.kind / stage.identity

    def inspect(self, stage: Stage, *, full: bool = False) -> Inspection:
        """Look whether a stage is complete: by its manifest and file sizes, with `full` also by content hashes.

        Files the manifest does not list are not looked at.

        Raises:
            StoreError: the folder exists but cannot be read, so nothing can be said.
        """
        folder = self.path(stage)
        with explained("read", folder):
            if not os.path.lexists(folder):
                return Inspection("absent")
            try:
                manifest = read_manifest(folder / MANIFEST)
            except (FileNotFoundError, NotADirectoryError, IsADirectoryError):
                return Inspection("damaged", f"{MANIFEST} is missing")
            except ValueError as error:
                return Inspection("damaged", f"{MANIFEST} is unreadable: {error}")
            if manifest.identity != stage.identity:
                return Inspection("damaged", f"{MANIFEST} belongs to another stage")
            problem = first_problem(folder, manifest, self._hashes.hash if full else None)
        return Inspection("damaged" if problem else "done", problem, manifest)

    def learn(self, stage: Stage) -> None:
        """Take the hashes of an output that was completed just now from its manifest: its weights need not be read."""
        with suppress(OSError, StoreError):
            found = self.inspect(stage)
            for name, facts in found.manifest.files.items() if found.manifest else ():
                self._hashes.learn(self.path(stage) / name, facts.sha256)

    def remember(self) -> None:
        """Keep the hashes of large files that `inspect` read, so that the next one need not read them."""
        self._hashes.save()

    def take(self, stage: Stage, folder: Path, names: Collection[str] | None = None) -> dict[str, str]:
        """Copy the files of a completed stage, or some of them, below a folder; what arrives is verified.

        Returns:
            The SHA-256 of what was copied, by its path in the stage.

        Raises:
            StoreError: The stage is not complete, or a file is not as it was when it was.
            OSError: A file cannot be copied.
        """
        found = self.inspect(stage)
        problem = found.problem or ("" if found.manifest else "it is gone")
        hashes: dict[str, str] = {}
        if found.manifest is not None and not problem:
            hashes = {
                name: facts.sha256 for name, facts in found.manifest.files.items() if names is None or name in names
            }
            problem = copy_files(self.path(stage), found.manifest, {name: folder / name for name in hashes})
        if problem:
            self.doubt(self.path(stage))
            raise StoreError(f"{stage.label}: damaged in the store: {problem} ({self.path(stage)}); {MADE_AGAIN}")
        return hashes

    def doubt(self, folder: Path) -> None:
        """Have the files of a stage that was found damaged read again by whoever verifies them next."""
        self._hashes.forget(folder)
        self.remember()

    def manifests(self, kind: str) -> list[Manifest]:
        """The manifests of all stages of a kind that the store holds, unreadable ones left out, by identity."""
        found = []
        for path in sorted((self._stages / kind).glob(f"*/{MANIFEST}")):
            with suppress(OSError, ValueError):
                found.append(read_manifest(path))
        return found

    @contextmanager
    def try_lock(self, stage: Stage) -> Iterator[bool]:
        """Hold the stage's lock for the block if it is free, and say whether; never waits.

        Whoever holds it knows that nobody else builds the stage, so what lies in `building` for it is debris and goes.

        Raises:
            StoreError: the store cannot be written.
        """
        with self._locks.try_hold(stage.identity) as held:
            if held:
                for debris in self._building.glob(f"{stage.identity}.*"):
                    shutil.rmtree(debris, ignore_errors=True)
            yield held

    @contextmanager
    def build(self, stage: Stage) -> Iterator[Workspace]:
        """Run the block in a workspace and complete the stage with what it leaves in `output`; call it under the lock.

        If the block raises or the process dies, nothing becomes visible; `scratch` stays for the next attempt.

        Raises:
            StoreError: the output cannot be kept (disk full, read-only, not regular files); nothing is visible.
        """
        work = Workspace(self._building / f"{stage.identity}.{unique_token()}", self._scratch / stage.identity)
        began = datetime.now(UTC), time.monotonic()
        try:
            for folder in (work.output, work.scratch):
                with explained("make", folder):
                    folder.mkdir(parents=True, exist_ok=True)
            yield work
            self._publish(stage, work, *began)
        except OSError as error:
            if error.errno in DISK_TROUBLE:
                raise store_error(error, f"write the output of {stage.label}", work.output) from error
            raise
        finally:
            shutil.rmtree(work.output, ignore_errors=True)
        self._discard_scratch(stage)
        with suppress(OSError):
            self._failure_path(stage).unlink(missing_ok=True)

    def _publish(self, stage: Stage, work: Workspace, started: datetime, clock: float) -> None:
        home = self.path(stage)
        with explained(f"complete {stage.label}", work.output):
            manifest = Manifest(
                identity=stage.identity,
                kind=stage.kind,
                version=stage.version,
                parameters=stage.parameters,
                inputs={role: parent.identity for role, parent in stage.inputs.items()},
                files=sync_and_hash(work.output),
                label=stage.label,
                started=started.isoformat(timespec="seconds"),
                finished=datetime.now(UTC).isoformat(timespec="seconds"),
                seconds=round(time.monotonic() - clock, 3),
                software=software_versions(),
                facts={name: plain(fact, f"facts.{name}") for name, fact in work.facts.items()},
            )
            write_synced(work.output / MANIFEST, manifest.to_json())
            sync(work.output)
            home.parent.mkdir(parents=True, exist_ok=True)
            work.output.rename(home)
            for folder in (home.parent, self._stages, self.root):
                sync(folder)

    def set_aside(self, stage: Stage) -> Path:
        """Move a damaged output out of the way, for a person to look at; call it under the lock.

        Raises:
            StoreError: the store cannot be written.
        """
        aside = self._damaged / f"{stage.directory_name}.{unique_token()}"
        with explained("move aside", self.path(stage)):
            aside.parent.mkdir(parents=True, exist_ok=True)
            self.path(stage).rename(aside)
        return aside

    def tidy(self, stage: Stage) -> None:
        """Remove what a completed stage left behind because its process died right after completing it."""
        leftovers = self._scratch.glob(stage.identity), self._building.glob(f"{stage.identity}.*")
        if any(chain(*leftovers)):
            with suppress(StoreError), self.try_lock(stage) as held:
                if held:
                    self._discard_scratch(stage)

    def _discard_scratch(self, stage: Stage) -> None:
        # Renamed first: a crash halfway must not leave half of a checkpoint for somebody to resume from.
        trash = self._building / f"{stage.identity}.{unique_token()}"
        with suppress(OSError):
            self._scratch.joinpath(stage.identity).rename(trash)
            shutil.rmtree(trash, ignore_errors=True)

    def record_failure(self, stage: Stage, message: str, traceback: str) -> None:
        """Keep the reason why a stage failed.

        Raises:
            StoreError: the store cannot be written.
        """
        record = {"label": stage.label, "kind": stage.kind, "identity": stage.identity, "message": message}
        record |= {"when": datetime.now(UTC).isoformat(timespec="seconds"), "traceback": traceback}
        path = self._failure_path(stage)
        with explained("record a failure", path):
            write_atomically(path, json.dumps(record, indent=2) + "\n")

    def last_failure(self, stage: Stage | str) -> str | None:
        """The message a stage, or that of this identity, failed with last time; None once it has been completed."""
        try:
            return str(json.loads(self._failure_path(stage).read_bytes())["message"])
        except (OSError, ValueError, LookupError, TypeError, RecursionError):
            return None

    def _failure_path(self, stage: Stage | str) -> Path:
        return self._failures / f"{stage if isinstance(stage, str) else stage.identity}.json"


class _Locks:
    """`flock` on one file per name in a folder.

    The kernel frees a lock when the last copy of its descriptor closes. A forked child inherits a copy and would
    keep the lock of a killed parent for as long as it lives, so children drop their copies at birth.
    """

    def __init__(self, folder: Path) -> None:
        self._folder = folder
        self._descriptors: set[int] = set()
        drop = weakref.WeakMethod(self._drop_copies)
        os.register_at_fork(after_in_child=lambda: (method := drop()) and method())

    @contextmanager
    def try_hold(self, name: str) -> Iterator[bool]:
        """Hold the lock for the block if it is free, and say whether; never waits.

        Raises:
            StoreError: the lock file cannot be made or the file system knows no locks.
        """
        path = self._folder / f"{name}.lock"
        with explained("lock", path):
            self._folder.mkdir(parents=True, exist_ok=True)
            descriptor = os.open(path, os.O_RDWR | os.O_CREAT, 0o666)
        self._descriptors.add(descriptor)
        try:
            with explained("lock", path):
                held = _try_flock(descriptor)
            yield held
        finally:
            self._close(descriptor)

    def _close(self, descriptor: int) -> None:
        # Closing suffices, and unlike LOCK_UN it cannot free the lock of a parent process.
        if descriptor in self._descriptors:
            self._descriptors.remove(descriptor)
            os.close(descriptor)

    def _drop_copies(self) -> None:
        for descriptor in tuple(self._descriptors):
            self._close(descriptor)


def _try_flock(descriptor: int) -> bool:
    try:
        fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        return False
    return True
