"""What forward KL needs of a recorded teacher, for students with one frozen head: a vector a token."""

from __future__ import annotations

from typing import Any

from kdscope.core.seeds import derive_seed
from kdscope.data.batches import collate, count_targets, plan_micro_batches
from kdscope.models.forward import head_of
from kdscope.models.load import load_model, load_tokenizer
from kdscope.pipeline.run import StageContext
from kdscope.stages.files import model_place
from kdscope.stages.recordings import TEACHER_ROWS, match_models, open_recording, publish, replay
from kdscope.stages.training_data import training_sequences
from kdscope.stages.training_setup import use_threads
from kdscope.teacher.expectation import expect
from kdscope.teacher.recording import expectation_layout
from kdscope.teacher.recording_writer import PositionWriter

_BATCH_TOKENS = 4096


def run(context: StageContext) -> None:
    """Write a recording of expectations (positions.json, part-…)."""
    settings: Any = context.stage.parameters
    context.resources.clear()
    use_threads(context)
    place = model_place(context, "base")
    tokenizer = load_tokenizer(place)
    sequences = training_sequences(context, tokenizer, settings["max_length_tokens"])
    prompt_in_loss: bool = settings["prompt_in_loss"]
    head = head_of(load_model(place, settings["dtype"], str(context.stage.context["device"])).requires_grad_(False))
    reader = open_recording(context.inputs["states"], tokenizer, sequences, prompt_in_loss=prompt_in_loss)
    match = match_models(context, tokenizer, int(reader.facts[TEACHER_ROWS]), len(head.weight))
    teacher = replay(
        reader, head.weight.device, match, settings["teacher_noise_std"], derive_seed(settings["seed"], "teacher noise")
    )
    layout = expectation_layout(head.weight.shape[1], prompt_in_loss, reader.layout.tokenizer)
    writer, seen, cut_mass = PositionWriter(context.scratch / "recording", layout, sequences), 0, 0.0
    for micro in plan_micro_batches(sequences, _BATCH_TOKENS, packed=True):
        seen += len(micro)
        batch = collate(micro, 0, prompt_in_loss, packed=True).to(head.weight.device)
        rows = teacher.rows(micro, batch)
        made = expect(rows, head.first_rows(match.shared_size), len(batch.targets), settings["temperature"])
        cut_mass += rows.cut_mass
        start = 0
        for sequence in micro:
            stop = start + count_targets([sequence], prompt_in_loss)
            writer.add(sequence, {name: values[start:stop] for name, values in made.items()})
            start = stop
        context.progress.update(seen, len(sequences), "sequences")
    tokens = count_targets(sequences, prompt_in_loss)
    writer.finish({TEACHER_ROWS: reader.facts[TEACHER_ROWS], "cut_mass": cut_mass / tokens})
    publish(context.scratch / "recording", context.output)
    context.facts.update(target_tokens=tokens)
