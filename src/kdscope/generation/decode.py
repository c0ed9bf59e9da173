"""Batched decoding: the prompts once, then a token a step for the rows that are not finished.

transformers' `generate` serves every model and every wish; this loop serves one wish and the models it was seen to be
right for (`can_decode`). The next token of a row is the largest, or drawn with a number that is the row's own.

While a model writes, its linear layers are made ready for many products with few rows: on a processor, half of such a
product goes into bringing the weight into its kernel's layout; here that is done once. An adapter stays an adapter:
merged into a bfloat16 weight, most of its change would be less than half a unit of the weight's last digit and be
rounded away, and the model would write as if it had hardly been trained.
"""

from __future__ import annotations

import random
from collections.abc import Callable, Collection, Iterable, Iterator, Sequence
from contextlib import contextmanager

import torch
from torch import Tensor
from torch.nn.functional import linear
from transformers import PreTrainedModel

from kdscope.core.errors import ModelError
from kdscope.core.seeds import derive_seed
from kdscope.generation.batch import DecodingBatch
from kdscope.models.forward import NOT_NUMBERS, decoder_of, head_of

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


# Nearly every nucleus lies within so many tokens; finding these costs a tenth of sorting a vocabulary.
_LIKELIEST = 1024


def uniform_numbers(seed: int, call: int, rows: Iterable[int], steps: int) -> Tensor:
    """One number in [0, 1) a row and step, [rows, steps] float64: a function of (seed, call, row, step) alone.

    Neither the other rows nor the number of steps changes any of them.

    >>> bool((uniform_numbers(0, 1, [2], 3) == uniform_numbers(0, 1, range(4), 9)[2:3, :3]).all())
    True
    """
    sources = [random.Random(derive_seed(seed, "generate", call, row)) for row in rows]
    return torch.tensor([[source.random() for _ in range(steps)] for source in sources], dtype=torch.float64)


def largest(logits: Tensor) -> Tensor:
    """The likeliest token of each row, [B]; the first of equals; -1 where the logits are not numbers."""
    values, tokens = logits.max(-1)
    return torch.where(values.isfinite(), tokens, -1)


def draw(logits: Tensor, temperature: float, top_p: float, uniform: Tensor) -> Tensor:
    """A token of each row from softmax(z / T), by inverting its distribution function.

    The token is the first whose cumulative probability exceeds u times the whole. Probabilities are float32, their sums
    float64: rounding then neither reaches a token of probability zero nor makes a rare one unreachable.

    Args:
        logits: z, [B, V], float32.
        temperature: T, above 0.
        top_p: Only the smallest set of likeliest tokens with at least this probability is drawn from (Holtzman et al.
            2020, nucleus sampling); 1 keeps the whole distribution.
        uniform: u, one number in [0, 1) a row, [B] float64.

    Returns:
        Token ids [B]; -1 where the logits are not numbers.
    """
    probabilities = torch.softmax(logits if temperature == 1.0 else logits / temperature, -1)
    if probabilities.device.type == "mps":  # has no float64
        probabilities = probabilities.cpu()
    # One logit that is not a number makes its whole row so.
    broken = probabilities[:, 0].isnan()
    tokens = None
    if top_p < 1.0:
        probabilities, tokens = _nucleus(probabilities.nan_to_num(1.0), top_p)
    cumulative = probabilities.cumsum(-1, dtype=torch.float64)
    threshold = uniform.to(cumulative.device)[:, None] * cumulative[:, -1:]
    places = torch.searchsorted(cumulative, threshold, right=True).masked_fill(broken[:, None], 0)
    drawn = places if tokens is None else tokens.gather(-1, places)
    return drawn[:, 0].masked_fill(broken, -1).to(logits.device)


def _nucleus(probabilities: Tensor, top_p: float) -> tuple[Tensor, Tensor]:
    """The likeliest tokens, with zero in place of the probabilities outside of the nucleus."""
    vocabulary = probabilities.shape[-1]
    for count in (min(_LIKELIEST, vocabulary), vocabulary):
        ordered, tokens = probabilities.topk(count)
        before = ordered.cumsum(-1, dtype=torch.float64) - ordered
        if count == vocabulary or bool((before[:, -1] >= top_p).all()):
            break
    return ordered.where(before < top_p, 0.0), tokens


# A token for each row of the batch: (logits [B, V], the prompt each row continues [B], step) -> token ids [B].
Choose = Callable[[Tensor, Tensor, int], Tensor]
# Whether a row ends with the last of the tokens it has written.
Reached = Callable[[Sequence[int]], bool]

# Finished rows leave the batch once they are this share of it: moving others into their place costs less than they do.
_FINISHED_SHARE = 1 / 32


