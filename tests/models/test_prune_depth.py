"""A pruned model is the model one would build by hand from the layers that stay."""

from __future__ import annotations

import copy
from pathlib import Path
from typing import Any

import pytest
import torch
from transformers import AutoModelForCausalLM, PreTrainedModel

from kdscope.core.errors import ModelError
from kdscope.models.load import prune_depth
from tests.models.architectures import some_ids, tiny

KINDS = ["llama", "qwen2", "gemma2", "smollm3", "granite", "opt"]
KEEP = (0, 3, 4)


def built_by_hand(kind: str, source: PreTrainedModel, keep: tuple[int, ...]) -> PreTrainedModel:
    """A shorter model of the same kind, its weights copied layer by layer."""
    changes: dict[str, Any] = {"num_hidden_layers": len(keep)}
    for name in ("layer_types", "no_rope_layers"):
        if hasattr(source.config, name):
            changes[name] = [getattr(source.config, name)[i] for i in keep]
    short = tiny(kind, seed=9, **changes)
    origin = {f".layers.{new}.": f".layers.{old}." for new, old in enumerate(keep)}
    weights = source.state_dict()
    renamed = {}
    for name in short.state_dict():
        new = next((part for part in origin if part in name), None)
        renamed[name] = weights[name if new is None else name.replace(new, origin[new])].clone()
    short.load_state_dict(renamed)
    return short


@pytest.mark.parametrize("kind", KINDS)
@torch.no_grad()
def test_the_logits_are_those_of_the_model_built_by_hand(kind: str) -> None:
    source = tiny(kind)
    expected = built_by_hand(kind, source, KEEP)
    pruned = prune_depth(source, KEEP)
    ids = some_ids(2, 12)
    assert torch.equal(pruned(ids).logits, expected(ids).logits)
    assert pruned.num_parameters() == expected.num_parameters()


@pytest.mark.parametrize("kind", KINDS)
def test_the_cache_gives_the_same_tokens_as_no_cache(kind: str) -> None:
    pruned = prune_depth(tiny(kind), KEEP)
    ids = some_ids(2, 9)
    settings = {"max_new_tokens": 12, "do_sample": False, "eos_token_id": None, "pad_token_id": 0}
    written = [
        pruned.generate(input_ids=ids, attention_mask=torch.ones_like(ids), use_cache=use_cache, **settings)
        for use_cache in (True, False)
    ]
    assert torch.equal(*written)
    assert written[0].shape == (2, 21)
    assert len(written[0][:, 9:].unique()) > 2


@pytest.mark.parametrize("kind", KINDS)
@torch.no_grad()
def test_the_saved_folder_is_the_same_model(kind: str, tmp_path: Path) -> None:
    pruned = prune_depth(tiny(kind), KEEP)
    pruned.save_pretrained(tmp_path)
    again = AutoModelForCausalLM.from_pretrained(tmp_path).eval()
    ids = some_ids(2, 12)
    assert torch.equal(pruned(ids).logits, again(ids).logits)
    assert again.config.num_hidden_layers == 3


def test_every_layer_takes_its_own_kind_along() -> None:
    types = tiny("qwen2").config.layer_types
    assert types[2] != types[1]
    pruned = prune_depth(tiny("qwen2"), (1, 2))
    assert pruned.config.layer_types == types[1:3]
    assert prune_depth(tiny("smollm3"), KEEP).config.no_rope_layers == [1, 0, 1]


def test_lists_that_are_not_of_layers_stay() -> None:
    model = tiny("llama", eos_token_id=[1, 2, 3, 4, 5])
    assert prune_depth(model, 2).config.eos_token_id == [1, 2, 3, 4, 5]


def test_a_number_keeps_the_first_and_the_last_layer() -> None:
    by_number, by_index = (prune_depth(tiny("llama"), keep) for keep in (3, (0, 2, 4)))
    ids = some_ids(1, 6)
    assert torch.equal(by_number(ids).logits, by_index(ids).logits)
    whole = tiny("llama")
    kept = prune_depth(copy.deepcopy(whole), 5)
    assert torch.equal(kept(ids).logits, whole(ids).logits)


@pytest.mark.parametrize("keep", [6, 9, (0, 5), (5, 0), (1, 1)])
def test_layers_that_do_not_exist_are_refused(keep: int | tuple[int, ...]) -> None:
    with pytest.raises(ModelError, match="the model has 5"):
        prune_depth(tiny("llama"), keep)


def test_a_model_whose_layers_are_elsewhere_is_refused() -> None:
    with pytest.raises(ModelError, match="GPT2LMHeadModel has none"):
        prune_depth(tiny("gpt2"), 2)
