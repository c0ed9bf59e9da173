"""Off-policy distillation: examples a second and peak memory of kdscope's ways, of plain fine-tuning, and of others.

    python benchmarks/bench_distill.py                                    # SmolLM2-135M, downloaded; about half an hour
    python benchmarks/bench_distill.py --model path/to/model --data train.json --out results.json
    python benchmarks/bench_distill.py --arms 'kdscope_*,trl_gkd_jsd' --rounds 5

A teacher, a student cut from it, and a LoRA adapter, the same for all; the same examples in the same batches. The arms:

    kdscope_sft                      fine-tuning on the references, the control
    kdscope_live_*                   the teacher runs beside the student
    kdscope_replay_*                 its recorded last hidden states stand for it
    kdscope_expectation_forward_kl   one recorded vector a token is enough
    transformers_sft                 transformers' Trainer
    trl_gkd_*                        trl's GKDTrainer, lmbda 0 (beta 0, 1 and 0.5), with and without checkpointing
    authors_forward_kl               the dense loss of the code of arXiv 2505.15442: prompt included, T = 2

kdscope_record and kdscope_expect are work done once, before any training: their time stands apart, and in the last
column, where 3 epochs of every recorded example pay for it. Peak memory is that of the whole process (on a GPU: of its
allocator), so loading the models is in it. Tokens are real ones; padding is not counted.
"""

from __future__ import annotations

from collections.abc import Sequence
from functools import partial
from pathlib import Path
from typing import Any

from common import Arm, Outcome, Task, run_arm, run_rounds
from settings import make_parser, select, settings_of
from tables import number, show_ratios, show_table

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
    tokens_per_second,
    write_results,
)

_EPOCHS = 3
_DIVERGENCES = ("forward_kl", "reverse_kl", "jsd")
_REPLAYED = ("skew_kl", "jeffreys", "todi", "alpha_beta", "concrete_score", "entropy_aware_kl")
"""That no peer has: beside fine-tuning only."""
_RECORDINGS = ("kdscope_record", "kdscope_expect")


def main(arguments: Sequence[str] | None = None) -> None:
    """Measure, print, write."""
    parsed = make_parser(__doc__).parse_args(arguments)
    if parsed.arm is not None:
        run_arm(parsed, ARMS)
        return
    settings, machine = settings_of(parsed), None
    machine = describe_machine(settings.device)
    print(one_line(machine), flush=True)
    chosen = with_recordings(select(ARMS, parsed.arms))
    runs = run_rounds(Path(__file__), chosen, settings, parsed.rounds, partial(print, flush=True))
    quantities = (examples_per_second, examples_per_processor_second, peak_memory_gib)
    compared = ratios(runs, _pairs(chosen), quantities)
    write_results(parsed.out, settings, machine, runs, compared)
    _show(runs, chosen)
    show_ratios(compared)


def with_recordings(chosen: Sequence[str]) -> list[str]:
    """The arms, and before them the recordings they read."""
    needed = {name for arm in chosen for name in recordings_of(arm)}
    return [arm for arm in ARMS if arm in needed or arm in chosen]


def recordings_of(arm: str) -> tuple[str, ...]:
    """What must have been recorded before an arm runs."""
    if arm.startswith("kdscope_replay") or arm == "kdscope_expect":
        return _RECORDINGS[:1]
    return _RECORDINGS if arm.startswith("kdscope_expectation") else ()


def recording_seconds(runs: Sequence[Run], arm: str) -> float | None:
    """Seconds an example costs before the training of an arm can begin; None if that is not known."""
    total = 0.0
    for name in recordings_of(arm):
        cost = middle(runs, name, lambda run: run["one_off_seconds"] / run["one_off_examples"])
        if cost is None:
            return None
        total += cost
    return total


def _show(runs: Sequence[Run], arms: Sequence[str]) -> None:
    recorded = [
        [arm, number(middle(runs, arm, _one_off)), number(middle(runs, arm, _one_off_ms), 1), _gib(runs, arm)]
        for arm in arms
        if arm in _RECORDINGS
    ]
    if recorded:
        show_table("Once, before any training", ["work", "s", "ms/example", "peak GiB"], recorded)
    columns = ["arm", "examples/s", "tokens/s", "peak GiB", "loss", f"examples/s incl. recording, {_EPOCHS} epochs"]
    show_table("Training, medians", columns, [_row(runs, arm) for arm in arms if arm not in _RECORDINGS])


def _row(runs: Sequence[Run], arm: str) -> list[str]:
    rate, before = middle(runs, arm, examples_per_second), recording_seconds(runs, arm)
    amortised = None if rate is None or before is None else 1.0 / (1.0 / rate + before / _EPOCHS)
    speed = number(middle(runs, arm, tokens_per_second), 0)
    losses = [run["losses"][-1] for run in of_arm(runs, arm)]
    return [arm, number(rate), speed, _gib(runs, arm), number(losses[-1] if losses else None, 3), number(amortised)]


def _gib(runs: Sequence[Run], arm: str) -> str:
    return number(middle(runs, arm, peak_memory_gib))


def _one_off(run: Run) -> float:
    return float(run["one_off_seconds"])


def _one_off_ms(run: Run) -> float:
    return 1000.0 * float(run["one_off_seconds"]) / int(run["one_off_examples"])


def _pairs(arms: Sequence[str]) -> list[tuple[str, str]]:
    """Each of kdscope's arms beside the other trainer of the same objective, and distillation beside fine-tuning."""
    pairs = [("kdscope_sft", "transformers_sft")]
    for arm in (name for name in arms if name.startswith("kdscope_") and name.endswith(_DIVERGENCES)):
        divergence = next(name for name in _DIVERGENCES if arm.endswith(name))
        pairs += [(arm, f"trl_gkd_{divergence}"), (arm, f"authors_{divergence}"), (arm, "kdscope_sft")]
    return pairs + [(arm, "kdscope_sft") for arm in arms if arm.endswith(_REPLAYED)]


def _kdscope(task: Task, name: str, **settings: Any) -> Outcome:
    # Here, so that the process that only starts others, and those of other arms, stay small.
    import kdscope_arms

    outcome: Outcome = getattr(kdscope_arms, name)(task, **settings)
    return outcome


def _peer(task: Task, name: str) -> Outcome:
    import peers

    return peers.peer_arms()[name](task)


def _arms() -> dict[str, Arm]:
    peers = ("transformers_sft", *(f"trl_gkd_{name}" for name in _DIVERGENCES), "trl_gkd_forward_kl_checkpointing")
    trained: dict[str, Arm] = {
        f"kdscope_{way}_{divergence}": partial(_kdscope, name=way, divergence=divergence)
        for divergence in _DIVERGENCES
        for way in ("live", "replay", "expectation")
        if way != "expectation" or divergence == "forward_kl"
    }
    trained |= {f"kdscope_replay_{name}": partial(_kdscope, name="replay", divergence=name) for name in _REPLAYED}
    return {
        "kdscope_record": partial(_kdscope, name="record"),
        "kdscope_expect": partial(_kdscope, name="expect"),
        "kdscope_sft": partial(_kdscope, name="sft"),
        **trained,
        **{name: partial(_peer, name=name) for name in (*peers, "authors_forward_kl")},
    }


ARMS = _arms()

if __name__ == "__main__":
    main()
