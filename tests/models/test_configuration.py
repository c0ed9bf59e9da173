"""Configurations are JSON objects whose numbers have bounds."""

from __future__ import annotations

import json
import os
import time
from pathlib import Path
from typing import Any

import pytest
from transformers.models.auto.configuration_auto import CONFIG_MAPPING
from transformers.models.auto.modeling_auto import MODEL_FOR_CAUSAL_LM_MAPPING_NAMES

from kdscope.core.errors import ModelError
from kdscope.models.configuration import MAX_JSON_BYTES, check_config, read_config

FILE = Path("config.json")
REAL: dict[str, Any] = {
    "vocab_size": 256_000,
    "hidden_size": 16_384,
    "num_hidden_layers": 126,
    "max_position_embeddings": 10_485_760,
    "n_routed_experts": 384,
    "num_nextn_predict_layers": 0,
    "head_dim": None,
    "pad_token_id": -1,
    "sliding_window_size": -1,
    "attention_chunk_size": 8192,
    "time_step_limit": [0.0, float("inf")],
    "text_config": {"num_hidden_layers": 61, "num_experts": 256},
    "rope_scaling": {"mscale_all_dim": 0.707},
    "chunk_size": -1,
    "time_step_rank": "auto",
}


def test_numbers_of_real_models_are_within_the_bounds() -> None:
    check_config(REAL, FILE)


def test_the_library_s_own_configurations_are_within_the_bounds() -> None:
    """Those of causal LMs: sizes of -1, whole sizes that are fractions, thousands of experts."""
    checked = 0
    for name in sorted(MODEL_FOR_CAUSAL_LM_MAPPING_NAMES):
        try:
            told = json.loads(CONFIG_MAPPING[name]().to_json_string(use_diff=False))
        except Exception:
            continue  # has no configuration without arguments
        check_config(told, FILE)
        checked += 1
    assert checked > 100


@pytest.mark.parametrize(
    ("changes", "words"),
    [
        ({"num_hidden_layers": 10**9}, "'num_hidden_layers' is 1000000000; it is a number from 1 to 1024"),
        ({"num_hidden_layers": 0}, "'num_hidden_layers' is 0"),
        ({"n_layer": -3}, "'n_layer' is -3"),
        ({"hidden_size": -32}, "'hidden_size' is -32; it is a number from -1 to 16777216"),
        ({"vocab_size": 10**12}, "'vocab_size' is 1000000000000"),
        ({"hidden_size": 1e9}, "'hidden_size' is 1000000000.0"),
        ({"vocab_size": float("inf")}, "'vocab_size' is inf"),
        ({"rope_theta": float("nan")}, "'rope_theta' is nan; it is a finite number"),
        ({"text_config": {"intermediate_size": 10**10}}, "'text_config.intermediate_size' is 10000000000"),
        ({"intermediate_size": [64, 10**10]}, "'intermediate_size' is 10000000000"),
        ({"anything": 10**40}, "'anything' is 1000"),
        ({"text_config": {"_attn_implementation": "who/ever"}}, "takes code from the repository 'who/ever'"),
        ({"num_local_experts": 60_000}, "asks for 126 layers of 60000 experts; at most 524288 in all"),
    ],
)
def test_numbers_beyond_the_bounds_are_refused(changes: dict[str, Any], words: str) -> None:
    with pytest.raises(ModelError, match=f"^config.json:? .*{words}"):
        check_config(REAL | changes, FILE)


@pytest.mark.parametrize(
    ("content", "words"),
    [
        (b"[]", "is not a JSON object: a list is at its top"),
        (b"", "is not a JSON object: Expecting value"),
        (b"\xff{}", "is not a JSON object"),
        (b'{"a":' * 100_000, "is nested too deeply"),
        (b'{"a": ' + b"1" * 5000 + b"}", "is not a JSON object"),
    ],
)
def test_what_is_no_configuration_is_told(tmp_path: Path, content: bytes, words: str) -> None:
    (tmp_path / "config.json").write_bytes(content)
    with pytest.raises(ModelError, match=rf"config\.json {words}"):
        read_config(tmp_path)


def test_a_configuration_nested_as_deep_as_json_reads_is_checked(tmp_path: Path) -> None:
    value: Any = 1
    for _ in range(800):
        value = {"a": [value]}
    (tmp_path / "config.json").write_text(json.dumps(REAL))
    check_config({**read_config(tmp_path), "deep": value}, FILE)


def test_a_huge_configuration_is_not_read(tmp_path: Path) -> None:
    with (tmp_path / "config.json").open("wb") as file:
        file.truncate(MAX_JSON_BYTES + 1)
    began = time.process_time()
    with pytest.raises(ModelError, match=rf"has {MAX_JSON_BYTES + 1} bytes; at most {MAX_JSON_BYTES} are read"):
        read_config(tmp_path)
    assert time.process_time() - began < 1


def test_a_pipe_is_not_waited_for(tmp_path: Path) -> None:
    os.mkfifo(tmp_path / "config.json")
    with pytest.raises(ModelError, match=r"config\.json is not a file"):
        read_config(tmp_path)
