"""Packed sequences give the hidden states and gradients of each sequence alone, or the model keeps padded batches."""

from __future__ import annotations

from typing import Any

import pytest
import torch
from transformers import PreTrainedModel

from kdscope.core.errors import ModelError
from kdscope.data.batches import TokenSequence, collate
from kdscope.models.forward import SelectedStates
from kdscope.models.lora import add_lora
from kdscope.models.packing import PACKED_ATTENTION, can_pack, packed, packed_attention, padded
from tests.models.architectures import tiny

PACKING = ["llama", "granite", "cohere", "qwen2", "smollm3", "opt", "gpt2"]
LENGTHS = (9, 3, 6, 1)


def sequences() -> list[TokenSequence]:
    """Sequences of 9, 3, 6 and 1 tokens; those of 6 and 9 are longer than the sliding window of 4."""
    ids = torch.randint(2, 64, (sum(LENGTHS),), generator=torch.Generator().manual_seed(3)).split(LENGTHS)
    return [TokenSequence(i, tuple(part.tolist()), min(2, len(part) - 1)) for i, part in enumerate(ids)]


def states(model: PreTrainedModel, *, pack: bool) -> torch.Tensor:
    batch = collate(sequences(), 0, prompt_in_loss=True, packed=pack)
    with packed(model, pack):
        return SelectedStates(model)(**batch.inputs())


@pytest.mark.parametrize("kind", PACKING)
def test_packed_states_are_those_of_padded_sequences(kind: str) -> None:
    model = tiny(kind)
    assert can_pack(model)
    with torch.no_grad():
        torch.testing.assert_close(states(model, pack=True), states(model, pack=False), rtol=1e-4, atol=1e-4)


@pytest.mark.parametrize("kind", ["llama", "qwen2"])
@pytest.mark.parametrize("checkpointing", [False, True])
def test_packed_gradients_are_those_of_padded_sequences(kind: str, checkpointing: bool) -> None:
    gradients = []
    for pack in (True, False):
        model = tiny(kind).train()
        if checkpointing:
            model.activation_checkpointing_enable({"use_reentrant": False})
        with packed(model, pack):
            batch = collate(sequences(), 0, prompt_in_loss=True, packed=pack)
            SelectedStates(model)(**batch.inputs()).square().sum().backward()
        gradients.append([p.grad for p in model.parameters() if p.grad is not None])
    torch.testing.assert_close(gradients[0], gradients[1], rtol=1e-3, atol=1e-4)


def test_a_sequence_does_not_see_its_neighbours() -> None:
    model, own = tiny("llama"), sequences()
    other = [TokenSequence(0, (5,) * 9, 2), *own[1:]]
    with torch.no_grad(), packed(model):
        one, two = (
            SelectedStates(model)(**collate(given, 0, prompt_in_loss=True, packed=True).inputs())
            for given in (own, other)
        )
    first = LENGTHS[0] - 1
    assert torch.equal(one[first:], two[first:])
    assert not torch.allclose(one[:first], two[:first])


def test_bfloat16_and_adapters_pack_too() -> None:
    model = tiny("llama").to(torch.bfloat16).requires_grad_(False)
    trainable = add_lora(model, rank=2, alpha=4, dropout=0.0, target_modules="all-linear", seed=0)
    assert can_pack(trainable.base)
    with torch.no_grad():
        together, alone = states(trainable.base, pack=True).float(), states(trainable.base, pack=False).float()
    assert (together - alone).norm() < 0.05 * alone.norm()


def test_a_model_that_caps_its_scores_keeps_padded_batches() -> None:
    assert not can_pack(tiny("gemma2"))


def test_a_model_with_another_kind_of_layer_keeps_padded_batches() -> None:
    model = tiny("llama")
    model.config.layer_types = ["full_attention"] * 4 + ["linear_attention"]
    assert not can_pack(model)


def test_a_model_that_mixes_sequences_keeps_padded_batches() -> None:
    model = tiny("llama")
    layer = model.get_decoder().layers[0].self_attn

    def blind(*_: Any, hidden_states: torch.Tensor, **__: Any) -> tuple[torch.Tensor, None]:
        return hidden_states.mean(dim=1, keepdim=True).expand_as(hidden_states), None

    layer.forward = blind
    assert not can_pack(model)


def test_the_trial_leaves_the_model_as_it_was() -> None:
    for training in (True, False):
        model = tiny("llama").train(training)
        before = model.config._attn_implementation
        can_pack(model)
        assert model.training is training
        assert model.config._attn_implementation == before != PACKED_ATTENTION


def test_generation_inside_a_packed_run_pads_as_ever() -> None:
    model = tiny("llama")
    ids, mask = torch.tensor([[0, 0, 5, 6], [7, 8, 9, 10]]), torch.tensor([[0, 0, 1, 1], [1, 1, 1, 1]])

    def write() -> list[list[int]]:
        written: list[list[int]] = model.generate(ids, attention_mask=mask, max_new_tokens=4, do_sample=False).tolist()
        return written

    expected = write()
    with packed(model), padded(model):
        assert write() == expected
    with packed(model), pytest.raises(ModelError, match="cannot attend to packed sequences"):
        write()


def test_attention_refuses_what_it_does_not_know() -> None:
    query = torch.zeros(1, 2, 4, 8)
    with pytest.raises(ModelError, match=r"passes \['softcap'\]"):
        packed_attention(torch.nn.Identity(), query, query, query, None, lengths=(4,), softcap=30.0)
    with pytest.raises(ModelError, match="cannot attend to packed"):
        packed_attention(torch.nn.Identity(), query, query, query, None)
