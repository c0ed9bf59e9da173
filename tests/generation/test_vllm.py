"""The vLLM backend against a stand-in with vLLM's interface, which writes what the model writes.

vLLM itself needs a GPU. The stand-in takes the arguments that vLLM takes and no others, finds stop texts its own way,
and fills in outputs as vLLM does: an end token is kept, a stop text is not in the text, and is named.
"""

from __future__ import annotations

import json
import sys
from dataclasses import dataclass, replace
from importlib.resources import files
from pathlib import Path
from types import ModuleType, SimpleNamespace
from typing import Any

import pytest
import torch

from kdscope.core.errors import MachineError, ModelError
from kdscope.generation.base import Completion, Decoding
from kdscope.generation.huggingface import HuggingFaceGenerator
from kdscope.generation.vllm import VllmGenerator, load_vllm
from kdscope.models.load import load_model, load_tokenizer
from kdscope.models.source import ModelPlace
from tests.builders import HOLLOW_WEIGHTS

PLACE = ModelPlace(str(files("kdscope") / "models" / "tiny" / "tiny-s"))
QUESTIONS = ["Ann has 3 pens and gets 4 more.", "What is 7 times 8?", "Tom eats 5 of 12 apples."]
GREEDY = Decoding(32)


@dataclass
class SamplingParams:
    max_tokens: int
    temperature: float = 1.0
    top_p: float = 1.0
    seed: int | None = None
    stop: list[str] | None = None
    stop_token_ids: list[int] | None = None
    skip_special_tokens: bool = True


@dataclass(frozen=True)
class LoRARequest:
    lora_name: str
    lora_int_id: int
    lora_path: str


class LLM:
    """Writes greedily; sampled, a token that is a function of the seed and the step alone."""

    def __init__(
        self,
        model: str,
        *,
        revision: str | None,
        tokenizer_revision: str | None,
        trust_remote_code: bool,
        dtype: str,
        max_model_len: int | None,
        gpu_memory_utilization: float,
        seed: int,
        load_format: str,
        enable_lora: bool = False,
        max_lora_rank: int = 16,
    ) -> None:
        assert load_format == "safetensors"
        if max_model_len == 0:
            raise RuntimeError("Engine core initialization failed\nmore")
        self.settings = {"dtype": dtype, "max_model_len": max_model_len, "lora": enable_lora and max_lora_rank}
        place = ModelPlace(model)
        self.model, self.tokenizer = load_model(place, "float32", "cpu"), load_tokenizer(place)
        self.calls: list[tuple[list[dict[str, list[int]]], list[SamplingParams], Any]] = []

    def generate(
        self,
        prompts: list[dict[str, list[int]]],
        sampling_params: list[SamplingParams],
        *,
        use_tqdm: bool = True,
        lora_request: LoRARequest | None = None,
    ) -> list[Any]:
        self.calls.append((prompts, sampling_params, lora_request))
        pairs = zip(prompts, sampling_params, strict=True)
        return [SimpleNamespace(outputs=[self._write(p["prompt_token_ids"], s)]) for p, s in pairs]

    @torch.no_grad()
    def _write(self, prompt: list[int], sampling: SamplingParams) -> Any:
        assert sampling.max_tokens >= 1
        ids: list[int] = []
        while len(ids) < sampling.max_tokens:
            ids.append(self._next(prompt, ids, sampling))
            text = self.tokenizer.decode(ids, skip_special_tokens=True)
            if ids[-1] == self.tokenizer.eos_token_id:
                return SimpleNamespace(text=text, token_ids=ids, finish_reason="stop", stop_reason=None)
            for stop in sampling.stop or []:
                if stop in text:
                    cut = text[: text.index(stop)]
                    return SimpleNamespace(text=cut, token_ids=ids, finish_reason="stop", stop_reason=stop)
        return SimpleNamespace(text=text, token_ids=ids, finish_reason="length", stop_reason=None)

    def _next(self, prompt: list[int], ids: list[int], sampling: SamplingParams) -> int:
        if sampling.temperature > 0:
            assert sampling.seed is not None
            return 300 + (sampling.seed + 7 * len(ids)) % 60
        return int(self.model(torch.tensor([[*prompt, *ids]])).logits[0, -1].argmax())


@pytest.fixture
def vllm(monkeypatch: pytest.MonkeyPatch) -> None:
    package, lora, request = ModuleType("vllm"), ModuleType("vllm.lora"), ModuleType("vllm.lora.request")
    package.LLM, package.SamplingParams, request.LoRARequest = LLM, SamplingParams, LoRARequest  # type: ignore[attr-defined]
    for module in (package, lora, request):
        monkeypatch.setitem(sys.modules, module.__name__, module)


@pytest.fixture
def generator(vllm: None) -> VllmGenerator:
    return load_vllm(PLACE, load_tokenizer(PLACE), dtype="float32", max_length_tokens=500)


@pytest.fixture
def prompts(generator: VllmGenerator) -> list[list[int]]:
    return [generator.tokenizer(f"### Instruction:\n{text}\n\n### Response:\n").input_ids for text in QUESTIONS]


@pytest.fixture(scope="module")
def ours() -> HuggingFaceGenerator:
    return HuggingFaceGenerator(load_model(PLACE, "float32", "cpu"), load_tokenizer(PLACE))


