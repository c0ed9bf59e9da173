"""Does a folder hold what its manifest says? Taking stock of an output, and checking it later."""

from __future__ import annotations

import os
import stat
from pathlib import Path

from kdscope.core.errors import StoreError
from kdscope.core.files import regular_files, sync
from kdscope.pipeline.fingerprint import hash_file
from kdscope.pipeline.manifest import MANIFEST, FileFacts, Manifest


def sync_and_hash(folder: Path) -> dict[str, FileFacts]:
    """Force a finished output to disk and describe each of its files, in name order.

    Raises:
        StoreError: something in it is not a regular file, or has the manifest's name.
        OSError: a file cannot be read or written.
    """
    facts = {}
    for name, path in regular_files(folder).items():
        if name == MANIFEST:
            raise StoreError(f"{path}: the name {MANIFEST} is reserved")
        sync(path)
        facts[name] = FileFacts(hash_file(path), path.stat().st_size)
    for inner in folder.rglob("*"):
        if inner.is_dir():
            sync(inner)
    return facts


def first_problem(folder: Path, manifest: Manifest, full: bool) -> str:
    """How a folder differs from its manifest, by presence and size and with `full` by content; empty if it does not.

    Raises:
        OSError: a file is there but cannot be read, which says nothing about its content.
    """
    for name, facts in manifest.files.items():
        if problem := _file_problem(folder, name, facts, full):
            return f"file {name} {problem}"
    return ""


def _file_problem(folder: Path, name: str, facts: FileFacts, full: bool) -> str:
    path = folder / name
    try:
        found = path.lstat()
    except (FileNotFoundError, NotADirectoryError):
        return "is missing"
    if not stat.S_ISREG(found.st_mode) or os.path.realpath(path) != os.path.join(os.path.realpath(folder), name):
        return "is not a regular file of the stage"
    if found.st_size != facts.bytes:
        return f"has {found.st_size} bytes instead of {facts.bytes}"
    if full and hash_file(path) != facts.sha256:
        return "has changed content"
    return ""
