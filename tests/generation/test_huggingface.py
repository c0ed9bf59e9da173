"""Generation says what the model says, whoever stands beside a prompt in its batch and whatever ran before."""

from __future__ import annotations

import json
import shutil
from dataclasses import replace
from itertools import pairwise
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy.stats import chisquare

from kdscope.core.errors import ModelError
from kdscope.generation.base import Completion, Decoding, plan_batches, stop_texts
from kdscope.generation.huggingface import HuggingFaceGenerator
from kdscope.models.load import add_lora, load_model, load_tokenizer
from kdscope.models.source import ModelPlace
from tests.builders import make_tokenizer
from tests.models.test_limits import LENGTH_DEPENDENT
from tests.models.zoo import tiny_model

PROMPTS = [
    list(b"Ann has 3 pens and gets 4."),
    list(b"12 + 30 ="),
    list(b"x"),
    list(b"A long question, is it not?" * 2),
]
GREEDY = Decoding(max_new_tokens=16)
SAMPLED = Decoding(max_new_tokens=16, temperature=1.0, seed=3)
END, PAD = 256, 257


def generator_of(folder: Path) -> HuggingFaceGenerator:
    place = ModelPlace(str(folder))
    return HuggingFaceGenerator(load_model(place, "float32", "cpu"), load_tokenizer(place))


@pytest.fixture(scope="module")
def generator(model_folder: Path) -> HuggingFaceGenerator:
    return generator_of(model_folder)


@torch.no_grad()
def greedy_by_hand(generator: HuggingFaceGenerator, prompt: list[int], steps: int, stops: set[int]) -> list[int]:
    """Argmax of the model's own logits, one full forward pass a token, no cache, no padding."""
    written: list[int] = []
    while len(written) < steps and not stops.intersection(written):
        logits = generator.model(input_ids=torch.tensor([[*prompt, *written]])).logits
        written.append(int(logits[0, -1].argmax()))
    return written


def text_of(generator: HuggingFaceGenerator, ids: tuple[int, ...]) -> str:
    return str(generator.tokenizer.decode([i for i in ids if i < END]))


def test_a_batch_says_what_each_prompt_alone_does(generator: HuggingFaceGenerator) -> None:
    together = generator.generate(PROMPTS, GREEDY)
    for prompt, completion in zip(PROMPTS, together, strict=True):
        expected = greedy_by_hand(generator, prompt, 16, {END})
        assert list(completion.token_ids) == expected
        assert generator.generate([prompt], GREEDY) == [completion]
    assert len({completion.text for completion in together}) > 2


def stopping_at(generator: HuggingFaceGenerator, stop: int) -> HuggingFaceGenerator:
    """The same model with one more end token."""
    model = load_model(ModelPlace(generator.model.name_or_path), "float32", "cpu")
    model.generation_config.eos_token_id = [END, stop]
    return replace(generator, model=model)


def test_a_completion_ends_with_its_end_token(generator: HuggingFaceGenerator) -> None:
    free = generator.generate(PROMPTS, GREEDY)
    stop = free[0].token_ids[5]
    stopped = stopping_at(generator, stop).generate(PROMPTS, GREEDY)
    for before, after in zip(free, stopped, strict=True):
        length = before.token_ids.index(stop) + 1 if stop in before.token_ids else 16
        assert after.token_ids == before.token_ids[:length]
        assert after.finish_reason == ("stop" if stop in before.token_ids else "length")
        kept = after.token_ids[:-1] if after.finish_reason == "stop" else after.token_ids
        assert after.text == text_of(generator, kept)
    assert {completion.finish_reason for completion in stopped} == {"stop", "length"}


