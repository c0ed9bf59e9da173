"""Logits at chosen positions are the model's own logits, or the model is refused."""

from __future__ import annotations

from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
import torch
from transformers import LlamaForCausalLM, PreTrainedModel

from kdscope.core.errors import ModelError
from kdscope.models.forward import SelectedStates, apply_head, check_head, head_of
from kdscope.models.load import add_lora, load_model
from kdscope.models.source import ModelPlace
from tests.models.architectures import VOCABULARY, some_ids, tiny

KINDS = ["llama", "gemma2", "granite", "cohere", "qwen2", "smollm3", "opt", "gpt2"]
ROWS, POSITIONS = torch.tensor([0, 0, 1, 2, 2, 1]), torch.tensor([0, 8, 3, 1, 2, 4])
SELECTED = ROWS * 9 + POSITIONS


def padded_batch() -> tuple[torch.Tensor, torch.Tensor]:
    """Three sequences of 9, 5 and 3 tokens, padded on the right."""
    ids, lengths = some_ids(3, 9), torch.tensor([9, 5, 3])
    mask = (torch.arange(9) < lengths[:, None]).long()
    return ids * mask, mask


def selected_logits(
    model: PreTrainedModel, ids: torch.Tensor, mask: torch.Tensor, selected: torch.Tensor
) -> torch.Tensor:
    return apply_head(model, SelectedStates(model)(ids, selected, attention_mask=mask))


@pytest.mark.parametrize("kind", KINDS)
@torch.no_grad()
def test_selected_logits_are_the_models_own(kind: str) -> None:
    model = tiny(kind)
    ids, mask = padded_batch()
    ours = selected_logits(model, ids, mask, SELECTED)
    own = model(input_ids=ids, attention_mask=mask).logits[ROWS, POSITIONS]
    assert ours.shape == (6, VOCABULARY)
    torch.testing.assert_close(ours, own, rtol=1e-5, atol=1e-5)


@pytest.mark.parametrize("kind", KINDS)
@torch.no_grad()
def test_padding_on_the_right_changes_nothing(kind: str) -> None:
    model = tiny(kind)
    ids, mask = padded_batch()
    batch = selected_logits(model, ids, mask, 9 + torch.arange(5))
    alone = model(input_ids=ids[1:2, :5]).logits[0]
    torch.testing.assert_close(batch, alone, rtol=1e-4, atol=1e-4)


@pytest.mark.parametrize("kind", ["gemma2", "granite", "cohere"])
@torch.no_grad()
def test_scale_and_capping_are_not_forgotten(kind: str) -> None:
    model = tiny(kind)
    hidden = torch.randn(4, 32, generator=torch.Generator().manual_seed(1))
    bare = model.get_output_embeddings()(hidden)
    assert not torch.allclose(apply_head(model, hidden), bare, rtol=0.05)


def test_the_gradient_is_the_one_through_the_models_own_logits() -> None:
    model, (ids, mask) = tiny("gemma2"), padded_batch()
    targets = torch.tensor([3, 4, 5, 6, 7, 8])
    gradients = []
    for logits in (
        model(input_ids=ids, attention_mask=mask).logits[ROWS, POSITIONS],
        selected_logits(model, ids, mask, SELECTED),
    ):
        model.zero_grad()
        torch.nn.functional.cross_entropy(logits, targets).backward()
        gradients.append([p.grad.clone() for p in model.parameters() if p.grad is not None])
    assert len(gradients[0]) == len(list(model.parameters()))
    torch.testing.assert_close(gradients[0], gradients[1], rtol=1e-3, atol=1e-6)


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("dtype", [torch.float32, torch.bfloat16])
def test_known_heads_are_accepted(kind: str, dtype: torch.dtype) -> None:
    check_head(tiny(kind).to(dtype))


def test_a_model_on_disk_is_accepted_in_bfloat16(model_folder: Path) -> None:
    check_head(load_model(ModelPlace(str(model_folder)), "bfloat16", "cpu"))


def test_a_head_that_trains_carries_its_gradient_and_a_frozen_one_none() -> None:
    model = tiny("llama")
    assert head_of(model).weight is model.get_output_embeddings().weight
    assert head_of(model, torch.bfloat16).weight.requires_grad
    assert not head_of(model.requires_grad_(False)).weight.requires_grad


def test_an_adapter_on_the_head_is_part_of_it() -> None:
    model = tiny("llama").requires_grad_(False)
    trainable = add_lora(model, rank=2, alpha=4.0, dropout=0.0, target_modules=["q_proj", "lm_head"], seed=0)
    weights = trainable.trainable()
    with torch.no_grad():
        for weight in weights.values():
            weight.copy_(torch.randn(weight.shape, generator=torch.Generator().manual_seed(2)))
    ids, mask = padded_batch()
    own = trainable.base(input_ids=ids, attention_mask=mask).logits[ROWS, POSITIONS]
    ours = selected_logits(trainable.base, ids, mask, SELECTED)
    torch.testing.assert_close(ours, own, rtol=1e-4, atol=1e-4)
    for logits in (own, ours):
        trainable.network.zero_grad()
        torch.nn.functional.cross_entropy(logits, torch.tensor([3, 4, 5, 6, 7, 8])).backward()
        found = [weight.grad.clone() for weight in weights.values() if weight.grad is not None]
        assert len(found) == len(weights)
        if logits is own:
            expected = found
    torch.testing.assert_close(found, expected, rtol=1e-3, atol=1e-4)  # some are sums that nearly cancel


def test_dropout_on_an_adapted_head_is_refused() -> None:
    model = tiny("llama").requires_grad_(False)
    trainable = add_lora(model, rank=2, alpha=4.0, dropout=0.1, target_modules=["lm_head"], seed=0)
    with pytest.raises(ModelError, match="leave lm_head out of target_modules"):
        head_of(trainable.base)


class _Meddling(LlamaForCausalLM):
    """A model whose forward pass does something to its logits."""

    def forward(self, *args: Any, **values: Any) -> Any:
        output = super().forward(*args, **values)
        return SimpleNamespace(logits=self.meddle(output.logits))


class _Biased(_Meddling):
    @staticmethod
    def meddle(logits: torch.Tensor) -> torch.Tensor:
        return logits + torch.linspace(-0.1, 0.1, logits.shape[-1])


class _Scaled(_Meddling):
    @staticmethod
    def meddle(logits: torch.Tensor) -> torch.Tensor:
        return logits * 1.01


@pytest.mark.parametrize("kind", [_Biased, _Scaled])
def test_an_unknown_head_is_refused(kind: type[PreTrainedModel]) -> None:
    plain = tiny("llama")
    meddling = kind(plain.config)
    meddling.load_state_dict(plain.state_dict())
    meddling.eval()
    with pytest.raises(ModelError, match=f"{kind.__name__} changes its logits"):
        check_head(meddling)
