"""The tiny family that comes with kdscope: three ordinary Hugging Face folders with one tokenizer."""

from __future__ import annotations

from importlib.resources import files
from pathlib import Path

import pytest
import torch
from safetensors import safe_open
from transformers import AutoModelForCausalLM, AutoTokenizer

from kdscope.tasks import get_template, mini_rows
from kdscope.tasks.mini import MINI_MAKERS

FAMILY = Path(str(files("kdscope") / "models" / "tiny"))
NAMES = ("tiny-s", "tiny-m", "tiny-l")


def test_there_are_three_and_they_are_small() -> None:
    assert {config.parent.name for config in FAMILY.glob("*/config.json")} == set(NAMES)
    weights = [FAMILY / name / "model.safetensors" for name in NAMES]
    sizes = [file.stat().st_size for file in weights]
    assert sizes == sorted(sizes)
    assert sum(file.stat().st_size for file in FAMILY.rglob("*")) < 12e6


@pytest.mark.parametrize("name", NAMES)
def test_weights_are_bfloat16_safetensors_of_a_llama(name: str) -> None:
    with safe_open(FAMILY / name / "model.safetensors", "pt") as stored:
        assert {stored.get_tensor(key).dtype for key in stored.keys()} == {torch.bfloat16}  # noqa: SIM118
    model = AutoModelForCausalLM.from_pretrained(FAMILY / name)
    assert type(model).__name__ == "LlamaForCausalLM"
    assert f"{model.num_parameters():,} parameters" in (FAMILY / name / "README.md").read_text()


def test_one_tokenizer_and_every_digit_is_a_token() -> None:
    texts = [(FAMILY / name / "tokenizer.json").read_bytes() for name in NAMES]
    assert len(set(texts)) == 1
    tokenizer = AutoTokenizer.from_pretrained(FAMILY / "tiny-s")
    pieces = [tokenizer.decode([i]) for i in tokenizer(" has 120 apples").input_ids]
    assert pieces == [" has", " ", "1", "2", "0", " apples"]
    text = "Ünïcode\n\t12,345 naïve 東京 🙂"
    assert tokenizer.decode(tokenizer(text).input_ids) == text


@pytest.mark.parametrize("task", list(MINI_MAKERS))
def test_prompts_and_responses_of_the_mini_tasks_fit_what_was_trained(task: str) -> None:
    tokenizer = AutoTokenizer.from_pretrained(FAMILY / "tiny-s")
    template = get_template("alpaca")
    rows = mini_rows(task, "test", 200)
    prompts = [len(tokenizer(template.render(row["instruction"])).input_ids) for row in rows]
    responses = [len(tokenizer(row["output"]).input_ids) for row in rows]
    # Pretraining rows have 160 tokens; the embedded studies generate 56 at most.
    assert max(p + r for p, r in zip(prompts, responses, strict=True)) < 160
    assert max(responses) < 56


@pytest.mark.parametrize("name", NAMES)
def test_the_card_has_the_metadata_that_the_hub_reads(name: str) -> None:
    front, _, body = (FAMILY / name / "README.md").read_text().removeprefix("---\n").partition("---\n")
    keys = dict(line.split(": ", 1) for line in front.splitlines())
    assert keys == {
        "license": "apache-2.0",
        "language": "en",
        "library_name": "transformers",
        "pipeline_tag": "text-generation",
    }
    assert "tokens in" in body
    assert "minutes on" in body
    assert all(kind in body for kind in MINI_MAKERS)
