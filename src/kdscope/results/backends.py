"""The catalogue of generation backends: what `evaluation.backend` and `--backend` may name.

A backend is one file of `kdscope.generation` and one entry here.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from importlib import import_module
from typing import Any

from kdscope.core.catalogue import Catalogue

Loader = Callable[..., Any]
"""Called with a model's place and tokenizer, `dtype` and `device`; gives a `kdscope.generation.base.Generator`."""


@dataclass(frozen=True)
class Backend:
    """A way to generate completions.

    Attributes:
        name: As a study has it.
        loader: The function that loads a model, or where it is, as ``module:function``: planning imports neither torch
            nor a backend.
    """

    name: str
    loader: str | Loader

    def load(self, place: Any, tokenizer: Any, *, dtype: str, device: str) -> Any:
        """The generator of a model."""
        if not isinstance(self.loader, str):
            return self.loader(place, tokenizer, dtype=dtype, device=device)
        module, function = self.loader.split(":")
        return getattr(import_module(module), function)(place, tokenizer, dtype=dtype, device=device)


BACKENDS = Catalogue(
    "backend",
    [
        Backend("transformers", "kdscope.generation.huggingface:load_transformers"),
        Backend("vllm", "kdscope.generation.vllm:load_vllm"),
    ],
)
