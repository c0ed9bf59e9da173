"""Generation by a transformers model: by kdscope's own loop where it gives the model's logits, else by `generate`."""

from __future__ import annotations

from collections.abc import Sequence
from contextlib import AbstractContextManager, nullcontext
from dataclasses import dataclass, replace
from functools import cached_property
from typing import Any

import torch
from torch import Tensor
from transformers import (
    GenerationConfig,
    LogitsProcessor,
    PreTrainedModel,
    PreTrainedTokenizerBase,
    StoppingCriteria,
)

from kdscope.core.errors import ModelError, first_line
from kdscope.core.seeds import derive_seed
from kdscope.generation.base import Completion, Decoding, StopTexts, make_completion, stop_texts
from kdscope.generation.decode import Choose, can_decode, decode, draw, largest, uniform_numbers
from kdscope.models.forward import check_numbers
from kdscope.models.limits import (
    check_tokens,
    forget_lengths,
    least,
    padding_id,
    position_limit,
    rotary_switch,
    token_limit,
)
from kdscope.models.load import load_model
from kdscope.models.source import ModelPlace

# Tried before transformers' `generate` is given prompts together: their lengths, and how many tokens follow each.
_TRIED_LENGTHS, _TRIED_STEPS = (29, 23, 17, 11, 5, 3), 4


@dataclass(frozen=True)
class HuggingFaceGenerator:
    """A transformers model, in evaluation mode, that continues prompts in batches.

    Decoding is `kdscope.generation.decode`'s where that gives the model's own logits, and transformers' `generate` for
    any other model: the same greedy tokens, sampled ones from other random numbers. A sampled token depends on the
    seed, the call, its row and its step, and on no other row.

    No text grows longer than the model has positions for. A prompt is continued by itself where its neighbours would
    change what is written: where `generate` pads otherwise than the model reads, and where a text grows past the length
    up to which the model's rotary frequencies are fixed.
    """

    model: PreTrainedModel
    tokenizer: PreTrainedTokenizerBase
    autocast_dtype: torch.dtype | None = None

    @torch.inference_mode()
    def generate(self, prompts: Sequence[Sequence[int]], decoding: Decoding, *, call: int = 0) -> list[Completion]:
        """See `Generator`.

        Raises:
            ModelError: The model has no row for a token of a prompt, or its logits are not numbers.
        """
        check_tokens(self.model, prompts, self.tokenizer)
        if self._switch is not None:
            forget_lengths(self.model)
        room = self.room(prompts, decoding)
        if not any(room):
            return [Completion((), "", "length") for _ in prompts]
        stops, texts = self._stop_ids(), stop_texts(decoding, self.tokenizer)
        alone = {row for row, most in enumerate(room) if most > 0 and self._is_alone(len(prompts[row]), room, most)}
        rows = self._together(
            prompts, [0 if n in alone else most for n, most in enumerate(room)], decoding, call, texts
        )
        for row in sorted(alone):
            seed = derive_seed(decoding.seed, "generate", call, row)
            rows[row] = self._transformers_generate([prompts[row]], decoding, seed, room[row], texts)[0]
        return [self._completion(row[:most], stops, texts) for row, most in zip(rows, room, strict=True)]

    def room(self, prompts: Sequence[Sequence[int]], decoding: Decoding) -> list[int]:
        """Most tokens that may follow each prompt, as long as the model has positions for them."""
        limited = replace(decoding, max_length_tokens=least((decoding.max_length_tokens, self._positions)))
        return [limited.room(len(prompt)) for prompt in prompts]

    @cached_property
    def decodes_itself(self) -> bool:
        """Whether kdscope's own loop writes, and not transformers' `generate`."""
        return can_decode(self.model)

    @cached_property
    def generates_alike(self) -> bool:
        """Whether transformers' `generate` gives a prompt in a batch the logits it has alone: tried on a few prompts.

        Only asked where `generate` writes.
        """
        rows, dtype = token_limit(self.model), self.autocast_dtype or self.model.dtype
        prompts = [[(length + place) ** 3 % rows for place in range(length)] for length in _TRIED_LENGTHS]
        try:
            together = self._trial(prompts)
            return all(_alike(together[row], self._trial([prompt])[0], dtype) for row, prompt in enumerate(prompts))
        except Exception:  # a model of another build fails in its own way; alone it may not
            return False

    @property
    def remark(self) -> str | None:
        """What a person should know of how this model writes; None if there is nothing."""
        if self.decodes_itself or self.generates_alike:
            return None
        return f"{type(self.model).__name__} writes otherwise beside other texts: it is asked one prompt at a time"

    @cached_property
    def _positions(self) -> int | None:
        return position_limit(self.model)

    @cached_property
    def _switch(self) -> int | None:
        return rotary_switch(self.model)

    def _is_alone(self, length: int, room: Sequence[int], own: int) -> bool:
        """Whether a prompt of this length must be continued by itself; `own` of the `room` is its."""
        if self._switch is not None and length + own > self._switch:
            return True
        if self.decodes_itself:
            return False
        # `generate` writes as many tokens for all rows of a batch.
        past = self._positions is not None and length + max(room) > self._positions
        return past or not self.generates_alike

    def _together(
        self, prompts: Sequence[Sequence[int]], room: Sequence[int], decoding: Decoding, call: int, texts: StopTexts
    ) -> list[list[int]]:
        """What is written after each prompt; nothing where there is no room."""
        asked = [row for row, most in enumerate(room) if most > 0]
        rows: list[list[int]] = [[] for _ in prompts]
        if asked and self.decodes_itself:
            choose = _chooser(decoding, call, len(prompts), max(room), self.model.device)
            reached = texts.reached if decoding.stop_texts else None
            with self._autocast():
                return decode(self.model, prompts, room, self._stop_ids(), choose, self.autocast_dtype, reached)
        if asked:
            seed = derive_seed(decoding.seed, "generate", call)
            written = self._transformers_generate([prompts[n] for n in asked], decoding, seed, max(room), texts)
            rows = [written[asked.index(n)] if n in asked else [] for n in range(len(prompts))]
        return rows

    def _transformers_generate(
        self, prompts: Sequence[Sequence[int]], decoding: Decoding, seed: int, steps: int, texts: StopTexts
    ) -> list[list[int]]:
        ids, mask = _pad_left(prompts, padding_id(self.model, self.tokenizer), self.model.device)
        torch.manual_seed(seed)
        forget_lengths(self.model)
        settings: dict[str, Any] = {
            "generation_config": self._config(decoding, steps),
            "logits_processor": [NumbersOnly()],
            "stopping_criteria": [StopRows(texts, ids.shape[1])] if decoding.stop_texts else None,
        }
        try:
            with self._autocast():
                output = self.model.generate(input_ids=ids, attention_mask=mask, **settings)
        except ModelError:
            raise
        except (ValueError, TypeError, LookupError, AttributeError) as error:
            told = f"transformers cannot generate with {type(self.model).__name__}: {first_line(error)}"
            raise ModelError(told) from error
        rows: list[list[int]] = output[:, ids.shape[1] :].tolist()
        return rows

    def _trial(self, prompts: Sequence[Sequence[int]]) -> list[Tensor]:
        """The logits of the first tokens that `generate` writes after each prompt, [B] of [steps, V]."""
        ids, mask = _pad_left(prompts, padding_id(self.model, self.tokenizer), self.model.device)
        config = self._config(Decoding(_TRIED_STEPS), _TRIED_STEPS)
        config.update(output_logits=True, return_dict_in_generate=True, min_new_tokens=_TRIED_STEPS)
        with self._autocast():
            logits = self.model.generate(input_ids=ids, attention_mask=mask, generation_config=config).logits
        return list(torch.stack(logits, 1).float())

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
            pad_token_id=padding_id(self.model, self.tokenizer),
            **sampling,
        )

    def _completion(self, row: list[int], stops: frozenset[int], texts: StopTexts) -> Completion:
        # The end token may double as padding: what follows the first one is padding, whatever its id.
        end = next((i for i, token in enumerate(row) if token in stops), None)
        return make_completion(row if end is None else row[: end + 1], texts, ended=end is not None)