def test_padding_that_is_the_end_token_is_not_taken_for_text(generator: HuggingFaceGenerator) -> None:
    stop = generator.generate(PROMPTS[:1], GREEDY)[0].token_ids[3]
    expected = stopping_at(generator, stop).generate(PROMPTS, GREEDY)
    ambiguous = stopping_at(generator, stop)
    tokenizer = load_tokenizer(ModelPlace(generator.model.name_or_path))
    tokenizer.pad_token = tokenizer.convert_ids_to_tokens(stop)
    assert tokenizer.pad_token_id == stop
    written = replace(ambiguous, tokenizer=tokenizer).generate(PROMPTS, GREEDY)
    assert [c.token_ids for c in written] == [c.token_ids for c in expected]
    assert [c.finish_reason for c in written] == [c.finish_reason for c in expected]


def test_end_tokens_in_a_prompt_are_read_like_any_other(generator: HuggingFaceGenerator) -> None:
    prompt = [72, END, 73, PAD, 74]
    completions = generator.generate([prompt, PROMPTS[3]], GREEDY)
    assert list(completions[0].token_ids) == greedy_by_hand(generator, prompt, 16, {END})


def test_every_end_token_of_a_checkpoint_ends(model_folder: Path, tmp_path: Path) -> None:
    free = generator_of(model_folder).generate(PROMPTS, GREEDY)
    stops = [free[0].token_ids[2], free[1].token_ids[4]]
    copied = Path(shutil.copytree(model_folder, tmp_path / "model"))
    (copied / "generation_config.json").write_text(json.dumps({"eos_token_id": stops}))
    for before, after in zip(free, generator_of(copied).generate(PROMPTS, GREEDY), strict=True):
        ends = [before.token_ids.index(stop) + 1 for stop in {*stops, END} if stop in before.token_ids]
        assert after.token_ids == before.token_ids[: min(ends, default=16)]
        assert after.finish_reason == ("stop" if ends else "length")


def test_a_checkpoints_own_habits_are_ignored(model_folder: Path, tmp_path: Path) -> None:
    copied = Path(shutil.copytree(model_folder, tmp_path / "model"))
    habits = {"do_sample": True, "temperature": 0.1, "top_k": 2, "repetition_penalty": 5.0, "eos_token_id": END}
    habits |= {"no_repeat_ngram_size": 1, "min_new_tokens": 9, "max_length": 3, "num_beams": 1}
    (copied / "generation_config.json").write_text(json.dumps(habits))
    plain, own = generator_of(model_folder), generator_of(copied)
    for decoding in (GREEDY, SAMPLED):
        assert own.generate(PROMPTS, decoding) == plain.generate(PROMPTS, decoding)


def test_samples_depend_on_seed_and_call_and_nothing_else(generator: HuggingFaceGenerator) -> None:
    first = generator.generate(PROMPTS, SAMPLED, call=4)
    generator.generate(PROMPTS[:2], SAMPLED, call=5)
    torch.manual_seed(123)
    torch.randn(7)
    assert generator.generate(PROMPTS, SAMPLED, call=4) == first
    assert generator.generate(PROMPTS, SAMPLED, call=5) != first
    assert generator.generate(PROMPTS, replace(SAMPLED, seed=4), call=4) != first
    assert generator.generate(PROMPTS, replace(GREEDY, seed=9), call=8) == generator.generate(PROMPTS, GREEDY)


@torch.no_grad()
def next_probabilities(generator: HuggingFaceGenerator, temperature: float) -> np.ndarray:
    logits = generator.model(input_ids=torch.tensor([[65, 66, 67]])).logits[0, -1].double()
    return torch.softmax(logits / temperature, -1).numpy()


def first_tokens(generator: HuggingFaceGenerator, count: int, **settings: float) -> np.ndarray:
    decoding = Decoding(max_new_tokens=1, seed=5, **settings)
    completions = generator.generate([[65, 66, 67]] * count, decoding)
    return np.bincount([c.token_ids[0] for c in completions], minlength=258)


