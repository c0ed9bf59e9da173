"""The decoding loop against transformers' `generate`, on every kind of layer, and on what it must refuse."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

import pytest
import torch
import transformers
from torch import Tensor
from transformers import GenerationConfig, PreTrainedModel

from kdscope.core.errors import ModelError
from kdscope.generation import batch as batch_module
from kdscope.generation import decode as decode_module
from kdscope.generation.batch import GrowingLayer, new_cache
from kdscope.generation.decode import can_decode, decode, largest
from kdscope.models.load import add_lora
from tests.models.architectures import some_ids, tiny

KINDS = ["llama", "gemma2", "granite", "cohere", "qwen2", "smollm3", "opt", "gpt2"]
LENGTHS = (5, 11, 1, 8, 20, 3)
PROMPTS = [some_ids(length, seed=length).tolist() for length in LENGTHS]
STEPS = 30


def greedy(logits: Tensor, rows: Tensor, step: int) -> Tensor:
    return largest(logits)


@torch.inference_mode()
def ours(model: PreTrainedModel, prompts: list[list[int]], stops: set[int], room: int = STEPS) -> list[list[int]]:
    return decode(model, prompts, [room] * len(prompts), stops, greedy)


@torch.inference_mode()
def theirs(model: PreTrainedModel, prompts: list[list[int]], stops: set[int]) -> list[list[int]]:
    width = max(map(len, prompts))
    ids = torch.tensor([[0] * (width - len(p)) + p for p in prompts])
    mask = torch.tensor([[0] * (width - len(p)) + [1] * len(p) for p in prompts])
    ends_at = sorted(stops) or [10**6]  # none at all would mean the model's own
    config = GenerationConfig(max_new_tokens=STEPS, do_sample=False, eos_token_id=ends_at, pad_token_id=0)
    rows = model.generate(input_ids=ids, attention_mask=mask, generation_config=config)[:, width:].tolist()
    ends = [next((i + 1 for i, token in enumerate(row) if token in stops), len(row)) for row in rows]
    return [row[:end] for row, end in zip(rows, ends, strict=True)]


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("block", [3, 64])
def test_greedy_tokens_are_those_of_transformers(kind: str, block: int, monkeypatch: pytest.MonkeyPatch) -> None:
    """Rows end at different steps, contexts outgrow the sliding windows of 4, and buffers grow meanwhile."""
    monkeypatch.setattr(batch_module, "_BLOCK", block)
    model = tiny(kind)
    assert can_decode(model)
    free = ours(model, PROMPTS, set())
    assert free == theirs(model, PROMPTS, set())
    assert len({tuple(row[:4]) for row in free}) > 2
    stops = {free[0][3], free[1][12], free[4][7]}
    stopped = ours(model, PROMPTS, stops)
    assert stopped == theirs(model, PROMPTS, stops)
    assert len({len(row) for row in stopped}) > 2


@pytest.mark.parametrize("kind", ["llama", "gemma2", "qwen2"])
@pytest.mark.parametrize("share", [0.0, 0.4, 1.0])
def test_dropping_rows_early_late_or_never_changes_nothing(
    kind: str, share: float, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(decode_module, "_FINISHED_SHARE", share)
    model = tiny(kind)
    free = theirs(model, PROMPTS, set())
    stops = {free[0][3], free[1][12], free[4][7]}
    sizes: list[int] = []

    def watching(logits: Tensor, rows: Tensor, step: int) -> Tensor:
        sizes.append(len(logits))
        return largest(logits)

    with torch.inference_mode():
        found = decode(model, PROMPTS, [STEPS] * 6, stops, watching)
    assert found == theirs(model, PROMPTS, stops)
    unfinished = [sum(len(row) > step for row in found) for step in range(len(sizes))]
    assert len(sizes) == max(map(len, found))
    assert sizes == (unfinished if share == 0.0 else [6] * len(sizes)) or share == 0.4
    assert all(size >= left for size, left in zip(sizes, unfinished, strict=True))


def test_a_row_ends_where_it_is_told_to() -> None:
    """Beside end tokens and room, whatever else looks at what a row has written; it is asked once a token."""
    model, asked = tiny("llama"), []
    free = ours(model, PROMPTS, set())

    def reached(row: Sequence[int]) -> bool:
        asked.append(tuple(row))
        return sum(row) > 300

    with torch.inference_mode():
        found = decode(model, PROMPTS, [STEPS] * 6, {free[0][3]}, greedy, None, reached)
    for row, whole in zip(found, free, strict=True):
        ends = [n for n in range(1, STEPS) if sum(whole[:n]) > 300 or whole[n - 1] == free[0][3]]
        assert row == whole[: min(ends, default=STEPS)]
    assert len({len(row) for row in found}) > 3
    assert all(tuple(row[:-1]) in asked for row in found if len(row) > 1)
    assert len(asked) == sum(map(len, found)) - sum(row[-1] == free[0][3] or len(row) == STEPS for row in found)


def test_every_row_has_its_own_room() -> None:
    model = tiny("llama")
    free = ours(model, PROMPTS, set())
    room = [4, 0, 30, 1, 2, 7]
    with torch.inference_mode():
        assert decode(model, PROMPTS, room, set(), greedy) == [row[:most] for row, most in zip(free, room, strict=True)]
        assert decode(model, PROMPTS[:2], [0, 0], set(), greedy) == [[], []]
        assert decode(model, [], [], set(), greedy) == []


def test_rows_are_numbered_as_the_prompts_are() -> None:
    """What a row draws must not depend on which rows are left."""
    told: dict[tuple[int, int], int] = {}

    def script(logits: Tensor, rows: Tensor, step: int) -> Tensor:
        told.update({(row, step): place for place, row in enumerate(rows.tolist())})
        return torch.tensor([10 + row if step < row else 1 for row in rows.tolist()])

    with torch.inference_mode():
        written = decode(tiny("llama"), PROMPTS, [5] * 6, {1}, script)
    assert written == [[10 + row] * row + [1] * (row < 5) for row in range(6)]
    assert {row for row, step in told if step == 4} == {4, 5}
    assert told[5, 0] == 5
    assert {told[4, 4], told[5, 4]} == {0, 1}, "those that are left stand together"


@pytest.mark.parametrize("kind", ["llama", "gemma2", "granite", "cohere"])
def test_logits_are_the_models_own(kind: str) -> None:
    """Also through prepared weights and an adapter: each step's logits, scaled and capped as the model does."""
    sizes = {"hidden_size": 256, "intermediate_size": 512, "num_hidden_layers": 2, "vocab_size": 600}
    model = tiny(kind, **sizes).requires_grad_(False)
    adapter = add_lora(model, rank=4, alpha=8.0, dropout=0.0, target_modules="all-linear", seed=0)
    for parameter in adapter.trainable().values():
        torch.nn.init.normal_(parameter, std=0.05)
    adapter.network.eval()
    seen: list[Tensor] = []

    def follow(logits: Tensor, rows: Tensor, step: int) -> Tensor:
        seen.append(logits.clone())
        return torch.tensor([PROMPTS[1][5 + step], PROMPTS[4][9 + step]])

    with torch.inference_mode():
        decode(adapter.base, [PROMPTS[1][:5], PROMPTS[4][:9]], [6, 6], set(), follow)
        for row, (prompt, start) in enumerate([(PROMPTS[1], 5), (PROMPTS[4], 9)]):
            own = adapter.base(torch.tensor([prompt])).logits[0]
            found = torch.stack([logits[row] for logits in seen])
            torch.testing.assert_close(found, own[start - 1 : start + 5], rtol=1e-3, atol=1e-3)
    assert can_decode(adapter.base)


