"""What a model cannot read is told before it reads; what it reads otherwise beside others it reads alone."""

from __future__ import annotations

from typing import Any

import pytest
import torch

from kdscope.core.errors import ModelError
from kdscope.data.batches import TokenSequence, collate, plan_micro_batches
from kdscope.models.forward import SelectedStates, check_head, head_of
from kdscope.models.limits import (
    check_texts,
    check_tokens,
    forget_lengths,
    padding_id,
    position_limit,
    rotary_switch,
    token_limit,
)
from kdscope.models.packing import can_pack, can_pad, longest_together, packed
from tests.builders import make_tokenizer
from tests.models.zoo import tiny_model

SWITCH = 32
LONGROPE: dict[str, Any] = {
    "max_position_embeddings": 128,
    "rope_parameters": {
        "rope_type": "longrope",
        "rope_theta": 10_000.0,
        "short_factor": [1.0] * 4,
        "long_factor": [8.0] * 4,
        "original_max_position_embeddings": SWITCH,
    },
}
DYNAMIC: dict[str, Any] = {
    "max_position_embeddings": SWITCH,
    "rope_parameters": {"rope_type": "dynamic", "rope_theta": 10_000.0, "factor": 4.0},
}
LENGTH_DEPENDENT = {"longrope": LONGROPE, "dynamic": DYNAMIC}


@pytest.mark.parametrize(
    ("kind", "limit"),
    [("gpt2", 512), ("opt", 512), ("roberta", 254), ("gptj", 512), ("ctrl", 512), ("mpt", 512), ("llama", None)],
)
@torch.no_grad()
def test_a_model_reads_as_many_tokens_as_it_has_positions_for_and_no_more(kind: str, limit: int | None) -> None:
    model = tiny_model(kind)
    assert position_limit(model) == limit
    ids = torch.full((1, (limit or 520) + 1), 7)
    model(input_ids=ids[:, :-1])
    if limit is not None:
        with pytest.raises((IndexError, RuntimeError)):
            model(input_ids=ids)


@pytest.mark.parametrize("kind", sorted(LENGTH_DEPENDENT))
def test_the_length_at_which_rotary_frequencies_switch_is_read_from_the_configuration(kind: str) -> None:
    model = tiny_model("llama", **LENGTH_DEPENDENT[kind])
    assert rotary_switch(model) == longest_together(model, pack=True) == SWITCH
    own = model.config.rope_parameters
    model.config.rope_parameters = {"full_attention": own, "sliding_attention": {"rope_type": "default"}}
    assert rotary_switch(model) == SWITCH
    assert rotary_switch(tiny_model("llama")) is None


@pytest.mark.parametrize("kind", ["axk2", "deepseek_v32"])
def test_sparse_attention_that_chooses_otherwise_beside_padding_is_read_alone(kind: str) -> None:
    assert longest_together(tiny_model(kind), pack=False) == 0


def test_sequences_of_a_model_that_mixes_them_are_read_alone() -> None:
    model = tiny_model("llama")
    layer = model.model.layers[0].mlp
    plain = layer.forward
    layer.forward = lambda states: plain(states) + states.mean(dim=(0, 1))
    assert not can_pad(model)
    assert longest_together(model, pack=False) == 0
    assert longest_together(tiny_model("gemma2"), pack=False) is None


@pytest.mark.parametrize("kind", sorted(LENGTH_DEPENDENT))
@torch.no_grad()
def test_logits_of_a_text_are_the_same_whoever_stands_beside_it(kind: str) -> None:
    """Texts on both sides of the switch, in any order, packed and padded; as a model reads that has read nothing."""
    lengths, made = (20, 70, 40, 32, 33, 5), torch.randint(2, 200, (200,)).tolist()
    texts = [TokenSequence(n, tuple(made[n : n + length]), 2) for n, length in enumerate(lengths)]
    expected = {}
    for text in texts:
        fresh = tiny_model("llama", **LENGTH_DEPENDENT[kind])
        expected[text.example] = fresh(input_ids=torch.tensor([text.token_ids])).logits[0, 1:-1]
    model = tiny_model("llama", **LENGTH_DEPENDENT[kind])
    for pack in (False, True):
        assert not pack or can_pack(model)
        longest = longest_together(model, pack)
        for micro in plan_micro_batches(texts, 1000, packed=pack, longest_together=longest):
            batch = collate(micro, 0, prompt_in_loss=False, packed=pack)
            with packed(model, pack):
                found = head_of(model).logits(SelectedStates(model)(**batch.inputs()))
            for text, rows in zip(micro, found.split([len(t.token_ids) - 2 for t in micro]), strict=True):
                torch.testing.assert_close(rows, expected[text.example], rtol=1e-4, atol=1e-4)


def test_tokens_without_a_row_are_refused_before_they_are_read() -> None:
    tokenizer = make_tokenizer()
    model = tiny_model("llama", vocab_size=256, eos_token_id=1, pad_token_id=0)
    assert token_limit(model) == 256
    assert padding_id(model, tokenizer) == 0
    assert padding_id(tiny_model("llama"), tokenizer) == tokenizer.pad_token_id == 257
    check_tokens(model, [[1, 255], []], tokenizer)
    with pytest.raises(ModelError, match=r"makes token 256 \('<end>'\), but the model has rows for 256 tokens: resize"):
        check_tokens(model, [[1, 256]], tokenizer)


def test_texts_longer_than_a_models_positions_are_refused_before_training() -> None:
    model, tokenizer = tiny_model("gpt2", n_positions=40), make_tokenizer()
    check_texts(model, [[7] * 40], tokenizer)
    with pytest.raises(
        ModelError, match=r"41 tokens, .* positions for 40: set training\.max_length_tokens to at most 40"
    ):
        check_texts(model, [[7] * 40, [7] * 41], tokenizer)


def test_mpts_named_logit_scale_is_read() -> None:
    for scale in ("inv_sqrt_d_model", 0.5):
        check_head(tiny_model("mpt", logit_scale=scale))


def test_a_head_whose_logits_are_not_numbers_is_refused_as_such() -> None:
    model = tiny_model("mamba")
    next(model.parameters()).data.fill_(float("nan"))
    with pytest.raises(ModelError, match="logits are not numbers"):
        check_head(model)


def test_frequencies_of_which_no_original_is_kept_stay() -> None:
    """As in the code that came with models of 2023: it grows its tables and has one set of frequencies."""
    model = tiny_model("llama")
    module = model.model.rotary_emb
    del module._buffers["original_inv_freq"]
    before, module.max_seq_len_cached = module.inv_freq.clone(), 4096
    forget_lengths(model)
    assert torch.equal(module.inv_freq, before)
    assert module.max_seq_len_cached == 4096
