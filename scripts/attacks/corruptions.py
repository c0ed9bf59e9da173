"""Files of a finished study, damaged; what is delivered afterwards is right, or the command says what is wrong."""

from __future__ import annotations

import json
import os
import random
import re
import shutil
from collections import defaultdict
from collections.abc import Callable
from pathlib import Path

from attacks.commands import Outcome, call, complaint
from attacks.result import Result
from attacks.world import RUN_SECONDS, World, difference

Damage = Callable[[Path, random.Random], bool]
"""Damages a file; False where that is not possible."""


def corrupt_once(reference: World, folder: Path, rng: random.Random) -> Result:
    """Damage one file of a copy of the finished study, by kind of stage and name of file in equal shares."""
    world = reference.copy(folder)
    target, what = _target(world, rng)
    damage = rng.choice(_DAMAGES)
    while not damage(target, rng):
        damage = rng.choice(_DAMAGES)
    judge = _judge_delivered if target.is_relative_to(world.delivered) else _judge_store
    return Result("corruptions", f"{damage.__name__.strip('_')} {what}", judge(world, reference, target, rng))


def _target(world: World, rng: random.Random) -> tuple[Path, str]:
    groups: dict[str, list[Path]] = defaultdict(list)
    for root in (world.store / "stages", world.delivered):
        for path in root.rglob("*"):
            if path.is_file():
                groups[re.sub(r"[0-9a-f]{64}/", "", str(path.relative_to(world.folder)))].append(path)
    what = rng.choice(sorted(groups))
    return rng.choice(groups[what]), what


def _judge_store(world: World, reference: World, target: Path, rng: random.Random) -> str:
    told = call(["plan", "study.yaml", "--json"], world.folder)
    if problem := complaint(told):
        return f"plan: {problem}"
    manifest = _stage_folder(world, target)
    planned, explained = _states(world, told, manifest)
    if {planned, explained} == {"done", "damaged"}:
        return f"plan says {planned}, explain {explained}"
    if "/model/" in str(target) and rng.random() < 0.5 and (problem := _export(world, reference)):
        return problem
    return _run(world, reference, target)


def _stage_folder(world: World, target: Path) -> str:
    return target.relative_to(world.store / "stages").parts[1]


def _states(world: World, told: Outcome, identity: str) -> tuple[str, str]:
    if told.code != 0:
        return "refused", ""
    stages = {stage["identity"]: stage for stage in json.loads(told.out)["stages"]}
    label = stages[identity]["label"]
    outcome = call(["explain", "study.yaml", label, "--json"], world.folder)
    if outcome.code != 0:
        return stages[identity]["state"], ""
    [explained] = [stage["state"] for stage in json.loads(outcome.out) if stage["identity"] == identity]
    return stages[identity]["state"], explained


def _run(world: World, reference: World, target: Path) -> str:
    outcome = call(["run", "study.yaml", "--quiet"], world.folder, seconds=RUN_SECONDS)
    if problem := complaint(outcome, RUN_SECONDS):
        return f"run: {problem}"
    if outcome.code == 0:
        return difference(world, reference, stages=False)
    return "" if target.name in outcome.text else f"run: exit code {outcome.code}, {target.name} is not named"


def _export(world: World, reference: World) -> str:
    outcome = call(["export", "runs/target", "--all", "--out", "exported"], world.folder)
    if problem := complaint(outcome):
        return f"export: {problem}"
    if outcome.code != 0:
        return ""
    if not (reference.folder / "exported").exists():
        call(["export", "runs/target", "--all", "--out", "exported"], reference.folder)
    for path in sorted((reference.folder / "exported").rglob("*")):
        mine = world.folder / path.relative_to(reference.folder)
        if path.suffix in (".safetensors", ".json") and mine.read_bytes() != path.read_bytes():
            return f"export: {path.name} is not the one that was trained"
    return ""


def _judge_delivered(world: World, reference: World, target: Path, rng: random.Random) -> str:
    arguments = rng.choice(_READERS)
    outcome, normal = call(arguments, world.folder), call(arguments, reference.folder)
    if problem := complaint(outcome):
        return f"{arguments[0]}: {problem}"
    if outcome.code == 0 and outcome.text != normal.text and target.name not in outcome.text:
        return f"{arguments[0]}: other results, without a word of {target.name}"
    return _run(world, reference, target)


_READERS = (
    ["analyze", "runs/target", "--out", "again"],
    ["report", "runs/target", "--out", "again.html"],
    ["report", "runs/target", "--tables", "markdown", "--out", "again"],
    ["export", "runs/target", "--all", "--out", "exported"],
)


def _flip_a_byte_of(path: Path, rng: random.Random) -> bool:
    data = bytearray(path.read_bytes())
    if data:
        data[rng.choice([0, len(data) // 2, len(data) - 1, rng.randrange(len(data))])] ^= 1 << rng.randrange(8)
    return bool(data) and _write(path, bytes(data))


def _zero_a_block_of(path: Path, rng: random.Random) -> bool:
    data = bytearray(path.read_bytes())
    start = rng.randrange(max(1, len(data)))
    changed = data[:start] + bytes(len(data[start : start + 64])) + data[start + 64 :]
    return changed != data and _write(path, bytes(changed))


def _halve(path: Path, rng: random.Random) -> bool:
    data = path.read_bytes()
    return len(data) > 1 and _write(path, data[: len(data) // 2])


def _empty(path: Path, rng: random.Random) -> bool:
    return path.stat().st_size > 0 and _write(path, b"")


def _lengthen(path: Path, rng: random.Random) -> bool:
    return _write(path, path.read_bytes() + b"\n")


def _delete(path: Path, rng: random.Random) -> bool:
    path.unlink()
    return True


def _put_a_folder_for(path: Path, rng: random.Random) -> bool:
    path.unlink()
    path.mkdir()
    return True


def _put_a_link_to_elsewhere_for(path: Path, rng: random.Random) -> bool:
    elsewhere = path.with_name(path.name + ".elsewhere")
    shutil.move(path, elsewhere)
    path.symlink_to(elsewhere)
    return True


def _put_another_file_for(path: Path, rng: random.Random) -> bool:
    others = [other for other in path.parents[2].rglob(path.name) if other.is_file() and other != path]
    others = [other for other in others if other.read_bytes() != path.read_bytes()]
    return bool(others) and _write(path, rng.choice(sorted(others)).read_bytes())


def _edit_json_of(path: Path, rng: random.Random) -> bool:
    if path.suffix != ".json":
        return False
    data = json.loads(path.read_text())
    if not isinstance(data, dict) or not data:
        return False
    key = rng.choice(sorted(data))
    data[key] = rng.choice([None, [], {}, -1, "other", {"a": data[key]}])
    return _write(path, json.dumps(data).encode())


def _write(path: Path, data: bytes) -> bool:
    os.chmod(path, 0o644)
    path.write_bytes(data)
    return True


_DAMAGES: tuple[Damage, ...] = (
    *(_flip_a_byte_of, _zero_a_block_of, _halve, _empty, _lengthen, _delete, _put_a_folder_for),
    *(_put_a_link_to_elsewhere_for, _put_another_file_for, _edit_json_of),
)
