"""run.json: what a run was, where its models lie, and the content hashes of the files it left beside it."""

from __future__ import annotations

import fnmatch
import hashlib
import json
from collections.abc import Iterable, Mapping
from pathlib import Path, PurePosixPath
from typing import Any

from kdscope.core.errors import DataError
from kdscope.core.files import sha256_of, write_atomically
from kdscope.core.strict_json import strict_loads

RUN_FILE = "run.json"
_FILES, _CHECK = "files", "sha256"
WRITTEN_AGAIN = "`kdscope run STUDY.yaml` writes it again; nothing is trained twice"
"""How to come by a file of a run that is missing or damaged."""
EVALUATED_AGAIN = "the same `kdscope evaluate` writes it again; what the store has is not generated again"
"""How to come by a file of an evaluation."""


def save_run_file(values: Mapping[str, object], hashes: Mapping[str, str], file: Path) -> None:
    """Write run.json: values, the SHA-256 of files by their path beside it, and a check of the whole."""
    told = {**values, _FILES: dict(sorted(hashes.items()))}
    write_atomically(file, json.dumps({**told, _CHECK: _check(told)}, indent=1) + "\n")


def load_run_file(folder: Path, again: str = WRITTEN_AGAIN) -> dict[str, Any] | None:
    """What the run.json of a folder says; None if there is none. Earlier versions have no hashes.

    Args:
        folder: Of a run, or of an evaluation.
        again: How to come by a file of it that is damaged.

    Raises:
        DataError: It is damaged.
    """
    file = folder / RUN_FILE
    try:
        values = strict_loads(file.read_text(encoding="utf-8"))
    except FileNotFoundError:
        return None
    except (OSError, ValueError, RecursionError) as error:
        raise DataError(f"not readable JSON ({error}); {again}", file=file) from error
    if not isinstance(values, dict):
        raise DataError(f"not the JSON object that a run leaves; {again}", file=file)
    if _CHECK in values and values.pop(_CHECK) != _check(values):
        raise DataError(f"was changed since it was written; {again}", file=file)
    return values


def note_rewritten(folder: Path, name: str) -> None:
    """Have run.json, if it has hashes, know a file of the run that was written again."""
    hashes = file_hashes(folder)
    values = load_run_file(folder) or {}
    if name in hashes:
        told = {key: value for key, value in values.items() if key != _FILES}
        save_run_file(told, hashes | {name: sha256_of(folder / name)}, folder / RUN_FILE)


def check_run_files(folder: Path, *patterns: str, again: str = WRITTEN_AGAIN) -> None:
    """Refuse files of a run that are not as the run left them; a folder without hashes passes.

    Args:
        folder: Of the run.
        patterns: Of the files that will be read, such as ``tables/*.parquet``.
        again: How to come by a file that is damaged.

    Raises:
        DataError: One of them, or run.json, is missing or was changed.
    """
    for name, expected in _matching(file_hashes(folder, again), patterns).items():
        _check_file(folder / name, expected, again)


def edited_tables(folder: Path) -> list[str]:
    """A warning for every CSV table of a run that was changed: the numbers are read from the parquet file beside it.

    Raises:
        DataError: run.json is damaged.
    """
    known = {folder / name: expected for name, expected in _matching(file_hashes(folder), ["tables/*.csv"]).items()}
    changed = [file for file, expected in known.items() if file.is_file() and sha256_of(file) != expected]
    return [
        f"{file} was changed since it was written, which changes nothing here: {file.stem}.parquet beside it is "
        "read. `kdscope analyze FILE.csv` reads a table of your own"
        for file in changed
    ]


def file_hashes(folder: Path, again: str = WRITTEN_AGAIN) -> dict[str, str]:
    """The SHA-256 of a run's files by their path in its folder; empty where run.json does not have them.

    Raises:
        DataError: run.json is damaged.
    """
    hashes = (load_run_file(folder, again) or {}).get(_FILES, {})
    if not isinstance(hashes, dict) or any(".." in PurePosixPath(name).parts for name in hashes):
        raise DataError("'files' does not have the hashes that a run leaves", file=folder / RUN_FILE)
    return hashes


def _matching(hashes: Mapping[str, str], patterns: Iterable[str]) -> dict[str, str]:
    return {name: hashes[name] for pattern in patterns for name in fnmatch.filter(hashes, pattern)}


def _check_file(file: Path, expected: str, again: str) -> None:
    try:
        found = sha256_of(file)
    except FileNotFoundError:
        raise DataError(f"missing; {again}", file=file) from None
    except OSError as error:
        raise DataError(f"cannot be read ({error.strerror or error}); {again}", file=file) from error
    if found != expected:
        raise DataError(
            f"was changed since it was written; {again}. To use it as it is, delete '{_FILES}' and "
            f"'{_CHECK}' from {RUN_FILE}, which has its SHA-256",
            file=file,
        )


def _check(values: Mapping[str, object]) -> str:
    """The hash of all but the store's place, which a person may correct where the store was moved."""
    told = {name: value for name, value in values.items() if name != "store"}
    return hashlib.sha256(json.dumps(told, sort_keys=True).encode()).hexdigest()
