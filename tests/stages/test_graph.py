"""Which stages a study becomes, what each depends on, and that their identities stay what they were."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

import kdscope.stages.rows
from kdscope.api import plan_study
from kdscope.pipeline.stage import Stage, in_order
from kdscope.stages import KINDS
from kdscope.stages.graph import StudyPlan
from tests.builders import made_up_study, make_data, make_hollow_model, make_model, write_study

Planned = Callable[..., StudyPlan]
AFTERWARDS = {"compare_pair", "analyse_study", "write_report"}
READ = {"compare_distributions", *AFTERWARDS}


@pytest.fixture
def planned(tmp_path: Path) -> Planned:
    """Plans the small study with some settings changed; its model is a folder nobody loads."""
    make_data(tmp_path)
    make_hollow_model(tmp_path / "teacher")

    def plan(**changes: Any) -> StudyPlan:
        runtime = {"device": "cpu", "dtype": "float32"}
        return plan_study(write_study(tmp_path, **{"runtime": runtime, **changes}), tmp_path / "store")[0]

    return plan


def by_label(plan: StudyPlan) -> dict[str, Stage]:
    return {stage.label: stage for stage in in_order([plan.report])}


def identities(plan: StudyPlan) -> dict[str, str]:
    return {label: stage.identity for label, stage in by_label(plan).items()}


def changed(before: StudyPlan, after: StudyPlan) -> set[str]:
    old, new = identities(before), identities(after)
    return {label for label in new if old.get(label) != new[label]}


@pytest.fixture
def made_up(planned: Planned, tmp_path: Path) -> Planned:
    """Plans the study of generated problems; a change is a value and where to put it, dots between the keys."""

    def plan(changes: dict[str, Any] | None = None, **sections: Any) -> StudyPlan:
        values = {**made_up_study(tmp_path), **sections}
        for place, value in (changes or {}).items():
            inner: Any = values
            *parts, last = (int(part) if part.isdigit() else part for part in place.split("."))
            for part in parts:
                inner = inner[part]
            inner[last] = value
        return planned(**values)

    return plan


def test_every_kind_has_code_and_a_version(planned: Planned, made_up: Planned) -> None:
    lora = [{"name": "cut", "path": "teacher", "keep_layers": 2}]
    plans = (planned(), made_up(), planned(students=lora), planned(fidelity={"probe_items": 2}), planned(**SWEPT))
    kinds = {stage.kind for plan in plans for stage in in_order([plan.report])}
    assert kinds == set(KINDS)
    assert "prepare_prompts" not in {stage.kind for stage in in_order([planned().report])}
    folder = Path(__file__).parents[2] / "src/kdscope/stages"
    assert all((folder / f"{kind}.py").is_file() for kind in kinds)


def test_what_each_student_needs(planned: Planned) -> None:
    stages = by_label(planned())
    needs = {
        "train cut/sft/s0": {"data", "base"},
        "train cut/seqkd/big/s0": {"data", "base", "responses"},
        "train cut/forward_kl-T2/big/s0": {"data", "base", "states"},
        "train cut/gkd-T1/big/s0": {"data", "base", "states", "teacher"},
    }
    for label, roles in needs.items():
        assert set(stages[label].inputs) == roles
    assert stages["train cut/seqkd/big/s0"].inputs["responses"].inputs["teacher"].label == "adapt big"
    states = stages["train cut/forward_kl-T2/big/s0"].inputs["states"]
    assert {role: stage.label for role, stage in states.inputs.items()} == {
        "data": "training data",
        "teacher": "adapt big",
    }


LORA = [{"name": "cut", "path": "teacher", "keep_layers": 2}]
RATES = [0.004, 0.001, 0.002]
SWEPT = {"students": [LORA[0] | {"tuning": {"kind": "full", "learning_rate": RATES}}]}
WITH_HEAD = [LORA[0] | {"tuning": {"kind": "lora", "target_modules": ["q_proj", "lm_head"]}}]
METHODS = [
    "sft", "seqkd", {"name": "forward_kl", "kd_temperature": [1, 2]}, "reverse_kl", "gkd",
    {"name": "gkd", "on_policy_probability": 1.0}, {"name": "gkd", "on_policy_probability": 0.0},
]  # fmt: skip
PATHS = {
    "sft": "none",
    "seqkd/big": "words",
    "forward_kl-T1/big": "expectation",
    "forward_kl-T2/big": "expectation",
    "reverse_kl-T1/big": "replay",
    "gkd-T1-on_policy_probability0.5/big": "replay + live",
    "gkd-T1-on_policy_probability1/big": "live",
    "gkd-T1-on_policy_probability0/big": "replay",
}
NEEDS = {
    "none": set(),
    "words": {"responses"},
    "expectation": {"expectation"},
    "replay": {"states"},
    "replay + live": {"states", "teacher"},
    "live": {"teacher"},
}


@pytest.mark.parametrize(
    ("changes", "paths"),
    [
        ({"students": LORA}, {}),
        ({}, {"forward_kl-T1/big": "replay", "forward_kl-T2/big": "replay"}),
        ({"students": WITH_HEAD}, {"forward_kl-T1/big": "replay", "forward_kl-T2/big": "replay"}),
        (
            {"students": LORA, "teacher_signal": "replay"},
            {"forward_kl-T1/big": "replay", "forward_kl-T2/big": "replay"},
        ),
        (
            {"students": LORA, "teacher_signal": "live"},
            {name: "live" for name, path in PATHS.items() if path not in ("none", "words")},
        ),
    ],
    ids=["an adapter", "full tuning", "an adapter on the head", "replay asked for", "live asked for"],
)
def test_every_student_has_a_path_to_its_teacher(
    planned: Planned, changes: dict[str, Any], paths: dict[str, str]
) -> None:
    stages = by_label(planned(methods=METHODS, **changes))
    for name, path in (PATHS | paths).items():
        stage = stages[f"train cut/{name}/s0"]
        assert stage.context["signal"] == path
        assert set(stage.inputs) == {"data", "base", *NEEDS[path]}


def test_a_student_that_caps_its_logits_replays(planned: Planned, tmp_path: Path) -> None:
    folder = make_hollow_model(tmp_path / "capped")
    (folder / "config.json").write_text('{"num_hidden_layers": 3, "final_logit_softcapping": 30.0}')
    stages = by_label(planned(methods=["sft", "forward_kl"], students=[LORA[0] | {"path": "capped"}]))
    assert stages["train cut/forward_kl-T1/big/s0"].context["signal"] == "replay"


def test_one_recording_serves_the_whole_grid(planned: Planned) -> None:
    methods = [
        {"name": "forward_kl", "kd_temperature": [1, 2], "teacher_noise_std": [0, 1]}, "sft",
        {"name": "reverse_kl", "kd_temperature": [1, 2]}, "jsd", "adaptive_kl", "total_variation", "skew_kl",
    ]  # fmt: skip
    students = [LORA[0], LORA[0] | {"name": "cut3", "keep_layers": 3}]
    stages = by_label(planned(methods=methods, students=students, seeds=[0, 1]))
    recordings = [stage for stage in stages.values() if stage.kind == "record_states"]
    assert [stage.label for stage in recordings] == ["hidden states of teacher/big"]
    # Both students and, without noise, both seeds share one head, and so an expectation for each temperature.
    expectations = sorted(label for label, stage in stages.items() if stage.kind == "cache_expectation")
    noisy = [f" at T {t}, noise 1 seed {seed}" for t in (1, 2) for seed in (0, 1)]
    assert expectations == sorted(
        f"expectations of teacher/big for cut's head{rest}" for rest in (" at T 1", " at T 2", *noisy)
    )


def test_how_a_cell_is_trained_does_not_depend_on_the_others(planned: Planned) -> None:
    alone = planned(methods=["sft", "forward_kl"], students=LORA)
    together = planned(methods=["sft", "forward_kl", "gkd", "jsd"], students=LORA, seeds=[0, 1])
    trained = {label for label in identities(alone) if label.startswith(("train", "expectations", "hidden"))}
    assert {label: identities(alone)[label] for label in trained} == {
        label: identities(together)[label] for label in trained
    }


def test_prompts_in_the_loss_are_recorded(planned: Planned) -> None:
    methods = ["sft", "reverse_kl", {"name": "jsd", "prompt_in_loss": True}]
    stages = by_label(planned(methods=methods))
    assert {label for label, stage in stages.items() if stage.kind == "record_states"} == {
        "hidden states of teacher/big",
        "hidden states of teacher/big, prompts included",
    }


def test_the_control_is_compared_with_every_teacher(planned: Planned) -> None:
    teachers = [
        {"name": "big", "path": "teacher", "condition": ["adapted", "base"]},
        {"name": "other", "path": "teacher", "tuning": "full"},
    ]
    labels = [label for label in by_label(planned(teachers=teachers)) if "~" in label]
    control = [label for label in labels if label.startswith("cut/sft/s0")]
    assert [label.split(" ~ ")[1] for label in control] == ["teacher/big", "teacher/big@base", "teacher/other"]
    assert "cut/gkd-T1/big@base/s0 ~ teacher/big@base" in labels
    assert "cut/gkd-T1/big/s0 ~ teacher/big@base" not in labels


def test_a_base_teacher_is_not_adapted(planned: Planned) -> None:
    stages = by_label(planned(teachers=[{"name": "big", "path": "teacher", "condition": "base"}]))
    assert "adapt big" not in stages
    assert set(stages["AddSub: teacher/big@base"].inputs) == {"items"}


def test_teachers_nobody_learns_from_are_left_out(planned: Planned) -> None:
    assert not [label for label in by_label(planned(methods=["sft"])) if "big" in label]


@pytest.mark.parametrize(
    ("changes", "kinds"),
    [
        ({"scoring": "published"}, AFTERWARDS),
        ({"description": "another"}, {"write_report"}),
        ({"runtime": {"device": "cpu", "dtype": "float32", "threads": 2}}, set()),
        ({"evaluation": {"max_new_tokens": 9, "batch_size": 4}}, {"evaluate_model", *READ}),
        (
            {"teacher_generation": {"max_new_tokens": 13}},
            {"record_teacher", "distil_student", "evaluate_model", *READ},
        ),
    ],
)
def test_a_change_reaches_what_depends_on_it(planned: Planned, changes: dict[str, Any], kinds: set[str]) -> None:
    before, after = planned(), planned(**changes)
    stages = by_label(after)
    assert {stages[label].kind for label in changed(before, after)} == kinds


def test_only_seqkd_depends_on_how_the_teacher_writes(planned: Planned) -> None:
    after = changed(planned(), planned(teacher_generation={"max_new_tokens": 13}))
    assert {label for label in after if label.startswith("train")} == {"train cut/seqkd/big/s0"}


def test_adding_a_task_trains_nothing(planned: Planned) -> None:
    before = planned(tasks={"folder": "tasks", "names": ["AddSub"]})
    after = planned(tasks={"folder": "tasks", "names": ["AddSub", "SVAMP"]})
    assert not [label for label in changed(before, after) if label.startswith(("train", "adapt", "AddSub"))]


def test_a_second_seed_leaves_the_first_alone(planned: Planned) -> None:
    after = changed(planned(), planned(seeds=[0, 1]))
    trained = {label for label in after if label.startswith(("train", "adapt"))}
    assert trained == {
        f"train cut/{m}/s1" for m in ("sft", "seqkd/big", "forward_kl-T1/big", "forward_kl-T2/big", "gkd-T1/big")
    }


def test_the_published_template_trains_on_its_own_prompts(planned: Planned) -> None:
    stages = by_label(planned(template="published"))
    assert stages["train cut/sft/s0"].parameters["template"] == "published_training"
    assert stages["AddSub: cut/sft/s0"].parameters["template"] == "published"


GOLDEN = {
    "training data": "05228df7daeb2804",
    "adapt big": "15e502e16fdb4b67",
    "hidden states of teacher/big": "74a0e5a7cac8289c",
    "train cut/gkd-T1/big/s0": "fdd26576e1695092",
    "AddSub: cut/sft/s0": "d7b717333e97ad75",
}


def test_identities_are_what_they_were(planned: Planned) -> None:
    """Made by this code; a change here means that every user's finished stages run again: raise a stage's version
    or say so in the changelog, then put the new ones in."""
    found = identities(planned())
    assert {label: found[label][:16] for label in GOLDEN} == GOLDEN


# Generated problems, prompts without answers, teachers with data of their own


def behind(stage: Stage) -> list[str]:
    return [parent.label for parent in in_order([stage])[:-1]]


def test_students_that_have_a_teacher_learn_from_its_answers_to_the_prompts(made_up: Planned) -> None:
    stages = by_label(made_up())
    more = {"prompts", "prompt_responses"}
    needs = {
        "train cut/sft/s0": {"data", "base"},
        "train cut/seqkd/big/s0": {"data", "base", "responses", *more},
        "train cut/forward_kl-T1/big/s0": {"data", "base", "states", *more},
        "train cut/gkd-T1/big/s0": {"data", "base", "states", "teacher", *more},
    }
    for label, roles in needs.items():
        assert set(stages[label].inputs) == roles
    answers = stages["train cut/gkd-T1/big/s0"].inputs["prompt_responses"]
    assert answers.label == "responses of teacher/big to unlabelled prompts"
    assert {role: stage.label for role, stage in answers.inputs.items()} == {
        "prompts": "unlabelled prompts",
        "teacher": "adapt big",
    }
    assert answers is not stages["train cut/seqkd/big/s0"].inputs["responses"]


def test_the_control_sees_neither_prompts_nor_teacher(made_up: Planned) -> None:
    assert behind(by_label(made_up())["train cut/sft/s0"]) == ["training data", "prune cut"]


def test_a_teacher_with_data_of_its_own_sees_no_other(made_up: Planned) -> None:
    stages = by_label(made_up())
    assert behind(stages["adapt big"]) == ["training data of big"]
    assert behind(stages["train cut/forward_kl-T1/big/s0"]) == [
        "training data", "prune cut", "unlabelled prompts", "training data of big", "adapt big",
        "responses of teacher/big to unlabelled prompts", "hidden states of teacher/big",
    ]  # fmt: skip


def test_a_base_teacher_answers_as_it_comes(made_up: Planned) -> None:
    methods = ["sft", "seqkd", {"name": "forward_kl", "teacher_condition": ["adapted", "base"]}]
    stages = by_label(made_up(methods=methods))
    states = stages["train cut/forward_kl-T1/big@base/s0"].inputs["states"]
    assert set(states.inputs) == {"data", "prompts", "prompt_responses"}
    assert behind(stages["responses of teacher/big@base to unlabelled prompts"]) == ["unlabelled prompts"]
    assert "train cut/seqkd/big@base/s0" not in stages
    assert "cut/sft/s0 ~ teacher/big@base" in stages
    assert "cut/forward_kl-T1/big@base/s0 ~ teacher/big@base" in stages
    assert "cut/seqkd/big/s0 ~ teacher/big@base" not in stages


@pytest.mark.parametrize("conditions", [["adapted", "base"], ["base", "adapted"]])
def test_teachers_stand_in_the_order_of_their_conditions(planned: Planned, conditions: list[str]) -> None:
    plan = planned(teachers=[{"name": "big", "path": "teacher", "condition": conditions}])
    assert [arm.facts.teacher_condition for arm in plan.arms if arm.role == "teacher"] == conditions


def test_one_set_of_rows_is_one_stage_however_it_is_named(made_up: Planned) -> None:
    labelled = {"mini": {"tasks": ["MINI_One-Step", "mini-choose"], "rows_per_task": 10, "skip_per_task": 40}}
    stages = by_label(made_up({"teachers.0.data": {**labelled, "validation_items": 4}}))
    assert stages["adapt big"].inputs["data"] == stages["train cut/sft/s0"].inputs["data"]
    apart = by_label(made_up({"teachers.0.data": {**labelled, "validation_items": 5}}))
    assert apart["adapt big"].inputs["data"] != apart["train cut/sft/s0"].inputs["data"]


TRAINED = {"audit_contamination", "record_states", "distil_student", "evaluate_model", *READ}


@pytest.mark.parametrize(
    ("place", "value", "kinds"),
    [
        ("data.mini.seed", 1, {"prepare_data", "record_teacher", *TRAINED}),
        ("data.mini.rows_per_task", 9, {"prepare_data", "record_teacher", *TRAINED}),
        ("data.mini.skip_per_task", 39, {"prepare_data", "record_teacher", *TRAINED}),
        ("data.mini.tasks", ["mini-choose", "mini-one-step"], {"prepare_data", "record_teacher", *TRAINED}),
        ("data.unlabelled.mini.seed", 1, {"prepare_prompts", "record_teacher", *TRAINED}),
        ("data.unlabelled.mini.rows_per_task", 16, {"prepare_prompts", "record_teacher", *TRAINED}),
        ("data.unlabelled.limit", 20, {"prepare_prompts", "record_teacher", *TRAINED}),
        ("data.unlabelled.seed", 1, {"prepare_prompts", "record_teacher", *TRAINED}),
        ("teachers.0.data.mini.seed", 1, {"prepare_data", "adapt_teacher", "record_teacher", *TRAINED}),
        ("teachers.0.data.validation_items", 9, {"prepare_data", "adapt_teacher", "record_teacher", *TRAINED}),
        ("tasks.mini_seed", 1, {"prepare_task", "audit_contamination", "evaluate_model", *READ}),
        ("tasks.mini_items", 7, {"prepare_task", "audit_contamination", "evaluate_model", *READ}),
        ("tasks.limit", 5, {"prepare_task", "audit_contamination", "evaluate_model", *READ}),
        ("tasks.limit", 60, set()),
        ("training.max_steps", 7, {"adapt_teacher", "record_teacher", *TRAINED} - {"audit_contamination"}),
        ("teacher_training", {"epochs": 1}, {"adapt_teacher", "record_teacher", *TRAINED} - {"audit_contamination"}),
        ("tasks.exclude_contaminated", True, READ),
        ("fidelity", {"ceiling": "none"}, AFTERWARDS),
        ("fidelity", {"distribution_items": 7}, READ),
        ("fidelity", {"seed": 1}, READ),
        ("fidelity", {"probe_items": 3}, {"probe_reasoning", "analyse_study", "write_report"}),
        ("evaluation", {"stop_texts": []}, {"evaluate_model", *READ}),
        ("evaluation", {"batch_tokens": 99}, {"evaluate_model", *READ}),
        ("training.keep", "best_loss", {"adapt_teacher", "record_teacher", *TRAINED} - {"audit_contamination"}),
        (
            "teacher_training",
            {"keep": "best_loss"},
            {"adapt_teacher", "record_teacher", *TRAINED} - {"audit_contamination"},
        ),
        (
            "students",
            [{"name": "cut", "path": "teacher", "keep_layers": 2, "tuning": {"kind": "full", "learning_rate": 0.1}}],
            {"distil_student", "evaluate_model", *READ},
        ),
        (
            "methods",
            ["sft", {"name": "gkd", "warm_start_steps": 2, "warm_start": "forward_kl"}],
            {"distil_student", "evaluate_model", *READ},
        ),
        ("template", "plain", {"adapt_teacher", "record_teacher", *TRAINED} - {"audit_contamination"}),
        ("teacher_training", {"max_steps": 6}, set()),
    ],
)
def test_new_settings_reach_what_depends_on_them(made_up: Planned, place: str, value: Any, kinds: set[str]) -> None:
    before, after = made_up(), made_up({place: value})
    stages = by_label(after)
    assert {stages[label].kind for label in changed(before, after)} == kinds


@pytest.mark.parametrize("place", ["data.unlabelled.mini.seed", "teachers.0.data.mini.seed"])
def test_the_control_stays_when_prompts_or_teacher_change(made_up: Planned, place: str) -> None:
    after = changed(made_up(), made_up({place: 1}))
    trained = {label for label in after if label.startswith("train ")}
    names = ("seqkd/big", "forward_kl-T1/big", "forward_kl-T2/big", "gkd-T1/big")
    assert trained == {f"train cut/{name}/s0" for name in names}
    assert "mini-choose: cut/sft/s0" not in after


def test_prompts_leave_the_control_of_a_study_without_them_alone(made_up: Planned) -> None:
    after = changed(made_up({"data.unlabelled": None}), made_up())
    assert not after & {"train cut/sft/s0", "adapt big", "responses of teacher/big", "mini-choose: cut/sft/s0"}
    assert "train cut/seqkd/big/s0" in after


@pytest.mark.parametrize(
    "changes",
    [
        {"teachers": [{"name": "big", "path": "teacher", "data": None}]},
        {"tasks": {"folder": "tasks", "names": ["AddSub", "SVAMP"], "mini_items": 9, "mini_seed": 3}},
        {"methods": ["sft", *({"name": name, "teacher_condition": "adapted"} for name in ("seqkd", "gkd"))]},
    ],
    ids=["no data of the teacher's own", "numbers of mini items without mini tasks", "the condition it has anyway"],
)
def test_new_settings_without_effect_change_no_model(planned: Planned, changes: dict[str, Any]) -> None:
    assert not {
        label for label in changed(planned(), planned(**changes)) if not label.startswith(("analysis", "report"))
    }


def test_max_steps_keep_out_of_the_identity_of_studies_without_them(planned: Planned, made_up: Planned) -> None:
    with_epochs = by_label(planned())["train cut/sft/s0"].parameters["training"]
    with_steps = by_label(made_up())["train cut/sft/s0"].parameters["training"]
    assert with_epochs.keys() - with_steps.keys() == {"epochs"}
    assert with_steps.keys() - with_epochs.keys() == {"max_steps"}


def test_problems_are_made_up_a_few_times_for_a_plan_however_many_cells(
    made_up: Planned, monkeypatch: pytest.MonkeyPatch
) -> None:
    made: list[tuple[str, str]] = []
    original = kdscope.stages.rows.mini_rows

    def counted(task: str, split: Any, items: int, seed: int = 0) -> list[dict[str, str]]:
        made.append((task, split))
        return original(task, split, items, seed)

    monkeypatch.setattr(kdscope.stages.rows, "mini_rows", counted)
    counts = []
    for seeds in ([0], [0, 1, 2]):
        made.clear()
        made_up(seeds=seeds)
        counts.append(len(made))
    assert counts[0] == counts[1] > 0


# The audit, a person's own tasks


def test_the_audit_looks_at_all_that_anybody_learns_from(planned: Planned, made_up: Planned) -> None:
    audit = planned().audit
    assert audit.parameters["training"] == {"data": "the training data"}
    assert {role for role in audit.inputs if role.startswith("items/")} == {
        f"items/{task}" for task in audit.parameters["tasks"]
    }
    assert made_up().audit.parameters["training"] == {
        "data": "the training data",
        "data/big": "the training data of teacher big",
        "prompts": "the set of unlabelled prompts",
    }


def test_pairs_know_what_is_contaminated_only_where_it_is_left_out(planned: Planned) -> None:
    def with_audit(**changes: Any) -> set[str]:
        return {stage.kind for stage in by_label(planned(**changes)).values() if "audit" in stage.inputs}

    tasks = {"folder": "tasks", "names": ["AddSub"]}
    assert with_audit(tasks=tasks) == {"analyse_study"}
    assert with_audit(tasks=tasks | {"exclude_contaminated": True}) == {"analyse_study", *READ} - {"write_report"}


OWN = "name: capitals\nanswer: letter\nlabels: [A, B]\nfile: {file}\n"


def test_an_own_task_is_told_to_every_stage_that_needs_it(planned: Planned, tmp_path: Path) -> None:
    rows = [
        {"instruction": f"Question {n}? (A) Rome (B) Oslo", "input": "", "output": "", "answer": "A"} for n in range(4)
    ]
    for place in ("one", "two"):
        (tmp_path / place).mkdir()
        (tmp_path / place / "capitals.json").write_text(json.dumps(rows))
        (tmp_path / place / "capitals.yaml").write_text(OWN.format(file="capitals.json"))
    tasks = {"folder": "tasks", "names": ["capitals", "AddSub"]}
    first, second = (planned(tasks=tasks | {"definitions": place}) for place in ("one", "two"))
    assert identities(first) == identities(second), "where a task's files lie is no part of any identity"
    stages = by_label(first)
    for label in ("items of capitals", "capitals: cut/sft/s0", "analysis", "cut/sft/s0 ~ teacher/big"):
        (told,) = stages[label].parameters["own_tasks"]
        assert (told["name"], "file" in told) == ("capitals", False)
    for label in ("items of AddSub", "AddSub: cut/sft/s0", "train cut/sft/s0"):
        assert "own_tasks" not in stages[label].parameters
    (tmp_path / "two" / "capitals.yaml").write_text(OWN.format(file="capitals.json") + "chance: 0.25\n")
    third = planned(tasks=tasks | {"definitions": "two"})
    after = {by_label(third)[label].kind for label in changed(second, third)}
    assert after == {"prepare_task", "audit_contamination", "evaluate_model", *READ}


# Fidelity: controls, ceilings, readings, probes


def test_a_pair_has_its_control_its_ceiling_and_what_both_read(planned: Planned) -> None:
    stages = by_label(planned(methods=["sft", "forward_kl"], tasks={"folder": "tasks", "names": ["AddSub"]}))
    distilled = stages["cut/forward_kl-T1/big/s0 ~ teacher/big"].inputs
    told = {role: stage.label for role, stage in distilled.items()}
    assert told == {
        "student/AddSub": "AddSub: cut/forward_kl-T1/big/s0",
        "teacher/AddSub": "AddSub: teacher/big",
        "control/AddSub": "AddSub: cut/sft/s0",
        "ceiling/AddSub": "AddSub: teacher/big with another seed",
        "reading": "cut/forward_kl-T1/big/s0 reads with teacher/big",
        "control_reading": "cut/sft/s0 reads with teacher/big",
    }
    assert not [role for role in stages["cut/sft/s0 ~ teacher/big"].inputs if role.startswith("control")]


def test_ceilings(planned: Planned) -> None:
    def ceilings(**changes: Any) -> dict[str, Stage]:
        stages = by_label(planned(**changes))
        return {
            label: stage.inputs["ceiling/AddSub"]
            for label, stage in stages.items()
            if "~" in label and "ceiling/AddSub" in stage.inputs
        }

    resampled = {"fidelity": {"ceiling": "resampled"}}
    sampled = ceilings(**resampled)["cut/sft/s0 ~ teacher/big"].parameters["evaluation"]
    assert (sampled["sampling_temperature"], sampled["decoding_seeds"]) == (1.0, [0])  # type: ignore[index, call-overload]
    hot = ceilings(**resampled, evaluation={"sampling_temperature": 0.5, "decoding_seeds": [3, 5]})[
        "cut/sft/s0 ~ teacher/big"
    ]
    again = hot.parameters["evaluation"]
    assert (again["sampling_temperature"], again["decoding_seeds"]) == (0.5, [9, 11])  # type: ignore[index, call-overload]
    assert ceilings(fidelity={"ceiling": "none"}) == {}
    both = [{"name": "big", "path": "teacher", "condition": ["adapted", "base"]}]
    second = ceilings(teachers=both)
    adapted, base = second["cut/sft/s0 ~ teacher/big"], second["cut/sft/s0 ~ teacher/big@base"]
    assert adapted.inputs["model"].label == "adapt big again"
    assert adapted.inputs["model"].parameters["seed"] == 1000
    assert adapted.parameters["evaluation"]["sampling_temperature"] == 0.0, "as the students"  # type: ignore[index, call-overload]
    assert base.label == "AddSub: teacher/big@base", "there is no other seed of it: identity"
    itself = ceilings(teachers=both, fidelity={"ceiling": "identity"})
    assert {stage.label for stage in itself.values()} == {"AddSub: teacher/big", "AddSub: teacher/big@base"}


def test_the_ceilings_seed_is_no_students(planned: Planned) -> None:
    stages = by_label(planned(seeds=[0, 1000, 1001]))
    assert stages["adapt big again"].parameters["seed"] == 1002


def test_probes_know_the_traces_of_a_students_own_teacher(planned: Planned) -> None:
    stages = by_label(planned(methods=["sft", "forward_kl"], fidelity={"probe_items": 5, "distribution_items": 0}))
    assert not [label for label in stages if "reads with" in label]
    probed = {label: stage for label, stage in stages.items() if stage.kind == "probe_reasoning"}
    assert set(probed) == {f"probes of {name}" for name in ("teacher/big", "cut/sft/s0", "cut/forward_kl-T1/big/s0")}
    with_teacher = {label for label, stage in probed.items() if "teacher/AddSub" in stage.inputs}
    assert with_teacher == {"probes of cut/forward_kl-T1/big/s0"}


# Which step is kept, and learning rates that are chosen


def test_answers_are_compared_only_where_something_is_chosen_by_them(planned: Planned) -> None:
    def answered(**changes: Any) -> set[str]:
        return {label for label, stage in by_label(planned(**changes)).items() if "validation" in stage.parameters}

    def training(keep: str) -> dict[str, Any]:
        return {"training": {"epochs": 2, "max_length_tokens": 200, "keep": keep}}

    methods = {"methods": ["sft", "forward_kl"]}
    assert answered(**methods) == answered(**methods, **training("best_loss")) == set()
    everyone = {"adapt big", "adapt big again", "train cut/sft/s0", "train cut/forward_kl-T1/big/s0"}
    assert answered(**methods, **training("best_accuracy")) == everyone
    assert answered(**methods, **training("best_accuracy"), teacher_training={"keep": "last"}) == {
        label for label in everyone if not label.startswith("adapt")
    }
    sweep = {f"train cut/{arm}/lr{rate}" for arm in ("sft", "forward_kl-T1/big") for rate in RATES}
    assert answered(**methods, **SWEPT) == sweep
    asked = by_label(planned(**methods, **SWEPT))["train cut/sft/lr0.001"].parameters["validation"]
    assert asked == {"max_new_tokens": 8, "batch_size": 4, "batch_tokens": 32768, "stop_texts": ["### Instruction"]}


def test_every_arm_has_the_same_budget_with_a_seed_that_no_final_run_has(planned: Planned) -> None:
    methods = ["sft", "seqkd", {"name": "forward_kl", "kd_temperature": [1, 2]}, "gkd"]
    stages = by_label(planned(**SWEPT, methods=methods, seeds=[0, 1]))
    arms = {"sft", "seqkd/big", "forward_kl-T1/big", "forward_kl-T2/big", "gkd-T1/big"}
    choices = {label: stage for label, stage in stages.items() if stage.kind == "choose_rate"}
    assert set(choices) == {f"learning rate of cut/{arm}" for arm in arms}
    final = [stage for stage in stages.values() if stage.kind == "distil_student" and "choice" in stage.inputs]
    assert len(final) == 2 * len(arms)
    seeds = {stage.parameters["seed"] for stage in final}
    for label, choice in choices.items():
        assert {run.parameters["tuning"]["learning_rate"] for run in choice.inputs.values()} == set(RATES)  # type: ignore[index, call-overload]
        assert {run.parameters["seed"] for run in choice.inputs.values()} == {2**31} != seeds
        arm = label.removeprefix("learning rate of ")
        assert {stage.label for stage in final if stage.inputs["choice"] == choice} == {
            f"train {arm}/s{seed}" for seed in (0, 1)
        }
        (signals,) = {frozenset(run.inputs) for run in choice.inputs.values()}
        assert signals | {"choice"} == set(stages[f"train {arm}/s0"].inputs)


def test_a_further_seed_changes_no_sweep(planned: Planned) -> None:
    after = changed(planned(**SWEPT), planned(**SWEPT, seeds=[0, 1, 2]))
    assert not {label for label in after if label.startswith("learning rate") or "/lr" in label or label.endswith("s0")}


def test_a_sweep_is_planned_and_costed(planned: Planned, tmp_path: Path) -> None:
    make_model(tmp_path / "real", layers=2)
    students = [{"name": "cut", "path": "real", "tuning": {"kind": "full", "learning_rate": RATES}}]
    costs = {stage.label: stage.cost for stage in by_label(planned(students=students, methods=["sft"])).values()}
    once, swept = costs["train cut/sft/s0"], costs["train cut/sft/lr0.001"]
    # 20 examples in 4 steps an epoch make 8 steps, looked at after 3, 6 and 8: 4 prompts and answers of 8 tokens each.
    assert swept.tokens > once.tokens + 3 * 4 * 8
    assert swept.flops > once.flops > 0


def test_one_rate_is_not_tuned(planned: Planned) -> None:
    alone = [LORA[0] | {"tuning": {"kind": "full", "learning_rate": [0.001]}}]
    value = [LORA[0] | {"tuning": {"kind": "full", "learning_rate": 0.001}}]
    assert identities(planned(students=alone)) == identities(planned(students=value))
    assert "choose_rate" not in {stage.kind for stage in by_label(planned(students=alone)).values()}


def test_the_way_to_start_is_no_part_of_an_identity_without_a_choice(planned: Planned) -> None:
    methods = ["sft", {"name": "gkd", "warm_start_steps": 2}]
    told = by_label(planned(methods=methods))["train cut/gkd-T1/big/s0"].parameters["method"]
    assert "warm_start" not in told
    bridged = [methods[0], {**methods[1], "warm_start": "forward_kl"}]  # type: ignore[dict-item]
    told = by_label(planned(methods=bridged))["train cut/gkd-T1/big/s0"].parameters["method"]
    assert told["warm_start"] == "forward_kl"  # type: ignore[index, call-overload]
