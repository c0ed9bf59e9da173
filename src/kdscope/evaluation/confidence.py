"""Confidence of a model in its answers, which calibration is measured on.

Where the possible answers are known, it is the probability of each of them; elsewhere, the probability of the tokens
that the model wrote.
"""

from __future__ import annotations

import math
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from itertools import groupby, takewhile
from typing import Any, Literal

import torch
from torch import Tensor

from kdscope.data.batches import Tokenizer, TokenSequence
from kdscope.data.examples import Item
from kdscope.evaluation.continuations import ANSWER_CUE, answer_to, first_answers
from kdscope.evaluation.distributions import DistributionRow, ForcedModel, log_probabilities
from kdscope.evaluation.records import Record
from kdscope.models.limits import padding_id
from kdscope.tasks import Task


@dataclass(frozen=True)
class ConfidenceRow:
    """Confidence of one model on one item.

    Attributes:
        task: Task name.
        item_id: Stable id of the item.
        model: teacher or student.
        method: labels (the probability of each possible answer) or completion (that of the words it wrote).
        answer: labels: the likeliest label. completion: the answer read in what it wrote, None if there is none.
        confidence: labels: the probability of the likeliest label. completion: exp(mean log-probability of a token of
            its own completion), the inverse of its perplexity; NaN for a completion without a token.
        correct: Whether `answer` is right; None for free text, which is neither.
        gold_nll: labels: -log of the right label's probability. completion: mean -log-probability of a token of the
            gold text. Nats.
        stated_confidence: labels: the probability of the label that the model wrote; NaN where none was read.
            completion: as `confidence`.
        stated_correct: Whether the answer that the model wrote is right; None for free text.
    """

    task: str
    item_id: str
    model: str
    method: str
    answer: str | None
    confidence: float
    correct: bool | None
    gold_nll: float
    stated_confidence: float
    stated_correct: bool | None


@dataclass(frozen=True)
class LabelQuestion:
    """A prompt and the texts of its possible answers.

    Attributes:
        prompt_ids: Token ids of the prompt.
        answers: Token ids of what follows it, cue included, by label.
    """

    prompt_ids: tuple[int, ...]
    answers: Mapping[str, tuple[int, ...]]

    @classmethod
    def of(cls, task: Task, item: Item, prompt_ids: Sequence[int], tokenizer: Tokenizer) -> LabelQuestion:
        """The question of an item: its listed options (ARC has 3 to 5), or all of the task's labels."""
        listed = task.options(item.instruction)
        labels = listed if item.gold in listed else task.labels
        encoded = {
            label: tuple(tokenizer(f"{ANSWER_CUE} {label}", add_special_tokens=False).input_ids) for label in labels
        }
        return cls(tuple(prompt_ids), encoded)

    @property
    def shared(self) -> int:
        """Number of tokens that all answers begin with; each keeps one of its own."""
        together = takewhile(lambda tokens: len(set(tokens)) == 1, zip(*self.answers.values(), strict=False))
        return min(len(list(together)), min(map(len, self.answers.values())) - 1)


def confidence_rows(
    model: ForcedModel,
    who: Literal["teacher", "student"],
    task: Task,
    items: Sequence[Item],
    prompts: Sequence[Sequence[int]],
    records: Sequence[Record],
    distributions: Iterable[DistributionRow],
    tokenizer: Any,
) -> list[ConfidenceRow]:
    """Confidence of a model on each item of a task: in labels where the task has some, else in its own completion.

    Args:
        model: Reads, where there are labels.
        who: Which of the two it is.
        task: The task.
        items: Some or all of it.
        prompts: Token ids of each item's prompt.
        records: What the model answered; of several decoding seeds the lowest counts.
        distributions: What `compare_distributions` found on these items.
        tokenizer: The model's own, a Hugging Face one.

    Raises:
        DataError: The model has not answered one of the items.
    """
    answers = first_answers(records)
    own_records = [answer_to(item, answers, who) for item in items]
    if task.labels:
        questions = [LabelQuestion.of(task, item, ids, tokenizer) for item, ids in zip(items, prompts, strict=True)]
        log_probabilities_of_labels = label_log_probabilities(
            model, questions, padding_id(model.states.model, tokenizer)
        )
        return [
            label_confidence(task, *one)
            for one in zip(items, [who] * len(own_records), log_probabilities_of_labels, own_records, strict=True)
        ]
    found: dict[str, dict[str, DistributionRow]] = {}
    for row in distributions:
        found.setdefault(row.item_id, {})[row.prefix] = row
    return [
        completion_confidence(task, item, who, found.get(item.item_id, {}), record)
        for item, record in zip(items, own_records, strict=True)
    ]


