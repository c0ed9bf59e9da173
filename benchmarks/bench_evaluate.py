"""Evaluation: how fast a model answers the items of a task, and whether the answers are the same.

    python benchmarks/bench_evaluate.py --data-dir path/to/tasks
    python benchmarks/bench_evaluate.py --data-dir path/to/tasks --model path/to/model --items 200 --out results.json

The data folder has one folder a task with a test.json in the LLM-Adapters schema, such as SVAMP/test.json. All arms
answer the same prompts (the Alpaca template) greedily in the same precision, write as many new tokens at most, and end
at the same stop text:

    kdscope          batches of like length, finished rows leave; the token budget of a batch is --batch-tokens
    lm_eval          lm-evaluation-harness, hf backend, the same number of rows a batch (pip install lm-eval)
    authors          one prompt at a time without a key-value cache, as the code of arXiv 2505.15442 does
    kdscope_large    like kdscope, with --large-batch-size rows
    lm_eval_large    like lm_eval, with --large-batch-size rows

The arm authors answers only --authors-items of the items: its items per second are extrapolated from them. They are
evenly spread over the lengths of the answers, where kdscope ran before in the round, and otherwise over the file. Times
include tokenisation, and for kdscope the check that its decoding loop suits the model; loading is left out. Answers are
compared item by item: the text, and what both of kdscope's ways to read an answer find in it.
"""

from __future__ import annotations

import json
from argparse import ArgumentParser
from collections.abc import Mapping, Sequence
from functools import partial
from importlib.metadata import PackageNotFoundError, version
from itertools import combinations
from pathlib import Path
from typing import Any

from common import Arm, Outcome, Task, run_arm, run_rounds
from settings import Settings, make_parser, select, settings_of
from tables import number, show_ratios, show_table

from answers import Answer, accuracy, agree, prompts_of, read_items, scores, spread
from kdscope.tasks import get_task
from results import (
    Run,
    describe_machine,
    examples_per_processor_second,
    examples_per_second,
    middle,
    of_arm,
    one_line,
    peak_memory_gib,
    ratios,
    write_results,
)

_LENGTHS = "lengths.json"


def main(arguments: Sequence[str] | None = None) -> None:
    """Measure, print, write."""
    parsed = _parser().parse_args(arguments)
    if parsed.arm is not None:
        run_arm(parsed, ARMS)
        return
    if parsed.data_dir is None:
        raise SystemExit("--data-dir is needed: a folder that has SVAMP/test.json, or that of another task")
    settings = settings_of(
        parsed,
        data_dir=str(parsed.data_dir.resolve()),
        task=get_task(parsed.task_name).name,
        items=parsed.items,
        new_tokens=parsed.new_tokens,
        stop_texts=["### Instruction"],
        batch_tokens=parsed.batch_tokens,
        large_batch_size=parsed.large_batch_size,
        authors_items=parsed.authors_items,
    )
    read_items(settings)
    machine = _with_harness(describe_machine(settings.device))
    print(one_line(machine), flush=True)
    chosen = select(ARMS, parsed.arms)
    runs = run_rounds(Path(__file__), chosen, settings, parsed.rounds, partial(print, flush=True), [])
    pairs = [("kdscope", "lm_eval"), ("kdscope", "authors"), ("kdscope_large", "lm_eval_large")]
    compared = ratios(runs, pairs, (examples_per_second, examples_per_processor_second, peak_memory_gib))
    judged = [{**run, "scores": scores(settings, run)} if "answers" in run else run for run in runs]
    write_results(parsed.out, settings, machine, judged, compared)
    columns = ["arm", "items/s", "items/processor s", "tokens an item", "peak GiB", "accuracy, robust", "published"]
    show_table("Answering, medians", columns, [_row(judged, arm) for arm in chosen])
    show_ratios(compared)
    pairs = [pair for pair in combinations(chosen, 2) if all(of_arm(judged, arm) for arm in pair)]
    agreement = [[*pair, *agree(*(of_arm(judged, arm)[-1] for arm in pair))] for pair in pairs]
    if agreement:
        show_table("The same, of the items both answered", ["arm", "and", "text", "robust", "published"], agreement)


def _row(runs: Sequence[Run], arm: str) -> list[str]:
    return [
        arm,
        number(middle(runs, arm, examples_per_second), 3),
        number(middle(runs, arm, examples_per_processor_second), 3),
        number(middle(runs, arm, lambda run: run["tokens"] / run["examples"]), 1),
        number(middle(runs, arm, peak_memory_gib)),
        *(number(middle(runs, arm, partial(accuracy, rules=rules)), 3) for rules in ("robust", "published")),
    ]


