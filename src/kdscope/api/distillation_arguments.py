"""Arguments of `distill`, stated once for Python and the command line; light enough for `kdscope --help`."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Any


@dataclass(frozen=True)
class Argument:
    """An argument of `distill`, which is an option of `kdscope distill` too, and the key of a study that it sets.

    Attributes:
        name: The argument.
        key: The key, its sections joined by dots; of a list, that of the one model or method from this teacher.
        kind: The type of its value.
        help: What it does.
        default: Its value where it is not given; None leaves it to the study.
        flags: The option, if it is not `--name` alone.
        required: Whether it has to be given.
    """

    name: str
    key: str
    kind: Any
    help: str
    default: Any = None
    flags: tuple[str, ...] = ()
    required: bool = False

    @property
    def flag(self) -> str:
        """The option that people are told of."""
        return self.flags[0].partition("/")[0] if self.flags else f"--{self.name.replace('_', '-')}"


ARGUMENTS = (
    Argument(
        "teacher",
        "teachers",
        str,
        "A Hugging Face folder, a hub repository, or kdscope:tiny-l.",
        flags=("--teacher", "-T"),
        required=True,
    ),
    Argument(
        "student",
        "students",
        str,
        "Likewise; NAME@COMMIT pins a hub repository.",
        flags=("--student", "-S"),
        required=True,
    ),
    Argument(
        "method",
        "methods",
        str,
        "seqkd, forward_kl, reverse_kl, jsd, gkd, skew_kl, ...",
        flags=("--method", "-M"),
        required=True,
    ),
    Argument(
        "data",
        "data",
        Path,
        "Training set: JSON, JSONL or parquet (instruction, input, output).",
        flags=("--data", "-D"),
        required=True,
    ),
    Argument(
        "tasks",
        "tasks",
        list[str],
        "Evaluate on these tasks, with commas. Default: nothing is evaluated.",
        (),
        flags=("--tasks", "-t"),
    ),
    Argument("data_dir", "tasks.folder", Path, "Folder with the tasks' files; `kdscope data fetch` fills one."),
    Argument(
        "tasks_dir", "tasks.definitions", Path, "Folder with tasks of your own (YAML or Python); see docs/tasks.md."
    ),
    Argument("limit", "tasks.limit", int, "Only the first N items of each task.", flags=("--limit", "-L")),
    Argument(
        "teacher_condition",
        "teachers.condition",
        str,
        "adapted: fine-tune the teacher on the data first (LoRA); one that never saw the format can ruin its student. "
        "base: it teaches as it comes.",
        "adapted",
    ),
    Argument("temperature", "methods.kd_temperature", float, "T of the divergence."),
    Argument("kd_weight", "methods.kd_weight", float, "Weight of the divergence against cross-entropy, 0 to 1."),
    Argument("epochs", "training.epochs", int, "Passes over the data. Default: 3."),
    Argument("max_steps", "training.max_steps", int, "Optimiser steps, instead of epochs."),
    Argument(
        "learning_rate",
        "students.tuning.learning_rate",
        float,
        "The student's. Default: 3e-4, with --full 2e-5.",
    ),
    Argument(
        "tuning",
        "students.tuning.kind",
        bool,
        "Train every weight of the student, or an adapter (the default).",
        "lora",
        flags=("--full/--lora",),
    ),
    Argument("seed", "seeds", int, "Of the training.", 0),
    Argument(
        "control",
        "",
        bool,
        "Do not fine-tune the same student without the teacher; whether the teacher helped stays unknown.",
        True,
        flags=("--no-control",),
    ),
    Argument("max_length", "training.max_length_tokens", int, "Tokens of prompt and response together. Default: 512."),
    Argument("max_new_tokens", "evaluation.max_new_tokens", int, "Tokens, at most, an answer. Default: 256."),
    Argument("device", "runtime.device", str, "auto, cpu, cuda or mps.", "auto"),
    Argument("dtype", "runtime.dtype", str, "auto, float32 or bfloat16.", "auto"),
    Argument("workers", "runtime.workers", int, "Processes that work side by side."),
    Argument(
        "trackers",
        "runtime.trackers",
        list[str],
        "tensorboard, wandb, trackio or mlflow; may be repeated.",
        (),
        flags=("--track",),
    ),
    Argument("name", "name", str, "Results go to runs/NAME."),
)
"""Everything `distill` can be asked for, in the order in which `kdscope distill --help` lists it."""
