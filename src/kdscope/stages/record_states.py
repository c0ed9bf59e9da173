"""The teacher reads every training sequence once; its last hidden states serve every student and setting."""

from __future__ import annotations

from typing import cast

from kdscope.pipeline.run import StageContext
from kdscope.pipeline.stage import Stage
from kdscope.stages import adapt_teacher, prepare_data, record_teacher
from kdscope.stages.planning import (
    ModelIdentity,
    PromptParams,
    StageKind,
    StudyContext,
    ends_of,
    model_place,
    once,
    teacher_label,
)
from kdscope.study.arms import Teacher

KIND = StageKind(__name__, version=1)

_BATCH_TOKENS = 4096
ON_TEXT = {"gold": "", "teacher": " on its own text", "both": " on either text"}
"""What the label of a stage says of the text that is read."""


class RecordStatesParams(PromptParams):
    """Which positions of which sequences are read."""

    model: ModelIdentity
    dtype: str
    prompt_in_loss: bool
    max_length_tokens: int


@once
def plan(context: StudyContext, teacher: Teacher, condition: str, prompt_in_loss: bool, text: str = "gold") -> Stage:
    """The teacher's last hidden states on all training sequences, of reference answers or of what it wrote itself."""
    study, sizes = context.study, context.sizes.trained_on(text)
    params = RecordStatesParams(
        model=context.model(teacher),
        template=context.training_template,
        ends=ends_of(context.training_template),
        dtype=context.dtype,
        prompt_in_loss=prompt_in_loss,
        max_length_tokens=study.training.max_length_tokens,
    )
    texts = record_teacher.texts_of(context, teacher, condition, text)
    prompts = ", prompts included" if prompt_in_loss else ""
    return KIND.stage(
        f"hidden states of {teacher_label(teacher, condition)}{ON_TEXT[text]}{prompts}",
        params,
        {"data": prepare_data.plan(context), **texts, **adapt_teacher.adapted(context, teacher, condition)},
        context=context.place(teacher_base=teacher),
        cost=sizes.states(sizes.of(teacher), study.training, prompt_in_loss, "prompts" in texts),
    )


def run(context: StageContext) -> None:
    """Write the recording (positions.json, part-…) and head.safetensors."""
    import torch

    from kdscope.data.batches import collate, plan_micro_batches
    from kdscope.models.forward import SelectedStates, check_numbers, head_of
    from kdscope.models.limits import check_texts, padding_id
    from kdscope.models.packing import can_pack, packed
    from kdscope.stages.models import (
        TEACHER_ROWS,
        device_of,
        load_frozen,
        open_tokenizer,
        publish_recording,
        shared_passes,
        use_threads,
    )
    from kdscope.stages.training import training_sequences
    from kdscope.teacher.recording import Dtype, fingerprint_tokens, hidden_layout
    from kdscope.teacher.recording_writer import PositionWriter
    from kdscope.teacher.replay import save_head

    params = RecordStatesParams.of(context.stage)
    context.resources.clear()
    use_threads(context)
    place, in_loss = model_place(context, "teacher_base", "teacher"), params.prompt_in_loss
    tokenizer = open_tokenizer(context, place)
    sequences = training_sequences(context, tokenizer, params.template, params.max_length_tokens)
    model = load_frozen(place, params.dtype, device_of(context))
    head, states, pack = head_of(model), SelectedStates(model), can_pack(model)
    check_texts(model, [sequence.token_ids for sequence in sequences], tokenizer)
    longest = shared_passes(context, model, pack, sequences)
    layout = hidden_layout(
        head.weight.shape[1], cast(Dtype, params.dtype), in_loss, fingerprint_tokens(tokenizer.get_vocab())
    )
    # Written where a kill leaves it: the recording goes on, whatever it has already.
    writer, seen = PositionWriter(context.scratch / "recording", layout, sequences), 0
    for micro in plan_micro_batches(sequences, _BATCH_TOKENS, packed=pack, longest_together=longest):
        seen += len(micro)
        if all(sequence.example in writer.done for sequence in micro):
            continue
        batch = collate(micro, padding_id(model, tokenizer), in_loss, packed=pack).to(head.weight.device)
        with torch.no_grad(), packed(model, pack):
            hidden = states(**batch.inputs())
        check_numbers(hidden)
        counts = [len(s.token_ids) - s.first_target(in_loss) for s in micro]
        for sequence, rows in zip(micro, hidden.split(counts), strict=True):
            writer.add(sequence, {"hidden": rows})
        context.progress.update(seen, len(sequences), "sequences")
    writer.finish({TEACHER_ROWS: head.weight.shape[0]})
    save_head(context.scratch / "recording", head)
    publish_recording(context.scratch / "recording", context.output)
    context.facts.update(target_tokens=sum(len(s.token_ids) - s.first_target(in_loss) for s in sequences))
