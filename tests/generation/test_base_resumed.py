"""A kill loses the batch that was being written, and nothing else changes."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path

import pytest

from kdscope.generation.base import Completion, Decoding, Generator, generate_all, plan_batches
from kdscope.generation.huggingface import HuggingFaceGenerator
from kdscope.models.load import load_model, load_tokenizer
from kdscope.models.source import ModelPlace

PROMPTS = [list(range(65, 65 + length)) for length in (4, 9, 2, 7, 7, 1, 5)]
DECODING = Decoding(max_new_tokens=6, temperature=1.0, seed=2)


@dataclass
class Recorder:
    """Passes calls on, notes them, and dies at a given one."""

    inner: Generator
    dies_at: int | None = None
    calls: list[int] = field(default_factory=list)

    def generate(self, prompts: Sequence[Sequence[int]], decoding: Decoding, *, call: int) -> list[Completion]:
        if call == self.dies_at:
            raise KeyboardInterrupt
        self.calls.append(call)
        return self.inner.generate(prompts, decoding, call=call)


@dataclass(frozen=True)
class Echo:
    """Answers with the prompt."""

    def generate(self, prompts: Sequence[Sequence[int]], decoding: Decoding, *, call: int) -> list[Completion]:
        return [Completion(tuple(prompt), f"\u2028 {call} é \ufffd", "length") for prompt in prompts]


@pytest.fixture(scope="module")
def generator(model_folder: Path) -> HuggingFaceGenerator:
    place = ModelPlace(str(model_folder))
    return HuggingFaceGenerator(load_model(place, "float32", "cpu"), load_tokenizer(place))


def run(generator: Generator, scratch: Path, seen: list[tuple[int, int]] | None = None) -> list[Completion]:
    scratch.mkdir(exist_ok=True)
    notes = [] if seen is None else seen
    return generate_all(
        generator, PROMPTS, DECODING, batch_size=2, scratch=scratch, progress=lambda *step: notes.append(step)
    )


def test_an_interrupted_run_goes_on_where_it_was(generator: HuggingFaceGenerator, tmp_path: Path) -> None:
    whole = run(generator, tmp_path / "whole")
    killed = Recorder(generator, dies_at=2)
    with pytest.raises(KeyboardInterrupt):
        run(killed, tmp_path / "killed")
    assert killed.calls == [0, 1]
    resumed, seen = Recorder(generator), []
    assert run(resumed, tmp_path / "killed", seen) == whole
    assert resumed.calls == [2, 3]
    assert seen == [(2, 7), (4, 7), (6, 7), (7, 7)]


def test_any_batch_may_be_missing(generator: HuggingFaceGenerator, tmp_path: Path) -> None:
    whole = run(generator, tmp_path)
    for number in (0, 3):
        (tmp_path / f"batch-{number:06d}.json").unlink()
    recorder = Recorder(generator)
    assert run(recorder, tmp_path) == whole
    assert recorder.calls == [0, 3]


def test_every_prompt_gets_its_own_completion(tmp_path: Path) -> None:
    completions = run(Echo(), tmp_path)
    assert [list(c.token_ids) for c in completions] == PROMPTS
    number = {i: n for n, batch in enumerate(plan_batches([len(p) for p in PROMPTS], 2)) for i in batch}
    assert [c.text for c in completions] == [f"\u2028 {number[i]} é \ufffd" for i in range(7)]
    assert run(Recorder(Echo(), dies_at=0), tmp_path) == completions  # everything is read back, nothing generated


def test_a_half_written_batch_is_written_anew(tmp_path: Path) -> None:
    whole = run(Echo(), tmp_path)
    (tmp_path / "batch-000001.json").unlink()
    (tmp_path / ".batch-000001.json.0123456789ab").write_text('[{"token_ids": [1, ')
    assert run(Echo(), tmp_path) == whole
    assert len(list(tmp_path.glob("batch-*.json"))) == 4
    assert not list(tmp_path.glob(".*"))


def test_no_prompts_need_no_generator(tmp_path: Path) -> None:
    nothing = generate_all(
        Recorder(Echo(), dies_at=0), [], DECODING, batch_size=2, scratch=tmp_path, progress=lambda *_: None
    )
    assert nothing == []


def test_a_budget_of_tokens_makes_smaller_batches(tmp_path: Path) -> None:
    recorder = Recorder(Echo())
    completions = generate_all(
        recorder, PROMPTS, DECODING, batch_size=3, scratch=tmp_path, progress=lambda *_: None, batch_tokens=26
    )
    assert [list(c.token_ids) for c in completions] == PROMPTS
    assert recorder.calls == [0, 1, 2, 3]  # 9; 7 and 7; 5 and 4; 2 and 1: each with 6 new tokens, at most 26 places
    assert run(Echo(), tmp_path / "other") != completions