@pytest.mark.parametrize("temperature", [0.7, 3.0])
def test_sampling_follows_the_softmax_at_its_temperature(generator: HuggingFaceGenerator, temperature: float) -> None:
    """All 258 tokens can come: a default top-k of 50 would show here."""
    count = 6000
    seen = first_tokens(generator, count, temperature=temperature)
    expected = next_probabilities(generator, temperature) * count
    common = expected >= 5
    pooled_seen = [*seen[common], seen[~common].sum()]
    pooled = [*expected[common], expected[~common].sum()]
    assert chisquare(pooled_seen, pooled).pvalue > 1e-4
    if temperature == 3.0:
        assert np.count_nonzero(seen) > 200


def test_top_p_keeps_the_nucleus(generator: HuggingFaceGenerator) -> None:
    probabilities = next_probabilities(generator, 3.0)
    order = np.argsort(-probabilities)
    nucleus = order[: 1 + int(np.searchsorted(np.cumsum(probabilities[order]), 0.3))]
    seen = first_tokens(generator, 3000, temperature=3.0, top_p=0.3)
    assert set(np.flatnonzero(seen)) == set(nucleus)


def kinds_of_states(generator: HuggingFaceGenerator) -> set[torch.dtype]:
    kinds: set[torch.dtype] = set()
    layer = generator.model.get_decoder().layers[0].self_attn
    handle = layer.q_proj.register_forward_hook(lambda _module, _inputs, output: kinds.add(output.dtype))
    assert generator.decodes_itself or isinstance(generator, Transformers)
    kinds.clear()
    generator.generate(PROMPTS, GREEDY)
    handle.remove()
    return kinds


def test_autocast_generates_in_bfloat16(model_folder: Path) -> None:
    plain = generator_of(model_folder)
    mixed = replace(plain, autocast_dtype=torch.bfloat16)
    assert kinds_of_states(mixed) == {torch.bfloat16}
    assert kinds_of_states(plain) == {torch.float32}
    assert kinds_of_states(Transformers(plain.model, plain.tokenizer, torch.bfloat16)) == {torch.bfloat16}
    assert {p.dtype for p in plain.model.parameters()} == {torch.float32}


class Transformers(HuggingFaceGenerator):
    """For models that the decoding loop is not right for."""

    decodes_itself = False


@pytest.mark.parametrize("max_length", [None, 40])
def test_transformers_generate_serves_models_the_loop_does_not(
    generator: HuggingFaceGenerator, max_length: int | None
) -> None:
    decoding = replace(GREEDY, max_length_tokens=max_length)
    stop = generator.generate(PROMPTS, GREEDY)[0].token_ids[5]
    for each in (generator, stopping_at(generator, stop)):
        other = Transformers(each.model, each.tokenizer)
        assert each.decodes_itself
        assert not other.decodes_itself
        assert other.generate(PROMPTS, decoding) == each.generate(PROMPTS, decoding)
        sampled = other.generate(PROMPTS, SAMPLED, call=2)
        assert other.generate(PROMPTS, SAMPLED, call=2) == sampled
        assert other.generate(PROMPTS, SAMPLED, call=3) != sampled


def test_a_length_limit_counts_the_prompt(generator: HuggingFaceGenerator) -> None:
    free = generator.generate(PROMPTS, GREEDY)
    limited = generator.generate(PROMPTS, replace(GREEDY, max_length_tokens=30))
    assert [len(p) for p in PROMPTS] == [26, 9, 1, 54]
    for before, after, room in zip(free, limited, (4, 16, 16, 0), strict=True):
        assert after.token_ids == before.token_ids[:room]
        if len(after.token_ids) < len(before.token_ids):
            assert after.finish_reason == "length"
    assert generator.generate(PROMPTS[3:], replace(GREEDY, max_length_tokens=30)) == [Completion((), "", "length")]
    assert generator.generate([], GREEDY) == []


