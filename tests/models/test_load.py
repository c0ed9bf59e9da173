"""Models come in whole, in one precision, and never from pickles."""

from __future__ import annotations

import copy
import json
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch
import transformers
from safetensors.torch import load_file, save_file
from transformers import AutoModelForCausalLM, PreTrainedModel

from kdscope.core.errors import MachineError, ModelError
from kdscope.models.load import add_lora, check_device, load_model, load_tokenizer, prune_depth, save_model
from kdscope.models.source import ModelPlace
from tests.models.architectures import some_ids, tiny


@pytest.fixture
def copied(model_folder: Path, tmp_path: Path) -> Path:
    """A copy of the model that a test may damage."""
    return Path(shutil.copytree(model_folder, tmp_path / "copied"))


def change_config(folder: Path, **changes: object) -> None:
    file = folder / "config.json"
    file.write_text(json.dumps(json.loads(file.read_text()) | changes))


def make_adapter(model_folder: Path, folder: Path) -> Path:
    """An adapter that changes the model a lot."""
    place = ModelPlace(str(model_folder))
    trained = add_lora(
        load_model(place, "float32", "cpu"), rank=3, alpha=6.0, dropout=0.0, target_modules="all-linear", seed=0
    )
    generator = torch.Generator().manual_seed(1)
    with torch.no_grad():
        for parameter in trained.trainable().values():
            parameter.copy_(torch.randn(parameter.shape, generator=generator) * 0.3)
    save_model(trained.network, load_tokenizer(place), folder)
    return folder


@pytest.mark.parametrize(("name", "dtype"), [("float32", torch.float32), ("bfloat16", torch.bfloat16)])
def test_weights_come_in_the_precision_asked_for(model_folder: Path, name: str, dtype: torch.dtype) -> None:
    model = load_model(ModelPlace(str(model_folder)), name, "cpu")
    stored = load_file(model_folder / "model.safetensors")
    weights = dict(model.named_parameters())
    assert weights.keys() == stored.keys()
    for key, weight in weights.items():
        assert torch.equal(weight, stored[key].to(dtype))
    assert not model.training


def test_the_checkpoints_own_sampling_habits_are_dropped_but_not_its_end_tokens(copied: Path) -> None:
    habits = {"do_sample": True, "temperature": 0.3, "top_k": 5, "repetition_penalty": 1.7, "eos_token_id": [256, 11]}
    (copied / "generation_config.json").write_text(json.dumps(habits))
    kept = load_model(ModelPlace(str(copied)), "float32", "cpu").generation_config.to_diff_dict()
    assert {key: value for key, value in kept.items() if key != "transformers_version"} == {"eos_token_id": [256, 11]}


def test_pickled_weights_are_refused(copied: Path) -> None:
    torch.save(load_file(copied / "model.safetensors"), copied / "pytorch_model.bin")
    (copied / "model.safetensors").unlink()
    with pytest.raises(ModelError, match=r"model\.safetensors"):
        load_model(ModelPlace(str(copied)), "float32", "cpu")


def test_a_pickled_adapter_is_refused(model_folder: Path, tmp_path: Path) -> None:
    adapter = make_adapter(model_folder, tmp_path / "adapter")
    torch.save(load_file(adapter / "adapter_model.safetensors"), adapter / "adapter_model.bin")
    (adapter / "adapter_model.safetensors").unlink()
    with pytest.raises(ModelError, match="pickled adapters are refused"):
        load_model(ModelPlace(str(model_folder), adapter=str(adapter)), "float32", "cpu")


def test_missing_weights_are_refused_and_not_made_up(copied: Path) -> None:
    change_config(copied, num_hidden_layers=5)
    with pytest.raises(ModelError, match=r"lacks 18 of the model's weights .*model\.layers\.3"):
        load_model(ModelPlace(str(copied)), "float32", "cpu")


def change_weights(folder: Path, change: Callable[[dict[str, torch.Tensor]], dict[str, torch.Tensor]]) -> None:
    file = folder / "model.safetensors"
    save_file(change(load_file(file)), file, metadata={"format": "pt"})


def test_more_layers_in_the_file_than_in_the_configuration_are_refused(copied: Path) -> None:
    change_config(copied, num_hidden_layers=2)
    with pytest.raises(ModelError, match=r"has 9 weights that are not of the model .*model\.layers\.2"):
        load_model(ModelPlace(str(copied)), "float32", "cpu")


@pytest.mark.parametrize("name", ["foo.bar", "v_head.summary.weight", "vision_tower.weight"])
def test_weights_of_something_else_are_refused(name: str, copied: Path) -> None:
    change_weights(copied, lambda weights: weights | {name: torch.zeros(3)})
    with pytest.raises(ModelError, match=rf"has 1 weights that are not of the model .*\({name}\)"):
        load_model(ModelPlace(str(copied)), "float32", "cpu")


