"""Other ways to have a model write: lm-evaluation-harness' Hugging Face backend, and one prompt at a time, uncached."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

from common import Clock
from settings import Settings

Decode = Callable[[Sequence[int]], str]


def lm_eval(
    settings: Settings, prompts: Sequence[str], batch_size: int, clock: Clock
) -> tuple[list[dict[str, Any]], dict[str, str]]:
    """lm-evaluation-harness: its own tokenisation, sorting, padding and stopping, through `generate_until`."""
    import transformers
    from lm_eval.api.instance import Instance  # type: ignore[import-untyped]
    from lm_eval.models.huggingface import HFLM  # type: ignore[import-untyped]

    seen: dict[tuple[int, ...], list[int]] = {}

    class Watched(HFLM):  # type: ignore[misc]
        """Notes the tokens, which `generate_until` does not give."""

        def _model_generate(self, context: Any, max_length: int, stop: list[str], **more: Any) -> Any:
            written = super()._model_generate(context, max_length, stop, **more)
            masks = more["attention_mask"].bool()
            for row, mask, tokens in zip(context, masks, written[:, context.shape[1] :], strict=True):
                seen[tuple(row[mask].tolist())] = tokens.tolist()
            return written

    transformers.logging.disable_progress_bar()
    model = Watched(pretrained=settings.model, dtype=settings.dtype, device=settings.device, batch_size=batch_size)
    asked = {"until": list(_stop_texts(settings)), "max_gen_toks": _new_tokens(settings), "do_sample": False}
    requests = [Instance("generate_until", {}, (prompt, asked), number) for number, prompt in enumerate(prompts)]
    clock.tick()
    texts = model.generate_until(requests, disable_tqdm=True)
    clock.tick()
    tokens = [seen[tuple(model.tok_encode(prompt))] for prompt in prompts]
    ends = {model.eot_token_id}
    answers = [_answer(*pair, model.tok_decode, ends, settings) for pair in zip(texts, tokens, strict=True)]
    return answers, _versions("lm_eval")


def authors(settings: Settings, prompts: Sequence[str], clock: Clock) -> tuple[list[dict[str, Any]], dict[str, str]]:
    """The way of the published study's code: one prompt at a time, and everything read again for every token.

    Unlike there, writing ends at the stop texts, too: otherwise it would write more than the others.
    """
    import torch
    from transformers import AutoModelForCausalLM, AutoTokenizer, logging

    logging.disable_progress_bar()
    tokenizer = AutoTokenizer.from_pretrained(settings.model)
    model = AutoModelForCausalLM.from_pretrained(settings.model, dtype=getattr(torch, settings.dtype))
    model.to(settings.device).eval()
    ends, answers = {tokenizer.eos_token_id}, []
    clock.tick()
    for prompt in prompts:
        inputs = tokenizer(prompt, return_tensors="pt").to(settings.device)
        width = inputs.input_ids.shape[1]
        with torch.inference_mode():
            written = model.generate(
                **inputs, max_new_tokens=_new_tokens(settings), do_sample=False, use_cache=False,
                stop_strings=list(_stop_texts(settings)), tokenizer=tokenizer, pad_token_id=tokenizer.eos_token_id,
            )  # fmt: skip
        row = written[0, width:].tolist()
        text = tokenizer.decode(row, skip_special_tokens=True)
        answers.append(_answer(_before(text, _stop_texts(settings)), row, tokenizer.decode, ends, settings))
    clock.tick()
    return answers, {}


def _answer(text: str, row: Sequence[int], decode: Decode, ends: set[Any], settings: Settings) -> dict[str, Any]:
    """An answer, why it ended, and how many tokens were written; what is behind an end token is padding."""
    end = next((place for place, token in enumerate(row) if token in ends), None)
    if any(stop in decode(row[:end]) for stop in _stop_texts(settings)):
        reason = "run_on"
    else:
        reason = "length" if end is None else "stop"
    return {"text": text, "finish_reason": reason, "tokens": len(row) if end is None else end + 1}


def _before(text: str, stops: Sequence[str]) -> str:
    return text[: min((text.find(stop) for stop in stops if stop in text), default=len(text))]


def _stop_texts(settings: Settings) -> Sequence[str]:
    stops: Sequence[str] = settings.extra["stop_texts"]
    return stops


def _new_tokens(settings: Settings) -> int:
    return int(settings.extra["new_tokens"])


def _versions(package: str) -> dict[str, str]:
    from importlib.metadata import version

    return {package: version(package)}