def test_a_sample_depends_on_its_row_and_not_on_the_others(generator: HuggingFaceGenerator) -> None:
    """Other prompts beside it, other lengths, rows that end and are dropped: nothing of that shows."""
    alone = [generator.generate([*PROMPTS[2:3] * row, prompt], SAMPLED)[row] for row, prompt in enumerate(PROMPTS)]
    assert generator.generate(PROMPTS, SAMPLED) == alone
    assert generator.generate([PROMPTS[1], *PROMPTS[1:]], SAMPLED)[1:] == alone[1:]
    short = generator.generate(PROMPTS, replace(SAMPLED, max_new_tokens=9))
    assert [c.token_ids for c in short] == [c.token_ids[:9] for c in alone]
    ends = [alone[0].token_ids[1], alone[3].token_ids[4]]
    stopping = stopping_at(generator, ends[0])
    stopping.model.generation_config.eos_token_id = [END, *ends]
    for before, after in zip(alone, stopping.generate(PROMPTS, SAMPLED), strict=True):
        first = min([before.token_ids.index(end) + 1 for end in ends if end in before.token_ids], default=16)
        assert after.token_ids == before.token_ids[:first]


def test_an_adapters_model_samples_as_it_would_merged(model_folder: Path) -> None:
    """In float32, where merging loses nothing: the oracle is peft's own merge."""
    place = ModelPlace(str(model_folder))
    adapter = add_lora(
        load_model(place, "float32", "cpu").requires_grad_(False),
        rank=4, alpha=8.0, dropout=0.2, target_modules="all-linear", seed=0,
    )  # fmt: skip
    for parameter in adapter.trainable().values():
        torch.nn.init.normal_(parameter, std=0.1)
    adapter.network.eval()
    before = {name: p.clone() for name, p in adapter.network.named_parameters()}
    active = HuggingFaceGenerator(adapter.base, load_tokenizer(place))
    said = {temperature: active.generate(PROMPTS, replace(SAMPLED, temperature=temperature)) for temperature in (0, 1)}
    assert all(torch.equal(p, before[name]) for name, p in adapter.network.named_parameters())
    merged = replace(active, model=adapter.network.merge_and_unload())
    for temperature, expected in said.items():
        assert merged.generate(PROMPTS, replace(SAMPLED, temperature=temperature)) == expected
    assert said[0] != generator_of(model_folder).generate(PROMPTS, GREEDY)


def test_text_leaves_special_tokens_out(generator: HuggingFaceGenerator) -> None:
    texts = stop_texts(GREEDY, generator.tokenizer)
    completion = generator._completion([72, PAD, 105, END, PAD], frozenset({END}), texts)
    assert completion == Completion((72, PAD, 105, END), text_of(generator, (72, 105)), "stop")
    assert generator._completion([END, 72], frozenset({END}), texts) == Completion((END,), "", "stop")


@settings(deadline=None)
@given(st.lists(st.integers(1, 50), max_size=40), st.integers(1, 9))
def test_a_plan_covers_every_prompt_once_longest_first(lengths: list[int], size: int) -> None:
    plan = plan_batches(lengths, size)
    flat = [index for batch in plan for index in batch]
    assert sorted(flat) == list(range(len(lengths)))
    assert [lengths[i] for i in flat] == sorted(lengths, reverse=True)
    assert [len(batch) for batch in plan[:-1]] == [size] * (len(plan) - 1) if plan else True
    assert all(0 < len(batch) <= size for batch in plan)


@settings(deadline=None)
@given(st.lists(st.integers(1, 50), max_size=40), st.integers(1, 9), st.integers(1, 200), st.integers(0, 60))
def test_a_plan_stays_within_its_tokens(lengths: list[int], size: int, tokens: int, new: int) -> None:
    plan = plan_batches(lengths, size, batch_tokens=tokens, max_new_tokens=new)
    flat = [index for batch in plan for index in batch]
    assert sorted(flat) == list(range(len(lengths)))
    assert [lengths[i] for i in flat] == sorted(lengths, reverse=True)

    def places(batch: list[int]) -> int:
        return len(batch) * (max(lengths[i] for i in batch) + new)

    assert all(len(batch) <= size and (places(batch) <= tokens or len(batch) == 1) for batch in plan)
    for batch, following in pairwise(plan):
        assert len(batch) == size or places([*batch, following[0]]) > tokens, "no batch is smaller than it has to be"
    assert plan_batches(lengths, size, batch_tokens=10**6, max_new_tokens=new) == plan_batches(lengths, size)


