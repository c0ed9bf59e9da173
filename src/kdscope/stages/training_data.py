"""The sequences a stage trains on or records, in one tokenizer: references, or what the teacher wrote."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from functools import partial
from typing import Any

from transformers import PreTrainedTokenizerBase

from kdscope.core.errors import DataError
from kdscope.data.batches import TokenSequence
from kdscope.data.encode import encode_recorded, encode_response, join
from kdscope.data.sources import Example
from kdscope.models.load import load_tokenizer
from kdscope.pipeline.run import StageContext
from kdscope.stages.files import model_place, read_prepared_examples, read_rows
from kdscope.stages.prompts import prompts_of


def training_sequences(
    context: StageContext, tokenizer: PreTrainedTokenizerBase, max_length: int
) -> list[TokenSequence]:
    """The training examples, and the unlabelled prompts where the teacher has answered them.

    Inputs of the stage decide: `responses` stand in for the examples' own responses, `prompts` come with
    `prompt_responses`. Numbers of examples go on in the prompts.

    Raises:
        DataError: No example has room for a response.
    """
    encode = partial(encode_examples, context, tokenizer, max_length=max_length)
    examples = read_prepared_examples(context.inputs["data"] / "train.jsonl")
    sequences = encode(examples, responses=_recorded(context, "responses", tokenizer))
    if "prompts" in context.inputs:
        prompts = read_prepared_examples(context.inputs["prompts"] / "prompts.jsonl")
        answered = encode(prompts, responses=_recorded(context, "prompt_responses", tokenizer))
        sequences += [replace(sequence, example=len(examples) + sequence.example) for sequence in answered]
        context.facts.update(unlabelled_prompts=len(answered))
        examples = [*examples, *prompts]
    if not sequences:
        raise DataError(f"no training example has room for a response within max_length_tokens = {max_length}")
    context.facts.update(
        examples=len(sequences),
        examples_left_out=len(examples) - len(sequences),
        examples_cut=sum(_is_cut(sequence, max_length, tokenizer) for sequence in sequences),
    )
    return sequences


def encode_examples(
    context: StageContext,
    tokenizer: PreTrainedTokenizerBase,
    examples: Sequence[Example],
    *,
    max_length: int,
    responses: Sequence[Sequence[int]] | None = None,
) -> list[TokenSequence]:
    """Examples in the stage's prompt template, with their own responses or with others."""
    _, prompts = prompts_of(examples, str(context.stage.parameters["template"]), tokenizer)
    if responses is None:
        responses = [encode_response(tokenizer, e.output) for e in examples]
    return join(prompts, responses, max_length)


def _recorded(context: StageContext, role: str, tokenizer: PreTrainedTokenizerBase) -> list[list[int]] | None:
    """What the teacher wrote, in this tokenizer's ids; None where the stage has no such input."""
    if role not in context.inputs:
        return None
    same = load_tokenizer(model_place(context, "teacher_base")).get_vocab() == tokenizer.get_vocab()
    rows = read_rows(context.inputs[role] / "responses.jsonl")
    unfinished: Any = context.facts.get("responses_unfinished", 0)
    context.facts["responses_unfinished"] = unfinished + sum(row["finish_reason"] == "length" for row in rows)
    return [
        encode_recorded(
            tokenizer, row["token_ids"], row["text"], finished=row["finish_reason"] == "stop", same_vocabulary=same
        )
        for row in rows
    ]


def _is_cut(sequence: TokenSequence, max_length: int, tokenizer: PreTrainedTokenizerBase) -> bool:
    return len(sequence.token_ids) == max_length and sequence.token_ids[-1] != tokenizer.eos_token_id
