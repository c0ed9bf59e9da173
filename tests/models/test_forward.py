"""Logits at chosen positions are the model's own logits, or the model is refused."""

from __future__ import annotations

from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
import torch
from transformers import LlamaForCausalLM, PreTrainedModel

from kdscope.errors import ModelError
from kdscope.models.forward import SelectedLogits, apply_head, check_head
from kdscope.models.load import load_model
from kdscope.models.source import ModelPlace
from tests.models.architectures import VOCABULARY, some_ids, tiny

KINDS = ["llama", "gemma2", "granite", "cohere", "qwen2", "smollm3", "opt", "gpt2"]
ROWS, POSITIONS = torch.tensor([0, 0, 1, 2, 2, 1]), torch.tensor([0, 8, 3, 1, 2, 4])


def padded_batch() -> tuple[torch.Tensor, torch.Tensor]:
    """Three sequences of 9, 5 and 3 tokens, padded on the right."""
    ids, lengths = some_ids(3, 9), torch.tensor([9, 5, 3])
    mask = (torch.arange(9) < lengths[:, None]).long()
    return ids * mask, mask


@pytest.mark.parametrize("kind", KINDS)
@torch.no_grad()
def test_selected_logits_are_the_models_own(kind: str) -> None:
    model = tiny(kind)
    ids, mask = padded_batch()
    ours = SelectedLogits(model)(ids, mask, ROWS, POSITIONS)
    own = model(input_ids=ids, attention_mask=mask).logits[ROWS, POSITIONS]
    assert ours.shape == (6, VOCABULARY)
    torch.testing.assert_close(ours, own, rtol=1e-5, atol=1e-5)


@pytest.mark.parametrize("kind", KINDS)
@torch.no_grad()
def test_padding_on_the_right_changes_nothing(kind: str) -> None:
    model = tiny(kind)
    ids, mask = padded_batch()
    batch = SelectedLogits(model)(ids, mask, torch.ones(5, dtype=torch.long), torch.arange(5))
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
        SelectedLogits(model)(ids, mask, ROWS, POSITIONS),
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
