"""Small real things made on the spot: models with random weights, data files, studies."""

from __future__ import annotations

import json
import random
from pathlib import Path
from typing import Any

import yaml

from kdscope.data.examples import Item, as_items
from kdscope.data.rows import read_rows

HOLLOW_WEIGHTS = (2).to_bytes(8, "little") + b"{}"
"""A safetensors file without a tensor."""


def make_model(
    folder: Path, *, layers: int = 3, hidden: int = 32, seed: int = 0, extra_rows: int = 0, spread: float = 0.02
) -> Path:
    """A random Llama with a byte-level tokenizer (258 tokens), saved as an ordinary Hugging Face folder.

    With a `spread` (standard deviation of the weights) of about 0.3 it has opinions: it does not repeat one token.
    """
    import torch
    from transformers import LlamaConfig, LlamaForCausalLM

    tokenizer = make_tokenizer()
    config = LlamaConfig(
        vocab_size=len(tokenizer) + extra_rows,
        hidden_size=hidden,
        intermediate_size=2 * hidden,
        num_hidden_layers=layers,
        num_attention_heads=2,
        num_key_value_heads=1,
        max_position_embeddings=512,
        bos_token_id=None,
        eos_token_id=tokenizer.eos_token_id,
        pad_token_id=tokenizer.pad_token_id,
        tie_word_embeddings=True,
        initializer_range=spread,
    )
    torch.manual_seed(seed)
    LlamaForCausalLM(config).save_pretrained(folder)
    tokenizer.save_pretrained(folder)
    return folder


def make_hollow_model(folder: Path) -> Path:
    """A folder that planning takes for a model; it holds no weights and is never loaded."""
    folder.mkdir()
    (folder / "config.json").write_text(json.dumps({"num_hidden_layers": 3}))
    (folder / "tokenizer.json").write_text("{}")
    (folder / "model.safetensors").write_bytes(HOLLOW_WEIGHTS)
    return folder


def make_hollow_family(folder: Path, *names: str) -> Path:
    """Stands for the installed package: under models/tiny, hollow models of these names."""
    (folder / "models" / "tiny").mkdir(parents=True)
    for name in names:
        make_hollow_model(folder / "models" / "tiny" / name)
    return folder


def make_tokenizer() -> Any:
    """One token a byte, an end token and a padding token."""
    from tokenizers import Tokenizer, decoders, models, pre_tokenizers
    from transformers import PreTrainedTokenizerFast

    alphabet = sorted(pre_tokenizers.ByteLevel.alphabet())
    inner = Tokenizer(models.BPE(vocab={c: i for i, c in enumerate(alphabet)}, merges=[]))
    inner.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False)
    inner.decoder = decoders.ByteLevel()
    return PreTrainedTokenizerFast(tokenizer_object=inner, eos_token="<end>", pad_token="<pad>")


def make_rows(count: int, seed: int = 0) -> list[dict[str, str]]:
    """Addition problems in the LLM-Adapters schema."""
    rng = random.Random(seed)
    rows = []
    for _ in range(count):
        a, b = rng.randint(2, 90), rng.randint(2, 90)
        answer = str(a + b)
        question = f"Ann has {a} pens and gets {b}. How many now?"
        rows.append(
            {
                "instruction": question,
                "input": "",
                "output": f"{a} + {b} = {answer}. The answer is {answer}.",
                "answer": answer,
            }
        )
    return rows


def make_data(folder: Path, *, train: int = 24, test: int = 6) -> Path:
    """data/train.json and tasks/{AddSub,SVAMP}/test.json under one folder."""
    for name, rows in (
        ("train.json", make_rows(train, 1)),
        ("tasks/AddSub/test.json", make_rows(test, 2)),
        ("tasks/SVAMP/test.json", make_rows(test, 3)),
    ):
        file = folder / name
        file.parent.mkdir(parents=True, exist_ok=True)
        file.write_text(json.dumps(rows))
    return folder


def study_values(folder: Path, **changes: Any) -> dict[str, Any]:
    """A study of a few seconds: one teacher, a pruned student, two epochs."""
    values: dict[str, Any] = {
        "name": "small",
        "data": {"path": str(folder / "train.json"), "validation_items": 4},
        "tasks": {"folder": str(folder / "tasks"), "names": ["AddSub", "SVAMP"]},
        "teachers": [{"name": "big", "path": str(folder / "teacher")}],
        "students": [{"name": "cut", "path": str(folder / "teacher"), "keep_layers": 2, "tuning": "full"}],
        "methods": ["sft", "seqkd", {"name": "forward_kl", "kd_temperature": [1.0, 2.0]}, "gkd"],
        "training": {
            "epochs": 2,
            "batch_size_sequences": 5,
            "max_length_tokens": 200,
            "learning_rate": 1e-3,
            "checkpoint_every_steps": 2,
            "validate_every_steps": 3,
        },
        "teacher_generation": {"max_new_tokens": 12},
        "evaluation": {"max_new_tokens": 8, "batch_size": 4},
        "runtime": {"device": "cpu", "threads": 1},
    }
    values.update(changes)
    return values


def made_up_study(folder: Path) -> dict[str, Any]:
    """What changes the small study into one of generated problems: few labelled rows, prompts without answers, and a
    teacher that was adapted on rows of its own."""
    tasks = ["mini-one-step", "mini-choose"]
    training = {**study_values(folder)["training"], "max_steps": 6}
    del training["epochs"]
    return {
        "data": {
            "mini": {"tasks": tasks, "rows_per_task": 10, "skip_per_task": 40},
            "validation_items": 4,
            "unlabelled": {"mini": {"tasks": tasks, "rows_per_task": 15, "skip_per_task": 50}},
        },
        "tasks": {"names": tasks, "mini_items": 6},
        "teachers": [
            {
                "name": "big",
                "path": str(folder / "teacher"),
                "data": {"mini": {"tasks": tasks, "rows_per_task": 40}, "validation_items": 8},
            }
        ],
        "training": training,
    }


def write_study(folder: Path, **changes: Any) -> Path:
    """The study as a file beside its data and models."""
    file = folder / "study.yaml"
    file.write_text(yaml.safe_dump(study_values(folder, **changes), sort_keys=False))
    return file


def make_world(folder: Path, **changes: Any) -> Path:
    """Data, model and study; returns the study file."""
    make_data(folder)
    make_model(folder / "teacher")
    return write_study(folder, **changes)


def table_bytes(folder: Path) -> dict[str, bytes]:
    """A run's tables by file name, without what differs each time: how long it took, in how much memory, and where."""
    import pandas as pd

    found = {file.name: file.read_bytes() for file in sorted(folder.iterdir()) if file.name != "facts.json"}
    cells = pd.read_csv(folder / "cells.csv").drop(columns=["training_seconds", "peak_memory_bytes"])
    return found | {"cells.csv": cells.to_csv().encode(), "cells.parquet": b""}


def read_items(task: Any, folder: Path, limit: int | None = None) -> list[Item]:
    """The first `limit` items of `folder/<task>/test.json`, or all."""
    return as_items(task, read_rows(folder / task.name / "test.json")[:limit])
