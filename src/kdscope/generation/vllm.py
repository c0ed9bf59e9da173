"""Generation by vLLM, where it is installed: the same prompts and settings, on a GPU, with batches of its own making.

Nothing else in kdscope needs vLLM. Its kernels round otherwise than torch's, and its batches depend on timing: expect
the same accuracy within sampling error, not the same tokens. What was written is cut and named as everywhere else.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from importlib import import_module
from pathlib import Path
from typing import Any

from transformers import PreTrainedTokenizerBase

from kdscope.core.errors import MachineError, ModelError, first_line
from kdscope.core.seeds import derive_seed
from kdscope.generation.base import Completion, Decoding, StopTexts, make_completion, stop_texts
from kdscope.models.files import check_adapter
from kdscope.models.load import check_place
from kdscope.models.source import ModelPlace

# vLLM sets memory aside for adapters of one of these ranks.
_RANKS = (8, 16, 32, 64, 128, 256, 320, 512)


@dataclass(frozen=True)
class VllmGenerator:
    """A model in vLLM's engine that continues prompts; see `kdscope.generation.base.Generator`.

    vLLM forms its batches itself, so large calls are fast ones. A sampled token depends on the seed, the call and its
    row.

    Attributes:
        engine: A vllm.LLM.
        tokenizer: Of the model.
        adapter: The request for a LoRA adapter; None without one.
    """

    engine: Any
    tokenizer: PreTrainedTokenizerBase
    adapter: Any = None

    def generate(self, prompts: Sequence[Sequence[int]], decoding: Decoding, *, call: int = 0) -> list[Completion]:
        """See `Generator`.

        Raises:
            MachineError: The engine gave a prompt up.
        """
        texts = stop_texts(decoding, self.tokenizer)
        completions = [Completion((), "", "length") for _ in prompts]
        rows = [row for row, prompt in enumerate(prompts) if decoding.room(len(prompt)) > 0]
        if not rows:
            return completions
        outputs = self.engine.generate(
            [{"prompt_token_ids": list(prompts[row])} for row in rows],
            [_sampling(decoding, call, row, decoding.room(len(prompts[row])), self.tokenizer) for row in rows],
            use_tqdm=False,
            lora_request=self.adapter,
        )
        for row, output in zip(rows, outputs, strict=True):
            completions[row] = _completion(output.outputs[0], texts, row)
        return completions


def load_vllm(
    place: ModelPlace,
    tokenizer: PreTrainedTokenizerBase,
    *,
    dtype: str,
    device: str = "cuda",
    max_length_tokens: int | None = None,
    memory_share: float = 0.9,
) -> VllmGenerator:
    """Start vLLM's engine on a model, its adapter (if any) beside the weights.

    Args:
        place: The model.
        tokenizer: Of the model.
        dtype: bfloat16 or float32.
        device: Not used: the engine takes the GPU it was built for.
        max_length_tokens: Most tokens of prompt and completion together; the model's own limit where None.
        memory_share: Of the GPU's memory, for weights and cache.

    Raises:
        MachineError: vLLM is not installed, or does not start.
        ModelError: The adapter's rank is not known, or is larger than vLLM's largest.
    """
    settings: dict[str, Any] = {
        "model": place.location,
        "revision": place.revision,
        "tokenizer_revision": place.revision,
        "trust_remote_code": place.trust_remote_code,
        "dtype": dtype,
        "max_model_len": max_length_tokens,
        "gpu_memory_utilization": memory_share,
        "seed": 0,
        "load_format": "safetensors",
    }
    check_place(place)
    adapter = None
    if place.adapter is not None:
        settings |= {"enable_lora": True, "max_lora_rank": _rank(Path(place.adapter))}
        adapter = _vllm("vllm.lora.request").LoRARequest("adapter", 1, place.adapter)
    engine = _vllm("vllm").LLM
    try:
        return VllmGenerator(engine(**settings), tokenizer, adapter)
    except (RuntimeError, ValueError, OSError) as error:
        raise MachineError(f"vLLM does not start on {place.location}: {first_line(error)}") from error


def _vllm(module: str) -> Any:
    try:
        return import_module(module)
    except ImportError as error:
        raise MachineError(f"generation by vLLM needs vLLM ({error}): pip install 'kdscope[vllm]'") from error


def _sampling(decoding: Decoding, call: int, row: int, room: int, tokenizer: PreTrainedTokenizerBase) -> Any:
    """Of one row; greedy decoding has no seed."""
    sampled = decoding.temperature > 0
    return _vllm("vllm").SamplingParams(
        max_tokens=room,
        temperature=decoding.temperature,
        top_p=decoding.top_p if sampled else 1.0,
        seed=derive_seed(decoding.seed, "generate", call, row) if sampled else None,
        stop=list(decoding.stop_texts) or None,
        stop_token_ids=[int(tokenizer.eos_token_id)],  # which need not be the end token that the engine reads
        skip_special_tokens=True,
    )


def _completion(output: Any, texts: StopTexts, row: int) -> Completion:
    """What vLLM calls stop is an end token, which stands last, or a stop text, which it names."""
    if output.finish_reason not in ("stop", "length"):
        raise MachineError(f"vLLM gave up on prompt {row}: {output.finish_reason}")
    by_text = isinstance(output.stop_reason, str)
    made = make_completion(list(output.token_ids), texts, ended=output.finish_reason == "stop" and not by_text)
    if by_text and made.finish_reason != "run_on":
        # It joins tokens one by one, which can make another text than all of them at once.
        return Completion(made.token_ids, output.text, "run_on")
    return made


def _rank(adapter: Path) -> int:
    rank = check_adapter(adapter).get("r")
    if not isinstance(rank, int):
        raise ModelError(f"{adapter} has no adapter_config.json with a rank")
    if rank > _RANKS[-1]:
        raise ModelError(f"{adapter} has rank {rank}; vLLM takes adapters of rank up to {_RANKS[-1]}")
    return next(allowed for allowed in _RANKS if allowed >= rank)