def test_a_model_whose_weights_overflowed_is_named() -> None:
    model = tiny("llama")
    model.get_output_embeddings().weight.data[:] = torch.inf
    assert can_decode(model)  # so that it is said, and not left to transformers
    with pytest.raises(ModelError, match="not numbers"):
        ours(model, PROMPTS, set())


def build(name: str, **values: Any) -> PreTrainedModel:
    shared = {"vocab_size": 64, "eos_token_id": 1, "pad_token_id": 0, "bos_token_id": None, "initializer_range": 0.3}
    config = getattr(transformers, f"{name}Config")(**shared | values)
    torch.manual_seed(0)
    model: PreTrainedModel = getattr(transformers, f"{name}ForCausalLM")(config).eval()
    return model


RECURRENT: dict[str, dict[str, Any]] = {
    "Mamba": {"hidden_size": 32, "num_hidden_layers": 2},
    "Lfm2": {
        "hidden_size": 32,
        "intermediate_size": 48,
        "num_hidden_layers": 2,
        "num_attention_heads": 2,
        "num_key_value_heads": 1,
        "layer_types": ["conv", "full_attention"],
    },
}


@pytest.mark.parametrize("name", RECURRENT)
def test_models_that_keep_more_than_keys_and_values_are_refused(name: str) -> None:
    model = build(name, **RECURRENT[name])
    assert not can_decode(model)


