"""Generation behind one protocol: token ids in, completions out, the same batch plan for every model."""

from __future__ import annotations

from collections.abc import Sequence
from contextlib import AbstractContextManager, nullcontext
from dataclasses import dataclass
from functools import cached_property
from typing import Any, Literal, Protocol

import torch
from torch import Tensor
from transformers import GenerationConfig, PreTrainedModel, PreTrainedTokenizerBase

from kdscope.models.decode import Choose, can_decode, decode
from kdscope.models.sampling import draw, largest, uniform_numbers
from kdscope.seeds import derive_seed

FinishReason = Literal["stop", "length"]


@dataclass(frozen=True)
class Decoding:
    """How tokens are chosen.

    Attributes:
        max_new_tokens: Most tokens a completion may have, end token included.
        temperature: 0 is greedy; otherwise logits are divided by it and sampled.
        top_p: Nucleus; 1 keeps the whole distribution.
        seed: Seed of the sampling; greedy decoding ignores it.
        max_length_tokens: Most tokens of prompt and completion together; None for no such limit.
    """

    max_new_tokens: int
    temperature: float = 0.0
    top_p: float = 1.0
    seed: int = 0
    max_length_tokens: int | None = None

    def room(self, prompt_length: int) -> int:
        """Most tokens that may follow a prompt of this length."""
        if self.max_length_tokens is None:
            return self.max_new_tokens
        return max(0, min(self.max_new_tokens, self.max_length_tokens - prompt_length))


@dataclass(frozen=True)
class Completion:
    """What a model wrote: ids with the end token (if it stopped), text without it."""

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
        stops = self._stop_ids()
        if self.decodes_itself:
            choose = _chooser(decoding, call, len(prompts), max(room), self.model.device)
            with self._autocast():
                rows = decode(self.model, prompts, room, stops, choose, self.autocast_dtype)
        else:
            rows = self._transformers_generate(prompts, decoding, call, max(room))
        return [self._completion(row[:most], stops) for row, most in zip(rows, room, strict=True)]

    @cached_property
    def decodes_itself(self) -> bool:
        """Whether kdscope's own loop writes, and not transformers' `generate`."""
        return can_decode(self.model)

    def _transformers_generate(
        self, prompts: Sequence[Sequence[int]], decoding: Decoding, call: int, steps: int
    ) -> list[list[int]]:
        ids, mask = _pad_left(prompts, int(self.tokenizer.pad_token_id), self.model.device)
        torch.manual_seed(derive_seed(decoding.seed, "generate", call))
        with self._autocast():
            output = self.model.generate(
                input_ids=ids, attention_mask=mask, generation_config=self._config(decoding, steps)
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

    def _completion(self, row: list[int], stops: frozenset[int]) -> Completion:
        # The end token may double as padding: what follows the first one is padding, whatever its id.
        end = next((i for i, token in enumerate(row) if token in stops), None)
        kept = row if end is None else row[: end + 1]
        text = self.tokenizer.decode(kept if end is None else kept[:-1], skip_special_tokens=True)
        return Completion(tuple(kept), text, "length" if end is None else "stop")


def plan_batches(lengths: Sequence[int], batch_size: int) -> list[list[int]]:
    """Indices in batches of similar length, longest first: too little memory shows at once, and padding is small.

    >>> plan_batches([3, 9, 5], 2)
    [[1, 2], [0]]
    """
    order = sorted(range(len(lengths)), key=lambda i: (-lengths[i], i))
    return [order[start : start + batch_size] for start in range(0, len(order), batch_size)]


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
