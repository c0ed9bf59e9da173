"""A study in chat templates: prompts hold their questions, and responses end as the template ends a turn."""

from __future__ import annotations

import json
import shutil
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
from transformers import AutoTokenizer, GenerationConfig

from kdscope.api import plan_study
from kdscope.core.errors import ModelError, StudyError
from kdscope.data.examples import Example
from kdscope.models.chat import end_in_chat
from kdscope.models.source import ModelPlace
from kdscope.pipeline.run import run_plan
from kdscope.pipeline.stage import Stage, in_order
from kdscope.pipeline.store import Store
from kdscope.stages import execute
from kdscope.stages.models import check_ends, open_tokenizer
from kdscope.stages.training import encode_examples
from tests.builders import make_data, make_model, write_study
from tests.models.test_chat import BARE, CHATML, chatting

IM_END = "<|im_end|>"


@pytest.fixture
def world(tmp_path: Path) -> Path:
    """Data, and a model whose chat template ends turns otherwise than its tokenizer ends texts."""
    make_data(tmp_path, train=12, test=2)
    make_model(tmp_path / "teacher", extra_rows=3, layers=2)
    chatting(CHATML).save_pretrained(tmp_path / "teacher")
    return tmp_path


def stage_that(ends: str) -> Any:
    return SimpleNamespace(stage=SimpleNamespace(parameters={"ends": ends}))


def stages_of(study: Path, store: Path) -> list[Stage]:
    return in_order([plan_study(study, store)[0].report])


@pytest.mark.parametrize(("ends", "end"), [("turn", IM_END), ("eos", "<end>")])
def test_a_chat_target_ends_as_the_template_ends_a_turn(world: Path, ends: str, end: str) -> None:
    tokenizer = open_tokenizer(stage_that(ends), ModelPlace(str(world / "teacher")))
    (sequence,) = encode_examples(tokenizer, "chat", [Example(1, "What?", "", "That.")], max_length=200)
    text = tokenizer.decode(list(sequence.token_ids))
    assert text == f"<|im_start|>user\nWhat?<|im_end|>\n<|im_start|>assistant\nThat.{end}"


def test_only_stages_that_chat_say_how_responses_end(world: Path) -> None:
    for template, said in (("chat", {"turn"}), ("alpaca", {None})):
        stages = stages_of(write_study(world, template=template), world / "store")
        asking = [stage for stage in stages if "template" in stage.parameters]
        assert {stage.parameters.get("ends") for stage in asking} == said
        assert len({stage.kind for stage in asking}) >= 5


def test_a_study_that_chats_leaves_students_that_stop_where_their_turns_end(world: Path) -> None:
    study = write_study(
        world,
        template="chat",
        tasks={"folder": str(world / "tasks"), "names": ["AddSub"]},
        methods=["sft", "seqkd", "forward_kl"],
        students=[{"name": "whole", "path": str(world / "teacher"), "tuning": "full"}],
        fidelity={"ceiling": "none"},
    )
    store = Store(world / "store")
    last = {"compare_pair", "analyse_study", "write_report"}
    stages = [stage for stage in stages_of(study, world / "store") if stage.kind not in last]
    result = run_plan(stages, store, execute)
    assert not result.failed, result.messages
    kinds = {stage.kind: store.path(stage) for stage in stages}
    assert {"record_states", "compare_distributions"} <= kinds.keys()
    folder = kinds["distil_student"] / "model"
    tokenizer = AutoTokenizer.from_pretrained(folder)
    assert tokenizer.eos_token == IM_END
    assert GenerationConfig.from_pretrained(folder).eos_token_id == [
        chatting(None).eos_token_id,
        tokenizer.eos_token_id,
    ]
    assert not json.loads((kinds["compare_distributions"] / "manifest.json").read_text())["facts"].get("left_out")


def test_models_that_end_otherwise_are_told_when_the_study_is_read_and_the_advice_helps(
    world: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    other = world / "other"
    shutil.copytree(world / "teacher", other)
    config = json.loads((other / "tokenizer_config.json").read_text())
    (other / "tokenizer_config.json").write_text(json.dumps(config | {"eos_token": IM_END}))

    def plan(**changes: Any) -> None:
        students = [{"name": "other", "path": str(other)}]
        study = write_study(world, **{"students": students, "methods": ["sft", "forward_kl"], **changes})
        plan_study(study, world / "store")

    with pytest.raises(StudyError, match=r"students\[0\]: it cannot learn from teacher 'big' by forward_kl") as caught:
        plan()
    assert "the teacher ends its responses with '<end>', the student with '<|im_end|>'" in str(caught.value)
    read: list[Path] = []
    monkeypatch.setattr("kdscope.api.study.end_in_chat", lambda folder: read.append(folder) or end_in_chat(folder))
    twice = [{"name": name, "path": str(other), "tuning": name} for name in ("lora", "full")]
    plan(template="chat", students=twice)  # both end their turns alike
    assert sorted(read) == [other, world / "teacher"]  # each once, however many partners it has
    plan(methods=["sft", "seqkd"])
    for folder in (world / "teacher", other):
        told = json.loads((folder / "tokenizer_config.json").read_text())
        (folder / "tokenizer_config.json").write_text(json.dumps(told | {"eos_token": IM_END}))
    plan()
    (other / "chat_template.jinja").write_text(BARE.replace("\n", "<|end|>"))
    with pytest.raises(StudyError, match=r"ends its responses with '<\|im_end\|>', the student with '<\|end\|>'"):
        plan(template="chat")


def test_other_ends_of_one_vocabulary_are_refused_before_a_recording_is_read(world: Path) -> None:
    context = stage_that("eos")
    context.inputs, context.stage.context = {}, {"teacher_base": {"location": str(world / "teacher")}}
    student = open_tokenizer(context, ModelPlace(str(world / "teacher")))
    check_ends(context, student)
    student.eos_token = IM_END
    with pytest.raises(ModelError, match=r"ends its responses with '<end>', the student with '<\|im_end\|>'"):
        check_ends(context, student)
    student.add_tokens(["<new>"])
    check_ends(context, student)
