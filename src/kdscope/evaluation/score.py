"""Scoring completions by both rules: of a model just evaluated, and of completions saved before."""

from __future__ import annotations

import hashlib
import json
import re
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, fields, replace

from kdscope.answers import numbers_match
from kdscope.answers.answer_format import Score
from kdscope.answers.quantities import parse_number
from kdscope.core.errors import DataError
from kdscope.data.examples import Item
from kdscope.evaluation.completions import Saved, SavedCompletion
from kdscope.evaluation.item_scores import item_index
from kdscope.evaluation.records import Record, is_correct
from kdscope.fidelity.rouge import rouge_l
from kdscope.generation.base import Completion
from kdscope.results.table import Table, plain_table
from kdscope.tasks import Task, TaskRegistry, default_registry, list_templates

_UNSCORED = Score(None, False, None, "none", "unparsed", False, False)
_UNREAD = ("", "inf", "[invalid]")
"""How evaluation programs write that they found no answer."""


def score_items(
    task: Task, items: Sequence[Item], prompts: Sequence[str], completions: Sequence[Completion], decoding_seed: int
) -> list[Record]:
    """Records of one model on one task, in the order of the items.

    Free text gets its ROUGE-L against the best of the item's references; it is otherwise neither right nor wrong.
    Several decoding seeds are scored one after the other, and their records kept together.
    """
    triples = zip(items, prompts, completions, strict=True)
    return [_scored_item(task, item, prompt, completion, decoding_seed) for item, prompt, completion in triples]


def _scored_item(task: Task, item: Item, prompt: str, completion: Completion, decoding_seed: int) -> Record:
    score = task.score(completion.text, item.gold, finish_reason=completion.finish_reason, instruction=item.instruction)
    return Record(
        task=task.name,
        item_id=item.item_id,
        item_hash=item.content_hash,
        decoding_seed=decoding_seed,
        prompt=prompt,
        completion=completion.text,
        finish_reason=completion.finish_reason,
        gold=item.gold,
        completion_tokens=len(completion.token_ids),
        **asdict(score),
        rouge_l=rouge_l(score.robust_value or "", item.references) if task.is_text else None,
    )


def question_from_prompt(prompt: str) -> str:
    r"""The instruction of a prompt in a built-in template with a frame; any other prompt as it is.

    >>> from kdscope.tasks import get_template
    >>> question_from_prompt(get_template("alpaca").render("How many?", "2 and 3"))
    'How many?'
    >>> question_from_prompt("Question: How many?\nAnswer:")
    'Question: How many?\nAnswer:'
    """
    framed = [template for template in list_templates() if template.without_input != "{instruction}"]
    for form in (form for template in framed for form in (template.with_input, template.without_input)):
        # The first header after the instruction ends it: the shortest text that lets the rest of the form follow.
        pattern = re.escape(form).replace(r"\{instruction\}", "(.*?)", 1).replace(r"\{input\}", ".*", 1)
        if match := re.fullmatch(pattern, prompt, re.DOTALL):
            return match[1]
    return prompt


def rescore(
    saved: Sequence[Saved], registry: TaskRegistry | None = None, items: Sequence[Item] | None = None
) -> list[Record]:
    """Score saved completions by both rules, as they are now; records keep everything else they hold.

    The robust rules look at the question: it is the item's where items are given, else the saved instruction, else
    what the prompt asks. The right answer is the item's too, and free text is then compared with all its references.

    Args:
        saved: Records, or completions read by `read_completions`.
        registry: The tasks; the built-in ones where absent.
        items: The items that were answered, of all tasks; they must fit what was saved.

    Raises:
        DataError: A completion belongs to none of the items, to another question than its item, or has no right
            answer; the message names the file and row, or the item.
    """
    tasks = registry or default_registry()
    known = None if items is None else {item.item_id: item for item in items}
    return [_rescored(answer, tasks.get(answer.task), known) for answer in saved]


def group_by_task(records: Sequence[Record]) -> dict[str, list[Record]]:
    """Records of each task, by item and seed: what the tables are made from."""
    groups: dict[str, list[Record]] = {}
    for record in sorted(records, key=lambda record: (item_index(record), record.decoding_seed)):
        groups.setdefault(record.task, []).append(record)
    return {task: groups[task] for task in dict.fromkeys(record.task for record in records)}


@dataclass(frozen=True, slots=True)
class Changes:
    """Counts of answers of one task that are scored otherwise than before.

    Attributes:
        task: Task name.
        answers: How many completions were scored.
        published_value: Published answers that differ.
        published_gained: Wrong before, right now, by the published rules.
        published_lost: Right before, wrong now, by the published rules.
        robust_value: Robust answers that differ.
        robust_gained: Wrong before, right now, by the robust rules.
        robust_lost: Right before, wrong now, by the robust rules.
        rouge_l: ROUGE-L values that differ.
    """

    task: str
    answers: int
    published_value: int
    published_gained: int
    published_lost: int
    robust_value: int
    robust_gained: int
    robust_lost: int
    rouge_l: int


