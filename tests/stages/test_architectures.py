"""A student of any architecture trains along every path of its teacher's signal, packed or padded or alone."""

from __future__ import annotations

from pathlib import Path

import pytest
import torch

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


@pytest.mark.slow
@pytest.mark.parametrize("kind", ARCHITECTURES)
def test_every_architecture_trains_or_is_refused_in_words(kind: str, tmp_path: Path) -> None:
    trial = try_architecture(kind, tmp_path)
    assert trial.losses or trial.messages
    assert all("Error:" not in message for message in trial.messages)
