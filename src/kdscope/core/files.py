"""The few file operations that have to survive a crash, and the errors a person reads when they cannot."""

from __future__ import annotations

import errno
import hashlib
import os
import shutil
from collections.abc import Iterable, Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

from kdscope.core.errors import StoreError

DISK_TROUBLE = frozenset({errno.ENOSPC, errno.EDQUOT, errno.EROFS})


def store_error(error: OSError, action: str, path: Path) -> StoreError:
    """The readable form of an operating system error: path, what was tried, cause."""
    full = error.errno in DISK_TROUBLE  # of a copy both places are told, and the second one is the disk in trouble
    place = (error.filename2 if full else None) or error.filename or path
    return StoreError(f"{place}: cannot {action}: {error.strerror or error}")


@contextmanager
def explained(action: str, path: Path) -> Iterator[None]:
    """Turn any OSError of the block into a StoreError that names the path, the action and the cause."""
    try:
        yield
    except OSError as error:
        raise store_error(error, action, path) from error


def path_trouble(path: Path) -> str | None:
    """Why the system tells nothing about a path: a name too long, links in a circle, no permission; None if it does."""
    try:
        path.stat()
    except (FileNotFoundError, NotADirectoryError):
        return None
    except OSError as error:
        return f"cannot be read: {error.strerror}"
    except ValueError:
        return "cannot be read: it holds the character U+0000"
    return None


def why_no_file(path: Path) -> str | None:
    """What keeps a path from being read as a file to its end; None where nothing does.

    Raises:
        OSError: The path cannot be looked at, as `path_trouble` tells.
    """
    if path.is_dir():
        return "this is a folder, not a file"
    if path.is_file():
        return None
    return "this is a device or a pipe, not a file" if path.exists() else "no such file"


def unique_token() -> str:
    """A name part no other process, forked or not, will choose."""
    return os.urandom(6).hex()


def sync(path: Path) -> None:
    """Force a file or folder to disk; for a folder, that is its list of names."""
    descriptor = os.open(path, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)


def sha256_of(path: Path) -> str:
    """SHA-256 of a file's bytes, 64 hexadecimal digits.

    Raises:
        OSError: The file cannot be read.
    """
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


def write_synced(path: Path, content: str | Iterable[bytes | memoryview]) -> None:
    """Write a new file, a text or bytes piece by piece, and force it to disk."""
    with path.open("xb") as file:
        file.writelines([content.encode()] if isinstance(content, str) else content)
        file.flush()
        os.fsync(file.fileno())


def write_atomically(path: Path, content: str | Iterable[bytes | memoryview]) -> None:
    """Create or replace a file so that a reader sees all of the old or all of the new, also after a crash."""
    path.parent.mkdir(parents=True, exist_ok=True)
    temporary = path.with_name(f".{path.name}.{unique_token()}")
    try:
        write_synced(temporary, content)
        replace_file(temporary, path)
    except BaseException:
        with suppress(OSError):
            temporary.unlink(missing_ok=True)
        raise


def discard_unfinished(folder: Path) -> None:
    """Remove what a killed `write_atomically` was writing into a folder, which nobody else may be writing to."""
    for file in folder.glob(".*"):
        if file.is_file():
            discard(file)


def replace_file(made: Path, path: Path) -> None:
    """Give a complete file, which is on the disk, its name; what had that name before is gone with it."""
    made.replace(path)
    with suppress(PermissionError):  # a folder that may be written but not read cannot be opened
        sync(path.parent)


def replace_folder(made: Path, folder: Path) -> None:
    """Give a complete folder its name by renaming; what had that name before goes once the new one is there.

    Raises:
        OSError: It cannot be; what was there is there again.
    """
    while True:
        old = made.with_name(f"{made.name}.{unique_token()}")
        with suppress(FileNotFoundError):
            folder.rename(old)
        try:
            made.rename(folder)
        except OSError as error:
            if error.errno in (errno.ENOTEMPTY, errno.EEXIST) and folder.is_dir():
                discard(old)  # another process has put its own there in between
                continue
            with suppress(OSError):
                old.rename(folder)
            raise
        discard(old)
        return


def discard(path: Path) -> None:
    """Remove a file, a link (not what it leads to) or a folder, as far as the system allows; there may be none."""
    if path.is_dir() and not path.is_symlink():
        shutil.rmtree(path, ignore_errors=True)
    else:
        with suppress(OSError):
            path.unlink(missing_ok=True)


def regular_files(folder: Path) -> dict[str, Path]:
    """All files below a folder, by their path relative to it, in name order.

    Raises:
        StoreError: something below the folder is neither a regular file nor a folder (a symbolic link, a socket).
    """
    found = {}
    for path in sorted(folder.rglob("*")):
        if path.is_symlink() or not (path.is_file() or path.is_dir()):
            raise StoreError(f"{path}: a stage may write only regular files and folders")
        if path.is_file():
            found[path.relative_to(folder).as_posix()] = path
    return found
