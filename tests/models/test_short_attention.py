"""Attention over short sequences against torch's own kernel in float64."""

from __future__ import annotations

import pytest
import torch
import torch.nn.functional as F  # noqa: N812

from kdscope.models.short_attention import short_causal_attention


def states(heads: int, length: int, width: int, seed: int) -> torch.Tensor:
    made = torch.randn(1, length, heads, width, generator=torch.Generator().manual_seed(seed))
    return made.bfloat16().transpose(1, 2).requires_grad_()  # laid out as a model lays them out


@pytest.mark.parametrize("length", [1, 2, 17, 130])
@pytest.mark.parametrize(("heads", "shared"), [(1, 1), (4, 4), (6, 2), (9, 3)])
@pytest.mark.parametrize("scale", [0.125, 0.5])
def test_values_and_gradients_are_those_of_exact_attention(length: int, heads: int, shared: int, scale: float) -> None:
    query, key, value = states(heads, length, 64, 0), states(shared, length, 64, 1), states(shared, length, 32, 2)
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
    query, key, value = (states(2, 9, 16, seed) for seed in range(3))
    before = short_causal_attention(query, key, value, 0.25)
    with torch.no_grad():
        for changed in (key, value):
            changed[:, :, 5:] += 3.0
    after = short_causal_attention(query, key, value, 0.25)
    assert torch.equal(before[:, :, :5], after[:, :, :5])
    assert not torch.equal(before[:, :, 5:], after[:, :, 5:])


def test_it_is_as_exact_as_torchs_half_precision_kernel() -> None:
    parts = tuple(states(8, 200, 64, seed) for seed in range(3))
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
