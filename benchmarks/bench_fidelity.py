"""Fidelity from answers alone: how long all families take on many pairs of worked solutions.

    python benchmarks/bench_fidelity.py
    python benchmarks/bench_fidelity.py --pairs 2000 --with-controls

The solutions are made up, four steps each, in the wording of GSM8K's: the student's are the teacher's with every third
number another one. Intervals and floors are those of a study: 2,000 draws, 5 shuffles. One thread, one process.
"""

from __future__ import annotations

import argparse
import random
import time
from collections.abc import Sequence

from kdscope.evaluation.fidelity_table import fidelity_rows, measure_records
from kdscope.evaluation.records import Record

_SENTENCES = (
    "She has {a} apples and buys {b} more, so there are {a} + {b} = {c}.",
    "Each of the {a} boxes holds {b} pens, which makes {a} * {b} = {c} pens.",
    "After giving {b} of {a} away, {a} - {b} = {c} are left.",
    "He pays {a} dollars and then {b}, that is {a} + {b} = {c} dollars in all.",
)


def main(arguments: Sequence[str] | None = None) -> None:
    """Measure and print."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--pairs", type=int, default=10_000)
    parser.add_argument("--rounds", type=int, default=1)
    parser.add_argument("--with-controls", action="store_true", help="Compare with a control and a ceiling too.")
    parsed = parser.parse_args(arguments)
    teacher, student, control, ceiling = (make_records(parsed.pairs, seed) for seed in (0, 1, 2, 3))
    others = {"control": {"gsm8k": control}, "ceiling": {"gsm8k": ceiling}} if parsed.with_controls else {}
    for number in range(1, parsed.rounds + 1):
        began = time.perf_counter()
        rows = fidelity_rows(measure_records({"gsm8k": student}, {"gsm8k": teacher}, "robust", **others))
        seconds = time.perf_counter() - began
        families = len({row.family for row in rows})
        print(f"round {number}: {parsed.pairs:,} pairs, {len(rows)} measures of {families} families: {seconds:.1f} s")


def make_records(count: int, seed: int) -> list[Record]:
    """A model's solutions to the same items; seed 0 solves them all, others go wrong in every third step."""
    return [
        _record(index, _solution(random.Random(index), random.Random(f"{seed}/{index}"), seed))
        for index in range(count)
    ]


def _solution(item: random.Random, own: random.Random, seed: int) -> tuple[str, str]:
    steps, value = [], 0
    for sentence in item.sample(_SENTENCES, 4):
        a, b = item.randint(20, 90), item.randint(2, 19)
        b += own.randint(1, 9) if seed and own.random() < 1 / 3 else 0
        value = a * b if "*" in sentence else a - b if "-" in sentence else a + b
        steps.append(sentence.format(a=a, b=b, c=value))
    return " ".join([*steps, f"The answer is {value}"]), str(value)


def _record(index: int, solved: tuple[str, str]) -> Record:
    text, answer = solved
    named = {"task": "gsm8k", "item_id": f"gsm8k/{index}", "item_hash": f"{index}", "prompt": f"question {index}"}
    read = {"published_value": answer, "robust_value": answer, "robust_rule": "marker", "robust_status": "explicit"}
    right = {"gold": answer, "correct_published": True, "correct_robust": True, "truncated": False}
    return Record(
        **named, **read, **right, decoding_seed=0, completion=text, finish_reason="stop", completion_tokens=90
    )


if __name__ == "__main__":
    main()
