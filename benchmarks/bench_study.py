"""A whole grid: 2 students x 3 divergences x 2 temperatures with one teacher, against as many runs of trl.

    python benchmarks/bench_study.py                                     # an hour or two on a small CPU
    python benchmarks/bench_study.py --model path/to/model --data train.json --examples 64 --epochs 3 --out results.json

    kdscope_study   a study as `kdscope run` would do it, without the evaluations: data and students prepared, the
                    teacher read once, expectations made, 12 students trained, everything stored
    trl_gkd         12 runs of trl's GKDTrainer with lmbda 0, one after another, on the same examples, as many epochs:
                    loading the two models and trainer.train(), nothing else. (Its loss has no temperature. The runs
                    that stand for temperature 2 take the time they would take with one.)

The second student has --other-student-layers. Starting Python and importing libraries is not counted for either.
--steps and --warmup-steps have no meaning here: all is counted, and nothing is repeated to warm up.
"""

from __future__ import annotations

import gc
import json
import time
from collections.abc import Iterator, Sequence
from dataclasses import replace
from functools import partial
from itertools import product
from pathlib import Path
from typing import Any

from common import Arm, Clock, Outcome, Task, run_arm, run_rounds
from settings import Settings, make_parser, select, settings_of
from tables import number, show_ratios, show_table
from workload import make_examples

from results import Run, describe_machine, middle, of_arm, one_line, peak_memory_gib, ratios, write_results

_DIVERGENCES = ("forward_kl", "reverse_kl", "jsd")
_TEMPERATURES = (1.0, 2.0)


def main(arguments: Sequence[str] | None = None) -> None:
    """Measure, print, write."""
    parser = make_parser(__doc__, rounds=1)
    parser.add_argument("--examples", type=int, default=64, help="training examples (default: 64)")
    parser.add_argument("--epochs", type=int, default=3, help="passes over them (default: 3)")
    parser.add_argument("--other-student-layers", type=int, default=15, help="layers of the other one (default: 15)")
    parsed = parser.parse_args(arguments)
    if parsed.arm is not None:
        run_arm(parsed, ARMS)
        return
    layers = [parsed.student_layers, parsed.other_student_layers]
    settings = settings_of(parsed, examples=parsed.examples, epochs=parsed.epochs, layers=layers)
    machine = describe_machine(settings.device)
    print(one_line(machine), flush=True)
    chosen = select(ARMS, parsed.arms)
    sequences = [sequence for _, sequence in make_examples(settings, parsed.examples)]
    runs = run_rounds(Path(__file__), chosen, settings, parsed.rounds, partial(print, flush=True), sequences)
    compared = ratios(runs, [("trl_gkd", "kdscope_study")], (seconds, peak_memory_gib))
    write_results(parsed.out, settings, machine, runs, compared)
    show_table("12 cells", ["arm", "s", "peak GiB"], [_row(runs, arm) for arm in chosen])
    _show_parts(runs)
    show_ratios(compared)


def seconds(run: Run) -> float:
    """Of the whole grid."""
    return float(run["one_off_seconds"])


def cells(settings: Settings) -> Iterator[tuple[int, str, float]]:
    """Layers of the student, divergence, temperature."""
    return product(settings.extra["layers"], _DIVERGENCES, _TEMPERATURES)


def study_values(settings: Settings, data: Path) -> dict[str, Any]:
    """The grid as a study; its task is never asked, because no evaluation runs."""
    tuning = {
        "kind": "lora",
        "rank": settings.lora_rank,
        "alpha": settings.lora_alpha,
        "target_modules": settings.target_modules.split(","),
    }
    return {
        "name": "grid",
        "data": {"path": str(data), "validation_items": 0},
        "tasks": {"names": ["mini-one-step"], "mini_items": 1},
        "teachers": [{"name": "teacher", "path": settings.model, "condition": "base"}],
        "students": [
            {"name": f"layers-{layers}", "path": settings.model, "keep_layers": layers, "tuning": tuning}
            for layers in settings.extra["layers"]
        ],
        "methods": [{"name": name, "kd_temperature": list(_TEMPERATURES)} for name in _DIVERGENCES],
        "training": {
            "epochs": settings.extra["epochs"],
            "batch_size_sequences": settings.batch_size,
            "learning_rate": settings.learning_rate,
            "schedule": "constant",
            "warmup_steps": 0,
            "max_length_tokens": settings.max_length,
        },
        "runtime": {"device": settings.device, "dtype": settings.dtype, "threads": settings.threads},
    }


