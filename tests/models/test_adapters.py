"""An adapter fits the model whole or is refused, and merging it changes nothing of what the model says."""

from __future__ import annotations

import json
import shutil
import time
from pathlib import Path
from typing import Any

import peft
import pytest
import torch
from safetensors.torch import load_file, save_file
from transformers import PreTrainedModel

from kdscope.core.errors import ModelError
from kdscope.models import adapters
from kdscope.models.adapters import matching, merge_adapter, quiet_peft
from kdscope.models.load import load_model
from kdscope.models.source import ModelPlace

pytestmark = pytest.mark.filterwarnings("ignore:.*(save_embedding_layers|tie_word_embeddings|Unexpected keyword)")
IDS = torch.arange(40).reshape(2, 20)


def base(folder: Path) -> PreTrainedModel:
    return load_model(ModelPlace(str(folder)), "float32", "cpu")


@torch.no_grad()
def trained(model_folder: Path, folder: Path, config: peft.PeftConfig, *, with_base: bool = False) -> torch.Tensor:
    """Logits of a model with an adapter that changes a lot, saved here."""
    config.task_type = "CAUSAL_LM"
    with quiet_peft():
        network = peft.get_peft_model(base(model_folder), config).eval()
        generator = torch.Generator().manual_seed(0)
        for weight in network.parameters():
            if weight.requires_grad:
                weight.add_(torch.randn(weight.shape, generator=generator) * 0.1)
        network.save_pretrained(folder, save_embedding_layers=with_base)
    logits: torch.Tensor = network(IDS).logits
    return logits


