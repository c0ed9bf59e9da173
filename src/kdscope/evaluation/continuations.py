"""The texts on which distributions are compared: reference, teacher or student completion of a prompt."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Literal

from kdscope.answers.quantities import canonical_number, parse_number
from kdscope.core.errors import DataError
from kdscope.core.seeds import derive_seed
from kdscope.data.batches import Tokenizer, encode_recorded, encode_response
from kdscope.data.examples import Item
from kdscope.evaluation.item_scores import by_item
from kdscope.evaluation.records import Record

Prefix = Literal["gold", "teacher", "student"]
PREFIXES: tuple[Prefix, ...] = ("gold", "teacher", "student")

ANSWER_CUE = "The answer is"
"""Stands before an answer that has no text of its own, and asks for one."""


@dataclass(frozen=True)
class Continuation:
    """A prompt and what followed it.

    Attributes:
        task: Task name.
        item_id: Stable id of the item.
        prefix: Who wrote the response: the reference (gold), the teacher or the student.
        prompt_ids: Token ids of the prompt.
        response_ids: Token ids of the response.
    """

    task: str
    item_id: str
    prefix: Prefix
    prompt_ids: tuple[int, ...]
    response_ids: tuple[int, ...]


def gold_text(item: Item) -> str:
    """The item's (first) reference if it has one, else its right answer in a sentence; numbers in their shortest form.

    >>> gold_text(Item("gsm8k", 0, "gsm8k/0", "How many?", "", "18.0", ""))
    'The answer is 18.'
    """
    if item.references:
        return item.references[0]
    number = parse_number(item.gold)
    return f"{ANSWER_CUE} {item.gold if number is None else canonical_number(number)}."


def continuations_of(
    items: Sequence[Item],
    prompts: Sequence[Sequence[int]],
    records: Mapping[Literal["teacher", "student"], Sequence[Record]],
    tokenizer: Tokenizer,
) -> list[Continuation]:
    """The three texts of every item: gold, the teacher's and the student's completion.

    Completions are recorded as text and are encoded anew, which may cut a word into other tokens than were sampled. An
    end token follows where the model ended by itself, and after gold. Of several decoding seeds the lowest is taken.

    Args:
        items: Of one task.
        prompts: Token ids of each.
        records: Completions of both models on these items, in any order.
        tokenizer: Of both.

    Raises:
        DataError: A model has not answered one of the items.
    """
    written = {side: first_answers(own) for side, own in records.items()}
    made = []
    for item, prompt in zip(items, prompts, strict=True):
        texts = {"gold": encode_response(tokenizer, gold_text(item))}
        for side, own in written.items():
            record = answer_to(item, own, side)
            ended = record.finish_reason == "stop"
            texts[side] = encode_recorded(tokenizer, (), record.completion, finished=ended, same_vocabulary=False)
        made += [
            Continuation(item.task, item.item_id, prefix, tuple(prompt), tuple(texts[prefix])) for prefix in PREFIXES
        ]
    return made


def first_answers(records: Sequence[Record]) -> dict[str, Record]:
    """The record of each item with the lowest decoding seed, by item id."""
    return {same[0].item_id: same[0] for same in by_item(records)}


def answer_to(item: Item, answers: Mapping[str, Record], who: str) -> Record:
    """The record of an item.

    Raises:
        DataError: There is none, or it is of another question.
    """
    record = answers.get(item.item_id)
    if record is None or record.item_hash != item.content_hash:
        problem = "has not answered it" if record is None else "was asked another question"
        raise DataError(f"the {who} {problem}", key=item.item_id)
    return record


def choose_items(items: Sequence[Item], count: int | None, seed: int, left_out: Iterable[str] = ()) -> list[Item]:
    """A random subsample in the items' own order: the same items for every model, and more of them for a larger count.

    Args:
        items: Of one task.
        count: How many; None for all.
        seed: Decides which.
        left_out: Ids of items not to be chosen.
    """
    skipped = frozenset(left_out)
    allowed = [item for item in items if item.item_id not in skipped]
    chosen = sorted(allowed, key=lambda item: derive_seed(seed, "subsample", item.item_id))[:count]
    kept = {item.item_id for item in chosen}
    return [item for item in allowed if item.item_id in kept]
