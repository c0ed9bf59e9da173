"""What a reader should know of how the models were trained, from what the stages wrote down about themselves."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pandas as pd

from kdscope.pipeline.manifest import read_manifest
from kdscope.pipeline.run import StageContext


def collect_notes(context: StageContext, arms: list[dict[str, Any]]) -> list[str]:
    """Sentences, each with the models it is about; equal sentences are told once."""
    about: dict[str, list[str]] = {}
    software: dict[str, list[str]] = {}
    for number, arm in enumerate(arms):
        folder = context.inputs.get(f"trained/{number}")
        if folder is None:
            continue
        facts: dict[str, Any] = dict(read_manifest(folder / "manifest.json").facts)
        for sentence in _sentences(folder, facts):
            about.setdefault(sentence, []).append(arm["label"])
        software.setdefault(str(facts.get("software")), []).append(arm["label"])
    notes = [f"{sentence}: {_listed(labels)}" for sentence, labels in about.items()]
    if len(software) > 1:
        mixed = "; ".join(f"{versions} ({_listed(labels)})" for versions, labels in software.items())
        notes.append(f"models were trained with different software or hardware: {mixed}")
    return notes


def _sentences(folder: Path, facts: dict[str, Any]) -> list[str]:
    found = []
    if facts.get("examples_left_out"):
        found.append(f"{facts['examples_left_out']} training examples left out, no room for a response")
    if facts.get("examples_cut"):
        found.append(f"{facts['examples_cut']} of {facts['examples']} training examples cut at max_length_tokens")
    if facts.get("responses_unfinished"):
        found.append(f"{facts['responses_unfinished']} of the teacher's responses cut at its max_new_tokens")
    found += _of_sweep(facts)
    # A condensed teacher was cut when it was condensed, any other at every step.
    lost = pd.read_parquet(folder / "training.parquet", columns=["cut_mass"])["cut_mass"].max()
    lost = max(lost, float(facts.get("teacher_cut_mass", 0.0)))
    if lost > 0:
        found.append(f"up to {lost:.2g} of the teacher's probability lay on ids the student lacks")
    return found


def _of_sweep(facts: dict[str, Any]) -> list[str]:
    """Learning rates that failed, and a best one at the end of what was tried."""
    scores: dict[str, float | None] = facts.get("rate_scores") or {}
    found = [
        f"the learning rate {float(rate):g} could not be trained with and counts as the worst"
        for rate, score in scores.items()
        if score is None
    ]
    rates = [float(rate) for rate in scores]
    for end, side in ((min, "smallest"), (max, "largest")):
        if rates and facts["learning_rate"] == end(rates):
            other = side.replace("est", "er")
            found.append(f"the {side} learning rate tried was the best, so that a {other} one may be better")
    return found


def _listed(labels: list[str], shown: int = 4) -> str:
    more = f" and {len(labels) - shown} more" if len(labels) > shown else ""
    return ", ".join(labels[:shown]) + more