@pytest.fixture(scope="module")
def adapter(model_folder: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("adapter") / "lora"
    trained(model_folder, folder, peft.LoraConfig(r=3, target_modules=["q_proj"]))
    return folder


@pytest.fixture
def copied(adapter: Path, tmp_path: Path) -> Path:
    return Path(shutil.copytree(adapter, tmp_path / "copied"))


def change(folder: Path, **changes: object) -> None:
    file = folder / "adapter_config.json"
    file.write_text(json.dumps(json.loads(file.read_text()) | changes))


KINDS: dict[str, tuple[Any, bool]] = {
    "head": (peft.LoraConfig(r=3, target_modules=["lm_head", "q_proj"]), False),
    "head, saved with it": (peft.LoraConfig(r=3, target_modules=["lm_head", "q_proj"]), False),
    "head, pissa": (peft.LoraConfig(r=3, target_modules=["lm_head"], init_lora_weights="pissa"), False),
    "embeddings": (peft.LoraConfig(r=3, target_modules=["embed_tokens"]), False),
    "head, tied": (peft.LoraConfig(r=3, target_modules=["lm_head"], ensure_weight_tying=True), False),
    "saved head": (peft.LoraConfig(r=3, target_modules=["q_proj"], modules_to_save=["lm_head"]), False),
    "saved embeddings": (peft.LoraConfig(r=3, target_modules=["q_proj"], modules_to_save=["embed_tokens"]), False),
    "tokens": (peft.LoraConfig(r=3, target_modules=["q_proj"], trainable_token_indices=[1, 5]), True),
    "pattern": (peft.LoraConfig(r=3, target_modules=r".*\.layers\.[01]\.(self_attn|mlp)\.\w+_proj"), True),
    "ranks": (peft.LoraConfig(r=3, rank_pattern={"layers.0.self_attn.q_proj": 5}, target_modules=["q_proj"]), True),
    "dora": (peft.LoraConfig(r=3, target_modules=["q_proj"], use_dora=True), True),
    "pissa": (peft.LoraConfig(r=3, target_modules=["q_proj"], init_lora_weights="pissa"), True),
    "ia3": (peft.IA3Config(target_modules=["k_proj", "down_proj"], feedforward_modules=["down_proj"]), True),
    "oft": (peft.OFTConfig(oft_block_size=8, target_modules=["q_proj"]), True),
    "vera": (peft.VeraConfig(r=3, target_modules=["q_proj"]), True),
}


@pytest.mark.parametrize("kind", KINDS)
@torch.no_grad()
def test_the_merged_and_the_saved_model_say_what_the_adapter_beside_it_says(
    kind: str, model_folder: Path, tmp_path: Path
) -> None:
    config, is_tied = KINDS[kind]
    expected = trained(model_folder, tmp_path / "adapter", config, with_base="saved with it" in kind)
    assert (expected - base(model_folder)(IDS).logits).abs().max() > 0.1
    merged = merge_adapter(base(model_folder), tmp_path / "adapter", torch.float32)
    torch.testing.assert_close(merged(IDS).logits, expected, atol=1e-4, rtol=0)
    assert merged.config.tie_word_embeddings is is_tied
    merged.save_pretrained(tmp_path / "merged")
    torch.testing.assert_close(base(tmp_path / "merged")(IDS).logits, expected, atol=1e-4, rtol=0)


def test_a_merge_that_changes_what_the_model_says_is_refused(
    adapter: Path, model_folder: Path, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    """Without giving the head weights of its own, the embeddings change with it."""
    trained(model_folder, tmp_path / "head", peft.LoraConfig(r=3, target_modules=["lm_head"]))
    monkeypatch.setattr(adapters, "_untie", lambda network: None)
    with pytest.raises(
        ModelError, match=r"merging the adapter in .*head changes what the model says: logits differ by"
    ):
        merge_adapter(base(model_folder), tmp_path / "head", torch.float32)
    merge_adapter(base(model_folder), adapter, torch.float32)


@pytest.mark.parametrize(
    ("changes", "words"),
    [
        ({"peft_type": "IA3"}, r"lacks 3 weights \(.*ia3_l"),
        ({"target_modules": ["q_proj", "k_proj"]}, r"lacks 6 weights \(.*k_proj\.lora_A"),
        ({"target_modules": ".*layers.0.*q_proj"}, r"no place for, 4 weights \(.*layers\.1\.self_attn\.q_proj"),
        ({"r": 4}, r"size mismatch for .*\[3, 32\].*\[4, 32\]"),
        ({"r": 60_000}, r"size mismatch for .*\[3, 32\].*\[60000, 32\]"),
        ({"modules_to_save": ["lm_head"]}, r"cannot put the adapter .*lm_head\.weight"),
        ({"target_modules": ["nope"]}, "Target modules {'nope'} not found"),
        ({"target_modules": "nope"}, "pattern 'nope', which no module of this model matches"),
        ({"target_modules": "(?=x)q_proj"}, "cannot be matched in linear time"),
        ({"target_modules": "(a*)*["}, "cannot be matched in linear time"),
        ({"peft_type": "PREFIX_TUNING", "num_virtual_tokens": 3}, "a PREFIX_TUNING adapter cannot be merged"),
        ({"peft_type": 7}, "cannot put the adapter in .* on this model: 7"),
        ({"lora_alpha": "x"}, "cannot put the adapter in .* on this model"),
    ],
)
def test_an_adapter_that_does_not_fit_is_refused(
    changes: dict[str, object], words: str, copied: Path, model_folder: Path
) -> None:
    change(copied, **changes)
    with pytest.raises(ModelError, match=words):
        merge_adapter(base(model_folder), copied, torch.float32)


@pytest.mark.parametrize(
    ("old", "new", "words"),
    [
        ("q_proj", "z_proj", "lacks 6 weights"),
        ("base_model.model.", "foreign.", "lacks 6 weights"),
        (".layers.2.", ".layers.7.", r"lacks 2 weights \(.*layers\.2"),
    ],
)
def test_foreign_keys_are_not_evaluated_as_the_plain_base(
    old: str, new: str, words: str, copied: Path, model_folder: Path
) -> None:
    file = copied / "adapter_model.safetensors"
    save_file({key.replace(old, new): weight for key, weight in load_file(file).items()}, file)
    with pytest.raises(ModelError, match=rf"the adapter in .*copied {words}"):
        load_model(ModelPlace(str(model_folder), adapter=str(copied)), "float32", "cpu")


def test_weights_of_the_base_in_an_adapter_are_refused(copied: Path, model_folder: Path) -> None:
    file = copied / "adapter_model.safetensors"
    more = {"base_model.model.model.layers.0.mlp.up_proj.weight": torch.zeros(64, 32)}
    save_file(load_file(file) | more, file)
    with pytest.raises(ModelError, match=r"no place for, 1 weights \(.*mlp\.up_proj\.weight"):
        merge_adapter(base(model_folder), copied, torch.float32)


def test_a_pattern_that_backtracks_takes_no_time() -> None:
    names = [f"model.layers.{n}.self_attn.{'a' * 40}_proj" for n in range(100)]
    began = time.process_time()
    assert matching("(.*a*)*(.*a*)*q_proj", [*names, "aq_proj"], Path("f"), "target_modules") == ["aq_proj"]
    assert time.process_time() - began < 2


def test_an_adapter_that_is_not_a_number_is_refused(model_folder: Path, tmp_path: Path) -> None:
    trained(model_folder, tmp_path / "nan", peft.LoraConfig(r=3, target_modules=["down_proj"]))
    file = tmp_path / "nan" / "adapter_model.safetensors"
    save_file({key: weight * float("nan") for key, weight in load_file(file).items()}, file)
    with pytest.raises(ModelError, match=r"with the adapter in .*nan the model's logits are not numbers"):
        merge_adapter(base(model_folder), tmp_path / "nan", torch.float32)


@torch.no_grad()
def test_a_head_may_rule_tokens_out(model_folder: Path, adapter: Path) -> None:
    ruled_out = base(model_folder)
    ruled_out.lm_head.register_forward_hook(
        lambda module, given, logits: logits.index_fill(-1, torch.tensor([3, 5]), -torch.inf)
    )
    assert merge_adapter(ruled_out, adapter, torch.float32)(IDS).logits[..., [3, 5]].isneginf().all()
