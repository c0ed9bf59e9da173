"""What stages will cost, against counts done by hand."""

from __future__ import annotations

import shutil
from dataclasses import replace
from pathlib import Path

import pytest

from kdscope.api import plan_study
from kdscope.pipeline.plan import PlannedStage, plan_states
from kdscope.pipeline.stage import Cost, Stage, in_order
from kdscope.pipeline.store import Store
from kdscope.stages.cost import CHARACTERS_PER_TOKEN, Shape, Sizes, estimate_seconds, measure_sizes
from kdscope.study.arms import Teacher, Tuning
from kdscope.study.grid import Cell, expand_cells
from kdscope.study.load import load_study
from kdscope.study.schema import Study, Training
from tests.builders import made_up_study, make_data, make_model, write_study

STUDENT, TEACHER = Shape(1_000_000, known=True), Shape(5_000_000, known=True)
SIZES = Sizes(
    prompt_tokens=40.0,
    response_tokens=60.0,
    examples=200,
    items={"gsm8k": 30},
    item_tokens={"gsm8k": 50.0},
    bytes_per_weight=2,
)
TRAINING = Training(epochs=3, max_length_tokens=512)
TOKENS = 200 * (40 + 60) * 3


@pytest.fixture(scope="module")
def study(tmp_path_factory: pytest.TempPathFactory) -> Study:
    folder = tmp_path_factory.mktemp("study")
    make_data(folder, train=24, test=6)
    make_model(folder / "teacher", layers=3)
    return load_study(write_study(folder))


def cell_of(study: Study, method: str) -> Cell:
    return next(cell for cell in expand_cells(study) if cell.method.name == method)


# Operations


def test_full_training_costs_six_per_weight_and_token() -> None:
    cost = SIZES.training(STUDENT, Tuning(kind="full"), TRAINING)
    assert cost == Cost(tokens=TOKENS, flops=6.0 * 1e6 * TOKENS, disk_bytes=2_000_000)


def test_an_adapter_costs_four_and_leaves_no_weights() -> None:
    cost = SIZES.training(STUDENT, Tuning(kind="lora"), TRAINING)
    assert cost == Cost(tokens=TOKENS, flops=4.0 * 1e6 * TOKENS, disk_bytes=0)


def test_a_live_teacher_costs_two_more_per_weight_of_its_own() -> None:
    cost = SIZES.training(STUDENT, Tuning(kind="lora"), TRAINING, TEACHER)
    assert cost.flops == (4.0 * 1e6 + 2.0 * 5e6) * TOKENS


def test_long_examples_cost_what_is_left_of_them() -> None:
    cost = SIZES.training(STUDENT, Tuning(kind="full"), Training(epochs=1, max_length_tokens=70))
    assert cost.tokens == 200 * 70


def test_answers_to_the_validation_split_cost_a_look_each_time() -> None:
    # 200 examples in batches of 16, three times, make 38 steps; a look every 10 of them and at the last: 4.
    sizes, training = replace(SIZES, validation=25), TRAINING.model_copy(update={"validate_every_steps": 10})
    tokens = 4 * 25 * (40 + 30)
    assert sizes.answering(STUDENT, training, 30) == Cost(tokens=tokens, flops=2.0 * 1e6 * tokens)
    assert sizes.answering(Shape(), training, 30).flops == 0.0


def test_unknown_sizes_have_tokens_but_no_operations() -> None:
    for shapes in ((Shape(),), (STUDENT, Shape()), (Shape(), TEACHER)):
        student, *teacher = shapes
        cost = SIZES.training(student, Tuning(), TRAINING, *teacher)
        assert (cost.tokens, cost.flops) == (TOKENS, 0.0)


def test_recording_and_evaluating_are_forward_passes() -> None:
    # A teacher writes half again as much as the references, or as much as it may.
    assert SIZES.recording(TEACHER, 200, 256).tokens == 200 * (40 + 90)
    assert SIZES.recording(TEACHER, 200, 20).tokens == 200 * (40 + 20)
    assert SIZES.recording(TEACHER, 70, 20).flops == 2.0 * 5e6 * 70 * 60
    cost = SIZES.evaluation(STUDENT, "gsm8k", 256)
    assert (cost.tokens, cost.flops) == (30 * (50 + 256), 2.0 * 1e6 * 30 * 306)


