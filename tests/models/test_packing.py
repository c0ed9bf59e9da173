"""Packed sequences give the hidden states and gradients of each sequence alone, or the model keeps padded batches."""

from __future__ import annotations

from typing import Any

import pytest
import torch
import torch.nn.functional as F  # noqa: N812
from transformers import PreTrainedModel

from kdscope.core.errors import ModelError
from kdscope.data.batches import TokenSequence, collate
from kdscope.models.forward import SelectedStates
from kdscope.models.load import add_lora
from kdscope.models.packing import PACKED_ATTENTION, can_pack, packed, packed_attention, padded, short_causal_attention
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


def random_states(heads: int, length: int, width: int, seed: int) -> torch.Tensor:
    made = torch.randn(1, length, heads, width, generator=torch.Generator().manual_seed(seed))
    return made.bfloat16().transpose(1, 2).requires_grad_()  # laid out as a model lays them out


@pytest.mark.parametrize("length", [1, 2, 17, 130])
@pytest.mark.parametrize(("heads", "shared"), [(1, 1), (4, 4), (6, 2), (9, 3)])
@pytest.mark.parametrize("scale", [0.125, 0.5])
def test_values_and_gradients_are_those_of_exact_attention(length: int, heads: int, shared: int, scale: float) -> None:
    query, key, value = (
        random_states(heads, length, 64, 0),
        random_states(shared, length, 64, 1),
        random_states(shared, length, 32, 2),
    )
    upstream = torch.randn(1, heads, length, 32, generator=torch.Generator().manual_seed(3)).bfloat16()
    ours = short_causal_attention(query, key, value, scale)
    gradients = torch.autograd.grad(ours, (query, key, value), upstream)
    exact = tuple(part.detach().double().requires_grad_() for part in (query, key, value))
    theirs = F.scaled_dot_product_attention(*exact, is_causal=True, scale=scale, enable_gqa=True)
    expected = torch.autograd.grad(theirs, exact, upstream.double())
    for found, reference in zip((ours, *gradients), (theirs, *expected), strict=True):
        assert found.dtype == torch.bfloat16
        assert found.shape == reference.shape
        # Half precision has 8 bits: an error of 2^-9 for every rounding, also where a saturated softmax leaves little.
        assert (found.double() - reference).norm() <= 0.012 * reference.norm() + 0.01 * upstream.norm()


def test_a_position_does_not_see_what_comes_after_it() -> None:
    query, key, value = (random_states(2, 9, 16, seed) for seed in range(3))
    before = short_causal_attention(query, key, value, 0.25)
    with torch.no_grad():
        for changed in (key, value):
            changed[:, :, 5:] += 3.0
    after = short_causal_attention(query, key, value, 0.25)
    assert torch.equal(before[:, :, :5], after[:, :, :5])
    assert not torch.equal(before[:, :, 5:], after[:, :, 5:])


def test_it_is_as_exact_as_torchs_half_precision_kernel() -> None:
    parts = tuple(random_states(8, 200, 64, seed) for seed in range(3))
    upstream = torch.randn(1, 8, 200, 64, generator=torch.Generator().manual_seed(3)).bfloat16()
    exact = tuple(part.detach().double().requires_grad_() for part in parts)

    def attend(given: tuple[torch.Tensor, ...], *, own: bool) -> list[torch.Tensor]:
        out = (
            short_causal_attention(*given, 64**-0.5) if own else F.scaled_dot_product_attention(*given, is_causal=True)
        )
        return [out.detach(), *torch.autograd.grad(out, given, upstream.to(out.dtype))]

    expected = attend(exact, own=False)
    errors = [
        [float((found.double() - reference).norm()) for found, reference in zip(given, expected, strict=True)]
        for given in (attend(parts, own=True), attend(parts, own=False))
    ]
    assert errors[0][0] <= 1.3 * errors[1][0]
    assert sum(errors[0]) <= 1.1 * sum(errors[1])
