"""The trace browser: how long a person waits for a page, with many records.

    python benchmarks/bench_view.py
    python benchmarks/bench_view.py --records 50000 --models 10 --rounds 60 --out results.json

Makes a run whose one task has all the records, with completions of 40 to 3,000 characters as models write them to
school mathematics, and asks the real server over loopback. Told are the median and the 95th percentile of:

    open         a fresh server: the run is opened, its task indexed, the first page rendered
    page         another page of the list, with the item at its top
    filter       models right or wrong, like or unlike the teacher, picked at random
    search       a word that nobody has searched for yet, in prompts and completions of three models
    deep link    an item with models and filters, at random
    long text    an item whose completions have 100,000 characters, all shown, differences marked

and the median of the processor time, which other programs on the machine disturb less.
"""

from __future__ import annotations

import json
import random
import tempfile
import threading
import time
from argparse import ArgumentParser
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import asdict
from http.client import HTTPConnection
from pathlib import Path
from statistics import median, quantiles
from urllib.parse import urlencode

import pandas as pd
import pyarrow as pa
import pyarrow.parquet as pq

from kdscope.evaluation.records import Record, run_record_schema
from kdscope.view.server import ViewServer, make_server
from results import describe_machine, one_line

TASK = "school"
_WORDS = """
    apples tickets marbles gives buys sells finds each every together altogether remaining total first then next
    therefore because number of the a per hour day week store box bag friend school price cost half twice third
    multiply divide add subtract equals we need to find how many there are in left over after before she he they
""".split()  # noqa: SIM905 - sixty quoted words are harder to read
_METHODS = ("sft", "seqkd", "forward_kl", "reverse_kl", "jsd", "gkd", "skew_kl", "skew_reverse_kl", "total_variation")
_LONG_ITEM = 7

Query = dict[str, str] | list[tuple[str, str]]
Ask = Callable[[Query], None]
Times = dict[str, list[tuple[float, float]]]
"""Of every kind of request: seconds that passed, and seconds of the processor."""