def test_methods_pay_for_what_they_use(study: Study) -> None:
    sizes = replace(SIZES)
    parameters = {"student": sizes.of(study.students[0]).parameters, "teacher": sizes.of(study.teachers[0]).parameters}
    assert parameters["student"] < parameters["teacher"]
    alone = 6.0 * parameters["student"] * TOKENS
    live = 2.0 * parameters["teacher"] * TOKENS
    # On half of the steps, 512 tokens of each example come from the student itself.
    sampled = 200 * 3 * 0.5 * 512
    expected = {
        "sft": (TOKENS, alone),
        "seqkd": (TOKENS, alone),
        "forward_kl": (TOKENS, alone + live),
        "gkd": (TOKENS + sampled, alone + live + 2.0 * parameters["student"] * sampled),
    }
    for method, (tokens, flops) in expected.items():
        signal = {"sft": "none", "seqkd": "words"}.get(method, "live")
        cost = sizes.distillation(cell_of(study, method), TRAINING, signal)
        assert (cost.tokens, cost.flops) == (tokens, pytest.approx(flops)), method


def test_a_replayed_teacher_costs_its_head_and_an_expectation_nothing(study: Study) -> None:
    cell, teacher = cell_of(study, "forward_kl"), SIZES.of(study.teachers[0])
    assert teacher.width * teacher.vocabulary > 0
    alone = SIZES.training(SIZES.of(study.students[0]), cell.student.tuning, TRAINING)
    replayed = SIZES.distillation(cell, TRAINING, "replay")
    assert replayed.flops - alone.flops == 2.0 * teacher.width * teacher.vocabulary * TOKENS
    assert SIZES.distillation(cell, TRAINING, "expectation") == alone


def test_a_recording_is_one_pass_and_a_row_of_states_a_target() -> None:
    teacher = Shape(5_000_000, known=True, width=64, vocabulary=1000)
    cost = SIZES.states(teacher, TRAINING, prompt_in_loss=False, unlabelled=False)
    assert cost.tokens == 200 * 100
    assert cost.flops == 2.0 * (5_000_000 - 64_000) * 200 * 100
    assert cost.disk_bytes == 2 * 64 * (200 * 60 + 1000) + 4 * 200 * 100
    with_prompts = SIZES.states(teacher, TRAINING, prompt_in_loss=True, unlabelled=False)
    assert with_prompts.disk_bytes - cost.disk_bytes == 2 * 64 * 200 * 40
    more = replace(SIZES, unlabelled=50).states(teacher, TRAINING, prompt_in_loss=False, unlabelled=True)
    assert more.tokens == 250 * 100
    assert SIZES.states(Shape(), TRAINING, prompt_in_loss=False, unlabelled=False).disk_bytes == 0


def test_an_expectation_is_two_heads_on_every_target() -> None:
    teacher = Shape(5_000_000, known=True, width=64, vocabulary=1000)
    student = Shape(1_000_000, known=True, width=32, vocabulary=1000)
    cost = SIZES.expectation(student, teacher, TRAINING, prompt_in_loss=False, unlabelled=False)
    assert cost.flops == 2.0 * 200 * 60 * (64 + 32) * 1000
    assert cost.disk_bytes == 4 * 200 * 60 * (32 + 2)


def test_a_number_of_steps_costs_full_batches_whatever_the_data(study: Study) -> None:
    training = Training(max_steps=11, batch_size_sequences=8, max_length_tokens=512)
    sequences = 11 * 8
    for sizes in (SIZES, replace(SIZES, examples=7), replace(SIZES, unlabelled=5000)):
        cost = sizes.training(STUDENT, Tuning(kind="full"), training)
        assert cost.tokens == sequences * 100
        assert cost.flops == 6.0 * 1e6 * sequences * 100
        sampled = sequences * 0.5 * 512
        assert sizes.distillation(cell_of(study, "gkd"), training, "live").tokens == sequences * 100 + sampled
        assert sizes.distillation(cell_of(study, "sft"), training, "none").tokens == sequences * 100


def test_answers_to_unlabelled_prompts_are_paid_by_their_number(tmp_path: Path) -> None:
    make_model(tmp_path / "teacher", layers=3)
    plan, _ = plan_study(write_study(tmp_path, **made_up_study(tmp_path)), tmp_path / "store")
    costs = {stage.label: stage.cost for stage in in_order([plan.report])}
    labelled, unlabelled = (costs[f"responses of teacher/big{to}"] for to in ("", " to unlabelled prompts"))
    # 2 tasks: 10 labelled rows each, 4 held out of all; 15 prompts each.
    assert labelled.tokens > 0
    assert unlabelled.tokens / labelled.tokens == pytest.approx(30 / 16, rel=1e-3)
    assert unlabelled.flops / labelled.flops == pytest.approx(30 / 16, rel=1e-3)
    # Steps are what training costs: the control pays as much as a student that has more to see.
    assert costs["train cut/sft/s0"].tokens == costs["train cut/seqkd/big/s0"].tokens > 0