HARMLESS: dict[str, Callable[[dict[str, torch.Tensor]], dict[str, torch.Tensor]]] = {
    "a tied head that is stored again": lambda w: w | {"lm_head.weight": w["model.embed_tokens.weight"].clone()},
    "rotary frequencies": lambda w: w | {"model.layers.0.self_attn.rotary_emb.inv_freq": torch.ones(8)},
    "a model saved without its head": lambda w: {name.removeprefix("model."): weight for name, weight in w.items()},
}


@pytest.mark.parametrize("kind", HARMLESS)
@torch.no_grad()
def test_what_is_stored_otherwise_is_the_same_model(kind: str, copied: Path, model_folder: Path) -> None:
    change_weights(copied, HARMLESS[kind])
    ids = torch.arange(9).reshape(1, 9)
    logits = [load_model(ModelPlace(str(folder)), "float32", "cpu")(ids).logits for folder in (copied, model_folder)]
    assert torch.equal(*logits)


@pytest.mark.parametrize("kind", ["GPTNeo", "GPTJ", "GPT2", "GPTNeoX"])
def test_masks_that_older_files_hold_are_left_out(kind: str, tmp_path: Path) -> None:
    sizes = {"GPTNeo": {"num_layers": 1, "attention_types": [[["global"], 1]]}}.get(kind, {"num_hidden_layers": 1})
    config = getattr(transformers, f"{kind}Config")(
        vocab_size=64, hidden_size=32, num_attention_heads=2, max_position_embeddings=16, rotary_dim=8, **sizes
    )
    name = {"GPT2": "GPT2LMHeadModel"}.get(kind, f"{kind}ForCausalLM")
    getattr(transformers, name)(config).save_pretrained(tmp_path)
    inside = {"GPTNeo": "transformer.h.0.attn.attention", "GPTNeoX": "gpt_neox.layers.0.attention"}
    place = inside.get(kind, "transformer.h.0.attn")
    held = {f"{place}.bias": torch.ones(1, 1, 16, 16), f"{place}.masked_bias": torch.tensor(-1e9)}
    change_weights(tmp_path, lambda weights: weights | held | {f"{place}.rotary_emb.inv_freq": torch.ones(4)})
    load_model(ModelPlace(str(tmp_path)), "float32", "cpu")


@pytest.mark.parametrize("kind", ["Gemma3", "Qwen3_5"])
def test_the_language_model_of_one_that_sees_too_is_loaded(kind: str, tmp_path: Path) -> None:
    text = {"vocab_size": 64, "hidden_size": 32, "intermediate_size": 48, "num_hidden_layers": 2, "head_dim": 16}
    text |= {"num_attention_heads": 2, "num_key_value_heads": 1}
    vision = {"hidden_size": 32, "intermediate_size": 48, "num_attention_heads": 2, "num_hidden_layers": 1}
    vision |= {"depth": 1, "num_heads": 2, "out_hidden_size": 32, "image_size": 16, "patch_size": 8}
    config = getattr(transformers, f"{kind}Config")(text_config=text, vision_config=vision, mm_tokens_per_image=4)
    getattr(transformers, f"{kind}ForConditionalGeneration")(config).save_pretrained(tmp_path)
    assert load_model(ModelPlace(str(tmp_path)), "float32", "cpu").config.get_text_config().hidden_size == 32


@pytest.mark.parametrize("changes", [{"vocab_size": 2**24}, {"hidden_size": 2**20, "intermediate_size": 2**20}])
def test_a_model_far_bigger_than_its_files_is_refused_before_memory_is_taken(
    changes: dict[str, int], copied: Path
) -> None:
    change_config(copied, **changes)
    with pytest.raises(ModelError, match=r"config\.json is of a model of [\d,]+ weights; its files hold 36,128"):
        load_model(ModelPlace(str(copied)), "float32", "cpu")


def test_tables_that_a_model_makes_itself_have_a_bound(tmp_path: Path) -> None:
    config = transformers.GPTNeoConfig(
        vocab_size=64, hidden_size=32, num_layers=1, num_heads=2, attention_types=[[["global"], 1]]
    )
    transformers.GPTNeoForCausalLM(config).save_pretrained(tmp_path)
    change_config(tmp_path, max_position_embeddings=2**19)
    with pytest.raises(ModelError, match=r"config\.json asks for tables of [\d,]+ bytes; at most 8,589,934,592"):
        load_model(ModelPlace(str(tmp_path)), "float32", "cpu")


def test_weights_of_another_shape_are_refused(copied: Path) -> None:
    change_config(copied, hidden_size=16)
    with pytest.raises(ModelError, match=r"has 29 weights of another shape .*norm\.weight \[32\], not \[16\]"):
        load_model(ModelPlace(str(copied)), "float32", "cpu")


def test_half_a_file_is_refused(copied: Path) -> None:
    file = copied / "model.safetensors"
    file.write_bytes(file.read_bytes()[:2000])
    with pytest.raises(ModelError, match=r"model\.safetensors is not a safetensors file .*downloaded whole"):
        load_model(ModelPlace(str(copied)), "float32", "cpu")


