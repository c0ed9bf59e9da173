"""Mini tasks as files, for use outside a study."""

from __future__ import annotations

import json
from collections.abc import Iterable
from pathlib import Path

from kdscope.tasks.mini.suite import MINI_MAKERS, mini_rows


def write_mini_files(
    folder: Path, tasks: Iterable[str] = tuple(MINI_MAKERS), *, train: int, test: int, seed: int = 0
) -> list[Path]:
    """Write <folder>/<task>/train.json and test.json in the schema of LLM-Adapters; returns the files.

    Raises:
        DataError: One of the names is not a mini task's.
    """
    written = []
    for task in tasks:
        for split, rows in (
            ("train", mini_rows(task, "train", train, seed)),
            ("test", mini_rows(task, "test", test, seed)),
        ):
            file = folder / task / f"{split}.json"
            file.parent.mkdir(parents=True, exist_ok=True)
            file.write_text(json.dumps(rows, indent=1) + "\n", encoding="utf-8")
            written.append(file)
    return written
