"""A small random student, sequences to train on, and a job that a test can change."""

from __future__ import annotations

import random
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
import torch

from kdscope.data.batches import TokenSequence
from kdscope.models.load import add_lora, all_weights, load_model
from kdscope.models.source import ModelPlace
from kdscope.objectives import Objective
from kdscope.training.loop import Job
from tests.builders import make_model


@pytest.fixture(scope="session")
def model_folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return make_model(tmp_path_factory.mktemp("model") / "student", layers=2)


def settings(**changes: Any) -> SimpleNamespace:
    values: dict[str, Any] = {
        "epochs": 2,
        "max_steps": None,
        "batch_size_sequences": 8,
        "micro_batch_tokens": 10_000,
        "schedule": "linear",
        "warmup_steps": 2,
        "weight_decay": 0.0,
        "gradient_clip_norm": 1.0,
        "checkpoint_every_steps": 3,
        "validate_every_steps": 4,
        "keep": "last",
    }
    return SimpleNamespace(**(values | changes))


def sequences(count: int, seed: int = 0) -> list[TokenSequence]:
    """Sequences of random length whose response repeats tokens of the prompt, so that there is something to learn."""
    rng = random.Random(seed)
    made = []
    for example in range(count):
        prompt = [rng.randrange(200) for _ in range(rng.randint(3, 12))]
        response = [*prompt[: rng.randint(1, 6)], 256]
        made.append(TokenSequence(example, tuple(prompt + response), len(prompt)))
    return made


@pytest.fixture
def make_job(model_folder: Path) -> Callable[..., Job]:
    """Jobs on freshly loaded models, so that two jobs of one test start alike."""

    def make(*, lora: bool = False, dropout: float = 0.0, **changes: Any) -> Job:
        torch.set_num_threads(1)
        model = load_model(ModelPlace(str(model_folder)), "float32", "cpu")
        trainable = (
            add_lora(
                model.requires_grad_(False), rank=4, alpha=8.0, dropout=dropout, target_modules="all-linear", seed=0
            )
            if lora
            else all_weights(model)
        )
        job = Job(
            model=trainable,
            train=sequences(40),
            validation=sequences(6, seed=9),
            objective=Objective("none", kd_weight=0.0),
            settings=settings(),
            learning_rate=3e-3,
            seed=1,
            prompt_in_loss=False,
            pad_id=257,
            autocast=False,
        )
        return replace(job, **changes)

    return make
