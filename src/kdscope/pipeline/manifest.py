"""The manifest: the file, written last, that makes a folder a completed stage; writing it, reading it, verifying it."""

from __future__ import annotations

import json
import os
import platform
import shutil
import stat
from collections.abc import Callable, Mapping
from dataclasses import asdict, dataclass
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path, PurePosixPath
from typing import Any

from kdscope.core.errors import IdentityError, StoreError
from kdscope.core.files import regular_files, sha256_of, sync
from kdscope.pipeline.fingerprint import JSON, fingerprint
from kdscope.pipeline.stage import identify

MANIFEST = "manifest.json"
_CHECK = "sha256"


@dataclass(frozen=True)
class FileFacts:
    """Content hash and size of one output file."""

    sha256: str
    bytes: int


@dataclass(frozen=True)
class Manifest:
    """What was run, on what, when and with which software, and every file that came out.

    `inputs` maps roles to identities, `files` relative paths to facts; times are UTC, ISO 8601. Everything but the
    first five fields and `files` is for people: nothing is decided by it.
    """

    identity: str
    kind: str
    version: int
    parameters: Mapping[str, JSON]
    inputs: Mapping[str, str]
    files: Mapping[str, FileFacts]
    label: str
    started: str
    finished: str
    seconds: float
    software: Mapping[str, str]
    facts: Mapping[str, JSON]

    def to_json(self) -> str:
        """The text of the file; it ends with the fingerprint of all that is above it."""
        values = asdict(self)
        return json.dumps({**values, _CHECK: fingerprint(values)}, indent=2) + "\n"


def read_manifest(path: Path) -> Manifest:
    """Read and check a manifest; nothing in it is taken on trust.

    Raises:
        ValueError: it is not JSON, lacks a field, has one of a wrong type, names a file outside its folder, was
            changed after it was written, or its identity is not that of its contents.
        OSError: the file cannot be read.
    """
    try:
        data = json.loads(path.read_bytes())
        manifest = _parse(data)
        check = data.pop(_CHECK, None)  # manifests of earlier versions have none
        changed = check is not None and check != fingerprint(data)
        expected = identify(manifest.kind, manifest.version, manifest.parameters, manifest.inputs)
    except (KeyError, RecursionError, IdentityError) as error:
        raise ValueError(f"{type(error).__name__}: {error}") from error
    if manifest.identity != expected:
        raise ValueError("its identity does not match its contents")
    if changed:
        raise ValueError("it was changed after it was written")
    return manifest


def _parse(data: Any) -> Manifest:
    texts = {name: _expect(data, name, str) for name in ("identity", "kind", "label", "started", "finished")}
    maps = {name: _expect(data, name, dict) for name in ("parameters", "inputs", "software", "facts")}
    files = {safe_name(name): _parse_facts(facts) for name, facts in _expect(data, "files", dict).items()}
    version, seconds = _expect(data, "version", int), _expect(data, "seconds", float)
    return Manifest(**texts, **maps, files=files, version=version, seconds=seconds)


def _parse_facts(facts: Any) -> FileFacts:
    return FileFacts(_expect(facts, "sha256", str), _expect(facts, "bytes", int))


def _expect(data: Any, name: str, kind: type) -> Any:
    value = data[name] if isinstance(data, dict) else None
    if type(value) is not kind:
        raise ValueError(f"{name} is not a {kind.__name__}")
    return value


def safe_name(name: str) -> str:
    """The name itself, if it is a normal relative path that stays inside its folder.

    >>> safe_name("weights/model.safetensors")
    'weights/model.safetensors'

    Raises:
        ValueError: it is empty, absolute, not normalised, climbs with `..`, or is the manifest's own name.
    """
    path = PurePosixPath(name)
    if name in ("", ".", MANIFEST) or "\0" in name or path.is_absolute() or ".." in path.parts or str(path) != name:
        raise ValueError(f"unsafe file name {name!r}")
    return name


def software_versions() -> dict[str, str]:
    """The versions a reader of the output may want to know."""
    try:
        own = version("kdscope")
    except PackageNotFoundError:
        own = "not installed"
    return {"kdscope": own, "python": platform.python_version(), "platform": platform.platform()}


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
        facts[name] = FileFacts(sha256_of(path), path.stat().st_size)
    for inner in folder.rglob("*"):
        if inner.is_dir():
            sync(inner)
    return facts


def first_problem(folder: Path, manifest: Manifest, digest: Callable[[Path], str] | None) -> str:
    """How a folder differs from its manifest; empty if it does not.

    Looks at presence and size, and with a `digest` (such as `sha256_of`) at the content of every file.

    Raises:
        OSError: a file is there but cannot be read, which says nothing about its content.
    """
    for name, facts in manifest.files.items():
        if problem := _file_problem(folder, name, facts, digest):
            return f"file {name} {problem}"
    return ""


def copy_files(folder: Path, manifest: Manifest, places: Mapping[str, Path]) -> str:
    """Copy files of an output to where they are wanted, by their names; says which did not arrive as it was completed.

    Raises:
        OSError: A file cannot be read or written.
    """
    for name, place in places.items():
        place.parent.mkdir(parents=True, exist_ok=True)
        shutil.copyfile(folder / name, place)  # with the usual permissions, whatever those of the store are
        if sha256_of(place) != manifest.files[name].sha256:
            return f"file {name} has changed content"
    return ""


def _file_problem(folder: Path, name: str, facts: FileFacts, digest: Callable[[Path], str] | None) -> str:
    path = folder / name
    try:
        found = path.lstat()
    except (FileNotFoundError, NotADirectoryError):
        return "is missing"
    if not stat.S_ISREG(found.st_mode) or os.path.realpath(path) != os.path.join(os.path.realpath(folder), name):
        return "is not a regular file of the stage"
    if found.st_size != facts.bytes:
        return f"has {found.st_size} bytes instead of {facts.bytes}"
    if digest is not None and digest(path) != facts.sha256:
        return "has changed content"
    return ""
