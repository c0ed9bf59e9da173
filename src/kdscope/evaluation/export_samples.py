"""The line that lm-evaluation-harness writes for an item, made from its records."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping, Sequence
from typing import Any

from kdscope.evaluation.items import by_item, item_index, metric_of
from kdscope.evaluation.records import Record, answer_of, value_of
from kdscope.results.measures import Metric
from kdscope.tasks import Task

Sample = dict[str, Any]
_NO_ANSWER = "[invalid]"


def task_filters(task: Task) -> dict[str, str]:
    """The filter that stands for each scoring of a task; free text is read in one way only."""
    if metric_of(task) == "rouge_l":
        return {"robust": "none"}
    return {"robust": "robust", "published": "published"}


def task_samples(
    task: Task, records: Sequence[Record], metrics: Mapping[Metric, str], generation: Mapping[str, Any]
) -> list[Sample]:
    """All lines of a task: every item by the first filter, then every item by the second.

    Args:
        task: The task.
        records: Its records.
        metrics: What the metrics are called.
        generation: Settings of the generation, part of what the model was asked.

    Raises:
        DataError: The items were not all answered with the same seeds.
    """
    metric = metrics[metric_of(task)]
    return [
        _sample(answers, scoring, told, metric, generation)
        for scoring, told in task_filters(task).items()
        for answers in by_item(records)
    ]


def _sample(answers: Sequence[Record], scoring: str, told: str, metric: str, generation: Mapping[str, Any]) -> Sample:
    first = answers[0]
    document = {"item_id": first.item_id, "item_hash": first.item_hash, "answer": first.gold}
    read = [answer_of(record, scoring) for record in answers]
    filtered = [_NO_ANSWER if value is None else value for value in read]
    return {
        "doc_id": item_index(first),
        "doc": document,
        "target": first.gold,
        "arguments": {"gen_args_0": {"arg_0": first.prompt, "arg_1": dict(generation)}},
        "resps": [[record.completion for record in answers]],
        "filtered_resps": filtered if len(filtered) == 1 else [filtered],
        "filter": told,
        "metrics": [metric],
        "doc_hash": _hash(json.dumps(document, indent=2, ensure_ascii=False)),
        "prompt_hash": _hash(first.prompt),
        "target_hash": _hash(first.gold),
        metric: sum(value_of(record, scoring) for record in answers) / len(answers),
        "finish_reason": [record.finish_reason for record in answers],
    }


def _hash(text: str) -> str:
    return hashlib.sha256(text.encode("utf-8")).hexdigest()
