"""What one try came to, a log of many, and their table."""

from __future__ import annotations

import json
from collections import Counter
from dataclasses import asdict, dataclass
from pathlib import Path


@dataclass(frozen=True)
class Result:
    """One try: its family, what was done, and what was wrong with the answer; empty if it survived."""

    family: str
    what: str
    problem: str = ""


def append(log: Path, results: list[Result]) -> None:
    """Add results to a log, a line each."""
    with log.open("a") as file:
        file.writelines(json.dumps(asdict(result)) + "\n" for result in results)


def read(log: Path) -> list[Result]:
    """All results of a log, of whatever run."""
    return [Result(**json.loads(line)) for line in log.read_text().splitlines()] if log.exists() else []


def table(results: list[Result]) -> str:
    """Tries, survived and failed by family, as Markdown; then every failure."""
    tries = Counter(result.family for result in results)
    failed = Counter(result.family for result in results if result.problem)
    lines = ["| family | tries | survived | failed |", "|---|--:|--:|--:|"]
    lines += [f"| {name} | {tries[name]} | {tries[name] - failed[name]} | {failed[name]} |" for name in sorted(tries)]
    lines += [f"\n{result.family}: {result.what}: {result.problem}" for result in results if result.problem]
    return "\n".join(lines)
