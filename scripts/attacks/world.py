"""A small study that has every kind of stage, what it comes to when nobody disturbs it, and comparison with that."""

from __future__ import annotations

import hashlib
import json
import shutil
from dataclasses import dataclass
from functools import cache
from pathlib import Path

import pandas as pd

from attacks.commands import call

STUDY = """\
name: target
data:
  mini: {tasks: [mini-one-step], rows_per_task: 24}
  validation_items: 8
  unlabelled:
    mini: {tasks: [mini-one-step], rows_per_task: 24, skip_per_task: 60}
tasks: {names: [mini-one-step], mini_items: 12}
teachers: {name: big, path: "kdscope:tiny-s", tuning: full}
students:
  - {name: small, path: "kdscope:tiny-s", tuning: lora}
methods: [sft, forward_kl, gkd]
training: {max_steps: 4, batch_size_sequences: 8, micro_batch_tokens: 2048, learning_rate: 0.003,
  max_length_tokens: 160, validate_every_steps: 2, checkpoint_every_steps: 1}
teacher_generation: {max_new_tokens: 24, batch_size: 32}
evaluation: {max_new_tokens: 24, batch_size: 32}
fidelity: {ceiling: identity}
runtime: {device: cpu, dtype: float32, threads: 1}
"""
RUN_SECONDS = 120.0
"""The longest that a run of this study may take, on a machine that does other things too."""
_VARYING = {
    "manifest.json",
    "report.html",
    "run.json",
    "facts.json",
    "cells.csv",
    "cells.parquet",
    "adapter_config.json",
}
_TIMES = ["training_seconds", "peak_memory_bytes"]


@dataclass(frozen=True)
class World:
    """A folder with the study, perhaps its store and its run."""

    folder: Path

    @property
    def store(self) -> Path:
        """Finished stages."""
        return self.folder / ".kdscope"

    @property
    def delivered(self) -> Path:
        """The run's folder."""
        return self.folder / "runs" / "target"

    def copy(self, folder: Path) -> World:
        """The same, elsewhere."""
        shutil.copytree(self.folder, folder, symlinks=True)
        return World(folder)


def new_world(folder: Path, *, workers: int = 1) -> World:
    """A folder in which nothing has run yet."""
    folder.mkdir(parents=True)
    study = STUDY if workers == 1 else STUDY.replace("threads: 1", f"threads: 1, workers: {workers}")
    (folder / "study.yaml").write_text(study)
    return World(folder)


def finished_world(folder: Path) -> World:
    """A folder in which the study ran undisturbed.

    Raises:
        RuntimeError: It did not end well, so that nothing can be attacked.
    """
    world = new_world(folder)
    outcome = call(["run", "study.yaml", "--quiet"], folder, seconds=RUN_SECONDS)
    if outcome.code != 0:
        raise RuntimeError(f"the undisturbed run failed: {outcome.text}")
    return world


def difference(world: World, reference: World, *, stages: bool = True) -> str:
    """The first thing in which what the study came to is not what it should be; empty if it is the same.

    Every file delivered, and with `stages` every output of every stage, is compared byte by byte, except what says
    when, where and how long: of the table of cells its other columns; of an adapter's configuration its content, whose
    lists are sets. A delivered page is the one whose hash the store's manifest holds.
    """
    found, wanted = _contents(world, stages), _contents(reference, stages)
    if missing := sorted(set(wanted) - set(found)):
        return f"{missing[0]} is missing"
    for name, content in wanted.items():
        if found[name] != content:
            return f"{name} differs"
    return _page_difference(world)


def _contents(world: World, stages: bool) -> dict[str, str]:
    roots = (world.store / "stages", world.delivered)[0 if stages else 1 :]
    files = [path for root in roots for path in sorted(root.rglob("*")) if path.is_file()]
    named = {str(path.relative_to(world.folder)): path for path in files}
    contents = {name: _content(path) for name, path in named.items()}
    return {name: content for name, content in contents.items() if content}


def _content(path: Path) -> str:
    if path.name not in _VARYING:
        facts = path.stat()
        return _hash(path, facts.st_size, facts.st_mtime_ns, facts.st_ino)
    if path.name == "facts.json":  # has the study's text, in which worlds differ by their workers
        return path.read_bytes().replace(b"workers: 2", b"workers: 1").hex()
    if path.name == "cells.csv":
        return str(pd.read_csv(path).drop(columns=_TIMES).to_csv())
    if path.name == "adapter_config.json":
        settings = json.loads(path.read_text())
        return str(sorted((key, sorted(v) if isinstance(v, list) else v) for key, v in settings.items()))
    return ""


@cache
def _hash(path: Path, *facts: int) -> str:
    return hashlib.sha256(path.read_bytes()).hexdigest()


def _page_difference(world: World) -> str:
    page = world.delivered / "report.html"
    if not page.is_file():
        return "report.html is missing"
    digest = hashlib.sha256(page.read_bytes()).hexdigest()
    manifests = (world.store / "stages" / "write_report").glob("*/manifest.json")
    known = [json.loads(path.read_text())["files"]["report.html"]["sha256"] for path in manifests]
    return "" if digest in known else "the delivered report.html is not the one that was made"
