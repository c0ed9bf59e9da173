"""Expectations lose nothing: loss and gradient are those of the whole distributions, in float64 and in full."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import Tensor

from kdscope.core.errors import ModelError, ObjectiveError
from kdscope.data.batches import collate, count_targets
from kdscope.objectives import Expectation, Objective, fused_loss
from kdscope.objectives.head import Head
from kdscope.teacher.expectation import ExpectationTeacher, expect
from kdscope.teacher.recording import expectation_layout
from tests.teacher.recordings import TOKENIZER, layout_of, open_recording, record, some_sequences, some_values

VOCABULARY, WIDTH, COUNT = 300, 24, 17


@dataclass(frozen=True)
class DenseRows:
    """Given logits as a teacher's."""

    values: Tensor

    def logits(self, start: int, stop: int) -> Tensor:
        return self.values[start:stop]


def some_teacher(count: int = COUNT, spread: float = 3.0) -> DenseRows:
    return DenseRows(spread * torch.randn(count, VOCABULARY, generator=torch.Generator().manual_seed(1)))


def some_head(*, biased: bool = False, scale: float = 1.0, rows: int = VOCABULARY) -> Head:
    generator = torch.Generator().manual_seed(2)
    weight = torch.randn(rows, WIDTH, generator=generator)
    return Head(weight, torch.randn(rows, generator=generator) if biased else None, scale)


def some_hidden(count: int = COUNT) -> Tensor:
    return 0.3 * torch.randn(count, WIDTH, generator=torch.Generator().manual_seed(3))


def dense(rows: DenseRows, head: Head, hidden: Tensor, temperature: float) -> tuple[Tensor, Tensor]:
    """KL(P || Q) per token and the gradient of its sum with respect to h, in float64 from whole distributions."""
    exact = hidden.double().requires_grad_()
    bias = 0.0 if head.bias is None else head.bias.double()
    logits = head.scale * (exact @ head.weight.double().T + bias)[:, :VOCABULARY]
    log_p, log_q = (rows.values.double() / temperature).log_softmax(-1), (logits / temperature).log_softmax(-1)
    divergence = torch.nn.functional.kl_div(log_q, log_p, reduction="none", log_target=True).sum(dim=-1)
    return divergence.detach(), torch.autograd.grad(divergence.sum(), exact)[0]


def from_expectation(made: dict[str, Tensor], head: Head, hidden: Tensor, temperature: float) -> tuple[Tensor, Tensor]:
    """The same from what expectations have kept, in float64."""
    exact = hidden.double().requires_grad_()
    bias = 0.0 if head.bias is None else head.bias.double()
    logits = head.scale * (exact @ head.weight.double().T + bias)[:, :VOCABULARY]
    expected = head.scale * ((exact * made["vectors"].double()).sum(dim=-1) + made["bias"].double())
    divergence = (logits / temperature).logsumexp(dim=-1) - expected / temperature - made["entropy"].double()
    return divergence.detach(), torch.autograd.grad(divergence.sum(), exact)[0]


@pytest.mark.parametrize("temperature", [0.5, 1.0, 4.0])
@pytest.mark.parametrize("biased", [False, True])
@pytest.mark.parametrize("scale", [1.0, 0.25])
def test_loss_and_gradient_of_the_whole_distributions(temperature: float, biased: bool, scale: float) -> None:
    rows, head, hidden = some_teacher(), some_head(biased=biased, scale=scale), some_hidden()
    made = expect(rows, head, COUNT, temperature)
    wanted, wanted_gradient = dense(rows, head, hidden, temperature)
    found, found_gradient = from_expectation(made, head, hidden, temperature)
    torch.testing.assert_close(found, wanted, rtol=1e-5, atol=1e-5)
    torch.testing.assert_close(found_gradient, wanted_gradient, rtol=1e-5, atol=1e-5)


@pytest.mark.parametrize("temperature", [1.0, 2.0])
@pytest.mark.parametrize("biased", [False, True])
def test_the_fused_loss_does_not_notice(temperature: float, biased: bool) -> None:
    rows, head = some_teacher(), some_head(biased=biased, scale=0.5)
    objective = Objective("forward_kl", kd_weight=0.7, temperature=temperature, t2_scale=True)
    targets = torch.arange(COUNT)
    weights = torch.linspace(0.5, 1.5, COUNT) / COUNT
    teachers: tuple[DenseRows | Expectation, ...] = (rows, Expectation(**expect(rows, head, COUNT, temperature)))
    hidden = [some_hidden().requires_grad_() for _ in teachers]
    losses = [fused_loss(objective, h, head, targets, weights, t) for h, t in zip(hidden, teachers, strict=True)]
    gradients = [torch.autograd.grad(loss.total, h)[0] for loss, h in zip(losses, hidden, strict=True)]
    torch.testing.assert_close(losses[1].total, losses[0].total, rtol=1e-5, atol=1e-6)
    torch.testing.assert_close(losses[1].divergence, losses[0].divergence, rtol=1e-5, atol=1e-6)
    torch.testing.assert_close(gradients[1], gradients[0], rtol=1e-5, atol=1e-7)


