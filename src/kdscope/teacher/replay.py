"""The teacher, recorded once and replayed: its stored last hidden states and its head give its exact logits again.

One recording serves every temperature, noise, divergence, student and seed. For Qwen2.5-7B a position takes 7 kB,
where its logits would take 304 kB.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import torch
from safetensors import SafetensorError, safe_open
from torch import Tensor

from kdscope.core.errors import ModelError, StoreError
from kdscope.data.batches import Batch, TokenSequence
from kdscope.models.vocabulary import VocabularyMatch
from kdscope.objectives.head import Head
from kdscope.teacher.recording import PositionReader
from kdscope.teacher.recording_writer import write_tensors
from kdscope.teacher.teacher_logits import HeadRows

HEAD_FILE = "head.safetensors"


def save_head(folder: Path, head: Head) -> None:
    """Write a head beside a recording: weight, bias if it has one, scale and soft-capping; no value is rounded.

    Raises:
        MachineError: The disk is full.
        ModelError: The head is in a precision that is not stored.
    """
    tensors = {"weight": head.weight} | ({} if head.bias is None else {"bias": head.bias})
    try:
        write_tensors(folder / HEAD_FILE, tensors, {"scale": repr(head.scale), "softcap": repr(head.softcap)})
    except KeyError as error:
        raise ModelError(f"a head in {error} cannot be stored") from error


def load_head(folder: Path, device: torch.device) -> Head:
    """The head beside a recording.

    Raises:
        StoreError: It is missing or damaged.
    """
    file = folder / HEAD_FILE
    try:
        with safe_open(file, framework="pt", device=str(device)) as opened:
            facts = opened.metadata()
            tensors = {name: opened.get_tensor(name) for name in opened.keys()}  # noqa: SIM118 - no mapping
        softcap = None if facts["softcap"] == "None" else float(facts["softcap"])
        return Head(tensors["weight"], tensors.get("bias"), float(facts["scale"]), softcap)
    except (OSError, SafetensorError, KeyError, TypeError, ValueError) as error:
        raise StoreError(f"{file}: missing or damaged ({error}); record the teacher again") from error


@dataclass(frozen=True)
class ReplayTeacher:
    """A recorded teacher.

    Attributes:
        reader: Its last hidden states.
        head: Its head, on the device that computes.
        vocabulary: How its ids match the student's.
        noise_std: Standard deviation of the noise added to its logits.
        noise_seed: Seed of that noise.
    """

    reader: PositionReader
    head: Head
    vocabulary: VocabularyMatch
    noise_std: float = 0.0
    noise_seed: int = 0

    def __post_init__(self) -> None:
        recorded = {tensor.name: tensor for tensor in self.reader.layout.tensors}.get("hidden")
        width = self.head.weight.shape[1]
        if recorded is None or recorded.shape != (width,):
            found = "no hidden states" if recorded is None else f"hidden states of width {list(recorded.shape)}"
            raise ModelError(f"{self.reader.folder}: holds {found}, the teacher's head takes {width}")

    def rows(self, sequences: Sequence[TokenSequence], batch: Batch) -> HeadRows:
        """The teacher's logits of a collated batch.

        Raises:
            DataError: A sequence was not recorded, or was another one.
        """
        device = self.head.weight.device
        hidden: Tensor = self.reader.gather(sequences)["hidden"]
        return HeadRows(
            hidden.to(device),
            self.head,
            self.vocabulary,
            batch.examples.to(device),
            batch.positions.to(device),
            self.noise_std,
            self.noise_seed,
        )
