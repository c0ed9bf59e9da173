"""Prompt templates: how an instruction becomes the text a model sees."""

from __future__ import annotations

import re
from dataclasses import dataclass

from kdscope.core.errors import DataError


@dataclass(frozen=True, slots=True)
class PromptTemplate:
    """A prompt in two forms, with ``{instruction}`` and ``{input}`` as its only fields.

    Attributes:
        name: What it is called in studies.
        with_input: The form for a question with an input.
        without_input: The form for a question alone.
        chat: Whether the text is a user's message, around which the chat template of a model's tokenizer belongs.
    """

    name: str
    with_input: str
    without_input: str
    chat: bool = False

    def render(self, instruction: str, input_text: str = "") -> str:
        r"""The prompt; both texts are inserted literally, so braces in the data are harmless.

        >>> get_template("alpaca").render("Add {1} and {2}.").endswith("Add {1} and {2}.\n\n### Response:\n")
        True
        """
        values = {"instruction": instruction, "input": input_text}
        form = self.with_input if input_text else self.without_input
        # One pass: a field name that occurs inside the data is never replaced again.
        return re.sub(r"\{(instruction|input)\}", lambda match: values[match[1]], form)


def list_templates() -> tuple[PromptTemplate, ...]:
    """Every built-in template."""
    return _TEMPLATES


def get_template(name: str) -> PromptTemplate:
    """The built-in template called `name`.

    Raises:
        DataError: No template has that name.
    """
    templates = {template.name: template for template in _TEMPLATES}
    if name not in templates:
        raise DataError(f"unknown prompt template {name!r} (known: {', '.join(templates)})")
    return templates[name]


def _template(name: str, *, first_ends: tuple[str, str], indent: str, blank: str) -> PromptTemplate:
    task = "Below is an instruction that describes a task"
    request = "Write a response that appropriately completes the request."
    gap = f"\n{blank}\n"
    instruction = f"{indent}### Instruction:\n{indent}{{instruction}}{gap}"
    given = f"{indent}### Input:\n{indent}{{input}}{gap}"
    response = f"{indent}### Response:\n{indent}"
    with_input, without_input = first_ends
    return PromptTemplate(
        name,
        f"{task}, paired with an input that provides further context. {request}{with_input}\n\n"
        f"{instruction}{given}{response}",
        f"{task}. {request}{without_input}\n\n{instruction}{response}",
    )


_TEMPLATES = (
    # The Alpaca prompt (Taori et al. 2023), one line break after the response header.
    _template("alpaca", first_ends=("", ""), indent="", blank=""),
    # The prompt of the paper's evaluation code: its lines after the first carry the 16 spaces of the source code they
    # were written in, and the form without input has a space after the first sentence's period.
    _template("published", first_ends=("", " "), indent=" " * 16, blank=""),
    # The prompt of the paper's fine-tuning code, which differs from `published` in white space only: the blank lines
    # between sections carry the 16 spaces too, and the first line ends in one space with an input, two without. The
    # response follows the last 16 spaces directly.
    _template("published_training", first_ends=(" ", "  "), indent=" " * 16, blank=" " * 16),
    PromptTemplate("plain", "{instruction}\n{input}", "{instruction}"),
    # A user's message: whoever renders it puts the chat template of the model's tokenizer around it.
    PromptTemplate("chat", "{instruction}\n\n{input}", "{instruction}", chat=True),
)
