"""On-policy distillation: every step trains on samples of the student, with the teacher run on them.

    python benchmarks/bench_on_policy.py
    python benchmarks/bench_on_policy.py --model path/to/model --new-tokens 128 --out results.json

The arms, all with the generalised Jensen-Shannon divergence at beta 0.5, sampling at temperature 1 from the whole
distribution, the same prompts in the same batches, student and teacher as in bench_distill.py:

    kdscope_gkd        kdscope, on-policy probability 1
    trl_gkd            trl's GKDTrainer, lmbda 1
    trl_distillation   trl's DistillationTrainer, which is always on-policy

End tokens are forbidden, so every sample has exactly --new-tokens tokens: shorter samples cannot pass for speed. The
generation columns count the time inside the generation calls alone. --max-length cuts prompts and references before.
"""

from __future__ import annotations

from collections.abc import Sequence
from functools import partial
from pathlib import Path

from common import Arm, Outcome, Task, run_arm, run_rounds
from settings import make_parser, select, settings_of
from tables import number, show_ratios, show_table

from results import (
    Run,
    describe_machine,
    examples_per_second,
    middle,
    one_line,
    peak_memory_gib,
    ratios,
    write_results,
)

_BETA = 0.5


def main(arguments: Sequence[str] | None = None) -> None:
    """Measure, print, write."""
    parser = make_parser(__doc__, steps=4)
    parser.add_argument("--new-tokens", type=int, default=64, help="tokens of every sample (default: 64)")
    parsed = parser.parse_args(arguments)
    if parsed.arm is not None:
        run_arm(parsed, ARMS)
        return
    settings = settings_of(parsed, new_tokens=parsed.new_tokens)
    machine = describe_machine(settings.device)
    print(one_line(machine), flush=True)
    chosen = select(ARMS, parsed.arms)
    runs = run_rounds(Path(__file__), chosen, settings, parsed.rounds, partial(print, flush=True))
    pairs = [("kdscope_gkd", "trl_gkd"), ("kdscope_gkd", "trl_distillation")]
    compared = ratios(runs, pairs, (examples_per_second, generated_tokens_per_second, peak_memory_gib))
    write_results(parsed.out, settings, machine, runs, compared)
    columns = ["arm", "examples/s", "tokens a sample", "generated tokens/s", "share of time generating", "peak GiB"]
    show_table("On-policy training, medians", columns, [_row(runs, arm) for arm in chosen])
    show_ratios(compared)


def generated_tokens_per_second(run: Run) -> float:
    """Within the generation calls of the timed steps."""
    timed = _timed(run)
    return float(sum(call["tokens"] for call in timed) / sum(call["seconds"] for call in timed))


def generating_share(run: Run) -> float:
    """Of the time of the timed steps."""
    return float(sum(call["seconds"] for call in _timed(run)) / sum(run["step_seconds"]))


def tokens_of_a_sample(run: Run) -> float:
    """On average."""
    return float(sum(call["tokens"] for call in _timed(run)) / run["examples"])


def _timed(run: Run) -> Sequence[dict[str, float]]:
    # One call a step, and the last ones are those of the timed steps.
    calls: Sequence[dict[str, float]] = run["generations"][-len(run["step_seconds"]) :]
    return calls


def _row(runs: Sequence[Run], arm: str) -> list[str]:
    return [
        arm,
        number(middle(runs, arm, examples_per_second)),
        number(middle(runs, arm, tokens_of_a_sample), 1),
        number(middle(runs, arm, generated_tokens_per_second), 0),
        number(middle(runs, arm, generating_share)),
        number(middle(runs, arm, peak_memory_gib)),
    ]


def _kdscope(task: Task) -> Outcome:
    import kdscope_arms

    return kdscope_arms.on_policy(task, divergence="jsd", new_tokens=task.settings.extra["new_tokens"])


def _trl(task: Task, name: str) -> Outcome:
    import peers_on_policy

    outcome: Outcome = getattr(peers_on_policy, name)(task, beta=_BETA, new_tokens=task.settings.extra["new_tokens"])
    return outcome


ARMS: dict[str, Arm] = {
    "kdscope_gkd": _kdscope,
    "trl_gkd": partial(_trl, name="trl_gkd"),
    "trl_distillation": partial(_trl, name="trl_distillation"),
}

if __name__ == "__main__":
    main()
