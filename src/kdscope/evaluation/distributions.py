"""Next-token distributions of teacher and student on the same texts, read by teacher forcing.

A text is a prompt and a response; a model reads both in one pass, and only the positions that predict a token of the
response go through its head, a chunk of rows at a time: logits of a whole vocabulary never stand beside each other for
all positions. Weights and products are in the model's own precision, everything from the logits on in float32.

Shape legend: N positions that predict a token of a response, n of them in a block, V shared tokens of the vocabulary.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, replace
from typing import Any

import torch
from torch import Tensor
from torch.nn.functional import pad
from transformers import PreTrainedModel

from kdscope.core.errors import ModelError
from kdscope.data.batches import Batch, TokenSequence, collate, plan_micro_batches
from kdscope.evaluation.continuations import Continuation
from kdscope.models.forward import SelectedStates, check_numbers, head_of
from kdscope.models.limits import least, position_limit
from kdscope.models.packing import can_pack, longest_together, packed
from kdscope.models.vocabulary import VocabularyMatch, cut_student_logits, cut_teacher_logits
from kdscope.objectives import Head
from kdscope.objectives.divergence import Distribution, mixture, zero_where_impossible_

# Tokens read in one pass, and elements of one [rows, V] tensor.
_BATCH_TOKENS = 4096
_CHUNK_ELEMENTS = 2**24
_CHUNK_ELEMENTS_ON_ACCELERATOR = 2**26
TOP = 5
"""How many of the likeliest tokens `top5_overlap` compares."""
# Elements of one [n, V] tensor in the elementwise passes: on a CPU it has to fit into the cache a few times over.
_BLOCK_ELEMENTS = 2**18
_BLOCK_ELEMENTS_ON_ACCELERATOR = 2**24
_PARTS = 64


@dataclass(frozen=True)
class ForcedModel:
    """A frozen causal LM in evaluation mode that reads given texts.

    Attributes:
        states: Its decoder.
        head: Its head.
        can_pack: Whether it may be given packed sequences.
        longest_together: Most tokens of a text that others may be read beside; None for no limit.
        position_limit: Most tokens of a text it has positions for; None for no limit.
    """

    states: SelectedStates
    head: Head
    can_pack: bool
    longest_together: int | None = None
    position_limit: int | None = None

    @classmethod
    def of(cls, model: PreTrainedModel) -> ForcedModel:
        """A loaded model, in evaluation mode.

        Raises:
            ModelError: Its head is not a linear layer.
        """
        pack = can_pack(model)
        return cls(SelectedStates(model), head_of(model), pack, longest_together(model, pack), position_limit(model))

    @property
    def device(self) -> torch.device:
        """Device of its weights."""
        return self.head.weight.device

    @torch.no_grad()
    def read(self, batch: Batch) -> Tensor:
        """The last hidden states that predict the batch's targets, [N, D]."""
        with packed(self.states.model, batch.attention_mask is None):
            states: Tensor = self.states(**batch.inputs())
        return states


def layout(*models: ForcedModel) -> Any:
    """How texts that all of these models read are laid out: settings of `forced_batches`."""
    return {
        "packed": all(model.can_pack for model in models),
        "device": models[0].device,
        "longest_together": least(model.longest_together for model in models),
    }


def forced_batches(
    sequences: Sequence[TokenSequence],
    pad_id: int,
    *,
    packed: bool,
    device: torch.device,
    longest_together: int | None = None,
) -> Iterator[tuple[list[TokenSequence], Batch]]:
    """Texts in micro-batches, longest first; the targets of a batch are those of its texts, one after another."""
    for micro in plan_micro_batches(sequences, _BATCH_TOKENS, packed=packed, longest_together=longest_together):
        yield micro, collate(micro, pad_id, prompt_in_loss=False, packed=packed).to(device)


