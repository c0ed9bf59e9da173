"""Unlabelled prompts: students train on what the teacher wrote on them, and the control does not."""

from __future__ import annotations

import json
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pandas as pd
import pytest
import torch
from transformers import AutoModelForCausalLM

import kdscope.stages.training
from kdscope.api import plan_study
from kdscope.data.batches import count_targets, plan_full_windows
from kdscope.pipeline.run import run_plan
from kdscope.pipeline.stage import Stage, in_order
from kdscope.pipeline.store import Store
from kdscope.stages import execute
from kdscope.stages.rows import read_json_lines
from kdscope.tasks import get_template
from kdscope.training.loop import Job
from tests.builders import make_data, make_model, make_rows, make_tokenizer, write_study

STEPS, BATCH = 4, 5
LONG = "too long to learn from " * 12
CELLS = {
    "sft": "sft",
    "seqkd": "seqkd/big@base",
    "forward_kl": "forward_kl-T1-noise0.5/big@base",
    "gkd": "gkd-T1/big@base",
    "own text": "skew_kl-T1-text_teacher/big@base",
    "either text": "reverse_kl-T1-text_both/big@base",
}
OWN_TEXT = [{"name": "skew_kl", "text": "teacher"}, {"name": "reverse_kl", "text": "both"}]


@dataclass(frozen=True)
class Trained:
    """The stages of a study up to its trained students, run, and the jobs that trained them."""

    folder: Path
    stages: dict[str, Stage]
    store: Store
    jobs: dict[str, Job]

    def path(self, label: str) -> Path:
        return self.store.path(self.stages[label])

    def job(self, method: str) -> Job:
        return self.jobs[f"train cut/{CELLS[method]}/s0"]

    def facts(self, method: str) -> dict[str, Any]:
        manifest = json.loads((self.path(f"train cut/{CELLS[method]}/s0") / "manifest.json").read_text())
        facts: dict[str, Any] = manifest["facts"]
        return facts

    def responses(self, to: str = "") -> list[dict[str, Any]]:
        return read_json_lines(self.path(f"responses of teacher/big@base{to}") / "responses.jsonl")


def write_rows(file: Path, rows: list[dict[str, str]], too_long: int) -> str:
    """One of the questions has no room for an answer."""
    rows[too_long] |= {"instruction": f"{LONG}{rows[too_long]['instruction']}"}
    file.write_text(json.dumps(rows))
    return str(file)


@pytest.fixture(scope="module")
def trained(tmp_path_factory: pytest.TempPathFactory) -> Trained:
    folder = tmp_path_factory.mktemp("unlabelled")
    make_data(folder, test=2)
    make_model(folder / "teacher", layers=3, spread=0.3)
    data = {
        "path": write_rows(folder / "few.json", make_rows(7, seed=4), too_long=2),
        "validation_items": 0,
        "unlabelled": {"path": write_rows(folder / "many.json", make_rows(9, seed=5), too_long=1)},
    }
    training = {
        "max_steps": STEPS, "batch_size_sequences": BATCH, "max_length_tokens": 260, "learning_rate": 1e-3,
        "validate_every_steps": 9,
    }  # fmt: skip
    study = write_study(
        folder,
        data=data,
        teachers=[{"name": "big", "path": str(folder / "teacher"), "condition": "base"}],
        methods=["sft", "seqkd", {"name": "forward_kl", "teacher_noise_std": 0.5}, "gkd", *OWN_TEXT],
        training=training,
        teacher_generation={"max_new_tokens": 12},
        runtime={"device": "cpu", "dtype": "float32", "threads": 1},
    )
    plan, _ = plan_study(study, folder / "store")
    trained = Trained(folder, {stage.label: stage for stage in in_order([plan.report])}, Store(folder / "store"), {})
    original = kdscope.stages.training.train

    def run(stage: Stage, context: Any) -> None:
        def kept(job: Job, checkpoints: Any) -> Any:
            trained.jobs[stage.label] = job
            return original(job, checkpoints)

        with pytest.MonkeyPatch.context() as patch:
            patch.setattr(kdscope.stages.training, "train", kept)
            execute(stage, context)

    targets = [trained.stages[f"train cut/{name}/s0"] for name in CELLS.values()]
    result = run_plan(targets, trained.store, run)
    assert not result.failed, result.messages
    return trained


def texts(job: Job) -> list[tuple[str, str]]:
    """Question and answer of every sequence, as a reader sees them; <end> where the answer ends."""
    tokenizer = make_tokenizer()
    return [
        (
            tokenizer.decode(s.token_ids[: s.prompt_length]).split("### Instruction:\n")[1].split("\n")[0],
            tokenizer.decode(s.token_ids[s.prompt_length :]),
        )
        for s in job.train
    ]


def said(rows: list[dict[str, Any]]) -> list[str]:
    tokenizer = make_tokenizer()
    return [tokenizer.decode(row["token_ids"]) for row in rows]


LABELLED = [row for number, row in enumerate(make_rows(7, seed=4)) if number != 2]
PROMPTS = [row for number, row in enumerate(make_rows(9, seed=5)) if number != 1]


