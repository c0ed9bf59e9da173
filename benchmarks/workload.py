"""What every arm trains on: the same token sequences in the same order, of a file or of generated problems."""

from __future__ import annotations

import json
import random
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from settings import Settings

from kdscope.tasks import get_template, mini_rows

# The process that only starts others does without torch, unless it has to make sequences.
if TYPE_CHECKING:
    from kdscope.data.batches import TokenSequence

# How many three-step problems one generated example asks: with the Alpaca prompt about 190 tokens, as GSM8K has.
_PROBLEMS_OF_AN_EXAMPLE = (1, 2, 2, 2, 2, 2, 2, 3)


def read_rows(file: Path | None, count: int) -> list[dict[str, str]]:
    """The first `count` rows with instruction, input and output; generated ones where there is no file."""
    if file is None:
        return generated_rows(count)
    text = file.read_text(encoding="utf-8")
    rows = [json.loads(line) for line in text.splitlines()] if file.suffix == ".jsonl" else json.loads(text)
    missing = {"instruction", "output"} - set(rows[0])
    if missing:
        raise SystemExit(f"{file}: rows need 'instruction' and 'output' ('input' is optional), not {sorted(rows[0])}")
    return [{"input": "", **row} for row in rows[:count]]


def generated_rows(count: int, seed: int = 0) -> list[dict[str, str]]:
    """Worked arithmetic problems about as long as those of GSM8K; the same for the same seed."""
    rng = random.Random(seed)
    sizes = [rng.choice(_PROBLEMS_OF_AN_EXAMPLE) for _ in range(count)]
    problems = iter(mini_rows("mini-three-step", "train", sum(sizes), seed))
    made = []
    for size in sizes:
        parts = [next(problems) for _ in range(size)]
        made.append({key: " ".join(part[key] for part in parts) for key in ("instruction", "output")} | {"input": ""})
    return made


def encode_rows(rows: Sequence[dict[str, str]], tokenizer: Any, max_length: int) -> list[TokenSequence]:
    """Rows in the Alpaca prompt as token ids, cut at `max_length`."""
    from kdscope.data.batches import encode_prompt, encode_response, join

    prompts = [encode_prompt(tokenizer, prompt_text(row)) for row in rows]
    return join(prompts, [encode_response(tokenizer, row["output"]) for row in rows], max_length)


def prompt_text(row: dict[str, str]) -> str:
    """The prompt of a row, as text."""
    return get_template("alpaca").render(row["instruction"], row["input"])


def make_examples(settings: Settings, count: int) -> list[tuple[dict[str, str], TokenSequence]]:
    """Rows of the settings' data and what they are in tokens, numbered in their order; those without room left out.

    Raises:
        SystemExit: The data has fewer that fit.
    """
    from kdscope.data.batches import TokenSequence
    from kdscope.models.load import load_tokenizer
    from kdscope.models.source import ModelPlace

    # Twice as many, because a few have no room for a response.
    rows = read_rows(None if settings.data is None else Path(settings.data), 2 * count)
    sequences = encode_rows(rows, load_tokenizer(ModelPlace(settings.model)), settings.max_length)[:count]
    if len(sequences) < count:
        raise SystemExit(
            f"these settings need {count} examples with room for a response in {settings.max_length} tokens, and "
            f"{settings.data or 'the generated data'} has {len(sequences)}: ask for fewer, or a greater --max-length"
        )
    return [(rows[s.example], TokenSequence(n, s.token_ids, s.prompt_length)) for n, s in enumerate(sequences)]


def make_sequences(settings: Settings) -> list[TokenSequence]:
    """As many sequences as the steps of the settings consume."""
    return [sequence for _, sequence in make_examples(settings, settings.examples)]


def write_sequences(sequences: Sequence[TokenSequence], file: Path) -> None:
    """For the processes of the arms."""
    file.write_text(json.dumps([[s.example, s.token_ids, s.prompt_length] for s in sequences]), encoding="utf-8")


def read_sequences(file: Path) -> list[TokenSequence]:
    """What `write_sequences` wrote."""
    written = json.loads(file.read_text(encoding="utf-8"))
    if not written:
        return []
    from kdscope.data.batches import TokenSequence

    return [TokenSequence(number, tuple(ids), prompt) for number, ids, prompt in written]
