"""Zero-shot generative evaluation: prompt, completion, two scorings, one record an item."""

from __future__ import annotations

from collections.abc import Sequence

from kdscope.data.sources import Item
from kdscope.evaluation.records import Record
from kdscope.fidelity.rouge import rouge_l
from kdscope.generation.base import Completion
from kdscope.tasks import Task


def score_items(
    task: Task, items: Sequence[Item], prompts: Sequence[str], completions: Sequence[Completion], decoding_seed: int
) -> list[Record]:
    """Records of one model on one task, in the order of the items.

    Free text gets its ROUGE-L against the best of the item's references; it is otherwise neither right nor wrong.
    Several decoding seeds are scored one after the other, and their records kept together.
    """
    triples = zip(items, prompts, completions, strict=True)
    return [_record(task, item, prompt, completion, decoding_seed) for item, prompt, completion in triples]


def _record(task: Task, item: Item, prompt: str, completion: Completion, decoding_seed: int) -> Record:
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
        published_value=score.published_value,
        correct_published=score.correct_published,
        robust_value=score.robust_value,
        robust_rule=score.robust_rule,
        robust_status=score.robust_status,
        truncated=score.truncated,
        correct_robust=score.correct_robust,
        completion_tokens=len(completion.token_ids),
        rouge_l=rouge_l(score.robust_value or "", item.references) if task.answer_kind == "text" else None,
    )
