"""Which stages a study becomes, what each depends on, and that their identities stay what they were."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from kdscope.api import plan_study
from kdscope.pipeline.stage import Stage, in_order
from kdscope.stages import STAGE_VERSIONS
from kdscope.stages.graph import StudyPlan
from tests.builders import make_data, make_hollow_model, write_study

Planned = Callable[..., StudyPlan]
AFTERWARDS = {"compare_pair", "analyse_study", "write_report"}


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


def test_every_kind_has_code_and_a_version(planned: Planned) -> None:
    kinds = {stage.kind for stage in in_order([planned().report])}
    assert kinds == set(STAGE_VERSIONS)
    folder = Path(__file__).parents[2] / "src/kdscope/stages"
    assert all((folder / f"{kind}.py").is_file() for kind in kinds)


def test_what_each_student_needs(planned: Planned) -> None:
    stages = by_label(planned())
    needs = {
        "train cut/sft/s0": {"data", "base"},
        "train cut/seqkd/big/s0": {"data", "base", "responses"},
        "train cut/forward_kl-T2/big/s0": {"data", "base", "teacher"},
        "train cut/gkd-T1/big/s0": {"data", "base", "teacher"},
    }
    for label, roles in needs.items():
        assert set(stages[label].inputs) == roles
    assert stages["train cut/seqkd/big/s0"].inputs["responses"].inputs["teacher"].label == "adapt big"


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
        ({"evaluation": {"max_new_tokens": 9, "batch_size": 4}}, {"evaluate_model", *AFTERWARDS}),
        (
            {"teacher_generation": {"max_new_tokens": 13}},
            {"record_teacher", "distil_student", "evaluate_model", *AFTERWARDS},
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
    "adapt big": "8af287b6a58a684c",
    "train cut/gkd-T1/big/s0": "14f71d66511fb75f",
    "AddSub: cut/sft/s0": "487b214772d251e7",
}


def test_identities_are_what_they_were(planned: Planned) -> None:
    """Made by this code; a change here means that every user's finished stages run again: raise a stage's version
    or say so in the changelog, then put the new ones in."""
    found = identities(planned())
    assert {label: found[label][:16] for label in GOLDEN} == GOLDEN
