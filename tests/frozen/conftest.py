"""A study that an earlier version ran: its file, data, teacher, store and run folder.

The archive is `tests.builders.make_world` in an empty folder, run once with `kdscope run study.yaml` (device cpu,
float32), without the page in the run folder. Its evaluations and what follows from them were made again, with the same
tables, when answers came to be read by other rules; its data, models and recordings are older. What a later
version cannot read of it, it cannot read of a user's.
"""

from __future__ import annotations

import json
import tarfile
from pathlib import Path

import pytest

ARCHIVE = Path(__file__).parent / "small_study.tar.xz"


@pytest.fixture(scope="session")
def extracted(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The folder of the study, not to be changed; its run names its store by this machine's path."""
    folder = tmp_path_factory.mktemp("frozen") / "small"
    with tarfile.open(ARCHIVE) as archive:
        archive.extractall(folder, filter="data")
    file = folder / "runs/small/run.json"
    file.write_text(json.dumps(json.loads(file.read_text()) | {"store": str(folder / ".kdscope")}))
    return folder
