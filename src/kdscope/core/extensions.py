"""A user's Python files that add methods, divergences, measures, tasks, backends and figures to the built-in ones.

A file is run only where a study or a command names it, by `load_extensions`. After that call the catalogues of this
process hold the built-in entries and exactly what these files add. What a file adds is known by the SHA-256 of the
file, which becomes part of the identity of the stages that use it; its path is context, by which a process that
executes a stage finds it.
"""

from __future__ import annotations

import hashlib
import os
import sys
import traceback
from collections.abc import Callable, Iterable, Mapping
from contextvars import ContextVar
from dataclasses import dataclass, field
from pathlib import Path
from types import ModuleType

from kdscope.core.errors import StudyError
from kdscope.core.files import why_no_file


@dataclass(frozen=True)
class Extension:
    """A file at one content."""

    path: Path
    sha256: str


@dataclass
class _Loaded:
    """What is loaded: the files, the origin of every name, and how to take it all out again."""

    extensions: dict[Path, Extension] = field(default_factory=dict)
    origins: dict[tuple[str, str], Extension] = field(default_factory=dict)
    removals: dict[Path, list[Callable[[], object]]] = field(default_factory=dict)

    def unload(self, path: Path) -> None:
        for remove in reversed(self.removals.pop(path, [])):
            remove()
        self.extensions.pop(path, None)
        self.origins = {name: found for name, found in self.origins.items() if found.path != path}


_LOADED = _Loaded()
_RUNNING: ContextVar[Extension | None] = ContextVar("running extension", default=None)


def load_extensions(paths: Iterable[Path]) -> tuple[Extension, ...]:
    """Run these files, unless they are loaded at their present content; unload all others.

    Raises:
        StudyError: A file is missing, fails, or adds a name that is taken; with file and line.
    """
    wanted = dict.fromkeys(Path(os.path.realpath(path)) for path in paths)
    for path in list(_LOADED.extensions):
        if path not in wanted:
            _LOADED.unload(path)
    return tuple(_load(path) for path in wanted)


def load_planned(planned: Mapping[str, str]) -> None:
    """Load the extensions of a stage that was planned elsewhere or earlier, by path and SHA-256.

    Raises:
        StudyError: As `load_extensions`, or a file has changed since.
    """
    if planned == loaded_extensions():
        return
    for extension in load_extensions(Path(path) for path in planned):
        if extension.sha256 != planned[str(extension.path)]:
            raise StudyError("this extension has changed since the study was planned", file=extension.path)


def loaded_extensions() -> dict[str, str]:
    """The SHA-256 of every loaded extension, by path: what `load_planned` takes."""
    return {str(path): extension.sha256 for path, extension in _LOADED.extensions.items()}


def origin(kind: str, name: str) -> str | None:
    """The SHA-256 of the extension that a name comes from; None for what comes with kdscope."""
    found = _LOADED.origins.get((kind, name))
    return None if found is None else found.sha256


def origins_of(kind: str) -> list[str]:
    """The SHA-256 of every extension that adds something of a kind."""
    return sorted({found.sha256 for (added, _), found in _LOADED.origins.items() if added == kind})


def origins(*named: tuple[str, str]) -> list[str]:
    """The SHA-256 of every extension that one of these names, given with their kinds, comes from."""
    return sorted({found for kind, name in named if (found := origin(kind, name)) is not None})


def add_entry(kind: str, name: str, add: Callable[[], None], remove: Callable[[], None]) -> None:
    """Add something of the extension that is running, and know how to take it out again.

    Args:
        kind: Of catalogue, such as "method".
        name: Unique within its kind.
        add: Raises ValueError where the name is taken.
        remove: Its inverse.

    Raises:
        StudyError: No extension is running: what is added elsewhere has no content to be known by.
    """
    extension = _RUNNING.get()
    if extension is None:
        raise StudyError(
            f"{kind} '{name}' is registered outside an extension: name the file in 'extensions' of a study"
        )
    add()
    _LOADED.origins[kind, name] = extension
    _LOADED.removals[extension.path].append(remove)


def running_file() -> Path | None:
    """The extension that is running; None outside of one."""
    extension = _RUNNING.get()
    return None if extension is None else extension.path


def _load(path: Path) -> Extension:
    try:
        reason = why_no_file(path)
        content = b"" if reason is not None else path.read_bytes()
    except OSError as error:
        reason = f"cannot be read: {error.strerror}"
    if reason is not None:
        raise StudyError(reason, file=path)
    extension = Extension(path, hashlib.sha256(content).hexdigest())
    if _LOADED.extensions.get(path) != extension:
        _LOADED.unload(path)
        _run(extension, content)
        _LOADED.extensions[path] = extension
    return extension


def _run(extension: Extension, content: bytes) -> None:
    # A module of its own, so that dataclasses and pickled functions of the file find where they were defined.
    module = ModuleType(f"kdscope_extension_{extension.sha256[:16]}")
    module.__file__ = str(extension.path)
    sys.modules[module.__name__] = module
    _LOADED.removals[extension.path] = [lambda: sys.modules.pop(module.__name__, None)]
    running = _RUNNING.set(extension)
    try:
        exec(compile(content, str(extension.path), "exec"), module.__dict__)  # noqa: S102 (the user named this file)
    except BaseException as error:
        _LOADED.unload(extension.path)
        if isinstance(error, KeyboardInterrupt):
            raise
        raise failure_of(extension.path, error) from error
    finally:
        _RUNNING.reset(running)


def failure_of(path: Path, error: BaseException) -> StudyError:
    """Why a person's Python file could not be run, in one line: what it raised, be it `SystemExit`, and where."""
    if isinstance(error, SyntaxError) and error.filename == str(path):
        return StudyError(f"not valid Python: {error.msg}", file=path, line=error.lineno)
    frames = traceback.extract_tb(error.__traceback__)
    lines = [frame.lineno for frame in frames if frame.filename == str(path)]
    message = f"{type(error).__name__}: {error}".splitlines()[0]
    return StudyError(f"fails with {message}", file=path, line=lines[-1] if lines else None)