def test_the_teacher_answers_every_prompt(trained: Trained) -> None:
    """Against transformers' own generation, a prompt at a time."""
    answers = trained.responses(" to unlabelled prompts")
    assert len(answers) == 9
    model = AutoModelForCausalLM.from_pretrained(trained.folder / "teacher", dtype=torch.float32)
    tokenizer, template = make_tokenizer(), get_template("alpaca")
    for row, answer in zip(PROMPTS, [a for number, a in enumerate(answers) if number != 1], strict=True):
        asked = tokenizer(template.render(row["instruction"]), return_tensors="pt").input_ids
        mask = torch.ones_like(asked)
        expected = model.generate(asked, attention_mask=mask, max_new_tokens=12, do_sample=False)[0, asked.shape[1] :]
        assert answer["token_ids"] == expected.tolist()
    assert len({tuple(answer["token_ids"]) for answer in answers}) > 1, "the test wants a teacher with opinions"


def test_the_control_trains_on_the_labelled_rows(trained: Trained) -> None:
    assert texts(trained.job("sft")) == [(row["instruction"], f"{row['output']}<end>") for row in LABELLED]
    facts = trained.facts("sft")
    assert (facts["examples"], facts["examples_left_out"]) == (6, 1)
    assert not {"unlabelled_prompts", "responses_unfinished"} & facts.keys()


@pytest.mark.parametrize("method", ["forward_kl", "gkd"])
def test_distilled_students_see_gold_and_the_teachers_answers_to_prompts(trained: Trained, method: str) -> None:
    answers = said(trained.responses(" to unlabelled prompts"))
    del answers[1]
    assert texts(trained.job(method)) == [
        *((row["instruction"], f"{row['output']}<end>") for row in LABELLED),
        *((row["instruction"], answer) for row, answer in zip(PROMPTS, answers, strict=True)),
    ]


def test_seqkd_hears_the_teacher_on_both(trained: Trained) -> None:
    answers = [*said(trained.responses()), *said(trained.responses(" to unlabelled prompts"))]
    del answers[7 + 1], answers[2]
    rows = [*LABELLED, *PROMPTS]
    assert texts(trained.job("seqkd")) == [(row["instruction"], a) for row, a in zip(rows, answers, strict=True)]


def test_text_teacher_gives_a_divergence_the_sequences_of_seqkd_and_their_recording(trained: Trained) -> None:
    assert texts(trained.job("own text")) == texts(trained.job("seqkd"))
    read = trained.stages["hidden states of teacher/big@base on its own text"]
    assert trained.stages["train cut/skew_kl-T1-text_teacher/big@base/s0"].inputs["states"] is read
    log = pd.read_parquet(trained.path("train cut/skew_kl-T1-text_teacher/big@base/s0") / "training.parquet")
    assert (log["divergence"] > 0).all()


def test_text_both_trains_on_references_and_the_teachers_text(trained: Trained) -> None:
    gold, own, prompts = texts(trained.job("sft")), texts(trained.job("seqkd"))[:6], texts(trained.job("gkd"))[6:]
    assert texts(trained.job("either text")) == [*gold, *own, *prompts]
    facts = trained.facts("either text")
    assert (facts["examples"], facts["examples_again"], facts["unlabelled_prompts"]) == (6 + 6 + 8, 6, 8)
    numbers = [sequence.example for sequence in trained.job("either text").train]
    assert numbers == [0, 1, 3, 4, 5, 6, 7 + 0, 7 + 1, *range(7 + 3, 14), 14 + 0, *range(14 + 2, 14 + 9)]


@pytest.mark.parametrize("method", ["seqkd", "forward_kl", "gkd"])
def test_facts_count_what_was_trained_on(trained: Trained, method: str) -> None:
    facts = trained.facts(method)
    assert (facts["examples"], facts["unlabelled_prompts"], facts["examples_left_out"]) == (6 + 8, 8, 2)
    heard = [*trained.responses(" to unlabelled prompts"), *(trained.responses() if method == "seqkd" else [])]
    assert facts["responses_unfinished"] == sum(row["finish_reason"] == "length" for row in heard) > 0


@pytest.mark.parametrize("method", ["seqkd", "forward_kl", "gkd"])
def test_every_sequence_is_an_example_of_its_own(trained: Trained, method: str) -> None:
    """The teacher's noise hangs on the example's number: two with one number would share it."""
    numbers = [sequence.example for sequence in trained.job(method).train]
    # Numbers of rows left out stay free, so a row's noise does not depend on the length of its neighbours.
    assert numbers == [0, 1, 3, 4, 5, 6, 7 + 0, *range(7 + 2, 7 + 9)]


@pytest.mark.parametrize("method", CELLS)
def test_every_student_has_as_many_full_steps(trained: Trained, method: str) -> None:
    job = trained.job(method)
    log = pd.read_parquet(trained.path(f"train cut/{CELLS[method]}/s0") / "training.parquet")
    assert trained.facts(method)["steps"] == len(log) == STEPS
    windows = plan_full_windows(len(job.train), BATCH, STEPS, job.seed)
    assert {len(window) for window in windows} == {BATCH}
    if method != "gkd":  # whose own samples have lengths of their own
        expected = [count_targets([job.train[i] for i in window], False) for window in windows]
        assert log["tokens"].tolist() == expected
