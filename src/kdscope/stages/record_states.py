"""The teacher reads every training sequence once; its last hidden states serve every student and setting."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import torch
from transformers import PreTrainedModel, PreTrainedTokenizerBase

from kdscope.data.batches import TokenSequence, collate, plan_micro_batches
from kdscope.models.forward import SelectedStates, head_of
from kdscope.models.load import load_tokenizer
from kdscope.models.packing import can_pack, packed
from kdscope.pipeline.run import StageContext
from kdscope.stages.files import model_place
from kdscope.stages.recordings import TEACHER_ROWS, publish
from kdscope.stages.training_data import training_sequences
from kdscope.stages.training_setup import load_frozen, use_threads
from kdscope.teacher.recording import fingerprint_tokens, hidden_layout
from kdscope.teacher.recording_writer import PositionWriter
from kdscope.teacher.replay import save_head

_BATCH_TOKENS = 4096


def run(context: StageContext) -> None:
    """Write the recording (positions.json, part-…) and head.safetensors."""
    settings: Any = context.stage.parameters
    context.resources.clear()
    use_threads(context)
    place = model_place(context, "teacher_base", "teacher")
    tokenizer = load_tokenizer(place)
    sequences = training_sequences(context, tokenizer, settings["max_length_tokens"])
    model = load_frozen(place, settings["dtype"], str(context.stage.context["device"]))
    head = head_of(model)
    layout = hidden_layout(
        head.weight.shape[1],
        settings["dtype"],
        settings["prompt_in_loss"],
        fingerprint_tokens(tokenizer.get_vocab()),
    )
    # Written where a kill leaves it: the recording goes on, whatever it has already.
    writer = PositionWriter(context.scratch / "recording", layout, sequences)
    _record(context, model, tokenizer, writer, sequences)
    writer.finish({TEACHER_ROWS: head.weight.shape[0]})
    save_head(context.scratch / "recording", head)
    publish(context.scratch / "recording", context.output)
    context.facts.update(target_tokens=sum(len(s.token_ids) - s.first_target(layout.prompt_in_loss) for s in sequences))


@torch.no_grad()
def _record(
    context: StageContext,
    model: PreTrainedModel,
    tokenizer: PreTrainedTokenizerBase,
    writer: PositionWriter,
    sequences: Sequence[TokenSequence],
) -> None:
    settings: Any = context.stage.parameters
    prompt_in_loss: bool = settings["prompt_in_loss"]
    states, device, seen = SelectedStates(model), next(model.parameters()).device, 0
    pack = can_pack(model)
    for micro in plan_micro_batches(sequences, _BATCH_TOKENS, packed=pack):
        seen += len(micro)
        if all(sequence.example in writer.done for sequence in micro):
            continue
        batch = collate(micro, int(tokenizer.pad_token_id), prompt_in_loss, packed=pack).to(device)
        with packed(model, pack):
            hidden = states(**batch.inputs())
        counts = [len(s.token_ids) - s.first_target(prompt_in_loss) for s in micro]
        for sequence, rows in zip(micro, hidden.split(counts), strict=True):
            writer.add(sequence, {"hidden": rows})
        context.progress.update(seen, len(sequences), "sequences")