def main(arguments: Sequence[str] | None = None) -> None:
    """Make the run, measure, print."""
    parser = ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("--records", type=int, default=50_000)
    parser.add_argument("--models", type=int, default=10)
    parser.add_argument("--rounds", type=int, default=60)
    parser.add_argument("--opens", type=int, default=5, help="How often a fresh server is measured.")
    parser.add_argument("--one-row-group", action="store_true", help="As other programs may write the file.")
    parser.add_argument("--out", type=Path)
    parsed = parser.parse_args(arguments)
    machine = describe_machine("cpu")
    print(one_line(machine), flush=True)
    with tempfile.TemporaryDirectory() as place:
        run = make_run(Path(place), parsed.records, parsed.models, one_row_group=parsed.one_row_group)
        times = measure(run, rounds=parsed.rounds, opens=parsed.opens, items=parsed.records // parsed.models)
    show(times)
    if parsed.out is not None:
        parsed.out.write_text(json.dumps({"machine": machine, "settings": vars(parsed), "seconds": times}, default=str))


def make_run(folder: Path, records: int, models: int, *, one_row_group: bool = False) -> Path:
    """The folder of a run with one task, whose items every model has answered once."""
    cells = ["teacher/big", *(f"small/{method}/s0" for method in _METHODS[: models - 1])]
    (folder / "tables").mkdir()
    (folder / "records").mkdir()
    _cells_table(cells).to_parquet(folder / "tables" / "cells.parquet")
    (folder / "run.json").write_text(json.dumps({"study": "many records", "scoring": "robust"}))
    rng = random.Random(0)
    tables = [_table(rng, cell, records // models) for cell in cells]
    with pq.ParquetWriter(folder / "records" / f"{TASK}.parquet", run_record_schema(), compression="zstd") as writer:
        for table in [pa.concat_tables(tables)] if one_row_group else tables:
            writer.write_table(table)
    return folder


def measure(run: Path, *, rounds: int, opens: int, items: int) -> Times:
    """How long every request takes, by its kind."""
    times: Times = {"open": [_timed(lambda: _open(run)) for _ in range(opens)]}
    rng = random.Random(1)
    shown = [("cell", "teacher/big"), ("cell", "small/sft/s0"), ("cell", "small/seqkd/s0")]
    with _serving(run) as ask:
        ask({})
        for name, query in {
            "page": lambda: {"page": rng.randrange(1, items // 50)},
            "filter": lambda: [*shown, *_filters(rng)],
            "search": lambda: [*shown, ("q", f"{rng.choice(_WORDS)} {rng.randrange(1000)}")],
            "deep link": lambda: [*shown, *_filters(rng), ("item", f"{TASK}/{rng.randrange(items)}")],
            "long text": lambda: [*shown, ("item", f"{TASK}/{_LONG_ITEM}"), ("whole", "1"), ("diff", "full")],
        }.items():
            asked = [query() for _ in range(rounds)]
            times[name] = [_timed(lambda one=one: ask(one)) for one in asked]
    return times


def show(times: Times) -> None:
    """A table to paste."""
    print("\n| request | median | 95th percentile | processor, median |\n|---|---|---|---|")
    for name, pairs in times.items():
        seconds, processor = zip(*pairs, strict=True)
        high = quantiles(seconds, n=20, method="inclusive")[-1] if len(seconds) > 1 else seconds[0]
        print(
            f"| {name} | {1000 * median(seconds):.0f} ms | {1000 * high:.0f} ms | {1000 * median(processor):.0f} ms |"
        )


def _timed(act: Callable[[], None]) -> tuple[float, float]:
    started, processor = time.perf_counter(), time.process_time()
    act()
    return time.perf_counter() - started, time.process_time() - processor


def _open(run: Path) -> None:
    with _serving(run) as ask:
        ask({})


@contextmanager
def _serving(run: Path) -> Iterator[Ask]:
    server: ViewServer = make_server(run, 0)
    thread = threading.Thread(target=server.serve_forever, args=(0.01,))
    thread.start()
    try:
        yield lambda query: _ask(server.server_port, query)
    finally:
        server.shutdown()
        thread.join()
        server.server_close()


def _ask(port: int, query: Query) -> None:
    connection = HTTPConnection("127.0.0.1", port)
    connection.request("GET", "/?" + urlencode(query))
    response = connection.getresponse()
    body = response.read()
    connection.close()
    if response.status != 200 or (b'class="answers"' not in body and b'class="empty"' not in body):
        raise SystemExit(f"no page but {response.status}: {body[:2000]!r}")


def _filters(rng: random.Random) -> list[tuple[str, str]]:
    outcomes = [("is", rng.choice(("any", "right", "wrong"))) for _ in range(3)]
    return [*outcomes, ("as", "any"), *(("as", rng.choice(("any", "same", "different"))) for _ in range(2))]


def _cells_table(cells: Sequence[str]) -> pd.DataFrame:
    rows = []
    for cell in cells:
        parts = cell.split("/")
        teacher = parts[0] == "teacher"
        rows.append(
            {
                "cell": cell,
                "role": "teacher" if teacher else "student",
                "student": None if teacher else parts[0],
                "teacher": None if parts[1] == "sft" else "big",
                "teacher_condition": None if parts[1] == "sft" else "adapted",
                "method": "adapt" if teacher else parts[1],
                "kd_temperature": None,
                "kd_weight": None,
                "teacher_noise_std": None,
                "seed": None if teacher else 0,
                "state": "done",
                "cause": None,
            }
        )
    return pd.DataFrame(rows).astype({"seed": "Int64"})


def _table(rng: random.Random, cell: str, items: int) -> pa.Table:
    prompts = random.Random(2)  # all models are asked the same
    rows = [{"cell": cell, **asdict(_record(rng, prompts, item))} for item in range(items)]
    return pa.Table.from_pylist(rows, schema=run_record_schema())


def _record(rng: random.Random, prompts: random.Random, item: int) -> Record:
    gold, question = str(prompts.randrange(500)), _prose(prompts, prompts.randrange(120, 500))
    answer = gold if rng.random() < 0.6 else str(rng.randrange(500))
    length = 100_000 if item == _LONG_ITEM else min(3000, max(40, int(rng.lognormvariate(5.8, 0.7))))
    unread, cut = rng.random() < 0.03, rng.random() < 0.02
    return Record(
        task=TASK,
        item_id=f"{TASK}/{item}",
        item_hash=f"{item:064x}",
        decoding_seed=0,
        prompt=f"Below is an instruction that describes a task.\n\n### Instruction:\n{question}\n\n### Response:\n",
        completion=f"{_prose(rng, length)} The answer is {answer}.",
        finish_reason="length" if cut else "stop",
        gold=gold,
        published_value=f"{answer}.0",
        correct_published=answer == gold,
        robust_value=None if unread else answer,
        robust_rule="none" if unread else "marker",
        robust_status="unparsed" if unread else "explicit",
        truncated=cut,
        correct_robust=not unread and answer == gold,
        completion_tokens=length // 4,
    )


def _prose(rng: random.Random, length: int) -> str:
    words = []
    while length > 0:
        words.append(rng.choice(_WORDS) if rng.random() < 0.8 else str(rng.randrange(1000)))
        length -= len(words[-1]) + 1
    return " ".join(words)


if __name__ == "__main__":
    main()