def summarise_changes(before: Sequence[Saved], after: Sequence[Record]) -> list[Changes]:
    """Compare scores with those of before, task by task.

    Completions from elsewhere were not scored by kdscope: only their `prediction`, where there is one, is compared
    with the published answer.

    Raises:
        DataError: The two lists are not of the same answers.
    """
    if [(a.item_id, a.decoding_seed) for a in before] != [(a.item_id, a.decoding_seed) for a in after]:
        raise DataError("changes can only be counted between scores of the same answers")
    marks: dict[str, list[dict[str, bool]]] = {}
    for old, new in zip(before, after, strict=True):
        marks.setdefault(new.task, []).append(_marks(old, new))
    return [
        Changes(task, len(of_task), **{name: sum(mark.get(name, False) for mark in of_task) for name in _COUNTED})
        for task, of_task in marks.items()
    ]


def changes_table(changes: Sequence[Changes]) -> Table:
    """Changes to print."""
    scored = [(f"{scoring} read otherwise", "now right", "now wrong") for scoring in ("published", "robust")]
    headings = ("task", "answers", *scored[0], *scored[1], "other ROUGE-L")
    rows = [tuple(str(getattr(change, field.name)) for field in fields(Changes)) for change in changes]
    return plain_table(headings, rows, range(1, len(headings)))


_COUNTED = tuple(field.name for field in fields(Changes))[2:]


def _marks(old: Saved, new: Record) -> dict[str, bool]:
    """Which of the counted changes this answer has."""
    if isinstance(old, SavedCompletion):
        prediction = None if old.prediction in _UNREAD else old.prediction
        return {"published_value": old.prediction is not None and prediction != new.published_value}
    marks = {
        "published_value": old.published_value != new.published_value,
        "robust_value": old.robust_value != new.robust_value,
        "rouge_l": old.rouge_l != new.rouge_l,
    }
    for scoring in ("published", "robust"):
        was, now = is_correct(old, scoring), is_correct(new, scoring)
        marks |= {f"{scoring}_gained": now and not was, f"{scoring}_lost": was and not now}
    return marks


def _rescored(answer: Saved, task: Task, known: Mapping[str, Item] | None) -> Record:
    try:
        return _scored(answer, task, None if known is None else _item_of(answer, task, known))
    except DataError as error:
        raise _placed(error, answer) from None


def _scored(answer: Saved, task: Task, item: Item | None) -> Record:
    record = answer if isinstance(answer, Record) else _unscored(answer, item)
    gold = record.gold if item is None else item.gold
    question = _question(answer) if item is None else item.instruction
    score = task.score(record.completion, gold, finish_reason=record.finish_reason, instruction=question)
    scored = replace(record, gold=gold, **asdict(score))
    return replace(scored, rouge_l=_rouge(answer, scored, item)) if task.is_text else scored


def _question(answer: Saved) -> str:
    instruction = "" if isinstance(answer, Record) else answer.instruction
    return instruction or question_from_prompt(answer.prompt)


def _rouge(answer: Saved, scored: Record, item: Item | None) -> float:
    if item is None and isinstance(answer, Record) and answer.rouge_l is not None:
        return answer.rouge_l  # a record holds the first reference only: without the item it cannot be measured again
    saved = answer.references if isinstance(answer, SavedCompletion) else ()
    references = item.references if item is not None else saved
    return rouge_l(scored.robust_value or "", references or (scored.gold,))


def _item_of(answer: Saved, task: Task, known: Mapping[str, Item]) -> Item:
    item = known.get(answer.item_id)
    if item is None:
        raise DataError(f"there is no item {answer.item_id} among the {len(known):,} that are given")
    if isinstance(answer, Record):
        fits = answer.item_hash == item.content_hash
    else:
        fits = answer.gold is None or _same_gold(task, answer.gold, item.gold)
    if not fits:
        raise DataError(f"this answers another question than item {answer.item_id} of the data: other items, or order?")
    return item


def _same_gold(task: Task, saved: str, gold: str) -> bool:
    if task.is_text or parse_number(saved) is None or parse_number(gold) is None:
        return saved.strip() == gold.strip()
    return numbers_match(saved, gold)


def _unscored(answer: SavedCompletion, item: Item | None) -> Record:
    gold = answer.gold if item is None else item.gold
    if gold is None:
        raise DataError("the row tells no right answer, so the items are needed: label, gold, answer or target")
    return Record(
        task=answer.task,
        item_id=answer.item_id,
        item_hash=_content_hash(answer, gold) if item is None else item.content_hash,
        decoding_seed=answer.decoding_seed,
        prompt=answer.prompt,
        completion=answer.completion,
        finish_reason=answer.finish_reason,
        gold=gold,
        completion_tokens=0,
        **asdict(_UNSCORED),
    )


def _content_hash(answer: SavedCompletion, gold: str) -> str:
    """Equal for the same question; where the question is not known every item is its own."""
    question = answer.instruction or answer.prompt or answer.item_id
    return hashlib.sha256(json.dumps([question, gold]).encode("ascii")).hexdigest()


def _placed(error: DataError, answer: Saved) -> DataError:
    """The error with the place of the answer it is about."""
    if isinstance(answer, SavedCompletion):
        return answer.place.error(str(error))
    return DataError(f"{answer.item_id}: {error}")