@pytest.mark.parametrize(
    ("config", "words"),
    [
        (None, r"config\.json cannot be read: No such file"),
        ("{", r"config\.json is not a JSON object"),
        ("{}", "cannot load a causal LM .*model_type"),
        ('{"model_type": "no-such-thing"}', "cannot load a causal LM .*no-such-thing"),
    ],
)
def test_what_is_no_model_is_refused(copied: Path, config: str | None, words: str) -> None:
    file = copied / "config.json"
    file.unlink() if config is None else file.write_text(config)
    with pytest.raises(ModelError, match=words):
        load_model(ModelPlace(str(copied)), "float32", "cpu")


def test_padding_falls_back_to_the_end_token(copied: Path) -> None:
    file = copied / "tokenizer_config.json"
    settings = json.loads(file.read_text())
    settings.pop("pad_token")
    file.write_text(json.dumps(settings))
    tokenizer = load_tokenizer(ModelPlace(str(copied)))
    assert tokenizer.pad_token_id == tokenizer.eos_token_id == 256


def test_a_tokenizer_without_an_end_is_refused(copied: Path) -> None:
    file = copied / "tokenizer_config.json"
    settings = json.loads(file.read_text())
    settings.pop("eos_token")
    file.write_text(json.dumps(settings))
    with pytest.raises(ModelError, match="no end-of-sequence token"):
        load_tokenizer(ModelPlace(str(copied)))


@pytest.mark.parametrize("changes", [{"model_max_length": "long"}, {"model_input_names": 3}, {"padding_side": "up"}])
def test_a_setting_of_the_tokenizer_that_fails_when_a_text_is_read_is_told_on_loading(
    copied: Path, changes: dict[str, object]
) -> None:
    file = copied / "tokenizer_config.json"
    file.write_text(json.dumps(json.loads(file.read_text()) | changes))
    with pytest.raises(ModelError, match="no usable tokenizer"):
        load_tokenizer(ModelPlace(str(copied)))


@pytest.mark.parametrize("content", [None, "{}", "{"])
def test_a_broken_tokenizer_is_refused(copied: Path, content: str | None) -> None:
    file = copied / "tokenizer.json"
    file.unlink() if content is None else file.write_text(content)
    with pytest.raises(ModelError, match="no usable tokenizer"):
        load_tokenizer(ModelPlace(str(copied)))


@torch.no_grad()
def test_an_adapter_is_merged_in_float32_and_rounded_once(model_folder: Path, tmp_path: Path) -> None:
    """The oracle: the merged float32 model saved as a folder, then loaded in bfloat16 like any other."""
    place = ModelPlace(str(model_folder), adapter=str(make_adapter(model_folder, tmp_path / "adapter")))
    exact = load_model(place, "float32", "cpu")
    save_model(exact, load_tokenizer(place), tmp_path / "merged")
    expected = load_model(ModelPlace(str(tmp_path / "merged")), "bfloat16", "cpu")
    rounded = load_model(place, "bfloat16", "cpu")
    ids = torch.arange(200).reshape(1, 200)
    assert torch.equal(rounded(ids).logits, expected(ids).logits)
    assert {b.dtype for b in rounded.buffers()} == {b.dtype for b in expected.buffers()}
    plain = load_model(ModelPlace(str(model_folder)), "float32", "cpu")
    assert not torch.allclose(exact(ids).logits, plain(ids).logits, atol=0.1)


def test_saved_folders_hold_no_pickles(model_folder: Path, tmp_path: Path) -> None:
    place = ModelPlace(str(model_folder))
    save_model(load_model(place, "bfloat16", "cpu"), load_tokenizer(place), tmp_path / "model")
    names = {file.name for file in (tmp_path / "model").iterdir()}
    assert {"config.json", "model.safetensors", "tokenizer.json"} <= names
    assert not {name for name in names if name.endswith((".bin", ".pt", ".pkl"))}
    again = load_model(ModelPlace(str(tmp_path / "model")), "bfloat16", "cpu")
    assert {p.dtype for p in again.parameters()} == {torch.bfloat16}


def test_a_device_that_is_not_there_is_named(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(torch.cuda, "is_available", lambda: False)
    monkeypatch.setattr(torch.backends.mps, "is_available", lambda: False)
    for device in ("cuda", "mps"):
        with pytest.raises(MachineError, match=f"this run wants {device.upper()}"):
            check_device(device, "float32")
    assert check_device("cpu", "bfloat16") == torch.device("cpu")


def test_bfloat16_on_an_old_gpu_is_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(torch.cuda, "is_available", lambda: True)
    monkeypatch.setattr(torch.cuda, "is_bf16_supported", lambda **_: False)
    with pytest.raises(MachineError, match=r"runtime\.dtype: float32"):
        check_device("cuda", "bfloat16")
    assert check_device("cuda", "float32").type == "cuda"


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
