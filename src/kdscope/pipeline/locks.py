"""One process at a time per stage, with locks that die with their process."""

from __future__ import annotations

import fcntl
import os
import weakref
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from kdscope.core.files import explained


class Locks:
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
