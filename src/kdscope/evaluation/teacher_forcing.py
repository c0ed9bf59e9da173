"""Teacher forcing: a model reads a given text and says what it makes of it, token by token.

A text is a prompt and a response; the model reads both in one pass, and only the positions that predict a token of the
response go through its head, a chunk of rows at a time: logits of a whole vocabulary never stand beside each other for
all positions. Weights and products are in the model's own precision, everything from the logits on in float32.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass

import torch
from torch import Tensor
from torch.nn.functional import pad
from transformers import PreTrainedModel

from kdscope.data.batches import Batch, TokenSequence, collate, plan_micro_batches
from kdscope.models.forward import SelectedStates, head_of
from kdscope.models.packing import can_pack, packed
from kdscope.objectives import Head

# Tokens read in one pass, and elements of one [rows, V] tensor.
_BATCH_TOKENS = 4096
_CHUNK_ELEMENTS = 2**24
_CHUNK_ELEMENTS_ON_ACCELERATOR = 2**26


@dataclass(frozen=True)
class ForcedModel:
    """A frozen causal LM in evaluation mode that reads given texts.

    Attributes:
        states: Its decoder.
        head: Its head.
        can_pack: Whether it may be given packed sequences.
    """

    states: SelectedStates
    head: Head
    can_pack: bool

    @classmethod
    def of(cls, model: PreTrainedModel) -> ForcedModel:
        """A loaded model, in evaluation mode.

        Raises:
            ModelError: Its head is not a linear layer.
        """
        return cls(SelectedStates(model), head_of(model), can_pack(model))

    @property
    def device(self) -> torch.device:
        """Where it computes."""
        return self.head.weight.device

    @torch.no_grad()
    def read(self, batch: Batch) -> Tensor:
        """The last hidden states that predict the batch's targets, [N, D]."""
        with packed(self.states.model, batch.attention_mask is None):
            states: Tensor = self.states(**batch.inputs())
        return states


def forced_batches(
    sequences: Sequence[TokenSequence], pad_id: int, *, packed: bool, device: torch.device
) -> Iterator[tuple[list[TokenSequence], Batch]]:
    """Texts in micro-batches, longest first; the targets of a batch are those of its texts, one after another."""
    for micro in plan_micro_batches(sequences, _BATCH_TOKENS, packed=packed):
        yield micro, collate(micro, pad_id, prompt_in_loss=False, packed=packed).to(device)


def chunk_rows(vocabulary: int, device: torch.device) -> int:
    """How many rows of logits are held at once."""
    limit = _CHUNK_ELEMENTS if device.type == "cpu" else _CHUNK_ELEMENTS_ON_ACCELERATOR
    return max(16, limit // vocabulary)


def pieces(rows: int, limit: int) -> Iterator[slice]:
    """So many rows in even pieces, none longer than `limit`.

    >>> list(pieces(7, 3))
    [slice(0, 2, None), slice(2, 4, None), slice(4, 7, None)]
    """
    number = -(-rows // limit)
    for piece in range(number):
        yield slice(rows * piece // number, rows * (piece + 1) // number)


@torch.no_grad()
def log_probabilities(
    model: ForcedModel, sequences: Sequence[TokenSequence], wanted: Sequence[Tensor], pad_id: int
) -> list[Tensor]:
    """The log-probability of some tokens at each position of each response.

    Args:
        model: Reads.
        sequences: Texts, each numbered (`example`) by its place in this list.
        wanted: Of each text, the tokens asked about at each position of its response, [positions, W], int64; W may
            differ between texts.
        pad_id: What fills rows that cannot be packed.

    Returns:
        Of each text, nats, [positions, W], float64, on the CPU.
    """
    found: list[Tensor] = [torch.empty(0)] * len(sequences)
    for micro, batch in forced_batches(sequences, pad_id, packed=model.can_pack, device=model.device):
        asked = [wanted[sequence.example] for sequence in micro]
        width = max(tokens.shape[1] for tokens in asked)
        together = torch.cat([pad(tokens, (0, width - tokens.shape[1])) for tokens in asked])
        told = _gather(model.head, model.read(batch), together.to(model.device)).cpu().double()
        for sequence, tokens, part in zip(micro, asked, torch.split(told, [len(a) for a in asked]), strict=True):
            found[sequence.example] = part[:, : tokens.shape[1]]
    return found


def _gather(head: Head, hidden: Tensor, wanted: Tensor) -> Tensor:
    parts = []
    for rows in pieces(len(hidden), chunk_rows(head.vocabulary, hidden.device)):
        logits = head.logits(hidden[rows])
        parts.append(logits.gather(-1, wanted[rows]) - logits.logsumexp(-1, keepdim=True))
    return torch.cat(parts)
