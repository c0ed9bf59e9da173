"""Generation as every backend does it: what is asked (`Decoding`), what comes back (`Completion`), where a text stops.

A stop text is one a completion would go on with as a text of its own, such as the next instruction. The text of a row
counts, not its tokens: a stop text may be spread over several tokens, and a token may hold more than its end. Of the
occurrences in a text, the one that ends first counts (of several that end together the longest), so that it makes no
difference how the text was cut into tokens.

Completions are written batch by batch: a kill loses at most the batch that was being written.
"""

from __future__ import annotations

import json
from bisect import bisect_left
from collections.abc import Callable, Sequence
from dataclasses import asdict, dataclass
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Literal, Protocol

from kdscope.core.errors import ModelError
from kdscope.core.files import discard_unfinished, write_atomically

if TYPE_CHECKING:
    from transformers import PreTrainedTokenizerBase


# What stands for the bytes of a character that is not complete yet.
_INCOMPLETE = "\ufffd"
# By itself, by the token limit, or because it went on with one of the stop texts.
FinishReason = Literal["stop", "length", "run_on"]


@dataclass(frozen=True)
class Decoding:
    """How tokens are chosen.

    Attributes:
        max_new_tokens: Most tokens a completion may have, end token included.
        temperature: 0 is greedy; otherwise logits are divided by it and sampled.
        top_p: Nucleus; 1 keeps the whole distribution.
        seed: Seed of the sampling; greedy decoding ignores it.
        max_length_tokens: Most tokens of prompt and completion together; None for no such limit.
        stop_texts: A completion ends before the first of these in its text.

    Raises:
        ModelError: A stop text is empty, or a single text was given in place of several.
    """

    max_new_tokens: int
    temperature: float = 0.0
    top_p: float = 1.0
    seed: int = 0
    max_length_tokens: int | None = None
    stop_texts: tuple[str, ...] = ()

    def __post_init__(self) -> None:
        """See the class."""
        if isinstance(self.stop_texts, str) or not all(self.stop_texts):
            raise ModelError(f"stop_texts is a tuple of texts of at least one character, not {self.stop_texts!r}")

    def room(self, prompt_length: int) -> int:
        """Most tokens that may follow a prompt of this length."""
        if self.max_length_tokens is None:
            return self.max_new_tokens
        return max(0, min(self.max_new_tokens, self.max_length_tokens - prompt_length))


@dataclass(frozen=True)
class Completion:
    """What a model wrote.

    Attributes:
        token_ids: All of it: with the end token, or up to the token that completed a stop text.
        text: Without the end token, and up to the stop text.
        finish_reason: stop (an end token), run_on (a stop text) or length.
    """

    token_ids: tuple[int, ...]
    text: str
    finish_reason: FinishReason


class Generator(Protocol):
    """Anything that continues prompts."""

    def generate(self, prompts: Sequence[Sequence[int]], decoding: Decoding, *, call: int) -> list[Completion]:
        """Continue each prompt; `call` numbers the batch, so that sampling does not depend on what ran before."""
        ...


def plan_batches(
    lengths: Sequence[int], batch_size: int, *, batch_tokens: int | None = None, max_new_tokens: int = 0
) -> list[list[int]]:
    """Indices in batches of similar length, longest first: too little memory shows at once, and padding is small.

    Args:
        lengths: Of the prompts, in tokens.
        batch_size: Most rows of a batch.
        batch_tokens: Most places in a batch, rows x (longest prompt + `max_new_tokens`); None for no such limit. A
            prompt that has more than that by itself is a batch of its own.
        max_new_tokens: What each prompt may be continued with.

    >>> plan_batches([3, 9, 5], 2), plan_batches([3, 9, 5, 3], 3, batch_tokens=22, max_new_tokens=2)
    ([[1, 2], [0]], [[1, 2], [0, 3]])
    """
    batches: list[list[int]] = []
    most = 0
    for index in sorted(range(len(lengths)), key=lambda i: (-lengths[i], i)):
        if not batches or len(batches[-1]) == most:
            batches.append([])
            most = batch_size
            if batch_tokens is not None:
                most = max(1, min(most, batch_tokens // max(1, lengths[index] + max_new_tokens)))
        batches[-1].append(index)
    return batches


def stop_texts(decoding: Decoding, tokenizer: PreTrainedTokenizerBase) -> StopTexts:
    """The stop texts of a generation, with what makes texts of tokens."""
    return StopTexts(decoding.stop_texts, partial(tokenizer.decode, skip_special_tokens=True))


def make_completion(row: Sequence[int], texts: StopTexts, *, ended: bool) -> Completion:
    """The completion of the tokens of a row, of which the last is an end token if it `ended`."""
    written = row[:-1] if ended else row
    text = texts.decode(written)
    cut = texts.cut(written, text)
    if cut is not None:
        return Completion(tuple(cut[0]), cut[1], "run_on")
    return Completion(tuple(row), text, "stop" if ended else "length")


def first_stop(text: str, stop_texts: Sequence[str]) -> int | None:
    r"""Where the first stop text begins; None if there is none.

    >>> first_stop("7.\n\n### Instruction:", ["### Inst", "Instruction"]), first_stop("7.", ["###"])
    (4, None)
    """
    found = ((text.find(stop), stop) for stop in stop_texts)
    ends = [(start + len(stop), start) for start, stop in found if start >= 0]
    return min(ends)[1] if ends else None


class StopTexts:
    """The stop texts of a generation, and the tokenizer that makes texts of rows.

    Args:
        texts: None of them empty.
        decode: The text of token ids, as a completion has it.
    """

    def __init__(self, texts: Sequence[str], decode: Callable[[Sequence[int]], str]) -> None:
        self.texts, self.decode = tuple(texts), decode
        self._endings: dict[int, bool] = {}

    def reached(self, row: Sequence[int]) -> bool:
        """Whether a row contains a stop text, given that it did not before its last token.

        Few tokens can be the last of a stop text; only behind such a one the row is decoded.
        """
        return self._may_end(row[-1]) and self._in(row)

    def cut(self, row: Sequence[int], text: str) -> tuple[Sequence[int], str] | None:
        """The tokens up to the one that completes the first stop text, and the text before it; None without one."""
        start = first_stop(text, self.texts)
        if start is None:
            return None
        # Longer beginnings of a row contain all that shorter ones do.
        length = bisect_left(range(1, len(row)), True, key=lambda n: self._in(row[:n])) + 1
        return row[:length], text[:start]

    def _in(self, row: Sequence[int]) -> bool:
        return first_stop(self.decode(row), self.texts) is not None

    def _may_end(self, token: int) -> bool:
        known = self._endings.get(token)
        if known is None:
            known = self._endings[token] = self._ends_some(self.decode([token]))
        return known

    def _ends_some(self, piece: str) -> bool:
        """Whether a stop text can end within a token, whose text alone may lack or have a blank in front."""
        if _INCOMPLETE in piece:
            return True
        forms = {piece, " " + piece, piece.lstrip()}
        return any(_ends_within(stop, form) for stop in self.texts for form in forms)


def _ends_within(stop: str, piece: str) -> bool:
    return stop in piece or any(piece.startswith(stop[start:]) for start in range(1, len(stop)))


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
    discard_unfinished(scratch)
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
