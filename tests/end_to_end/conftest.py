"""A small world (model, data, study) and the command line run on it as a person would."""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import sys
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest

from tests.builders import make_world, table_bytes, write_study

ENVIRONMENT = {**os.environ, "OMP_NUM_THREADS": "1", "HF_HUB_OFFLINE": "1", "TOKENIZERS_PARALLELISM": "false"}


@dataclass(frozen=True)
class World:
    """A folder with a study, its model and its data."""

    folder: Path

    def command(self, *arguments: str) -> list[str]:
        return [sys.executable, "-m", "kdscope", *arguments]

    def start(self, *arguments: str) -> subprocess.Popen[str]:
        pipes = {"stdout": subprocess.PIPE, "stderr": subprocess.PIPE}
        return subprocess.Popen(self.command(*arguments), cwd=self.folder, env=ENVIRONMENT, text=True, **pipes)

    def call(self, *arguments: str) -> subprocess.CompletedProcess[str]:
        process = self.start(*arguments)
        out, err = process.communicate(timeout=300)
        return subprocess.CompletedProcess(process.args, process.returncode, out, err)

    def run(self) -> list[dict[str, Any]]:
        """Run the study; the events it told, the result last."""
        done = self.call("run", "study.yaml", "--json")
        assert done.returncode == 0, done.stderr
        return [json.loads(line) for line in done.stdout.splitlines()]

    def tables(self) -> dict[str, bytes]:
        return table_bytes(self.folder / "runs/small/tables")

    def rewrite(self, **changes: Any) -> None:
        write_study(self.folder, **changes)


@pytest.fixture(scope="session")
def pristine_world(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("pristine") / "world"
    folder.mkdir()
    make_world(folder)
    return folder


@pytest.fixture
def world(pristine_world: Path, tmp_path: Path) -> World:
    """A world of the test's own in which nothing has run."""
    folder = tmp_path / "world"
    shutil.copytree(pristine_world, folder)
    write_study(folder)
    return World(folder)


@pytest.fixture(scope="session")
def finished_run(pristine_world: Path, tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, list[dict[str, Any]]]:
    """A world in which the study ran once, undisturbed; not to be changed."""
    folder = tmp_path_factory.mktemp("finished") / "world"
    shutil.copytree(pristine_world, folder)
    write_study(folder)
    return folder, World(folder).run()


@pytest.fixture
def finished(finished_run: tuple[Path, list[dict[str, Any]]], tmp_path: Path) -> World:
    """A copy of the finished world, for the test to change."""
    folder = tmp_path / "world"
    shutil.copytree(finished_run[0], folder)
    write_study(folder)
    return World(folder)


@pytest.fixture
def expected_tables(finished_run: tuple[Path, list[dict[str, Any]]]) -> dict[str, bytes]:
    return World(finished_run[0]).tables()
