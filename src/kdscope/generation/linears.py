"""Linear layers made ready for many products with few rows, while a model writes.

On a processor, half of such a product goes into bringing the weight into its kernel's layout; here that is done once.
An adapter stays an adapter: merged into a bfloat16 weight, most of its change would be less than half a unit of the
weight's last digit and be rounded away, and the model would write as if it had hardly been trained.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager

import torch
from torch import Tensor
from torch.nn.functional import linear

Product = Callable[[Tensor], Tensor]

# A smaller weight is multiplied as fast as it is.
_LEAST_NUMBERS = 2**16
# The copies are held beside the weights; a model that needs more does without them.
_MOST_BYTES = 4 * 2**30
# Rows the layout is chosen for; it serves any number of them.
_ROWS = 32


@contextmanager
def prepared_linears(decoder: torch.nn.Module, dtype: torch.dtype | None) -> Iterator[None]:
    """Run a decoder's linear layers and adapters on prepared weights; the same results up to rounding.

    No weight is touched: some modules have another `forward` for as long as the context lasts.

    Args:
        decoder: In evaluation mode; its weights must not change meanwhile.
        dtype: Precision of the products (that of autocast); the weights' own where None.
    """
    replaced: list[torch.nn.Module] = []
    try:
        for module, product in [*_linears(decoder, dtype), *_adapters(decoder)]:
            module.forward = product
            replaced.append(module)
        yield
    finally:
        for module in replaced:
            del module.forward


def prepared_product(weight: Tensor, bias: Tensor | None = None) -> Product:
    """The function x -> x Wᵀ + b of a weight [out, in], in the weight's precision."""
    if not _pays(weight, weight.dtype):
        return lambda x: linear(x.to(weight.dtype), weight, bias)
    packed = torch.ops.mkldnn._reorder_linear_weight(weight.contiguous(), _ROWS)
    return lambda x: torch.ops.mkldnn._linear_pointwise(x.to(weight.dtype), packed, bias, "none", [], "")


def adapter_product(layer: torch.nn.Module) -> Product | None:
    """What a plain LoRA layer computes, x -> W x + s B A x, without what training needs; None for any other adapter.

    The base layer is called as it is; A and s B multiply in their own precision.
    """
    from peft.tuners.lora import Linear

    if not isinstance(layer, Linear) or layer.disable_adapters or layer.merged or len(layer.active_adapters) != 1:
        return None
    name = layer.active_adapters[0]
    if name not in layer.lora_A or name in layer.lora_variant or layer.lora_bias[name] or layer.training:
        return None
    down, up = layer.lora_A[name].weight, layer.lora_B[name].weight * layer.scaling[name]

    def product(x: Tensor) -> Tensor:
        result: Tensor = layer.base_layer(x)
        update = linear(linear(x.to(down.dtype), down), up)
        return (result + update).to(result.dtype)

    return product


def _linears(decoder: torch.nn.Module, dtype: torch.dtype | None) -> list[tuple[torch.nn.Module, Product]]:
    linears = [m for m in decoder.modules() if type(m) is torch.nn.Linear and "forward" not in vars(m)]
    worth = [m for m in linears if _pays(m.weight, dtype or m.weight.dtype)]
    kinds = [dtype or m.weight.dtype for m in worth]
    if sum(m.weight.numel() * kind.itemsize for m, kind in zip(worth, kinds, strict=True)) > _MOST_BYTES:
        return []
    return [
        (m, prepared_product(m.weight.to(kind), None if m.bias is None else m.bias.to(kind)))
        for m, kind in zip(worth, kinds, strict=True)
    ]


def _adapters(decoder: torch.nn.Module) -> list[tuple[torch.nn.Module, Product]]:
    products = [(m, adapter_product(m)) for m in decoder.modules() if hasattr(m, "lora_A") and "forward" not in vars(m)]
    return [(module, product) for module, product in products if product is not None]


def _pays(weight: Tensor, dtype: torch.dtype) -> bool:
    return (
        weight.device.type == "cpu"
        and dtype in (torch.float32, torch.bfloat16)
        and weight.numel() >= _LEAST_NUMBERS
        and torch.backends.mkldnn.is_available()  # type: ignore[no-untyped-call]
        and hasattr(torch.ops.mkldnn, "_reorder_linear_weight")
    )
