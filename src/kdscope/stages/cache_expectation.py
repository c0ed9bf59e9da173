"""The `cache_expectation` stage: a recorded teacher condensed for students with one frozen head, a vector a token."""

from __future__ import annotations

from kdscope.core.seeds import derive_seed
from kdscope.pipeline.run import StageContext
from kdscope.pipeline.stage import Stage
from kdscope.stages import prepare_data, record_states, record_teacher
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
from kdscope.study.arms import Student, Teacher
from kdscope.study.grid import Cell

KIND = StageKind(__name__, version=1)

_BATCH_TOKENS = 4096


class CacheExpectationParams(PromptParams):
    """Whose head, and which distribution of the teacher."""

    model: ModelIdentity
    dtype: str
    prompt_in_loss: bool
    max_length_tokens: int
    temperature: float
    teacher_noise_std: float
    seed: int
    """Of the noise, the only thing here that is drawn; 0 where there is none."""


def plan(context: StudyContext, cell: Cell, teacher: Teacher) -> Stage:
    """What a cell's student head is expected to say under the teacher; equal for all students with this head."""
    noise, temperature = cell.teacher_noise_std or 0.0, cell.kd_temperature or 1.0
    seed, condition = cell.seed if noise else 0, str(cell.teacher_condition)
    method = cell.method
    text = method.training_text
    return _plan(context, cell.student, teacher, condition, method.prompt_in_loss, text, temperature, noise, seed)


@once
def _plan(
    context: StudyContext,
    student: Student,
    teacher: Teacher,
    condition: str,
    prompt_in_loss: bool,
    text: str,
    temperature: float,
    noise: float,
    seed: int,
) -> Stage:
    training, sizes = context.study.training, context.sizes.trained_on(text)
    params = CacheExpectationParams(
        model=context.model(student),
        template=context.training_template,
        ends=ends_of(context.training_template),
        dtype=context.dtype,
        prompt_in_loss=prompt_in_loss,
        max_length_tokens=training.max_length_tokens,
        temperature=temperature,
        teacher_noise_std=noise,
        seed=seed,
    )
    texts = record_teacher.texts_of(context, teacher, condition, text)
    inputs = {
        "states": record_states.plan(context, teacher, condition, prompt_in_loss, text),
        "data": prepare_data.plan(context),
        **texts,
    }
    noisy = f", noise {noise:g} seed {seed}" if noise else ""
    return KIND.stage(
        f"expectations of {teacher_label(teacher, condition)}{record_states.ON_TEXT[text]} "
        f"for {student.name}'s head at T {temperature:g}{noisy}",
        params,
        inputs,
        context=context.place(base=student, teacher_base=teacher),
        cost=sizes.expectation(sizes.of(student), sizes.of(teacher), training, prompt_in_loss, "prompts" in texts),
    )


def run(context: StageContext) -> None:
    """Write a recording of expectations (positions.json, part-…)."""
    from kdscope.data.batches import collate, count_targets, plan_micro_batches
    from kdscope.models.forward import head_of
    from kdscope.models.load import load_model
    from kdscope.stages.models import (
        TEACHER_ROWS,
        check_ends,
        device_of,
        match_models,
        open_recording,
        open_tokenizer,
        publish_recording,
        replay,
        use_threads,
    )
    from kdscope.stages.training import training_sequences
    from kdscope.teacher.expectation import expect
    from kdscope.teacher.recording import expectation_layout
    from kdscope.teacher.recording_writer import PositionWriter

    params = CacheExpectationParams.of(context.stage)
    context.resources.clear()
    use_threads(context)
    place, in_loss = model_place(context, "base"), params.prompt_in_loss
    tokenizer = open_tokenizer(context, place)
    check_ends(context, tokenizer)
    sequences = training_sequences(context, tokenizer, params.template, params.max_length_tokens)
    head = head_of(load_model(place, params.dtype, device_of(context)).requires_grad_(False))
    reader = open_recording(context.inputs["states"], tokenizer, sequences, prompt_in_loss=in_loss)
    match = match_models(context, tokenizer, int(reader.facts[TEACHER_ROWS]), len(head.weight))
    noise_seed = derive_seed(params.seed, "teacher noise")
    teacher = replay(reader, head.weight.device, match, params.teacher_noise_std, noise_seed)
    layout = expectation_layout(head.weight.shape[1], in_loss, reader.layout.tokenizer)
    writer, seen, cut_mass = PositionWriter(context.scratch / "recording", layout, sequences), 0, 0.0
    for micro in plan_micro_batches(sequences, _BATCH_TOKENS, packed=True):
        seen += len(micro)
        batch = collate(micro, 0, in_loss, packed=True).to(head.weight.device)
        rows = teacher.rows(micro, batch)
        made = expect(rows, head.first_rows(match.shared_size), len(batch.targets), params.temperature)
        cut_mass += rows.cut_mass
        start = 0
        for sequence in micro:
            stop = start + count_targets([sequence], in_loss)
            writer.add(sequence, {name: values[start:stop] for name, values in made.items()})
            start = stop
        context.progress.update(seen, len(sequences), "sequences")
    tokens = count_targets(sequences, in_loss)
    writer.finish({TEACHER_ROWS: reader.facts[TEACHER_ROWS], "cut_mass": cut_mass / tokens})
    publish_recording(context.scratch / "recording", context.output)
    context.facts.update(target_tokens=tokens)
