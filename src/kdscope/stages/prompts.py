"""Prompts as a model sees them: in the study's template, or in the one its tokenizer brings."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Protocol

from transformers import PreTrainedTokenizerBase

from kdscope.core.errors import ModelError
from kdscope.data.encode import encode_prompt
from kdscope.tasks import get_template


class Asked(Protocol):
    """An example or an item: a question, and perhaps more of it."""

    @property
    def instruction(self) -> str:
        """The question."""
        ...

    @property
    def input(self) -> str:
        """More of the question, often empty."""
        ...


def prompts_of(
    asked: Iterable[Asked], template: str, tokenizer: PreTrainedTokenizerBase
) -> tuple[list[str], list[list[int]]]:
    """The prompts as text and as token ids.

    Raises:
        ModelError: The template is the tokenizer's own, and it has none.
    """
    form = get_template(template)
    texts = [form.render(one.instruction, one.input) for one in asked]
    if not form.chat:
        return texts, [encode_prompt(tokenizer, text) for text in texts]
    if not tokenizer.chat_template:
        raise ModelError(f"the tokenizer of {tokenizer.name_or_path} has no chat template; choose another 'template'")
    talks = [[{"role": "user", "content": text}] for text in texts]
    texts = [str(tokenizer.apply_chat_template(talk, tokenize=False, add_generation_prompt=True)) for talk in talks]
    # The template has written the model's start token already.
    return texts, [list(tokenizer(text, add_special_tokens=False).input_ids) for text in texts]
