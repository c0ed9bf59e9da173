"""The teacher answers every prompt once, for all students that will learn from its words."""

from __future__ import annotations

from kdscope.data.examples import Example
from kdscope.pipeline.run import StageContext
from kdscope.pipeline.stage import Stage
from kdscope.stages import adapt_teacher, prepare_data, prepare_prompts
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
from kdscope.stages.rows import read_prepared_examples, write_json_lines
from kdscope.study.arms import Teacher
from kdscope.study.schema import TeacherGeneration

KIND = StageKind(__name__, version=2)


class RecordTeacherParams(PromptParams):
    """How the teacher writes."""

    model: ModelIdentity
    generation: TeacherGeneration
    dtype: str
    seed: int


@once
def plan(context: StudyContext, teacher: Teacher, condition: str, prompts: Stage | None = None) -> Stage:
    """The teacher's own answers to the prompts of the training set, or to unlabelled ones."""
    generation, sizes = context.study.teacher_generation, context.sizes
    params = RecordTeacherParams(
        model=context.model(teacher),
        generation=generation,
        template=context.training_template,
        ends=ends_of(context.training_template),
        dtype=context.dtype,
        seed=context.study.seeds[0],
    )
    asked = {"data": prepare_data.plan(context)} if prompts is None else {"prompts": prompts}
    count = sizes.examples if prompts is None else sizes.unlabelled
    to = "" if prompts is None else " to unlabelled prompts"
    return KIND.stage(
        f"responses of {teacher_label(teacher, condition)}{to}",
        params,
        {**asked, **adapt_teacher.adapted(context, teacher, condition)},
        context=context.place(base=teacher),
        cost=sizes.recording(sizes.of(teacher), count, generation.max_new_tokens),
    )


def answered_prompts(context: StudyContext, teacher: Teacher, condition: str) -> dict[str, Stage]:
    """The unlabelled prompts and the teacher's answers, as inputs of a stage that trains on them; none without any."""
    prompts = prepare_prompts.plan(context)
    if prompts is None:
        return {}
    return {"prompts": prompts, "prompt_responses": plan(context, teacher, condition, prompts)}


def texts_of(context: StudyContext, teacher: Teacher, condition: str, text: str) -> dict[str, Stage]:
    """What a stage that trains reads beside the reference answers: the teacher's own, and those to unlabelled prompts.

    Args:
        context: The study.
        teacher: Who writes.
        condition: Adapted or base.
        text: gold, teacher or both: what labelled prompts are trained with.
    """
    inputs = answered_prompts(context, teacher, condition)
    role = {"teacher": "responses", "both": "more_responses"}.get(text)
    return inputs if role is None else inputs | {role: plan(context, teacher, condition)}


def run(context: StageContext) -> None:
    """Write responses.jsonl: token ids (with the end token if the teacher stopped), text, finish reason."""
    from kdscope.generation.base import Decoding, generate_all
    from kdscope.generation.huggingface import HuggingFaceGenerator
    from kdscope.models.load import load_model
    from kdscope.stages.models import check_prompts, device_of, open_tokenizer, prompts_of, use_threads

    params = RecordTeacherParams.of(context.stage)
    context.resources.clear()
    use_threads(context)
    place = model_place(context, "base", "teacher")
    tokenizer = open_tokenizer(context, place)
    _, prompts = prompts_of(_examples(context), params.template, tokenizer)
    model = load_model(place, params.dtype, device_of(context))
    generator = HuggingFaceGenerator(model, tokenizer)
    decoding = Decoding(params.generation.max_new_tokens, params.generation.sampling_temperature, seed=params.seed)
    check_prompts(context, generator, prompts, decoding)
    completions = generate_all(
        generator,
        prompts,
        decoding,
        batch_size=params.generation.batch_size,
        scratch=context.scratch,
        progress=lambda done, total: context.progress.update(done, total, "prompts"),
    )
    write_json_lines(completions, context.output / "responses.jsonl")
    unfinished = sum(c.finish_reason == "length" for c in completions)
    context.facts.update(responses=len(completions), unfinished=unfinished)


def _examples(context: StageContext) -> list[Example]:
    if "prompts" in context.inputs:
        return read_prepared_examples(context.inputs["prompts"] / "prompts.jsonl")
    return read_prepared_examples(context.inputs["data"] / "train.jsonl")
