"""The generation backends: what `evaluation.backend` and `--backend` may name.

A backend is one file of `kdscope.generation` and one entry here. An entry names a loader, as ``module:function`` so
that planning imports neither torch nor the backend, or is the loader itself. A loader is called with the model's place
and tokenizer, `dtype` and `device`, and returns a `kdscope.generation.base.Generator`.
"""

from __future__ import annotations

from collections.abc import Callable
from importlib import import_module
from typing import Any

Loader = Callable[..., Any]

BACKENDS: dict[str, str | Loader] = {
    "transformers": "kdscope.generation.huggingface:load_transformers",
    "vllm": "kdscope.generation.vllm:load_vllm",
}


def backend_loader(name: str) -> Loader:
    """The loader of a backend, imported only now."""
    entry = BACKENDS[name]
    if callable(entry):
        return entry
    module, function = entry.split(":")
    loader: Loader = getattr(import_module(module), function)
    return loader