def _outcome(items: Sequence[int], answers: Sequence[Answer], versions: Mapping[str, str]) -> Outcome:
    facts = {
        "answers": {str(item): dict(answer) for item, answer in zip(items, answers, strict=True)},
        "examples": len(items),
        "tokens": sum(answer["tokens"] for answer in answers),
        "versions": dict(versions),
    }
    return Outcome(facts=facts)


def _kdscope(task: Task, large: bool = False) -> Outcome:
    from kdscope.data.batches import encode_prompt
    from kdscope.generation.base import Decoding, generate_all
    from kdscope.generation.huggingface import HuggingFaceGenerator
    from kdscope.models.load import load_model, load_tokenizer
    from kdscope.models.source import ModelPlace

    settings, place = task.settings, ModelPlace(task.settings.model)
    tokenizer = load_tokenizer(place)
    generator = HuggingFaceGenerator(load_model(place, settings.dtype, settings.device), tokenizer)
    decoding = Decoding(settings.extra["new_tokens"], stop_texts=tuple(settings.extra["stop_texts"]))
    prompts = prompts_of(settings)
    task.clock.tick()
    completions = generate_all(
        generator,
        [encode_prompt(tokenizer, prompt) for prompt in prompts],
        decoding,
        batch_size=_batch_size(settings, large),
        batch_tokens=settings.extra["batch_tokens"],
        scratch=task.scratch(),
        progress=lambda done, total: None,
    )
    task.clock.tick()
    answers = [{"text": c.text, "finish_reason": c.finish_reason, "tokens": len(c.token_ids)} for c in completions]
    # For the arm that answers some of them only.
    (task.folder / _LENGTHS).write_text(json.dumps([answer["tokens"] for answer in answers]))
    return _outcome(range(len(prompts)), answers, {})


def _lm_eval(task: Task, large: bool = False) -> Outcome:
    import peers_evaluate

    prompts = prompts_of(task.settings)
    answers, versions = peers_evaluate.lm_eval(task.settings, prompts, _batch_size(task.settings, large), task.clock)
    return _outcome(range(len(prompts)), answers, versions)


def _authors(task: Task) -> Outcome:
    import peers_evaluate

    prompts = prompts_of(task.settings)
    file = task.folder / _LENGTHS
    lengths = json.loads(file.read_text()) if file.exists() else [0] * len(prompts)
    items = spread(lengths, task.settings.extra["authors_items"])
    answers, versions = peers_evaluate.authors(task.settings, [prompts[item] for item in items], task.clock)
    return _outcome(items, answers, versions)


def _batch_size(settings: Settings, large: bool) -> int:
    return int(settings.extra["large_batch_size"]) if large else settings.batch_size


def _with_harness(machine: dict[str, Any]) -> dict[str, Any]:
    try:
        return machine | {"versions": machine["versions"] | {"lm-eval": version("lm-eval")}}
    except PackageNotFoundError:
        return machine


def _parser() -> ArgumentParser:
    shared = ("model", "batch_size", "dtype", "device", "threads", "huge_pages")
    parser = make_parser(__doc__, rounds=1, only=shared, batch_size=32, dtype="float32")
    # One step, the first tick ends the loading.
    parser.set_defaults(steps=1, warmup_steps=1, arms="kdscope,lm_eval,authors")
    parser.add_argument("--data-dir", type=Path, help="one folder a task, each with a test.json")
    parser.add_argument("--task-name", default="SVAMP", help="which task (default: SVAMP)")
    parser.add_argument("--items", type=int, default=200, help="the first so many items (default: 200)")
    parser.add_argument("--new-tokens", type=int, default=256, help="most tokens of an answer (default: 256)")
    parser.add_argument("--batch-tokens", type=int, help="most places of kdscope's batches (default: no limit)")
    parser.add_argument("--large-batch-size", type=int, default=100, help="rows of the _large arms (default: 100)")
    parser.add_argument("--authors-items", type=int, default=4, help="items of the arm authors (default: 4)")
    return parser


ARMS: dict[str, Arm] = {
    "kdscope": _kdscope,
    "lm_eval": _lm_eval,
    "authors": _authors,
    "kdscope_large": partial(_kdscope, large=True),
    "lm_eval_large": partial(_lm_eval, large=True),
}

if __name__ == "__main__":
    main()