def chunk_rows(vocabulary: int, device: torch.device) -> int:
    """Number of rows of logits held at once."""
    limit = _CHUNK_ELEMENTS if device.type == "cpu" else _CHUNK_ELEMENTS_ON_ACCELERATOR
    return max(16, limit // vocabulary)


def pieces(rows: int, limit: int) -> Iterator[slice]:
    """Slices that cut a number of rows into even pieces, none longer than `limit`.

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

    Raises:
        ModelError: The logits are not numbers.
    """
    found: list[Tensor] = [torch.empty(0)] * len(sequences)
    for micro, batch in forced_batches(sequences, pad_id, **layout(model)):
        wanted_here = [wanted[sequence.example] for sequence in micro]
        width = max(tokens.shape[1] for tokens in wanted_here)
        together = torch.cat([pad(tokens, (0, width - tokens.shape[1])) for tokens in wanted_here])
        gathered = _gather(model.head, model.read(batch), together.to(model.device)).cpu().double()
        for sequence, tokens, part in zip(
            micro, wanted_here, torch.split(gathered, [len(a) for a in wanted_here]), strict=True
        ):
            found[sequence.example] = part[:, : tokens.shape[1]]
    return found


def _gather(head: Head, hidden: Tensor, wanted: Tensor) -> Tensor:
    parts = []
    for rows in pieces(len(hidden), chunk_rows(head.vocabulary, hidden.device)):
        logits = head.logits(hidden[rows])
        check_numbers(logits)
        parts.append(logits.gather(-1, wanted[rows]) - logits.logsumexp(-1, keepdim=True))
    return torch.cat(parts)


@dataclass(frozen=True)
class DistributionRow:
    """One text, read by both: means over the positions of its response, in nats or as fractions of 1.

    With P the teacher's and Q the student's distribution of the next token at temperature 1, over the tokens both have.

    Attributes:
        task: Task name.
        item_id: Stable id of the item.
        prefix: Whose text it is: gold, teacher or student.
        tokens: Positions averaged: tokens of the response, its end token included.
        forward_kl: KL(P‖Q).
        reverse_kl: KL(Q‖P).
        jensen_shannon: (KL(P‖M) + KL(Q‖M)) / 2 with M = (P + Q) / 2; at most log 2 (Lin 1991).
        total_variation: Σ|P - Q| / 2.
        top1_agreement: Share of positions with the same likeliest token (the first of equals, as greedy decoding has).
        top5_overlap: |A ∩ B| / 5 for the sets A, B of either's five likeliest tokens.
        teacher_nll: -log P of the token that follows.
        student_nll: -log Q of it.
        teacher_confidence: The probability of P's likeliest token.
        student_confidence: The same of Q.
        teacher_cut_mass: Probability on padding rows of the teacher's vocabulary that the student lacks; all other
            columns are of what is left, normalised.
        student_cut_mass: The same the other way.
    """

    task: str
    item_id: str
    prefix: str
    tokens: int
    forward_kl: float
    reverse_kl: float
    jensen_shannon: float
    total_variation: float
    top1_agreement: float
    top5_overlap: float
    teacher_nll: float
    student_nll: float
    teacher_confidence: float
    student_confidence: float
    teacher_cut_mass: float
    student_cut_mass: float

    @property
    def nll_gap(self) -> float:
        """By how much the text is less likely under the student, in nats a token."""
        return self.student_nll - self.teacher_nll


@dataclass(frozen=True)
class ForcedPair:
    """A teacher and a student on one device, and how their vocabularies line up."""

    teacher: ForcedModel
    student: ForcedModel
    vocabulary: VocabularyMatch

    @property
    def position_limit(self) -> int | None:
        """Most tokens of a text that both have positions for; None for no limit."""
        return least((self.teacher.position_limit, self.student.position_limit))


def compare_distributions(
    pair: ForcedPair,
    continuations: Sequence[Continuation],
    pad_id: int,
    progress: Callable[[int, int], None] = lambda done, total: None,
) -> list[DistributionRow]:
    """One pass of both models over every text; a text that several ask for is read once.

    Args:
        pair: The models.
        continuations: The texts, of which both read as much as they have positions for; those without a single token
            of response are left out.
        pad_id: What fills rows where the models cannot be given packed sequences.
        progress: Called with (texts done, texts in all).

    Raises:
        ModelError: The logits of a model are not numbers.
    """
    readable = (_within(one, pair.position_limit) for one in continuations)
    with_response = [one for one in readable if one.response_ids]
    texts = {text: number for number, text in enumerate(dict.fromkeys(map(_text, with_response)))}
    sequences = [TokenSequence(n, (*prompt, *response), len(prompt)) for (prompt, response), n in texts.items()]
    means: dict[int, tuple[int, list[float]]] = {}
    for micro, batch in forced_batches(sequences, pad_id, **layout(pair.teacher, pair.student)):
        counts = [len(s.token_ids) - s.first_target(prompt_in_loss=False) for s in micro]
        measured = _measure(pair, batch).cpu().double()
        for sequence, rows in zip(micro, torch.split(measured, counts), strict=True):
            means[sequence.example] = len(rows), rows.mean(0).tolist()
        progress(len(means), len(sequences))
    return [_row(one, *means[texts[_text(one)]]) for one in with_response]


def compare_logits(teacher_logits: Tensor, student_logits: Tensor, targets: Tensor) -> Tensor:
    """All measures of `DistributionRow` but the cut masses, of each position.

    Args:
        teacher_logits: [n, V], any floating dtype.
        student_logits: [n, V].
        targets: The token that follows each position, [n], int64.

    Returns:
        [n, 10] in the order of the attributes, float32 or float64.
    """
    teacher, student = Distribution.of(teacher_logits), Distribution.of(student_logits)
    p, q, index = teacher.probability, student.probability, targets.unsqueeze(-1)
    nlls = [-one.log.gather(-1, index).squeeze(-1) for one in (teacher, student)]
    gap = teacher.log - student.log
    middle = mixture(p, q, 0.5).log_()
    divergences = [
        _sum_(p * gap),
        -_sum_(gap.mul_(q)),
        (_sum_(teacher.log.sub_(middle).mul_(p)) + _sum_(student.log.sub_(middle).mul_(q))) / 2,
    ]
    measures = [
        # Each is at least 0 but for rounding.
        *(divergence.clamp_(min=0.0) for divergence in divergences),
        (p - q).abs_().sum(-1) / 2,
        *_agreement(likeliest(teacher_logits, TOP), likeliest(student_logits, TOP), p.dtype),
        *nlls,
        p.amax(-1),
        q.amax(-1),
    ]
    return torch.stack([measure.to(p.dtype) for measure in measures], -1)


def likeliest(logits: Tensor, count: int) -> Tensor:
    """The `count` likeliest tokens of each row, [n, count]: first the very likeliest, of equals the one of lowest id.

    A selection over a whole vocabulary costs more than all else here, so the row is first cut down to the columns of a
    [64, V / 64] table that have the largest entries: the tokens wanted are in as many columns as there are of them.
    """
    vocabulary = logits.shape[-1]
    columns = vocabulary // _PARTS
    if columns <= count:
        return _sorted(logits, torch.arange(vocabulary, device=logits.device).expand(logits.shape), count)
    table = columns * _PARTS
    best = logits[:, :table].reshape(-1, _PARTS, columns).amax(1).topk(count).indices
    steps = torch.arange(0, table, columns, device=logits.device)
    rest = torch.arange(table, vocabulary, device=logits.device).expand(len(logits), -1)
    return _sorted(logits, torch.cat([(best[:, None] + steps[:, None]).flatten(1), rest], -1), count)


def _sorted(logits: Tensor, candidates: Tensor, count: int) -> Tensor:
    values = logits.gather(-1, candidates)
    count = min(count, values.shape[-1])
    top = values.topk(count)
    first = candidates.where(values == top.values[:, :1], logits.shape[-1]).amin(-1, keepdim=True)
    tokens = candidates.gather(-1, top.indices)
    # The first of equals may stand further back, or have been left out for another one of them.
    others = tokens.where(tokens != first, tokens[:, :1])[:, 1:]
    return torch.cat([first, others], -1)


def _agreement(teacher: Tensor, student: Tensor, dtype: torch.dtype) -> tuple[Tensor, Tensor]:
    """Whether the likeliest token is the same, and the shared part of the likeliest ones; [n] each."""
    shared = (teacher[:, :, None] == student[:, None, :]).any(-1)
    return teacher[:, 0] == student[:, 0], shared.sum(-1).to(dtype) / shared.shape[-1]


def _sum_(terms: Tensor) -> Tensor:
    return zero_where_impossible_(terms).sum(-1)


def _measure(pair: ForcedPair, batch: Batch) -> Tensor:
    """The measures of every position of a batch, [N, 12], float32."""
    theirs, ours = pair.teacher.read(batch), pair.student.read(batch)
    rows, device, size = len(batch.targets), ours.device, pair.vocabulary.shared_size
    widest = size + max(pair.vocabulary.teacher_cut, pair.vocabulary.student_cut)
    limit = _BLOCK_ELEMENTS if device.type == "cpu" else _BLOCK_ELEMENTS_ON_ACCELERATOR
    measured = []
    with torch.no_grad():
        for chunk in pieces(rows, chunk_rows(widest, device)):
            teacher, student = pair.teacher.head.project(theirs[chunk]), pair.student.head.project(ours[chunk])
            measured += [
                _measure_block(pair, teacher[block], student[block], batch.targets[chunk][block])
                for block in pieces(chunk.stop - chunk.start, max(1, limit // widest))
            ]
    return torch.cat(measured)


def _measure_block(pair: ForcedPair, teacher: Tensor, student: Tensor, targets: Tensor) -> Tensor:
    """The measures of a block, [n, 12], from the products of hidden states and heads."""
    theirs, teacher_cut = cut_teacher_logits(pair.teacher.head.finish(teacher), pair.vocabulary)
    ours, student_cut = cut_student_logits(pair.student.head.finish(student), pair.vocabulary)
    measures = compare_logits(theirs, ours, targets)
    return torch.cat([measures, torch.stack([teacher_cut, student_cut], -1).to(measures.dtype)], -1)


def _within(one: Continuation, limit: int | None) -> Continuation:
    if limit is None or len(one.prompt_ids) + len(one.response_ids) <= limit:
        return one
    return replace(one, response_ids=one.response_ids[: max(0, limit - len(one.prompt_ids))])


def _text(one: Continuation) -> tuple[tuple[int, ...], tuple[int, ...]]:
    return one.prompt_ids, one.response_ids


def _row(one: Continuation, tokens: int, means: Sequence[float]) -> DistributionRow:
    if any(mean != mean for mean in means):
        raise ModelError(
            f"a model's logits on {one.item_id} are not numbers: its weights or its activations overflowed"
        )
    return DistributionRow(one.task, one.item_id, one.prefix, tokens, *means)