def zoo_generator(kind: str, **changes: Any) -> HuggingFaceGenerator:
    return HuggingFaceGenerator(tiny_model(kind, **changes), make_tokenizer())


@pytest.mark.parametrize("kind", sorted(LENGTH_DEPENDENT))
@pytest.mark.parametrize("decoding", [Decoding(12), Decoding(12, temperature=1.0, seed=3)])
def test_answers_do_not_depend_on_the_batch_where_texts_cross_the_rotary_switch(kind: str, decoding: Decoding) -> None:
    """Prompts below the switch (32), beyond it, and of texts that cross it; also after a longer text was read."""
    prompts = [list(b"7" * 40), list(b"12 + 30 ="), list(b"Ann has 3 pens, Bob 4."), list(b"0123456789" * 5), [72]]
    together = zoo_generator("llama", **LENGTH_DEPENDENT[kind]).generate(prompts, decoding)
    if decoding.temperature == 0:
        for prompt, completion in zip(prompts, together, strict=True):
            fresh = zoo_generator("llama", **LENGTH_DEPENDENT[kind])
            assert fresh.generate([prompt], decoding) == [completion]
    again = zoo_generator("llama", **LENGTH_DEPENDENT[kind])
    again.generate([list(b"x" * 90)], decoding)
    assert again.generate(prompts, decoding) == together


@pytest.mark.parametrize("kind", ["gpt2", "roberta"])
def test_a_text_grows_no_longer_than_the_model_has_positions_for(kind: str) -> None:
    generator = zoo_generator(kind, max_position_embeddings=300)
    most = generator.room([[]], Decoding(1000))[0]
    assert most == {"gpt2": 300, "roberta": 300 - 258}[kind]
    prompts = [[72] * 3, [72] * (most - 2), [72] * most, [72] * (most + 5)]
    completions = generator.generate(prompts, Decoding(8))
    assert [len(c.token_ids) for c in completions] == [8, 2, 0, 0] or completions[0].finish_reason == "stop"
    assert [c.finish_reason for c in completions[1:]] == ["length"] * 3
    assert generator.generate(prompts[:1], Decoding(8)) == completions[:1]


def test_a_prompt_with_a_token_that_has_no_row_is_refused() -> None:
    generator = zoo_generator("llama", vocab_size=200, eos_token_id=1, pad_token_id=0)
    assert len(generator.generate([[5], [5, 6, 7]], GREEDY)) == 2, "the padding token has no row either"
    with pytest.raises(ModelError, match=r"token 201 .* rows for 200 tokens"):
        generator.generate([[5], [201]], GREEDY)


@pytest.mark.parametrize("kind", ["mamba", "jamba", "rwkv"])
@pytest.mark.parametrize("decoding", [GREEDY, Decoding(4, temperature=1.0, top_p=0.9)])
def test_logits_that_are_not_numbers_are_refused_where_transformers_generates(kind: str, decoding: Decoding) -> None:
    generator = zoo_generator(kind)
    next(p for name, p in generator.model.named_parameters() if "embed" not in name).data.fill_(float("nan"))
    with pytest.raises(ModelError, match="logits are not numbers"):
        generator.generate(PROMPTS, decoding)
    assert not generator.decodes_itself


def test_a_model_that_writes_otherwise_in_batches_is_asked_one_prompt_at_a_time() -> None:
    generator = zoo_generator("rwkv")
    assert generator.remark == "RwkvForCausalLM writes otherwise beside other texts: it is asked one prompt at a time"
    together = generator.generate(PROMPTS, GREEDY)
    assert together == [generator.generate([prompt], GREEDY)[0] for prompt in PROMPTS]
    assert zoo_generator("mamba").remark is None
