"""Only what should train does; what was trained is what is saved and merged."""

from __future__ import annotations

from pathlib import Path

import pytest
import torch

from kdscope.core.errors import ModelError
from kdscope.models.forward import SelectedStates, apply_head
from kdscope.models.load import TrainableModel, add_lora, all_weights, load_model, load_tokenizer, save_model
from kdscope.models.source import ModelPlace
from tests.models.zoo import tiny_model

IDS = torch.arange(40).reshape(2, 20)


def with_adapter(
    folder: Path, dtype: str = "float32", seed: int = 0, rank: int = 4, targets: str | list[str] = "all-linear"
) -> TrainableModel:
    model = load_model(ModelPlace(str(folder)), dtype, "cpu")
    return add_lora(model, rank=rank, alpha=8.0, dropout=0.0, target_modules=targets, seed=seed)


def train_a_little(model: TrainableModel, steps: int = 3) -> None:
    optimizer = torch.optim.AdamW(model.trainable().values(), lr=0.05)
    for _ in range(steps):
        logits = model.base(IDS).logits[:, :-1]
        torch.nn.functional.cross_entropy(logits.flatten(0, 1).float(), IDS[:, 1:].flatten()).backward()
        optimizer.step()
        optimizer.zero_grad()


def test_the_adapter_alone_trains(model_folder: Path) -> None:
    model = with_adapter(model_folder, rank=4)
    weights = model.trainable()
    assert model.is_adapter
    assert all("lora_" in name for name in weights)
    # Per layer: q 32x32, k and v 32->16, o 32x32, gate and up 32->64, down 64->32; each costs rank * (in + out).
    per_layer = 4 * (64 + 48 + 48 + 64 + 96 + 96 + 96)
    assert sum(p.numel() for p in weights.values()) == 3 * per_layer
    before = {name: p.clone() for name, p in model.network.named_parameters()}
    train_a_little(model)
    changed = {name for name, p in model.network.named_parameters() if not torch.equal(p, before[name])}
    assert changed == set(weights)


@torch.no_grad()
def test_a_fresh_adapter_changes_nothing(model_folder: Path) -> None:
    plain = load_model(ModelPlace(str(model_folder)), "float32", "cpu")
    assert torch.equal(with_adapter(model_folder).base(IDS).logits, plain(IDS).logits)


def test_the_seed_decides_the_adapter(model_folder: Path) -> None:
    first, again, other = (with_adapter(model_folder, seed=seed).trainable() for seed in (1, 1, 2))
    assert all(torch.equal(first[name], again[name]) for name in first)
    assert not all(torch.equal(first[name], other[name]) for name in first)


def test_the_adapter_is_float32_on_a_bfloat16_model(model_folder: Path) -> None:
    model = with_adapter(model_folder, "bfloat16")
    dtypes = {p.requires_grad: p.dtype for p in model.network.parameters()}
    assert dtypes == {True: torch.float32, False: torch.bfloat16}
    train_a_little(model)
    assert all(torch.isfinite(p).all() for p in model.trainable().values())


@pytest.mark.parametrize("targets", ["all-linear", ["q_proj", "lm_head"], ["embed_tokens"]])
def test_the_merged_model_is_the_model_with_its_adapter(
    model_folder: Path, tmp_path: Path, targets: str | list[str]
) -> None:
    """Also where the adapter is on the head or the embeddings, which share their weights here."""
    model = with_adapter(model_folder, targets=targets)
    train_a_little(model)
    place = ModelPlace(str(model_folder), adapter=str(tmp_path / "adapter"))
    save_model(model.network, load_tokenizer(place), tmp_path / "adapter")
    merged = load_model(place, "float32", "cpu")
    model.network.eval()
    with torch.no_grad():
        states = SelectedStates(model.base)(IDS, 20 + torch.arange(20), attention_mask=torch.ones_like(IDS))
        active = apply_head(model.base, states)
        plain = load_model(ModelPlace(str(model_folder)), "float32", "cpu")(IDS).logits[1]
        torch.testing.assert_close(merged(IDS).logits[1], active, rtol=1e-4, atol=1e-4)
    assert not torch.allclose(active, plain, atol=0.05)
    own_head = 0 if targets == "all-linear" else merged.lm_head.weight.numel()
    assert merged.num_parameters() == plain_parameters(model_folder) + own_head


def plain_parameters(folder: Path) -> int:
    return int(load_model(ModelPlace(str(folder)), "float32", "cpu").num_parameters())


def test_modules_that_do_not_exist_are_named(model_folder: Path) -> None:
    model = load_model(ModelPlace(str(model_folder)), "float32", "cpu")
    with pytest.raises(ModelError, match=r"LoRA target_modules \['no_such_proj'\]"):
        add_lora(model, rank=2, alpha=2.0, dropout=0.0, target_modules=("no_such_proj",), seed=0)


def test_some_modules_only(model_folder: Path) -> None:
    model = load_model(ModelPlace(str(model_folder)), "float32", "cpu")
    trained = add_lora(model, rank=2, alpha=2.0, dropout=0.0, target_modules=("q_proj", "v_proj"), seed=0).trainable()
    assert len(trained) == 3 * 2 * 2
    assert all("q_proj" in name or "v_proj" in name for name in trained)


def test_all_weights_train_in_float32(model_folder: Path) -> None:
    loaded = load_model(ModelPlace(str(model_folder)), "bfloat16", "cpu").requires_grad_(False)
    model = all_weights(loaded)
    weights = model.trainable()
    assert not model.is_adapter
    assert model.network is model.base
    assert sum(p.numel() for p in weights.values()) == plain_parameters(model_folder)
    assert {p.dtype for p in weights.values()} == {torch.float32}
    before = {name: p.detach().clone() for name, p in weights.items()}
    train_a_little(model)
    assert all(not torch.equal(p, before[name]) for name, p in weights.items())


@pytest.mark.parametrize(
    ("kind", "left_out"), [("llama4_text", ".router"), ("mamba", ".out_proj"), ("deepseek_v4", ".o_a_proj")]
)
def test_all_linear_leaves_out_layers_that_are_more_than_a_product(kind: str, left_out: str) -> None:
    model = tiny_model(kind).requires_grad_(False)
    assert any(name.endswith(left_out) for name, _ in model.named_modules())
    names = add_lora(model, rank=2, alpha=4, dropout=0.0, target_modules="all-linear", seed=0).trainable()
    assert names
    assert not any(f"{left_out}." in name for name in names)


def test_all_linear_takes_falcons_linear_layers_which_are_products() -> None:
    model = tiny_model("falcon").requires_grad_(False)
    names = add_lora(model, rank=2, alpha=4, dropout=0.0, target_modules="all-linear", seed=0).trainable()
    assert len(names) == 2 * 4 * model.config.num_hidden_layers
