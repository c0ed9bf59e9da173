"""A student of any architecture trains along every path of its teacher's signal, packed or padded or alone."""

from __future__ import annotations

from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
import torch

from kdscope.core.errors import ModelError
from kdscope.data.batches import TokenSequence
from kdscope.generation.base import Decoding
from kdscope.generation.huggingface import HuggingFaceGenerator
from kdscope.stages.models import check_prompts, shared_passes
from tests.builders import make_tokenizer
from tests.models.test_limits import LENGTH_DEPENDENT
from tests.models.zoo import ARCHITECTURES, tiny_model
from tests.models.zoo_trial import PATHS, TUNINGS, read_and_write, try_architecture

pytestmark = pytest.mark.filterwarnings("ignore")  # those of other people's models
PADDED = ["gemma2", "bloom", "stablelm", "falcon", "mpt", "mamba", "gpt_oss", "llama4_text", "rwkv"]


@pytest.mark.parametrize("kind", PADDED)
def test_a_student_that_cannot_be_packed_trains_along_every_path(kind: str, tmp_path: Path) -> None:
    trial = try_architecture(kind, tmp_path)
    assert trial.messages == ()
    assert set(trial.losses) == {(path, tuning) for path in PATHS for tuning in TUNINGS}
    for tuning in TUNINGS:
        assert trial.losses["replay", tuning] == pytest.approx(trial.losses["live", tuning], rel=1e-5)


@pytest.mark.parametrize("kind", sorted(LENGTH_DEPENDENT))
def test_live_and_replay_agree_where_texts_cross_the_rotary_switch(kind: str, tmp_path: Path) -> None:
    trial = try_architecture("llama", tmp_path, **LENGTH_DEPENDENT[kind])
    assert trial.messages == ()
    for tuning in TUNINGS:
        assert trial.losses["replay", tuning] == pytest.approx(trial.losses["live", tuning], rel=1e-5)


@pytest.mark.parametrize("kind", ["mamba", "jamba", "rwkv", "bloom"])
@torch.no_grad()
def test_batches_say_what_prompts_alone_do_and_weights_that_are_not_numbers_are_refused(kind: str) -> None:
    reading = read_and_write(tiny_model(kind))
    assert reading.alike
    assert reading.refuses
    assert reading.writes == {"rwkv": "alone", "bloom": "loop"}.get(kind, "generate")


class Told:
    """A stage's context that keeps what a person is told."""

    def __init__(self) -> None:
        self.facts: dict[str, Any] = {}
        self.warned: list[str] = []
        self.stage, self.progress = SimpleNamespace(label="stage"), SimpleNamespace(warn=self.warned.append)


def test_answers_that_positions_cut_are_counted_before_the_first_is_written() -> None:
    told, generator = Told(), HuggingFaceGenerator(tiny_model("gpt2", n_positions=40), make_tokenizer())
    check_prompts(told, generator, [[7] * 3, [7] * 36, [7] * 40, [7] * 50], Decoding(8))  # type: ignore[arg-type]
    assert told.facts == {"answers_cut": 3}
    assert told.warned == [
        "stage: 3 of 4 prompts leave less than 8 tokens of the model's positions for an answer, 2 none: these answers "
        "are cut"
    ]
    with pytest.raises(ModelError, match="makes token 300"):
        check_prompts(told, generator, [[7], [300]], Decoding(8))  # type: ignore[arg-type]


def test_texts_that_are_read_alone_are_told() -> None:
    texts = [TokenSequence(n, (7,) * length, 2) for n, length in enumerate((20, 32, 33, 90))]
    told = Told()
    for kind, pack in (("llama", True), ("gemma2", False)):
        assert shared_passes(told, tiny_model(kind), pack, texts) is None  # type: ignore[arg-type]
    assert told.warned == []
    assert shared_passes(told, tiny_model("llama", **LENGTH_DEPENDENT["dynamic"]), True, texts) == 32  # type: ignore[arg-type]
    assert told.warned == [
        "stage: 2 of 4 texts are read one at a time: beyond 32 tokens its rotary frequencies depend on the longest text"
    ]


@pytest.mark.slow
@pytest.mark.parametrize("kind", ARCHITECTURES)
def test_every_architecture_trains_or_is_refused_in_words(kind: str, tmp_path: Path) -> None:
    trial = try_architecture(kind, tmp_path)
    assert trial.losses or trial.messages
    assert all("Error:" not in message for message in trial.messages)
