"""Generation behind one protocol: token ids in, completions out, the same batch plan for every model."""

from __future__ import annotations

from collections.abc import Sequence
from contextlib import AbstractContextManager, nullcontext
from dataclasses import dataclass
from functools import cached_property, partial
from typing import Any, Literal, Protocol

import torch
from torch import Tensor
from transformers import GenerationConfig, PreTrainedModel, PreTrainedTokenizerBase

from kdscope.core.errors import ModelError
from kdscope.core.seeds import derive_seed
from kdscope.models.decode import Choose, can_decode, decode
from kdscope.models.sampling import draw, largest, uniform_numbers
from kdscope.models.stopping import StopRows, StopTexts

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


@dataclass(frozen=True)
class HuggingFaceGenerator:
    """A transformers model, in evaluation mode, that continues prompts in batches.

    Decoding is `kdscope.models.decode`'s where that gives the model's own logits, and transformers' `generate` for any
    other model: the same greedy tokens, sampled ones from other random numbers. A sampled token depends on
    the seed, the call, its row and its step, and on no other row.
    """

    model: PreTrainedModel
    tokenizer: PreTrainedTokenizerBase
    autocast_dtype: torch.dtype | None = None

    @torch.inference_mode()
    def generate(self, prompts: Sequence[Sequence[int]], decoding: Decoding, *, call: int = 0) -> list[Completion]:
        """See `Generator`."""
        room = [decoding.room(len(prompt)) for prompt in prompts]
        if not any(room):
            return [Completion((), "", "length") for _ in prompts]
        stops, texts = self._stop_ids(), stop_texts(decoding, self.tokenizer)
        if self.decodes_itself:
            choose = _chooser(decoding, call, len(prompts), max(room), self.model.device)
            reached = texts.reached if decoding.stop_texts else None
            with self._autocast():
                rows = decode(self.model, prompts, room, stops, choose, self.autocast_dtype, reached)
        else:
            rows = self._transformers_generate(prompts, decoding, call, max(room), texts)
        return [self._completion(row[:most], stops, texts) for row, most in zip(rows, room, strict=True)]

    @cached_property
    def decodes_itself(self) -> bool:
        """Whether kdscope's own loop writes, and not transformers' `generate`."""
        return can_decode(self.model)

    def _transformers_generate(
        self, prompts: Sequence[Sequence[int]], decoding: Decoding, call: int, steps: int, texts: StopTexts
    ) -> list[list[int]]:
        ids, mask = _pad_left(prompts, int(self.tokenizer.pad_token_id), self.model.device)
        torch.manual_seed(derive_seed(decoding.seed, "generate", call))
        with self._autocast():
            output = self.model.generate(
                input_ids=ids,
                attention_mask=mask,
                generation_config=self._config(decoding, steps),
                stopping_criteria=[StopRows(texts, ids.shape[1])] if decoding.stop_texts else None,
            )
        rows: list[list[int]] = output[:, ids.shape[1] :].tolist()
        return rows

    def _autocast(self) -> AbstractContextManager[Any]:
        # Where the weights are in its precision, autocast changes nothing but the adapter, rounding it.
        weights = [p for name, p in self.model.named_parameters() if "lora_" not in name]
        if self.autocast_dtype is None or all(p.dtype == self.autocast_dtype for p in weights):
            return nullcontext()
        return torch.autocast(self.model.device.type, self.autocast_dtype)

    def _stop_ids(self) -> frozenset[int]:
        own = self.model.generation_config.eos_token_id
        listed = own if isinstance(own, list) else [own]
        return frozenset(int(i) for i in [self.tokenizer.eos_token_id, *listed] if i is not None)

    def _config(self, decoding: Decoding, steps: int) -> GenerationConfig:
        sampling = (
            {"do_sample": True, "temperature": decoding.temperature, "top_p": decoding.top_p, "top_k": 0}
            if decoding.temperature > 0
            else {"do_sample": False}
        )
        return GenerationConfig(
            max_new_tokens=steps,
            eos_token_id=sorted(self._stop_ids()),
            pad_token_id=int(self.tokenizer.pad_token_id),
            **sampling,
        )

    def _completion(self, row: list[int], stops: frozenset[int], texts: StopTexts) -> Completion:
        # The end token may double as padding: what follows the first one is padding, whatever its id.
        end = next((i for i, token in enumerate(row) if token in stops), None)
        return make_completion(row if end is None else row[: end + 1], texts, ended=end is not None)


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


def _chooser(decoding: Decoding, call: int, rows: int, steps: int, device: torch.device) -> Choose:
    if decoding.temperature == 0:
        return lambda logits, which, step: largest(logits)
    place = torch.device("cpu") if device.type == "mps" else device  # the numbers are float64
    numbers = uniform_numbers(decoding.seed, call, range(rows), steps).to(place)

    def choose(logits: Tensor, which: Tensor, step: int) -> Tensor:
        return draw(logits, decoding.temperature, decoding.top_p, numbers[which.to(place), step])

    return choose


def _pad_left(prompts: Sequence[Sequence[int]], pad: int, device: torch.device) -> tuple[Tensor, Tensor]:
    width = max(len(prompt) for prompt in prompts)
    ids = torch.tensor([[pad] * (width - len(p)) + list(p) for p in prompts], device=device)
    mask = torch.tensor([[0] * (width - len(p)) + [1] * len(p) for p in prompts], device=device)
    return ids, mask