class NumbersOnly(LogitsProcessor):  # type: ignore[misc]
    """Logits for transformers' `generate`, refused where they are not numbers: it would take some token for them."""

    def __call__(self, input_ids: Tensor, scores: Tensor) -> Tensor:
        """The logits [B, V] as they are."""
        check_numbers(scores)
        return scores


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


def _alike(together: Tensor, alone: Tensor, dtype: torch.dtype) -> bool:
    """Whether logits [steps, V] are equal up to rounding, as long as they gave the same tokens."""
    parted = (together.argmax(-1) != alone.argmax(-1)).cumsum(0)
    steps = 1 + int((parted[:-1] == 0).sum())
    tolerance = 1e-3 if dtype == torch.float32 else 0.1
    differences, sizes = (together[:steps] - alone[:steps]).norm(dim=-1), alone[:steps].norm(dim=-1)
    return bool((differences < tolerance * sizes).all())


def _pad_left(prompts: Sequence[Sequence[int]], pad: int, device: torch.device) -> tuple[Tensor, Tensor]:
    width = max(len(prompt) for prompt in prompts)
    ids = torch.tensor([[pad] * (width - len(p)) + list(p) for p in prompts], device=device)
    mask = torch.tensor([[0] * (width - len(p)) + [1] * len(p) for p in prompts], device=device)
    return ids, mask
