from __future__ import annotations

from dataclasses import replace

import pytest

from kdscope.pipeline.explain import Explanation
from kdscope.pipeline.explain import explain as explain_planned
from kdscope.pipeline.plan import plan_states


def explain(one, store) -> Explanation:
    """Of a stage that is the target of a plan."""
    return explain_planned(plan_states([one], store)[-1], store)


@pytest.fixture
def study(stage):
    data = stage("data", kind="prepare_data", parameters={"files": {"train": "aaa"}, "limit": 100})
    teacher = stage("teacher", {"data": data}, kind="adapt_teacher", parameters={"lora": {"rank": 8, "alpha": 16}})

    def student(temperature, teacher=teacher, **more):
        return stage(
            f"student T={temperature}", {"data": teacher.inputs["data"], "teacher": teacher}, kind="distil_student",
            parameters={"temperature": temperature, "seed": 0, "layers": [0, 2]}, **more,
        )  # fmt: skip

    return data, teacher, student


def test_never_ran(study, store):
    assert explain(study[0], store).reasons == [f"never ran: no prepare_data stage is complete in {store.root}"]
    assert explain(study[0], store).state == "will run"


def test_done(run, study, store):
    run([study[0]])
    explanation = explain(study[0], store)
    assert explanation.state == "done"
    assert explanation.reasons[0].startswith("complete since 20")
    assert explanation.reasons[0].endswith(", 2 files")


def test_damaged(run, study, store):
    run([study[0]])
    (store.path(study[0]) / "value.txt").write_text("short")
    explanation = explain(study[0], store)
    assert explanation.state == "damaged"
    [reason] = explanation.reasons
    assert reason.startswith("damaged: file value.txt has 5 bytes instead of ")


def test_a_changed_parameter_against_the_nearest_stage(run, study, store):
    _, _, student = study
    far = student(8.0)
    far = replace(far, parameters={**far.parameters, "seed": 7, "layers": [1]})
    run([student(2.0), far])
    explanation = explain(student(4.0), store)
    assert "'student T=2.0'" in explanation.reasons[0]
    assert explanation.reasons[1:] == ["parameter temperature: 2.0 -> 4.0"]


def test_between_equally_near_stages_the_label_decides(run, study, store):
    _, _, student = study
    run([student(1.0), student(2.0), student(3.0)])
    for label in ("student T=1.0", "student T=3.0"):
        assert repr(label) in explain(replace(student(9.0), label=label), store).reasons[0]


def test_added_and_removed_parameters_and_list_items(run, study, store):
    _, _, student = study
    run([student(2.0)])
    changed = replace(student(2.0), parameters={"temperature": 2.0, "layers": [0, 3], "noise": None, "seed": 0})
    assert explain(changed, store).reasons[1:] == ["parameter layers[1]: 2 -> 3", "parameter noise: (absent) -> null"]


def test_long_values_that_differ_only_late_are_still_told_apart(run, stage, store):
    run([stage("a", parameters={"text": "x" * 100 + "a"})])
    [_, reason] = explain(stage("b", parameters={"text": "x" * 100 + "b"}), store).reasons
    assert reason.startswith("parameter text: ")
    assert "(103 characters)" in reason


def test_changed_code(run, study, store):
    _, _, student = study
    run([student(2.0)])
    assert explain(student(2.0, version=2), store).reasons[1:] == ["code of distil_student changed: version 1 -> 2"]


def test_a_changed_input_is_followed_to_its_root(run, study, store):
    data, teacher, student = study
    run([student(2.0)])
    new_data = replace(data, parameters={"files": {"train": "bbb"}, "limit": 100})
    new_teacher = teacher.with_inputs({"data": new_data})
    reasons = explain(student(2.0, new_teacher), store).reasons
    assert reasons[1:] == [
        f"input data changed: {data.identity[:16]} -> {new_data.identity[:16]} (data)",
        '  data > parameter files.train: "aaa" -> "bbb"',
        f"input teacher changed: {teacher.identity[:16]} -> {new_teacher.identity[:16]} (teacher)",
        f"  teacher > input data changed: {data.identity[:16]} -> {new_data.identity[:16]} (data)",
        '  teacher > data > parameter files.train: "aaa" -> "bbb"',
    ]


def test_roles_that_come_and_go(run, study, store):
    _, teacher, student = study
    run([student(2.0)])
    changed = student(2.0).with_inputs({"data": teacher.inputs["data"], "tutor": teacher})
    assert explain(changed, store).reasons[1:] == ["input teacher: no longer used", "input tutor: new, 'teacher'"]


def test_a_failure_is_mentioned(run, study, store, toy):
    toy.broken = {"data"}
    run([study[0]])
    assert explain(study[0], store).reasons[0] == "failed last time: toy.jsonl, row 3: cannot be used"


def test_the_state_is_that_of_the_plan(run, study, store):
    """Damage in what nobody will read is told, and is no reason to run; damage in a target is, and in what it reads."""
    data, teacher, student = study
    run([student(2.0)])
    for one in (data, teacher):
        flip(store.path(one) / "value.txt")
    found = {item.stage: explain_planned(item, store) for item in plan_states([student(2.0)], store)}
    assert [found[one].state for one in (data, teacher, student(2.0))] == ["done"] * 3
    flip(store.path(student(2.0)) / "value.txt")
    (store.path(teacher) / "value.txt").unlink()
    planned = plan_states([student(2.0)], store)
    assert [item.state for item in planned] == ["damaged"] * 3
    assert [explain_planned(item, store).reasons for item in planned] == [
        ["damaged: file value.txt has changed content"],
        ["damaged: file value.txt is missing"],
        ["damaged: file value.txt has changed content"],
    ]
    run([student(2.0)])
    (store.path(teacher) / "value.txt").unlink()
    [_, unread, _] = plan_states([student(2.0)], store)
    assert explain_planned(unread, store) == Explanation(
        "not needed", ["damaged: file value.txt is missing", "what was made from it is complete"]
    )


def flip(file):
    content = file.read_bytes()
    file.write_bytes(bytes([content[0] ^ 1]) + content[1:])