def test_a_head_in_bfloat16_costs_no_precision() -> None:
    """The teacher's probabilities are never rounded to bfloat16, which alone would be off by up to 2^-9 each."""
    rows, hidden = some_teacher(), some_hidden()
    head = Head(some_head().weight.bfloat16())
    made = expect(rows, head, COUNT, 1.0)
    assert {t.dtype for t in made.values()} == {torch.float32}
    exact = rows.values.double().softmax(dim=-1) @ head.weight.double()
    torch.testing.assert_close(made["vectors"].double(), exact, rtol=1e-5, atol=1e-5)
    wanted, _ = dense(rows, head, hidden, 1.0)
    found, _ = from_expectation(made, head, hidden, 1.0)
    assert ((found - wanted).abs() / wanted).max() < 1e-5


def test_entropy_of_known_distributions() -> None:
    uniform, certain = torch.zeros(1, VOCABULARY), torch.full((1, VOCABULARY), -torch.inf)
    certain[0, 4] = 0.0
    made = expect(DenseRows(torch.cat([uniform, certain])), some_head(biased=True), 2, 1.0)
    assert made["entropy"].tolist() == pytest.approx([torch.tensor(float(VOCABULARY)).log().item(), 0.0], rel=1e-6)
    torch.testing.assert_close(made["vectors"][1], some_head().weight[4])
    assert all(tensor.isfinite().all() for tensor in made.values())


@settings(max_examples=20, deadline=None)
@given(chunk_rows=st.integers(1, 20), count=st.integers(0, COUNT), block=st.integers(1, 400))
def test_chunks_change_nothing(chunk_rows: int, count: int, block: int) -> None:
    head = some_head(biased=True)
    whole = expect(some_teacher(), head, count, 2.0, chunk_rows=COUNT)
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr("kdscope.teacher.expectation._VALUES_PER_BLOCK", block * WIDTH)
        pieces = expect(some_teacher(), head, count, 2.0, chunk_rows=chunk_rows)
    for name, tensor in whole.items():
        assert tensor.shape[0] == count
        torch.testing.assert_close(pieces[name], tensor, rtol=1e-5, atol=1e-5)


def test_rows_that_the_teacher_lacks_are_left_out() -> None:
    longer = some_head(biased=True, rows=VOCABULARY + 8)
    shared = Head(longer.weight[:VOCABULARY], longer.bias[:VOCABULARY])  # type: ignore[index]
    for name, tensor in expect(some_teacher(), longer, COUNT, 1.0).items():
        torch.testing.assert_close(tensor, expect(some_teacher(), shared, COUNT, 1.0)[name])


def test_heads_that_cannot_be_expected() -> None:
    with pytest.raises(ObjectiveError, match="soft-capped"):
        expect(some_teacher(), Head(some_head().weight, softcap=30.0), COUNT, 1.0)
    with pytest.raises(ObjectiveError, match="300 columns, the student's head only 200 rows"):
        expect(some_teacher(), some_head(rows=200), COUNT, 1.0)


def test_recorded_and_read_again(tmp_path: Path) -> None:
    sequences = some_sequences(12)
    rows = some_teacher(count_targets(sequences, prompt_in_loss=False))
    made = expect(rows, some_head(biased=True), len(rows.values), 2.0)
    batch = collate(sequences, 0, prompt_in_loss=False)
    of_example = {s.example: {n: t[batch.rows == i] for n, t in made.items()} for i, s in enumerate(sequences)}
    record(tmp_path, sequences, of_example, expectation_layout(WIDTH, False, TOKENIZER), 900)
    chosen = [9, 2, 5]
    some = [sequences[i] for i in chosen]
    found = ExpectationTeacher(open_recording(tmp_path)).rows(some, collate(some, 0, prompt_in_loss=False))
    for name in made:
        assert torch.equal(getattr(found, name), torch.cat([of_example[i][name] for i in chosen]))


def test_a_recording_of_something_else_is_refused(tmp_path: Path) -> None:
    sequences = some_sequences(2)
    record(tmp_path, sequences, some_values(sequences, layout_of()), layout_of())
    with pytest.raises(ModelError, match="holds hidden, which is no expectation"):
        ExpectationTeacher(open_recording(tmp_path))