@torch.inference_mode()
def decode(
    model: PreTrainedModel,
    prompts: Sequence[Sequence[int]],
    room: Sequence[int],
    stops: Collection[int],
    choose: Choose,
    dtype: torch.dtype | None = None,
    reached: Reached | None = None,
) -> list[list[int]]:
    """What a model writes after each prompt: up to an end token, which is kept, or until the room is used up.

    Args:
        model: In evaluation mode, and one for which `can_decode` is true.
        prompts: Token ids of each prompt.
        room: Most tokens to write after each prompt.
        stops: The end tokens.
        choose: Gives the tokens; what it gives for one row should not depend on the others.
        dtype: Precision of the products (that of autocast); the weights' own where None.
        reached: Asked after every token whether what a row has written is to be its end.

    Raises:
        ModelError: The model's logits are not numbers.
    """
    texts = _Texts(room, stops, reached)
    rows = [row for row, most in enumerate(room) if most > 0]
    if not rows:
        return texts.written
    with prepared_linears(decoder_of(model), dtype):
        head = head_of(model, dtype)
        project = prepared_product(head.weight)
        batch = DecodingBatch(model, [prompts[row] for row in rows], max(room))
        states, which = batch.read(), torch.tensor(rows, device=model.device)
        for step in range(max(room)):
            tokens = choose(head.finish(project(states)), which, step)
            going = texts.write(rows, tokens.tolist())
            if not going:
                break
            if len(going) <= (1 - _FINISHED_SHARE) * len(rows):
                places = _closed_up(going)
                rows = [rows[place] for place in places]
                kept = torch.tensor(places, device=model.device)
                tokens, which = tokens[kept], which[kept]
                batch.keep(kept)
            states = batch.append(tokens)
    return texts.written


def can_decode(model: PreTrainedModel) -> bool:
    """Whether `decode` gives this model's own logits: three prompts that begin alike, padded, one finished early.

    The reference is the model's plain forward pass on each text alone, without padding and without a cache.
    """
    vocabulary = model.config.get_text_config().vocab_size
    texts = [[((place >= 16) * 7 * row + 3 * place + 1) % vocabulary for place in range(28)] for row in range(3)]
    lengths, room = (23, 19, 21), (5, 2, 4)
    seen: dict[tuple[int, int], Tensor] = {}

    def follow(logits: Tensor, rows: Tensor, step: int) -> Tensor:
        for row, values in zip(rows.tolist(), logits, strict=True):
            seen[row, step] = values
        return torch.tensor([texts[row][lengths[row] + step] for row in rows.tolist()], device=logits.device)

    try:
        with torch.no_grad(), torch.autocast(model.device.type, enabled=False):
            decode(model, [text[:n] for text, n in zip(texts, lengths, strict=True)], room, (), follow)
            own = [model(input_ids=torch.tensor([text], device=model.device)).logits[0].float() for text in texts]
    except Exception:  # a model of another build fails in its own way; transformers' `generate` knows it
        return False
    tolerance = 1e-4 if model.dtype == torch.float32 else 0.05
    return all(
        _agree(own[row][lengths[row] + step - 1], seen[row, step], tolerance)
        for row in range(3)
        for step in range(room[row])
    )


class _Texts:
    """What each row has written, and which rows go on."""

    def __init__(self, room: Sequence[int], stops: Collection[int], reached: Reached | None) -> None:
        self.written: list[list[int]] = [[] for _ in room]
        self._room, self._stops, self._reached = room, stops, reached
        self._finished = {row for row, most in enumerate(room) if most == 0}

    def write(self, rows: Sequence[int], tokens: Sequence[int]) -> list[int]:
        """Note the tokens of the rows that were not finished before; gives the places in the batch that go on."""
        going = []
        for place, (row, token) in enumerate(zip(rows, tokens, strict=True)):
            if row in self._finished:
                continue
            if token < 0:
                raise ModelError(NOT_NUMBERS)
            self.written[row].append(token)
            if self._ends(row, token):
                self._finished.add(row)
            else:
                going.append(place)
        return going

    def _ends(self, row: int, token: int) -> bool:
        text = self.written[row]
        return (
            len(text) == self._room[row] or token in self._stops or (self._reached is not None and self._reached(text))
        )


def _closed_up(going: Sequence[int]) -> list[int]:
    """The same places, those that are late put where others have left: as few rows as possible are moved.

    >>> _closed_up([0, 2, 4, 5])
    [0, 4, 2, 5]
    """
    count = len(going)
    stay, late = {place for place in going if place < count}, iter([place for place in going if place >= count])
    return [place if place in stay else next(late) for place in range(count)]


def _agree(own: Tensor, ours: Tensor, tolerance: float) -> bool:
    # Logits that are not numbers agree: `decode` says so where it meets them.
    largest = own.nan_to_num(0.0, 0.0, 0.0).abs().max().item()
    return torch.allclose(own, ours, rtol=tolerance, atol=tolerance * largest, equal_nan=True)