@pytest.mark.parametrize("new_tokens", [3, 32])
def test_greedy_completions_are_those_of_the_other_backend(
    generator: VllmGenerator, ours: HuggingFaceGenerator, prompts: list[list[int]], new_tokens: int
) -> None:
    decoding = Decoding(new_tokens)
    free = ours.generate(prompts, decoding)
    assert generator.generate(prompts, decoding) == free
    pieces = (free[0].text[1:3], free[1].text[2:9])
    for stops in [pieces[:1], pieces, ("### Instruction",), (max(free, key=lambda c: len(c.text)).text[-3:],)]:
        stopping = replace(decoding, stop_texts=tuple(filter(None, stops)))
        assert generator.generate(prompts, stopping) == ours.generate(prompts, stopping), stops
    assert {c.finish_reason for c in free} == ({"length"} if new_tokens == 3 else {"stop"})


def test_every_row_has_its_own_room_and_seed(generator: VllmGenerator, prompts: list[list[int]]) -> None:
    limit = max(map(len, prompts)) + 1
    sampled = Decoding(8, temperature=0.7, top_p=0.9, seed=5, max_length_tokens=limit)
    first = generator.generate([*prompts, [5] * limit], sampled, call=2)
    given, settings, _ = generator.engine.calls[-1]
    assert [prompt["prompt_token_ids"] for prompt in given] == prompts
    assert [s.max_tokens for s in settings] == [min(8, limit - len(prompt)) for prompt in prompts]
    assert {(s.temperature, s.top_p) for s in settings} == {(0.7, 0.9)}
    assert len({s.seed for s in settings}) == 3
    assert first[3] == Completion((), "", "length"), "no room: never asked"
    assert generator.generate([prompts[0]], sampled, call=2)[0] == first[0]
    assert generator.generate([prompts[0]], sampled, call=3)[0] != first[0]
    calls = len(generator.engine.calls)
    assert generator.generate([[5] * limit], sampled) == [Completion((), "", "length")]
    assert generator.generate([], sampled) == []
    assert len(generator.engine.calls) == calls
    generator.generate(prompts, GREEDY)
    assert {(s.temperature, s.seed) for s in generator.engine.calls[-1][1]} == {(0.0, None)}


def test_a_text_that_only_vllm_sees_is_taken_from_it(generator: VllmGenerator) -> None:
    output = SimpleNamespace(text="seven", token_ids=(300, 301), finish_reason="stop", stop_reason="never in the text")
    engine = SimpleNamespace(generate=lambda *_, **__: [SimpleNamespace(outputs=[output])])
    odd = replace(generator, engine=engine)
    assert odd.generate([[5]], replace(GREEDY, stop_texts=("x",))) == [Completion((300, 301), "seven", "run_on")]


@pytest.mark.parametrize("reason", ["abort", "error", None])
def test_a_prompt_given_up_is_an_error(generator: VllmGenerator, reason: str | None) -> None:
    output = SimpleNamespace(text="", token_ids=(), finish_reason=reason, stop_reason=None)
    engine = SimpleNamespace(generate=lambda *_, **__: [SimpleNamespace(outputs=[output])])
    with pytest.raises(MachineError, match="prompt 0"):
        replace(generator, engine=engine).generate([[5]], GREEDY)


def write_adapter(folder: Path, config: dict[str, object]) -> None:
    (folder / "adapter_config.json").write_text(json.dumps(config))
    (folder / "adapter_model.safetensors").write_bytes(HOLLOW_WEIGHTS)


@pytest.mark.parametrize(("rank", "room"), [(4, 8), (16, 16), (17, 32)])
def test_an_adapter_goes_beside_the_weights(
    vllm: None, tmp_path: Path, prompts: list[list[int]], rank: int, room: int
) -> None:
    write_adapter(tmp_path, {"r": rank})
    made = load_vllm(replace(PLACE, adapter=str(tmp_path)), load_tokenizer(PLACE), dtype="bfloat16")
    assert made.engine.settings == {"dtype": "bfloat16", "max_model_len": None, "lora": room}
    made.generate(prompts, GREEDY)
    assert made.engine.calls[-1][2] == LoRARequest("adapter", 1, str(tmp_path))


def test_errors_say_what_to_do(vllm: None, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    write_adapter(tmp_path, {})
    with pytest.raises(ModelError, match="rank"):
        load_vllm(replace(PLACE, adapter=str(tmp_path)), load_tokenizer(PLACE), dtype="float32")
    write_adapter(tmp_path, {"r": 1000})
    with pytest.raises(ModelError, match="up to 512"):
        load_vllm(replace(PLACE, adapter=str(tmp_path)), load_tokenizer(PLACE), dtype="float32")
    with pytest.raises(MachineError, match=r"Engine core initialization failed$"):
        load_vllm(PLACE, load_tokenizer(PLACE), dtype="float32", max_length_tokens=0)
    (tmp_path / "adapter_model.safetensors").rename(tmp_path / "adapter_model.bin")
    with pytest.raises(ModelError, match="pickled adapters are refused"):
        load_vllm(replace(PLACE, adapter=str(tmp_path)), load_tokenizer(PLACE), dtype="float32")
    monkeypatch.setitem(sys.modules, "vllm", None)
    with pytest.raises(MachineError, match=r"pip install 'kdscope\[vllm\]'"):
        load_vllm(PLACE, load_tokenizer(PLACE), dtype="float32")
