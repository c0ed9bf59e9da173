"""Confidence: the probabilities of labels against full forward passes, and what is made of them."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import replace
from typing import Any

import pytest
import torch
from transformers import PreTrainedModel

from kdscope.core.errors import DataError, ModelError
from kdscope.data.batches import TokenSequence
from kdscope.data.examples import Item
from kdscope.evaluation.confidence import LabelQuestion, confidence_rows, label_log_probabilities
from kdscope.evaluation.distributions import DistributionRow, ForcedModel, log_probabilities
from kdscope.evaluation.records import Record
from kdscope.models.load import load_model
from kdscope.models.source import ModelPlace
from kdscope.tasks import get_task
from tests.builders import make_model, make_tokenizer
from tests.evaluation.test_continuations import record
from tests.models.architectures import some_ids, tiny

TOKENIZER = make_tokenizer()
PAD = int(TOKENIZER.pad_token_id)


@pytest.fixture(scope="module")
def bytes_model(tmp_path_factory: pytest.TempPathFactory) -> PreTrainedModel:
    folder = make_model(tmp_path_factory.mktemp("model") / "m", spread=0.3, seed=4)
    return load_model(ModelPlace(str(folder)), "float32", "cpu")


@torch.no_grad()
def of_text(model: Any, prompt: Sequence[int], answer: Sequence[int]) -> float:
    """log P(answer | prompt), all tokens of it, by a forward pass in float64."""
    ids = torch.tensor([[*prompt, *answer]])
    told = model.double()(input_ids=ids).logits[0, len(prompt) - 1 : -1].log_softmax(-1)
    model.float()
    return float(told.gather(-1, torch.tensor(answer)[:, None]).sum())


ANSWERS = {
    "one token each": {"A": (9, 10, 2), "B": (9, 10, 3), "C": (9, 10, 40)},
    "numbered": {"x1": (9, 10, 2), "x2": (9, 10, 3), "x30": (9, 10, 3, 8)},
    "nothing shared": {"true": (9, 10), "false": (12, 13, 14)},
    "one inside another": {"a": (9,), "b": (9, 10), "c": (9, 10, 11)},
    "a single one": {"a": (9, 4)},
    "twice the same": {"a": (9, 4), "b": (9, 4)},
}


@pytest.mark.parametrize("kind", ["llama", "gpt2"])
@pytest.mark.parametrize("answers", ANSWERS.values(), ids=ANSWERS)
def test_labels_have_the_probability_of_their_texts(kind: str, answers: dict[str, tuple[int, ...]]) -> None:
    model, prompts = tiny(kind, seed=1), [some_ids(n, seed=n).tolist() for n in (4, 9)]
    asked = [LabelQuestion(tuple(prompt), answers) for prompt in prompts]
    found = label_log_probabilities(ForcedModel.of(model), asked, pad_id=0)
    for prompt, told in zip(prompts, found, strict=True):
        assert list(told) == list(answers)
        scores = torch.tensor([of_text(model, prompt, answer) for answer in answers.values()], dtype=torch.float64)
        expected = dict(zip(answers, scores.log_softmax(-1).tolist(), strict=True))
        assert told == pytest.approx(expected, abs=1e-4)
        assert math.fsum(map(math.exp, told.values())) == pytest.approx(1.0)


def test_labels_of_one_token_cost_one_text(monkeypatch: pytest.MonkeyPatch) -> None:
    read: list[int] = []
    original = ForcedModel.read

    def counted(self: ForcedModel, batch: Any) -> torch.Tensor:
        read.append(len(batch.targets))
        return original(self, batch)

    monkeypatch.setattr(ForcedModel, "read", counted)
    question = LabelQuestion((5, 6), ANSWERS["one token each"])
    label_log_probabilities(ForcedModel.of(tiny("llama")), [question], pad_id=0)
    assert read == [1]


def test_log_probabilities_of_any_tokens() -> None:
    model = tiny("llama", seed=1)
    texts = [TokenSequence(n, tuple(some_ids(8 + n, seed=n).tolist()), 4) for n in range(3)]
    wanted = [torch.randint(2, 64, (4 + n, 3), generator=torch.Generator().manual_seed(n)) for n in range(3)]
    found = log_probabilities(ForcedModel.of(model), texts, wanted, pad_id=0)
    for text, tokens, told in zip(texts, wanted, found, strict=True):
        with torch.no_grad():
            logits = model(input_ids=torch.tensor([text.token_ids])).logits[0, 3:-1]
        assert told.dtype == torch.float64
        torch.testing.assert_close(told.float(), logits.log_softmax(-1).gather(-1, tokens), rtol=1e-4, atol=1e-5)


def test_log_probabilities_that_are_not_numbers_are_refused() -> None:
    model = tiny("llama", seed=1)
    model.get_decoder().layers[2].mlp.up_proj.weight.data.fill_(math.nan)
    with pytest.raises(ModelError, match="logits are not numbers"):
        log_probabilities(ForcedModel.of(model), [TokenSequence(0, (5, 6, 7), 1)], [torch.zeros(2, 1).long()], pad_id=0)


def label_item(index: int, gold: str, options: int) -> Item:
    listed = " ".join(f"Answer{n}: thing {n}" for n in range(1, options + 1))
    return Item("ARC-Easy", index, f"ARC-Easy/{index}", f"Which?\n\n{listed}\n\nAnswer format: answer1", "", gold, "h")


def answered(of: Item, value: str | None, text: str = "said") -> Record:
    return replace(record(of, text), robust_value=value, correct_robust=value == of.gold)


def test_rows_of_a_task_with_labels(bytes_model: PreTrainedModel) -> None:
    task, items = get_task("ARC-Easy"), [label_item(0, "answer2", 4), label_item(1, "answer3", 3)]
    prompts = [TOKENIZER(f"prompt {n}\n").input_ids for n in range(2)]
    records = [answered(items[0], "answer4"), answered(items[1], None)]
    rows = confidence_rows(ForcedModel.of(bytes_model), "student", task, items, prompts, records, [], TOKENIZER)
    for row, item, prompt, options in zip(rows, items, prompts, (4, 3), strict=True):
        labels = [f"answer{n}" for n in range(1, options + 1)]
        scores = [of_text(bytes_model, prompt, TOKENIZER(f"The answer is {label}").input_ids) for label in labels]
        told = dict(zip(labels, torch.tensor(scores).softmax(-1).tolist(), strict=True))
        best = max(told, key=lambda label: told[label])
        assert (row.task, row.item_id, row.model, row.method) == ("ARC-Easy", item.item_id, "student", "labels")
        assert (row.answer, row.correct) == (best, best == item.gold)
        assert row.confidence == pytest.approx(told[best], rel=1e-4)
        assert math.exp(-row.gold_nll) == pytest.approx(told[item.gold], rel=1e-4)
    assert rows[0].stated_confidence < rows[0].confidence or rows[0].answer == "answer4"
    assert rows[0].stated_correct is False
    assert math.isnan(rows[1].stated_confidence)


def distribution(item: Item, prefix: str, teacher_nll: float, student_nll: float) -> DistributionRow:
    return DistributionRow(item.task, item.item_id, prefix, 3, *[0.0] * 6, teacher_nll, student_nll, *[0.0] * 4)


def test_rows_of_a_task_with_numbers() -> None:
    items = [Item("AddSub", n, f"AddSub/{n}", "How many?", "", "7", "h") for n in range(2)]
    records = [answered(items[0], "7"), answered(items[1], None, text="")]
    told = [
        distribution(items[0], "gold", 0.1, 0.2),
        distribution(items[0], "teacher", 0.3, 0.4),
        distribution(items[0], "student", 0.5, 0.6),
        distribution(items[1], "gold", 0.7, 0.8),
    ]
    rows = {
        who: confidence_rows(None, who, get_task("AddSub"), items, [[1], [2]], records, told, TOKENIZER)  # type: ignore[arg-type]
        for who in ("teacher", "student")
    }
    assert rows["teacher"][0].confidence == pytest.approx(math.exp(-0.3))
    assert rows["student"][0].confidence == pytest.approx(math.exp(-0.6))
    assert [rows[who][0].gold_nll for who in rows] == [0.1, 0.2]
    assert (rows["student"][0].answer, rows["student"][0].correct) == ("7", True)
    assert rows["student"][0].method == "completion"
    assert math.isnan(rows["student"][1].confidence)
    assert (rows["student"][1].gold_nll, rows["student"][1].correct) == (0.8, False)


def test_free_text_is_neither_right_nor_wrong_and_missing_answers_are_refused() -> None:
    task = get_task("dolly")
    item = Item(task.name, 0, f"{task.name}/0", "Say.", "", "Yes.", "h", ("Yes.",))
    told = [distribution(item, "student", 0.5, 0.6)]
    (row,) = confidence_rows(None, "student", task, [item], [[1]], [answered(item, "Yes.")], told, TOKENIZER)  # type: ignore[arg-type]
    assert (row.correct, row.stated_correct) == (None, None)
    assert row.confidence == pytest.approx(math.exp(-0.6))
    other = Item(task.name, 1, f"{task.name}/1", "Say.", "", "Yes.", "h", ("Yes.",))
    with pytest.raises(DataError, match="not answered"):
        confidence_rows(None, "student", task, [other], [[1]], [answered(item, "Yes.")], told, TOKENIZER)  # type: ignore[arg-type]