def shifted(model: PreTrainedModel, monkeypatch: pytest.MonkeyPatch) -> None:
    """Reads every position as the one after it, if it is told positions at all."""
    decoder, forward = model.get_decoder(), model.get_decoder().forward
    monkeypatch.setattr(decoder, "forward", lambda **inputs: forward(**moved(inputs)))


def moved(inputs: dict[str, Any]) -> dict[str, Any]:
    return inputs | {"position_ids": 2 * inputs["position_ids"]} if "position_ids" in inputs else inputs


def blind(model: PreTrainedModel, monkeypatch: pytest.MonkeyPatch) -> None:
    """Sees padding."""
    decoder, forward = model.get_decoder(), model.get_decoder().forward
    unmasked = lambda **inputs: forward(**inputs | {"attention_mask": None})  # noqa: E731
    monkeypatch.setattr(decoder, "forward", unmasked)


def busy_head(model: PreTrainedModel, monkeypatch: pytest.MonkeyPatch) -> None:
    """Does something to its logits that no configuration tells."""
    forward = model.forward

    def changed(*ids: Any, **inputs: Any) -> Any:
        output = forward(*ids, **inputs)
        output.logits = output.logits.sin()
        return output

    monkeypatch.setattr(model, "forward", changed)


def wrong_rows(model: PreTrainedModel, monkeypatch: pytest.MonkeyPatch) -> None:
    """Keeps the wrong rows of its cache."""
    monkeypatch.setattr(GrowingLayer, "batch_select_indices", lambda layer, kept: swap(layer, kept))


def swap(layer: GrowingLayer, kept: Tensor) -> None:
    layer.reorder_cache(kept.flip(0))
    layer._key_buffer, layer._value_buffer = layer.keys, layer.values


@pytest.mark.parametrize("spoil", [shifted, blind, busy_head, wrong_rows])
def test_whatever_differs_from_the_models_own_logits_is_seen(
    spoil: Callable[[PreTrainedModel, pytest.MonkeyPatch], None], monkeypatch: pytest.MonkeyPatch
) -> None:
    model = tiny("llama")
    assert can_decode(model)
    spoil(model, monkeypatch)
    assert not can_decode(model)


@pytest.mark.parametrize("dtype", [torch.float32, torch.bfloat16])
def test_the_check_passes_in_either_precision_and_with_dropped_rows(dtype: torch.dtype) -> None:
    assert can_decode(tiny("smollm3").to(dtype))


def test_products_in_another_precision_than_the_weights() -> None:
    kinds: set[torch.dtype] = set()
    model = tiny("llama", hidden_size=256, vocab_size=600)
    model.get_decoder().layers[0].mlp.register_forward_hook(lambda _m, _i, output: kinds.add(output.dtype))
    with torch.inference_mode(), torch.autocast("cpu", torch.bfloat16):
        written = decode(model, PROMPTS, [8] * 6, set(), greedy, torch.bfloat16)
    assert kinds == {torch.bfloat16}
    assert [row[0] for row in written] == [row[0] for row in ours(model, PROMPTS, set(), 1)]