# Sizes


def test_sizes_of_a_study_follow_its_text() -> None:
    prompts, responses = ["x" * 35, "x" * 70], ["y" * 7] * 2
    sizes = measure_sizes(prompts * 12, responses * 12, {"AddSub": ["z" * 14] * 6})
    template = sizes.item_tokens["AddSub"] - 14 / CHARACTERS_PER_TOKEN
    assert sizes.prompt_tokens == pytest.approx(52.5 / CHARACTERS_PER_TOKEN + template)
    assert sizes.response_tokens == pytest.approx(7 / CHARACTERS_PER_TOKEN + 1)  # the end token
    assert (sizes.examples, sizes.items, sizes.unlabelled) == (24, {"AddSub": 6}, 0)
    assert measure_sizes(prompts, responses, {}, 31).unlabelled == 31


def test_shapes_are_read_from_the_files_and_pruned(study: Study, tmp_path: Path) -> None:
    sizes, teacher, student = replace(SIZES), study.teachers[0], study.students[0]
    assert teacher.path is not None
    short = sizes.of(student)
    assert short.known
    assert short.parameters < sizes.of(teacher).parameters
    by_index = student.model_copy(update={"keep_layers": (0, 2)})
    assert sizes.of(by_index) == short
    assert short.disk_bytes(4) == 4 * short.parameters


def test_models_that_cannot_be_measured_are_unknown(study: Study, tmp_path: Path) -> None:
    sizes = replace(SIZES)
    hub = Teacher(name="far", hub="owner/name", revision="0" * 40)
    assert sizes.of(hub) == Shape()
    teacher = study.teachers[0]
    assert teacher.path is not None
    for number, content in enumerate((b"", b"version https://git-lfs.github.com/spec/v1\n", None)):
        folder = tmp_path / str(number)
        shutil.copytree(teacher.path, folder)
        weights = folder / "model.safetensors"
        weights.unlink() if content is None else weights.write_bytes(content)
        assert sizes.of(teacher.model_copy(update={"path": folder})) == Shape()
    assert sizes.of(teacher.model_copy(update={"path": tmp_path / "absent"})) == Shape()


# Seconds


def make_stage(kind: str, number: int, cost: Cost) -> Stage:
    return Stage(kind, f"{kind} {number}", 1, {"number": number}, {}, cost=cost)


def seconds_of(planned: list[PlannedStage]) -> list[float | None]:
    return [item.stage.cost.seconds for item in planned]


def test_without_history_the_device_decides(tmp_path: Path) -> None:
    stages = [make_stage("distil_student", 0, Cost(tokens=9, flops=1e14)), make_stage("write_report", 0, Cost())]
    planned = plan_states(stages, Store(tmp_path))
    on_cpu, on_gpu = (estimate_seconds(planned, Store(tmp_path), device) for device in ("cpu", "cuda"))
    assert seconds_of(on_cpu) == [pytest.approx(1001.0), 1.0]
    assert seconds_of(on_gpu)[0] < seconds_of(on_cpu)[0] / 100
    assert [item.stage.identity for item in on_cpu] == [stage.identity for stage in stages]


def test_a_model_of_unknown_size_has_no_time(tmp_path: Path) -> None:
    planned = plan_states([make_stage("distil_student", 0, Cost(tokens=9))], Store(tmp_path))
    assert seconds_of(estimate_seconds(planned, Store(tmp_path), "cpu")) == [None]


def test_stages_that_ran_here_tell_how_fast_this_machine_is(tmp_path: Path) -> None:
    store = Store(tmp_path)
    done = [make_stage("distil_student", number, Cost(tokens=9, flops=flops)) for number, flops in ((0, 4e9), (1, 8e9))]
    for stage in done:
        with store.try_lock(stage), store.build(stage):
            pass
    seconds = [3.0, 1.0]
    for stage, took in zip(done, seconds, strict=True):
        rewrite_seconds(store, stage, took)
    to_do = [make_stage("distil_student", 2, Cost(tokens=9, flops=9e9)), make_stage("evaluate_model", 0, Cost(9, 1e11))]
    timed = seconds_of(estimate_seconds(plan_states([*done, *to_do], store), store, "cpu"))
    assert timed[2:] == [pytest.approx(1 + 9e9 / (12e9 / 4)), pytest.approx(2.0)]


def rewrite_seconds(store: Store, stage: Stage, seconds: float) -> None:
    manifest = store.inspect(stage).manifest
    assert manifest is not None
    (store.path(stage) / "manifest.json").write_text(replace(manifest, seconds=seconds).to_json())
