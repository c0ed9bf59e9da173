"""Generation behind one protocol: token ids in, completions out, the same batch plan for every model."""

from __future__ import annotations

from collections.abc import Sequence
from contextlib import AbstractContextManager, nullcontext
from dataclasses import dataclass
from typing import Any, Literal, Protocol

import torch
from transformers import GenerationConfig, PreTrainedModel, PreTrainedTokenizerBase

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
    """

    max_new_tokens: int
    temperature: float = 0.0
    top_p: float = 1.0
    seed: int = 0


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
    """transformers' `generate` with a key-value cache, prompts padded on the left."""

    model: PreTrainedModel
    tokenizer: PreTrainedTokenizerBase
    autocast_dtype: torch.dtype | None = None

    @torch.inference_mode()
    def generate(self, prompts: Sequence[Sequence[int]], decoding: Decoding, *, call: int = 0) -> list[Completion]:
        """See `Generator`."""
        device = next(self.model.parameters()).device
        ids, mask = _pad_left(prompts, int(self.tokenizer.pad_token_id), device)
        torch.manual_seed(derive_seed(decoding.seed, "generate", call))
        with self._autocast(device):
            output = self.model.generate(input_ids=ids, attention_mask=mask, generation_config=self._config(decoding))
        stops = self._stop_ids()
        return [self._completion(row, stops) for row in output[:, ids.shape[1] :].tolist()]

    def _autocast(self, device: torch.device) -> AbstractContextManager[Any]:
        if self.autocast_dtype is None:
            return nullcontext()
        return torch.autocast(device.type, self.autocast_dtype)

    def _stop_ids(self) -> frozenset[int]:
        own = self.model.generation_config.eos_token_id
        listed = own if isinstance(own, list) else [own]
        return frozenset(int(i) for i in [self.tokenizer.eos_token_id, *listed] if i is not None)

    def _config(self, decoding: Decoding) -> GenerationConfig:
        sampling = (
            {"do_sample": True, "temperature": decoding.temperature, "top_p": decoding.top_p, "top_k": 0}
            if decoding.temperature > 0
            else {"do_sample": False}
        )
        return GenerationConfig(
            max_new_tokens=decoding.max_new_tokens,
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


def _pad_left(prompts: Sequence[Sequence[int]], pad: int, device: torch.device) -> tuple[torch.Tensor, torch.Tensor]:
    width = max(len(prompt) for prompt in prompts)
    ids = torch.tensor([[pad] * (width - len(p)) + list(p) for p in prompts], device=device)
    mask = torch.tensor([[0] * (width - len(p)) + [1] * len(p) for p in prompts], device=device)
    return ids, mask
