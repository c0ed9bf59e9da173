"""The settings that all arms of a program share, and the command line that sets them."""

from __future__ import annotations

import argparse
import os
from collections.abc import Collection, Iterable
from dataclasses import dataclass, field, fields
from fnmatch import fnmatch
from pathlib import Path
from typing import Any, Literal

DEFAULT_MODEL = "HuggingFaceTB/SmolLM2-135M-Instruct"


@dataclass(frozen=True)
class Settings:
    """What all arms of a program have in common; every field but `extra` is an option of the same name."""

    model: str = DEFAULT_MODEL
    data: str | None = None
    student_layers: int = 10
    steps: int = 6
    warmup_steps: int = 2
    batch_size: int = 8
    max_length: int = 256
    learning_rate: float = 3e-4
    lora_rank: int = 8
    lora_alpha: float = 16.0
    target_modules: str = "q_proj,k_proj,v_proj,up_proj,down_proj"
    dtype: Literal["bfloat16", "float32"] = "bfloat16"
    device: str = "auto"
    threads: int = 0
    huge_pages: bool = False
    seed: int = 0
    extra: dict[str, Any] = field(default_factory=dict)
    """Settings of one program only."""

    @property
    def all_steps(self) -> int:
        """Optimiser steps of one run, warm-up included."""
        return self.warmup_steps + self.steps

    @property
    def examples(self) -> int:
        """Sequences one run consumes."""
        return self.all_steps * self.batch_size


_HELP = {
    "model": "the teacher: a Hugging Face folder, or the name of a hub repository, which is downloaded",
    "data": "JSON list or JSONL with instruction, input, output; without it, arithmetic problems of GSM8K's length",
    "student_layers": "the student is the teacher cut to this many layers",
    "steps": "timed optimiser steps of every run",
    "warmup_steps": "steps before them that are not timed, at least 1",
    "batch_size": "sequences of an optimiser step",
    "max_length": "tokens at which a sequence is cut",
    "learning_rate": "of AdamW, constant",
    "lora_rank": "of the student's adapter",
    "lora_alpha": "of the student's adapter",
    "target_modules": "layers that get an adapter, separated by commas",
    "dtype": "bfloat16 (weights and autocast) or float32",
    "device": "cpu, cuda, or auto: a GPU where there is one",
    "threads": "CPU threads of every arm; 0: one for each core",
    "huge_pages": "let glibc back large tensors with huge pages, for every arm alike (Linux)",
    "seed": "of the adapter's first weights and of sampling",
}


def make_parser(
    description: str | None, *, rounds: int = 3, only: Collection[str] | None = None, **defaults: Any
) -> argparse.ArgumentParser:
    """The options every program has, or `only` some of the settings; `defaults` are those of this program."""
    parser = argparse.ArgumentParser(
        description=description, formatter_class=argparse.RawDescriptionHelpFormatter, allow_abbrev=False
    )
    for name in (name for name in _names() if only is None or name in only):
        default = defaults.get(name, getattr(Settings, name, None))
        option, text = "--" + name.replace("_", "-"), _HELP[name]
        if isinstance(default, bool):
            parser.add_argument(option, action="store_true", help=text)
        else:
            kind = str if default is None else type(default)
            parser.add_argument(option, type=kind, default=default, help=f"{text} (default: {default})")
    parser.add_argument("--rounds", type=int, default=rounds, help=f"runs of every arm (default: {rounds})")
    parser.add_argument("--arms", default="*", help="only these, as patterns: 'kdscope_*,trl_gkd_jsd' (default: all)")
    parser.add_argument("--out", type=Path, help="write everything that was measured to this JSON file")
    # A run of one arm, in its own process.
    parser.add_argument("--arm", help=argparse.SUPPRESS)
    parser.add_argument("--task", type=Path, help=argparse.SUPPRESS)
    return parser


def settings_of(arguments: argparse.Namespace, **extra: Any) -> Settings:
    """The settings of parsed options; afterwards the model is on this disk, and nothing is left to be chosen.

    Raises:
        SystemExit: They make no sense, or the model cannot be had.
    """
    values: dict[str, Any] = {name: getattr(arguments, name, getattr(Settings, name, None)) for name in _names()}
    if min(values["warmup_steps"], values["steps"], arguments.rounds) < 1:
        raise SystemExit("--warmup-steps, --steps and --rounds must be at least 1")
    if values["dtype"] not in ("bfloat16", "float32"):
        raise SystemExit(f"--dtype is bfloat16 or float32, not {values['dtype']}")
    values["model"] = _local(values["model"]) if hasattr(arguments, "model") else ""
    values["data"] = None if values["data"] is None else str(Path(values["data"]).resolve())
    values["device"] = _device(values["device"])
    values["threads"] = values["threads"] or _cores()
    return Settings(**values, extra=extra)


def select(arms: Iterable[str], patterns: str) -> list[str]:
    """The arms that some pattern matches, in their own order.

    >>> select(["kdscope_sft", "kdscope_live", "trl"], "trl, *_sft")
    ['kdscope_sft', 'trl']
    """
    names, wanted = list(arms), [pattern.strip() for pattern in patterns.split(",")]
    chosen = [name for name in names if any(fnmatch(name, pattern) for pattern in wanted)]
    if not chosen:
        raise SystemExit(f"no arm is called {patterns}; there are {', '.join(names)}")
    return chosen


def _names() -> list[str]:
    return [setting.name for setting in fields(Settings) if setting.name != "extra"]


def _device(asked: str) -> str:
    if asked != "auto":
        return asked
    import torch

    return "cuda" if torch.cuda.is_available() else "cpu"


def _local(model: str) -> str:
    if Path(model).is_dir():
        return str(Path(model).resolve())
    from huggingface_hub import snapshot_download

    try:
        return snapshot_download(model, allow_patterns=["*.json", "*.safetensors", "*.jinja", "*.txt", "*.model"])
    except Exception as error:  # no network, no such repository, no permission: all the same here
        first = (str(error).splitlines() or [type(error).__name__])[0]
        raise SystemExit(f"--model {model}: no such folder, and the hub does not give it ({first})") from None


def _cores() -> int:
    return len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1
