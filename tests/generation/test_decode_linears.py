"""Prepared weights give what the layers themselves give, and leave no trace."""

from __future__ import annotations

from collections.abc import Callable
from copy import deepcopy

import pytest
import torch
from peft import LoraConfig, get_peft_model
from torch import Tensor
from transformers import PreTrainedModel

from kdscope.generation import decode
from kdscope.generation.decode import adapter_product, prepared_linears, prepared_product
from kdscope.models.load import add_lora, quiet_peft
from tests.models.architectures import some_ids, tiny

SIZES = {"hidden_size": 128, "intermediate_size": 512, "num_hidden_layers": 2}


def with_adapter(dtype: torch.dtype = torch.float32) -> PreTrainedModel:
    """A model whose adapter is not the zero it starts as."""
    model = tiny("llama", **SIZES).to(dtype).requires_grad_(False)
    trainable = add_lora(model, rank=4, alpha=8.0, dropout=0.0, target_modules="all-linear", seed=0)
    for parameter in trainable.trainable().values():
        torch.nn.init.normal_(parameter, std=0.05)
    trainable.network.eval()
    return trainable.base


@torch.inference_mode()
def states(model: PreTrainedModel, rows: int = 3) -> Tensor:
    output: Tensor = model.get_decoder()(input_ids=some_ids(rows, 6)).last_hidden_state
    return output


def distance(found: Tensor, expected: Tensor) -> float:
    return float((found.float() - expected.float()).norm() / expected.float().norm())


def replaced(model: PreTrainedModel) -> list[str]:
    return [name for name, module in model.named_modules() if "forward" in vars(module)]


@pytest.mark.parametrize("dtype", [torch.float32, torch.bfloat16])
@pytest.mark.parametrize("bias", [False, True])
@pytest.mark.parametrize("shape", [(512, 160), (4, 3)])
@torch.inference_mode()
def test_a_prepared_product_is_the_linear_layer(dtype: torch.dtype, bias: bool, shape: tuple[int, int]) -> None:
    layer = torch.nn.Linear(shape[1], shape[0], bias=bias).to(dtype)
    product = prepared_product(layer.weight, layer.bias)
    for rows in ((1,), (2, 1), (33,), (4, 50)):
        x = torch.randn(*rows, shape[1])
        torch.testing.assert_close(product(x), layer(x.to(dtype)))
        assert product(x).dtype == dtype


def test_a_head_that_is_a_slice_is_prepared_as_such() -> None:
    weight = torch.randn(600, 256)[:, ::2]
    x = torch.randn(3, 128)
    with torch.inference_mode():
        torch.testing.assert_close(prepared_product(weight)(x), x @ weight.T)


@pytest.mark.parametrize("dtype", [torch.float32, torch.bfloat16])
@pytest.mark.parametrize("build", [lambda d: tiny("llama", **SIZES).to(d), with_adapter], ids=["plain", "adapter"])
def test_the_model_says_the_same_and_is_left_as_it_was(
    build: Callable[[torch.dtype], PreTrainedModel], dtype: torch.dtype
) -> None:
    model = build(dtype)
    weights = deepcopy(model.state_dict())
    before = states(model)
    with prepared_linears(model.get_decoder(), None), torch.inference_mode():
        inside = states(model)
        assert len(replaced(model)) >= 6
    assert not replaced(model)
    assert distance(inside, before) < (1e-5 if dtype == torch.float32 else 0.02)
    assert torch.equal(states(model), before)
    for name, value in model.state_dict().items():
        assert value.data_ptr() != weights[name].data_ptr()
        assert torch.equal(value, weights[name]), name


def test_it_trains_afterwards() -> None:
    model = with_adapter()
    with prepared_linears(model.get_decoder(), None):
        states(model)
    model.get_decoder()(input_ids=some_ids(2, 5)).last_hidden_state.sum().backward()
    gradients = [p.grad for p in model.parameters() if p.requires_grad]
    assert gradients
    assert all(g is not None and g.abs().sum() > 0 for g in gradients)


def test_an_error_inside_leaves_no_trace() -> None:
    model = with_adapter()

    def fail() -> None:
        with prepared_linears(model.get_decoder(), None):
            assert replaced(model)
            raise KeyError

    with pytest.raises(KeyError):
        fail()
    assert not replaced(model)


def test_products_are_computed_in_the_precision_asked_for() -> None:
    model = tiny("llama", **SIZES)
    kinds = set()
    model.get_decoder().layers[0].mlp.down_proj.register_forward_hook(lambda _m, _i, output: kinds.add(output.dtype))
    with prepared_linears(model.get_decoder(), torch.bfloat16):
        found = states(model)
    assert kinds == {torch.bfloat16}
    assert 1e-4 < distance(found, states(tiny("llama", **SIZES))) < 0.02


def test_small_layers_and_large_models_are_left_alone(monkeypatch: pytest.MonkeyPatch) -> None:
    model = tiny("llama", **SIZES)
    with prepared_linears(model.get_decoder(), None):
        assert {name.rsplit(".")[-1] for name in replaced(model)} == {"gate_proj", "up_proj", "down_proj"}
    monkeypatch.setattr(decode, "_MOST_BYTES", 6 * 128 * 512 * 4 - 1)
    with prepared_linears(model.get_decoder(), None):
        assert not replaced(model)
    with prepared_linears(model.get_decoder(), torch.bfloat16):
        assert len(replaced(model)) == 6


@pytest.mark.parametrize("dtype", [torch.float32, torch.bfloat16])
def test_an_adapter_adds_what_peft_adds(dtype: torch.dtype) -> None:
    model = with_adapter(dtype)
    x = torch.randn(5, 128).to(dtype)
    layers = [m for m in model.modules() if hasattr(m, "lora_A") and m.in_features == 128]
    assert layers
    for layer in layers:
        product = adapter_product(layer)
        assert product is not None
        with torch.inference_mode():
            torch.testing.assert_close(product(x), layer(x), rtol=0.01 if dtype == torch.bfloat16 else 1e-5, atol=1e-5)
            assert not torch.allclose(product(x), layer.base_layer(x), atol=1e-2)


def test_other_adapters_are_left_to_peft() -> None:
    def layer_of(**changes: object) -> torch.nn.Module:
        config = LoraConfig(r=2, target_modules=["q_proj"], task_type="CAUSAL_LM", **changes)
        with quiet_peft():
            network = get_peft_model(tiny("llama"), config).eval()
        return network.get_base_model().get_decoder().layers[0].self_attn.q_proj

    assert adapter_product(layer_of()) is not None
    assert adapter_product(layer_of(use_dora=True)) is None
    training = layer_of(lora_dropout=0.5)
    assert adapter_product(training) is not None
    assert adapter_product(training.train()) is None
    merged = layer_of()
    merged.merge()
    assert adapter_product(merged) is None
    switched_off = layer_of()
    switched_off.enable_adapters(False)
    assert adapter_product(switched_off) is None
    two = layer_of()
    two.update_layer("second", 2, lora_alpha=2, config=LoraConfig(r=2))
    two.set_adapter(["default", "second"])
    assert adapter_product(two) is None
