"""Every architecture of causal LM in transformers: a step of training along every path, answers in batches, NaN.

    python scripts/architectures.py               # all of them, tiny, with random weights: a quarter of an hour
    python scripts/architectures.py mamba rwkv    # some of them

Prints a Markdown table, a row each, and the architectures that cannot be built with the reason.
"""

from __future__ import annotations

import sys
import tempfile
import warnings
from pathlib import Path

import torch
from transformers.utils import logging

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))

from tests.models.zoo import ARCHITECTURES, CANNOT_BE_BUILT, tiny_model
from tests.models.zoo_trial import PATHS, TUNINGS, read_and_write, try_architecture

COLUMNS = ("architecture", "reads", "writes", "batch = alone", "NaN refused", *PATHS, "live = replay", "why not")


def row(kind: str) -> list[str]:
    """The cells of an architecture."""
    with tempfile.TemporaryDirectory() as folder:
        trial = try_architecture(kind, Path(folder))
    losses, messages = trial.losses, list(trial.messages)
    try:
        with torch.no_grad():
            reading = read_and_write(tiny_model(kind))
        told = [reading.reads, reading.writes, _yes(reading.alike), _yes(reading.refuses)]
    except Exception as error:  # whatever a model of another build raises is what the table is to tell
        told, messages = ["-"] * 4, [*messages, f"{type(error).__name__}: {error}"]
    trained = [", ".join(tuning for tuning in TUNINGS if (path, tuning) in losses) or "-" for path in PATHS]
    pairs = [(losses["live", t], losses["replay", t]) for t in TUNINGS if {("live", t), ("replay", t)} <= set(losses)]
    agree = _yes(all(abs(live - replay) <= 1e-5 * abs(live) for live, replay in pairs)) if pairs else "-"
    why = "; ".join(dict.fromkeys(message.splitlines()[0][:160] for message in messages))
    return [kind, *told, *trained, agree, why.replace("|", "/")]


def _yes(held: bool) -> str:
    return "yes" if held else "**no**"


def main() -> None:
    """Print the table."""
    warnings.simplefilter("ignore")
    logging.set_verbosity_error()
    logging.disable_progress_bar()
    print("| " + " | ".join(COLUMNS) + " |\n" + "|---" * len(COLUMNS) + "|", flush=True)
    for kind in sys.argv[1:] or ARCHITECTURES:
        print("| " + " | ".join(row(kind)) + " |", flush=True)
    for kind, reason in CANNOT_BE_BUILT.items() if not sys.argv[1:] else ():
        print(f"\n- {kind}: {reason}")


if __name__ == "__main__":
    main()
