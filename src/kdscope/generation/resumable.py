"""Completions written batch by batch: a kill loses at most the batch that was being written."""

from __future__ import annotations

import json
from collections.abc import Callable, Sequence
from dataclasses import asdict
from pathlib import Path

from kdscope.core.files import write_atomically
from kdscope.generation.base import Completion, Decoding, Generator, plan_batches


def generate_all(
    generator: Generator,
    prompts: Sequence[Sequence[int]],
    decoding: Decoding,
    *,
    batch_size: int,
    scratch: Path,
    progress: Callable[[int, int], None],
    batch_tokens: int | None = None,
) -> list[Completion]:
    """Continue every prompt, in a fixed batch plan, resuming from the batches already in `scratch`.

    Whatever is in `scratch` is taken for a batch of this very call: with another generator, other prompts or other
    settings it must be another folder. A stage's scratch is one, since the stage's identity covers them all.

    Args:
        generator: What continues the prompts.
        prompts: Token ids of each prompt.
        decoding: How tokens are chosen; each batch has its own seed.
        batch_size: Most prompts generated together.
        scratch: Folder that survives a kill.
        progress: Called with (prompts done, prompts in all).
        batch_tokens: Most places of a batch, rows x (longest prompt + new tokens), where memory is short; None for no
            such limit.

    Returns:
        One completion a prompt, in the order of `prompts`.
    """
    completions: dict[int, Completion] = {}
    lengths = [len(prompt) for prompt in prompts]
    plan = plan_batches(lengths, batch_size, batch_tokens=batch_tokens, max_new_tokens=decoding.max_new_tokens)
    for number, batch in enumerate(plan):
        file = scratch / f"batch-{number:06d}.json"
        written = _read(file)
        if written is None:
            written = generator.generate([prompts[i] for i in batch], decoding, call=number)
            write_atomically(file, json.dumps([asdict(completion) for completion in written]))
        completions.update(zip(batch, written, strict=True))
        progress(len(completions), len(prompts))
    return [completions[i] for i in range(len(prompts))]


def _read(file: Path) -> list[Completion] | None:
    if not file.exists():
        return None
    rows = json.loads(file.read_text(encoding="utf-8"))
    return [Completion(tuple(row["token_ids"]), row["text"], row["finish_reason"]) for row in rows]