class TestCache:
    """The growing layers against transformers' own."""

    def test_it_holds_what_was_written(self, monkeypatch: pytest.MonkeyPatch) -> None:
        monkeypatch.setattr(batch_module, "_BLOCK", 4)
        mine, reference = GrowingLayer(), transformers.cache_utils.DynamicLayer()
        for length, kept in ((5, [0, 1, 2]), (1, [2, 0]), (1, [1]), (3, [0]), (1, [0])):
            keys, values = torch.randn(rows_of(mine), 2, length, 4), torch.randn(rows_of(mine), 2, length, 6)
            for left, right in zip(mine.update(keys, values), reference.update(keys, values), strict=True):
                assert torch.equal(left, right)
            assert mine.get_seq_length() == reference.get_seq_length()
            mine.batch_select_indices(torch.tensor(kept))
            reference.batch_select_indices(torch.tensor(kept))
            assert torch.equal(mine.keys, reference.keys)

    def test_rows_of_parts_stand_after_what_they_share(self, monkeypatch: pytest.MonkeyPatch) -> None:
        """Two parts with 2 shared positions, and 3 and 1 of their own, in a layer of 5 positions."""
        monkeypatch.setattr(batch_module, "_BLOCK", 4)
        shared, whole, parts = torch.randn(1, 2, 2, 4), GrowingLayer(), []
        for rows, own in (([2, 0], 3), ([1], 1)):
            parts.append(torch.cat([shared.expand(len(rows), -1, -1, -1), torch.randn(len(rows), 2, own, 4)], 2))
            layer = GrowingLayer()
            layer.update(parts[-1], 2 * parts[-1])
            whole.place(layer, torch.tensor(rows), 3, 2, 5)
        assert whole.get_seq_length() == 5
        assert torch.equal(whole.keys[[2, 0]], parts[0])
        assert torch.equal(whole.keys[1], torch.cat([shared[0], torch.zeros(2, 2, 4), parts[1][0, :, 2:]], 1))
        assert torch.equal(whole.values, 2 * whole.keys)
        new = torch.randn(3, 2, 1, 4)
        assert torch.equal(whole.update(new, new)[0][:, :, 5:], new)

    def test_rows_that_stay_are_not_copied(self) -> None:
        layer = GrowingLayer()
        layer.update(torch.randn(5, 1, 3, 2), torch.randn(5, 1, 3, 2))
        before, place = layer.keys.clone(), layer.keys.data_ptr()
        layer.batch_select_indices(torch.tensor([0, 4, 2]))
        assert torch.equal(layer.keys, before[[0, 4, 2]])
        assert layer.keys.data_ptr() == place

    def test_it_is_written_in_place(self) -> None:
        layer = GrowingLayer()
        layer.update(torch.zeros(1, 1, 5, 2), torch.zeros(1, 1, 5, 2))
        place = layer.keys.data_ptr()
        for _ in range(59):
            layer.update(torch.ones(1, 1, 1, 2), torch.ones(1, 1, 1, 2))
        assert layer.keys.data_ptr() == place
        layer.update(torch.ones(1, 1, 1, 2), torch.ones(1, 1, 1, 2))
        assert layer.keys.data_ptr() != place

    def test_sliding_layers_stay_transformers_own(self) -> None:
        kinds = [type(layer).__name__ for layer in new_cache(tiny("gemma2")).layers]  # type: ignore[union-attr]
        assert set(kinds) == {"GrowingLayer", "DynamicSlidingWindowLayer"}


def rows_of(layer: GrowingLayer) -> int:
    return layer.keys.shape[0] if layer.is_initialized else 3


def test_no_weight_is_prepared_without_need(monkeypatch: pytest.MonkeyPatch) -> None:
    """The same tokens whether weights are laid out anew or not."""
    model = tiny("llama", hidden_size=256, intermediate_size=512, vocab_size=600, num_hidden_layers=2)
    prepared = ours(model, PROMPTS, set())
    monkeypatch.setattr(decode_module, "_LEAST_NUMBERS", 2**40)
    assert ours(model, PROMPTS, set()) == prepared