def kdscope_study(task: Task) -> Outcome:
    """All trainings of the grid and what they need, by kdscope's own engine, into a fresh store."""
    import yaml

    from kdscope.api import load_study, plan_study
    from kdscope.pipeline.events import Events
    from kdscope.pipeline.run import run_plan
    from kdscope.pipeline.stage import Stage
    from kdscope.pipeline.store import Store
    from kdscope.stages import execute

    parts: list[dict[str, Any]] = []

    class Listener(Events):
        def finished(self, stage: Stage, seconds: float) -> None:
            parts.append({"kind": stage.kind, "label": stage.label, "seconds": seconds})

    settings, folder = task.settings, task.scratch()
    rows = [row for row, _ in make_examples(settings, settings.extra["examples"])]
    (folder / "train.json").write_text(json.dumps(rows))
    (folder / "study.yaml").write_text(yaml.safe_dump(study_values(settings, folder / "train.json")))
    _import_everything()
    started = task.clock.now()
    plan, _ = plan_study(load_study(folder / "study.yaml"), folder / "store")
    students = [arm.trained for arm in plan.arms if arm.trained is not None]
    result = run_plan(students, Store(folder / "store"), execute, events=Listener())
    spent = task.clock.now() - started
    if result.failed:
        raise RuntimeError("; ".join(result.messages.values()))
    return Outcome(one_off_seconds=spent, facts={"parts": parts, "trainings": len(students)})


def trl_gkd(task: Task) -> Outcome:
    """The trainings of the grid, one after another."""
    from peers import BETAS, gkd_trainer
    from students import make_student

    settings = task.settings
    parts: list[dict[str, Any]] = []
    steps = settings.extra["epochs"] * -(-settings.extra["examples"] // settings.batch_size)
    for layers, divergence, temperature in cells(settings):
        run = replace(task, clock=Clock(settings.device))
        started = time.perf_counter()
        trainer = gkd_trainer(
            run,
            make_student(settings, layers).network,
            beta=BETAS[divergence],
            temperature=temperature,
            max_steps=steps,
        )
        trainer.train()
        label = f"{layers} layers, {divergence}, T {temperature:g}"
        parts.append({"kind": "train", "label": label, "seconds": run.clock.now() - started})
        del trainer
        gc.collect()
    return Outcome(one_off_seconds=sum(part["seconds"] for part in parts), facts={"parts": parts})


def _import_everything() -> None:
    import kdscope_arms  # noqa: F401 - all that the stages import, and the tokenizer's data behind it


def _row(runs: Sequence[Run], arm: str) -> list[str]:
    return [arm, number(middle(runs, arm, seconds), 1), number(middle(runs, arm, peak_memory_gib))]


def _show_parts(runs: Sequence[Run]) -> None:
    """Where the time of the last round went."""
    rows = []
    for arm in ARMS:
        parts = of_arm(runs, arm)[-1]["parts"] if of_arm(runs, arm) else []
        for kind in dict.fromkeys(part["kind"] for part in parts):
            spent = [part["seconds"] for part in parts if part["kind"] == kind]
            rows.append([f"{arm}: {kind}", str(len(spent)), number(sum(spent), 1)])
    show_table("Where the time went, last round", ["work", "times", "s"], rows)


ARMS: dict[str, Arm] = {"kdscope_study": kdscope_study, "trl_gkd": trl_gkd}

if __name__ == "__main__":
    main()