def label_log_probabilities(
    model: ForcedModel, questions: Sequence[LabelQuestion], pad_id: int
) -> list[dict[str, float]]:
    """The log-probability of each label, given the prompt, "The answer is", and that it is one of the labels; nats.

    p(l) = P(l | prompt) / Σ P(l' | prompt), each P the product over the tokens of "The answer is l"; what all answers
    share cancels. This is the scoring of multiple choice by log-likelihood of lm-evaluation-harness (Gao et al. 2024,
    `acc`), turned into probabilities. Its length-normalised variant (`acc_norm`: log-likelihood by bytes) is for
    options of very different lengths; labels here are a letter, or words of one length, whose probabilities dividing
    would only flatten, as a temperature does.

    Args:
        model: Reads.
        questions: Of any number of items.
        pad_id: What fills rows that cannot be packed.
    """
    readings = [reading for number, question in enumerate(questions) for reading in _readings(number, question)]
    sequences = [
        TokenSequence(place, reading.token_ids, len(reading.token_ids) - len(reading.wanted))
        for place, reading in enumerate(readings)
    ]
    by_reading = log_probabilities(model, sequences, [reading.wanted for reading in readings], pad_id)
    scores: list[dict[str, float]] = [{} for _ in questions]
    for reading, rows in zip(readings, by_reading, strict=True):
        scores[reading.question] |= dict(zip(reading.labels, rows.sum(0).tolist(), strict=True))
    # In the order of the labels, as a reader expects it and as ties are decided.
    return [_normalised({label: own[label] for label in q.answers}) for own, q in zip(scores, questions, strict=True)]


def label_confidence(
    task: Task, item: Item, model: str, log_probabilities: Mapping[str, float], record: Record
) -> ConfidenceRow:
    """The row of an item for whose labels `label_log_probabilities` are known."""
    chosen = max(log_probabilities, key=lambda label: log_probabilities[label])
    stated = log_probabilities.get(record.robust_value or "", math.nan)
    return ConfidenceRow(
        task=task.name,
        item_id=item.item_id,
        model=model,
        method="labels",
        answer=chosen,
        confidence=math.exp(log_probabilities[chosen]),
        correct=chosen == item.gold,
        gold_nll=-log_probabilities[item.gold],
        stated_confidence=math.exp(stated),
        stated_correct=record.correct_robust,
    )


def completion_confidence(
    task: Task, item: Item, model: str, rows: Mapping[str, DistributionRow], record: Record
) -> ConfidenceRow:
    """The row of an item whose answer is a number or free text.

    Args:
        task: Its task.
        item: The item.
        model: teacher or student.
        rows: What `compare_distributions` found on the item, by prefix.
        record: What the model answered.
    """
    nll = {prefix: float(getattr(row, f"{model}_nll")) for prefix, row in rows.items()}
    confidence = math.exp(-nll[model]) if model in nll else math.nan
    correct = None if task.is_text else record.correct_robust
    gold, answer = nll.get("gold", math.nan), record.robust_value
    return ConfidenceRow(
        task.name, item.item_id, model, "completion", answer, confidence, correct, gold, confidence, correct
    )


@dataclass(frozen=True)
class _Reading:
    """A text that answers the question for some labels: those that differ in their last token only."""

    question: int
    labels: tuple[str, ...]
    token_ids: tuple[int, ...]
    wanted: Tensor


def _readings(number: int, question: LabelQuestion) -> list[_Reading]:
    """As few texts as tell the probability of every label: one, where the labels are a token each."""
    shared, found = question.shared, []
    ordered = sorted(question.answers.items(), key=lambda answer: (answer[1][:-1], answer[1]))
    for _, group in groupby(ordered, key=lambda answer: answer[1][:-1]):
        labels, answers = zip(*group, strict=True)
        wanted = torch.tensor([answer[shared:] for answer in answers]).T.contiguous()
        found.append(_Reading(number, labels, (*question.prompt_ids, *answers[0]), wanted))
    return found


def _normalised(scores: Mapping[str, float]) -> dict[str, float]:
    most = max(scores.values())
    total = most + math.log(math.fsum(math.exp(score - most) for score in scores.values()))
    return {label: score - total for label, score in scores.items()}
