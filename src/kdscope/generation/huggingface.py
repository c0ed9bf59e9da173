"""Generation by a transformers model: by kdscope's own loop where it gives the model's logits, else by `generate`."""

from __future__ import annotations

from collections.abc import Sequence
from contextlib import AbstractContextManager, nullcontext
from dataclasses import dataclass
from functools import cached_property
from typing import Any

import torch
from torch import Tensor
from transformers import GenerationConfig, PreTrainedModel, PreTrainedTokenizerBase, StoppingCriteria

from kdscope.core.seeds import derive_seed
from kdscope.generation.base import Completion, Decoding, StopTexts, make_completion, stop_texts
from kdscope.generation.decode import Choose, can_decode, decode, draw, largest, uniform_numbers
from kdscope.models.load import load_model
from kdscope.models.source import ModelPlace


@dataclass(frozen=True)
class HuggingFaceGenerator:
    """A transformers model, in evaluation mode, that continues prompts in batches.

    Decoding is `kdscope.generation.decode`'s where that gives the model's own logits, and transformers' `generate` for
    any other model: the same greedy tokens, sampled ones from other random numbers. A sampled token depends on the
    seed, the call, its row and its step, and on no other row.
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


class StopRows(StoppingCriteria):  # type: ignore[misc]
    """Stop texts for transformers' `generate`: rows that reached one are finished.

    Args:
        stop_texts: Of the generation.
        width: Tokens of the padded prompts, which are not looked at.
    """

    def __init__(self, stop_texts: StopTexts, width: int) -> None:
        self._stop_texts, self._width = stop_texts, width
        self._finished: set[int] = set()

    def __call__(self, input_ids: Tensor, scores: Any, **more: Any) -> Tensor:
        """Whether each row is finished, [B]."""
        rows = input_ids[:, self._width :].tolist()
        self._finished |= {n for n, row in enumerate(rows) if n not in self._finished and self._stop_texts.reached(row)}
        return torch.tensor([n in self._finished for n in range(len(rows))], device=input_ids.device)


def load_transformers(
    place: ModelPlace, tokenizer: PreTrainedTokenizerBase, *, dtype: str, device: str
) -> HuggingFaceGenerator:
    """The generator of a model's folder or hub repository, its adapter (if any) merged; see `load_model`."""
    return HuggingFaceGenerator(load_model(place, dtype, device), tokenizer)


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
