"""From text to token ids: the same prompt for training, generation and evaluation."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import Any, Protocol

from kdscope.data.batches import TokenSequence


class Tokenizer(Protocol):
    """The part of a Hugging Face tokenizer used here."""

    eos_token_id: Any

    def __call__(self, text: str, *, add_special_tokens: bool) -> Any:
        """Encode a text; the result has `input_ids`."""
        ...


def encode_prompt(tokenizer: Tokenizer, prompt: str) -> list[int]:
    """Token ids of a prompt, with the model's own start token if it has one and no end token."""
    ids: list[int] = list(tokenizer(prompt, add_special_tokens=True).input_ids)
    return ids[:-1] if len(ids) > 1 and ids[-1] == tokenizer.eos_token_id else ids


def encode_response(tokenizer: Tokenizer, response: str) -> list[int]:
    """Token ids of a response and the end token.

    Prompt and response are encoded apart, so training sees exactly the prompt ids that generation will start from.
    """
    return [*tokenizer(response, add_special_tokens=False).input_ids, int(tokenizer.eos_token_id)]


def encode_recorded(
    tokenizer: Tokenizer, token_ids: Sequence[int], text: str, *, finished: bool, same_vocabulary: bool
) -> list[int]:
    """A teacher's response as the student's token ids, ending in the student's own end token if the teacher stopped.

    With one vocabulary the sampled ids are kept; otherwise the text is encoded anew.
    """
    if same_vocabulary:
        ids = list(token_ids[:-1] if finished else token_ids)
    else:
        ids = list(tokenizer(text, add_special_tokens=False).input_ids)
    return [*ids, int(tokenizer.eos_token_id)] if finished else ids


def join(prompts: Sequence[Sequence[int]], responses: Iterable[Sequence[int]], max_length: int) -> list[TokenSequence]:
    """Prompt and response ids as training sequences, cut at `max_length` tokens.

    An example whose prompt leaves no room for a response is left out (its number stays unused).
    """
    pairs = enumerate(zip(prompts, responses, strict=True))
    return [
        TokenSequence(example, tuple([*prompt, *response][:max_length]), len(prompt))
        for example, (prompt, response) in pairs
        if len(prompt) < max_length and len(response) > 0
    ]
