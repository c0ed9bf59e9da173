"""Attack kdscope and count: kills, corruptions, faults of the machine, malformed inputs.

    python scripts/campaign.py --minutes 1                     all four in turn
    python scripts/campaign.py kills inputs --minutes 60 --log campaign.jsonl

Prints tries, survived and failed for each family, then every failure; exits with 1 if there is any. With --log results
are appended to a file and the table is of all that it holds, so that counts add up over runs. Every try has a seed of
its own: `--seed S --first N` begins with try N.
"""

from __future__ import annotations

import argparse
import os
import random
import shutil
import sys
import tempfile
import time
from collections.abc import Callable
from pathlib import Path

os.environ |= {"OMP_NUM_THREADS": "1", "TOKENIZERS_PARALLELISM": "false", "HF_HUB_OFFLINE": "1", "COLUMNS": "120"}

from attacks.commands import preload
from attacks.corruptions import corrupt_once
from attacks.faults import fault_once
from attacks.inputs import input_once
from attacks.kills import kill_until_done
from attacks.result import Result, append, read, table
from attacks.world import World, finished_world

Family = Callable[[World, Path, random.Random], Result | list[Result]]
FAMILIES: dict[str, Family] = {
    "kills": kill_until_done,
    "corruptions": corrupt_once,
    "faults": fault_once,
    "inputs": input_once,
}


def main() -> int:
    """Attack for the minutes asked for; the exit code."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("families", nargs="*", default=list(FAMILIES), help=", ".join(FAMILIES))
    parser.add_argument("--minutes", type=float, default=1.0)
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--first", type=int, default=0, help="number of the first try")
    parser.add_argument("--tries", type=int, help="at most so many tries of each family")
    parser.add_argument("--log", type=Path, help="a file to which results are appended")
    options = parser.parse_args()
    if unknown := set(options.families) - set(FAMILIES):
        parser.error(f"no such family: {', '.join(sorted(unknown))}")
    results = attack(options)
    print(table(results))
    return int(any(result.problem for result in results))


def attack(options: argparse.Namespace) -> list[Result]:
    """Tries of all families, each family for an equal share of the time."""
    preload()
    results: list[Result] = []
    with tempfile.TemporaryDirectory(prefix="campaign-") as name:
        folder = Path(name)
        reference = finished_world(folder / "reference")
        for family in options.families:
            end = time.monotonic() + options.minutes * 60 / len(options.families)
            number = options.first
            while time.monotonic() < end and (options.tries is None or number < options.first + options.tries):
                found = _try(family, number, options.seed, reference, folder / "try")
                results += found
                if options.log:
                    append(options.log, found)
                number += 1
                _progress(family, results, end)
    return read(options.log) if options.log else results


def _try(family: str, number: int, seed: int, reference: World, folder: Path) -> list[Result]:
    found = FAMILIES[family](reference, folder, random.Random(f"{family} {seed} {number}"))
    shutil.rmtree(folder, ignore_errors=True)
    results = found if isinstance(found, list) else [found]
    return [Result(result.family, f"{result.what} (--first {number})", result.problem) for result in results]


def _progress(family: str, results: list[Result], end: float) -> None:
    if sys.stderr.isatty():
        failed = sum(bool(result.problem) for result in results)
        left = max(0.0, end - time.monotonic())
        print(f"\r{family}: {len(results)} tries, {failed} failed, {left:.0f} s left ", end="", file=sys.stderr)


if __name__ == "__main__":
    sys.exit(main())
