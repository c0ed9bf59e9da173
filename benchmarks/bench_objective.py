"""The objective alone: time and memory of loss and gradient against the size of the vocabulary and of the batch.

    python benchmarks/bench_objective.py
    python benchmarks/bench_objective.py --tokens 256,1024,8192 --vocabularies 32000,152064 --out results.json
    python benchmarks/bench_objective.py --device cuda --width 3584 --dtype bfloat16

Random hidden states of a student and of a teacher, a head for each, neither training; the loss and its gradient with
respect to the student's states are computed. Memory is what that needs beside its inputs.

    kdscope_cross_entropy   fused cross-entropy: the cost of fine-tuning
    kdscope_expectation     forward KL from expectations made before
    kdscope_forward_kl      fused forward KL, teacher's logits made chunk by chunk
    kdscope_jsd             fused JSD, beta 0.5; all others below compute the same number
    dense_jsd               autograd on all logits in float32
    trl_chunked_jsd         what trl's DistillationTrainer uses, where trl has it
    liger_jsd               Liger Kernel's LigerFusedLinearJSD, on a GPU where liger-kernel is installed

Vocabularies are varied at --at-tokens tokens, tokens at a vocabulary of --at-vocabulary. A case whose dense logits
would not fit into the memory that is free is left out for dense_jsd, and the table says so.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from functools import partial
from importlib.util import find_spec
from pathlib import Path
from statistics import median
from typing import Any

from common import Outcome, Task, run_arm, run_rounds
from settings import Settings, make_parser, select, settings_of
from tables import number, show_table

from results import Run, describe_machine, middle, of_arm, one_line, ratios, write_results

_WAYS = (
    "kdscope_cross_entropy",
    "kdscope_expectation",
    "kdscope_forward_kl",
    "kdscope_jsd",
    "dense_jsd",
    "trl_chunked_jsd",
    "liger_jsd",
)
_DENSE_TENSORS = 8  # [tokens, vocabulary] in float32 that autograd holds at its peak, about


def main(arguments: Sequence[str] | None = None) -> None:
    """Measure, print, write."""
    parser = make_parser(__doc__, rounds=2, only=("dtype", "device", "threads", "huge_pages", "seed"))
    parser.add_argument("--width", type=int, default=576, help="D, of the hidden states (default: 576)")
    parser.add_argument("--vocabularies", default="8192,32768,65536,151936", help="default: 8192,32768,65536,151936")
    parser.add_argument("--tokens", default="256,1024,4096,8192", help="default: 256,1024,4096,8192")
    parser.add_argument("--at-vocabulary", type=int, default=49152, help="where tokens vary (default: 49152)")
    parser.add_argument("--at-tokens", type=int, default=1024, help="where vocabularies vary (default: 1024)")
    parser.add_argument("--repeats", type=int, default=3, help="timed repetitions in each run (default: 3)")
    parsed = parser.parse_args(arguments)
    if parsed.arm is not None:
        run_arm(parsed, {parsed.arm: partial(measure, name=parsed.arm)})
        return
    settings = settings_of(parsed, width=parsed.width, repeats=parsed.repeats)
    machine = describe_machine(settings.device)
    print(one_line(machine), flush=True)
    ways = [way for way in select(_WAYS, parsed.arms) if _can_run(way, settings)]
    cases = list(_cases(parsed))
    arms = [f"{way}@{vocabulary}x{tokens}" for vocabulary, tokens in cases for way in ways]
    fitting = [arm for arm in arms if not _too_large(arm, settings)]
    runs = run_rounds(Path(__file__), fitting, settings, parsed.rounds, partial(print, flush=True), [])
    pairs = [(f"{way}@{v}x{n}", f"kdscope_jsd@{v}x{n}") for v, n in cases for way in ways if way.endswith("_jsd")]
    compared = ratios(runs, [pair for pair in pairs if pair[0] != pair[1]], (seconds,))
    write_results(parsed.out, settings, machine, runs, compared)
    columns = ["way", "vocabulary", "tokens", "ms", "us/token", "MiB", "nats/token"]
    show_table("Loss and gradient, medians", columns, [_row(runs, arm, settings) for arm in arms])


def seconds(run: Run) -> float:
    """Of one loss and its gradient."""
    return float(median(run["repeats"]))


def measure(task: Task, *, name: str) -> Outcome:
    """One case in one way: `way@VOCABULARYxTOKENS`."""
    from objectives_alone import WAYS, added_memory, make_inputs, prepare_expectation

    way, vocabulary, tokens = _parts(name)
    settings, clock = task.settings, task.clock
    inputs = make_inputs(settings, vocabulary, tokens, settings.extra["width"])
    compute = prepare_expectation(inputs) if way == "kdscope_expectation" else WAYS[way]
    # Libraries load their kernels at the first call; a few tokens are enough for that.
    compute(inputs.first(16)).backward()  # type: ignore[no-untyped-call]
    values: list[float] = []
    memory = added_memory(settings.device, lambda: values.append(_once(compute, inputs)))
    spent = []
    for _ in range(settings.extra["repeats"]):
        started = clock.now()
        _once(compute, inputs)
        spent.append(clock.now() - started)
    return Outcome(one_off_seconds=median(spent), facts={"repeats": spent, "added_bytes": memory, "value": values[0]})


def _once(compute: Callable[[Any], Any], inputs: Any) -> float:
    inputs.student.grad = None
    loss = compute(inputs)
    loss.backward()
    return float(loss)


def _cases(parsed: Any) -> Iterator[tuple[int, int]]:
    pairs = [(int(size), parsed.at_tokens) for size in parsed.vocabularies.split(",")]
    pairs += [(parsed.at_vocabulary, int(count)) for count in parsed.tokens.split(",")]
    yield from dict.fromkeys(pairs)


def _parts(arm: str) -> tuple[str, int, int]:
    way, _, size = arm.partition("@")
    vocabulary, _, tokens = size.partition("x")
    return way, int(vocabulary), int(tokens)


def _can_run(way: str, settings: Settings) -> bool:
    if way == "liger_jsd":
        return settings.device == "cuda" and find_spec("liger_kernel") is not None
    return way != "trl_chunked_jsd" or _has("trl.kernels.chunked_divergence")


def _has(module: str) -> bool:
    try:
        return find_spec(module) is not None
    except ModuleNotFoundError:
        return False


def _too_large(arm: str, settings: Settings) -> bool:
    way, vocabulary, tokens = _parts(arm)
    return way == "dense_jsd" and _DENSE_TENSORS * 4 * vocabulary * tokens > _free_bytes(settings.device)


def _free_bytes(device: str) -> int:
    if device == "cuda":
        import torch

        return int(torch.cuda.mem_get_info()[0])
    file = Path("/proc/meminfo")
    lines = file.read_text().splitlines() if file.exists() else []
    # Elsewhere: 8 GiB, a guess on the safe side.
    return next((int(line.split()[1]) * 1024 for line in lines if line.startswith("MemAvailable")), 8 * 2**30)


def _row(runs: Sequence[Run], arm: str, settings: Settings) -> list[str]:
    way, vocabulary, tokens = _parts(arm)
    spent, found = middle(runs, arm, seconds), of_arm(runs, arm)
    memory = [run["added_bytes"] for run in found if run["added_bytes"] is not None]
    milliseconds = number(None if spent is None else 1000 * spent, 1)
    if _too_large(arm, settings):
        milliseconds = "does not fit"
    return [
        way,
        f"{vocabulary:,}",
        f"{tokens:,}",
        milliseconds,
        number(None if spent is None else 1e6 * spent / tokens, 1),
        number(median(memory) / 2**20 if memory else None, 0),
        number(found[0]["value"] if found else None, 4),
    ]


if __name__ == "__main__":
    main()
