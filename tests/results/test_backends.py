"""The catalogue of generation backends."""

from __future__ import annotations

from pathlib import Path

import pytest

from kdscope.core.extensions import load_extensions, origin
from kdscope.models.load import load_tokenizer
from kdscope.models.source import ModelPlace
from kdscope.results.backends import BACKENDS
from kdscope.study.schema import Evaluation

PLACE = ModelPlace(str(Path(__file__).parents[2] / "src/kdscope/models/tiny/tiny-s"))


def test_the_transformers_backend_generates() -> None:
    from kdscope.generation.base import Decoding

    tokenizer = load_tokenizer(PLACE)
    generator = BACKENDS["transformers"].load(PLACE, tokenizer, dtype="float32", device="cpu")
    assert len(generator.generate([[5, 6, 7]], Decoding(3), call=0)[0].token_ids) <= 3


def test_a_study_names_a_backend_of_the_catalogue() -> None:
    assert Evaluation(backend="vllm").backend == "vllm"
    with pytest.raises(ValueError, match=r"'transformers'.* 'vllm'"):
        Evaluation(backend="vlm")


def test_an_extension_adds_a_backend(tmp_path: Path) -> None:
    file = tmp_path / "mine.py"
    file.write_text("from kdscope.extend import register_backend\nregister_backend('mine', lambda *a, **k: (a, k))\n")
    try:
        load_extensions([file])
        assert Evaluation(backend="mine").backend == "mine"
        assert BACKENDS["mine"].load(1, 2, dtype="float32", device="cpu") == (
            (1, 2),
            {"dtype": "float32", "device": "cpu"},
        )
        assert origin("backend", "mine") is not None
    finally:
        load_extensions([])
    assert list(BACKENDS) == ["transformers", "vllm"]
