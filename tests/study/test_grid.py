"""How many cells a study has, counted by hand, and that none is lost behind another."""

from pathlib import Path

import pytest

from kdscope.study.grid import expand_cells
from kdscope.study.load import load_study

FULL = (Path(__file__).parent / "examples" / "full.yaml").read_text(encoding="utf-8")


@pytest.fixture
def cells(tmp_path):
    def expand(text):
        (tmp_path / "study.yaml").write_text(text, encoding="utf-8")
        return expand_cells(load_study(tmp_path / "study.yaml"))

    return expand


def test_the_lists_of_a_study_multiply(cells):
    # 2 students x 2 seeds x (sft + 3 teacher arms x (seqkd + 2 temperatures x 2 noise levels + gkd))
    found = cells(FULL)
    assert len(found) == 2 * 2 * (1 + 3 * (1 + 2 * 2 + 1))
    assert len({cell.label for cell in found}) == len(found)


def test_controls_come_first(cells):
    found = cells(FULL.replace("  - sft\n", "").replace("seeds:", "  - sft\nseeds:"))
    assert [cell.method.name for cell in found].index("sft") == 0


def test_the_same_value_twice_is_one_cell(cells):
    assert len(cells(FULL.replace("seeds: [0, 1]", "seeds: [0, 0, 1, 1]"))) == len(cells(FULL))


METHODS = """name: x
data: {{path: d}}
tasks: {{folder: t, names: gsm8k}}
teachers: {{name: big, path: t}}
students: {{name: s, path: p}}
methods:
{}
"""


@pytest.mark.parametrize(
    ("one", "other"),
    [
        ("forward_kl", "{name: forward_kl, reduction: sequence}"),
        ("forward_kl", "{name: forward_kl, t2_scale: true}"),
        ("{name: forward_kl, probability_epsilon: 1e-9}", "{name: forward_kl, probability_epsilon: 1e-8}"),
        ("sft", "{name: sft, prompt_in_loss: true}"),
        ("seqkd", "{name: seqkd, prompt_in_loss: true}"),
        ("{name: jsd, beta: 0.1}", "{name: jsd, beta: 0.9}"),
        ("{name: jsd, kd_temperature: 1.0000001}", "{name: jsd, kd_temperature: 1}"),
        ("{name: gkd, sampling_temperature: 2}", "gkd"),
    ],
)
def test_methods_that_differ_in_one_setting_are_two_cells(cells, one, other):
    assert len(cells(METHODS.format(f"  - {one}\n  - {other}"))) == 2


def test_equal_methods_are_one_cell(cells):
    assert len(cells(METHODS.format("  - forward_kl\n  - {name: forward_kl, kd_temperature: 1}"))) == 1


TEACHERS = METHODS.replace(
    "{{name: big, path: t}}", "[{{name: big, path: t}}, {{name: old, path: o, condition: base}}]"
)


def taught(cells):
    return [(cell.method.name, cell.teacher.name, cell.teacher_condition) for cell in cells if cell.teacher]


def test_a_method_may_ask_for_teachers_in_other_conditions_than_theirs(cells):
    found = cells(
        TEACHERS.format(
            "  - sft\n  - {name: forward_kl, teacher_condition: [adapted, base]}\n  - seqkd\n  - reverse_kl"
        )
    )
    assert taught(found) == [
        ("forward_kl", "big", "adapted"),
        ("forward_kl", "big", "base"),
        ("forward_kl", "old", "adapted"),
        ("forward_kl", "old", "base"),
        ("seqkd", "big", "adapted"),
        ("seqkd", "old", "base"),
        ("reverse_kl", "big", "adapted"),
        ("reverse_kl", "old", "base"),
    ]
    labels = [cell.label for cell in found]
    assert labels[:3] == ["s/sft/s0", "s/forward_kl-T1/big/s0", "s/forward_kl-T1/big@base/s0"]


def test_one_condition_restricts(cells):
    found = cells(TEACHERS.format("  - {name: seqkd, teacher_condition: adapted}"))
    assert taught(found) == [("seqkd", "big", "adapted"), ("seqkd", "old", "adapted")]


def test_a_condition_named_twice_or_by_two_entries_is_one_cell(cells):
    two = "  - forward_kl\n  - {name: forward_kl, teacher_condition: [adapted, base, adapted]}"
    assert [cell.label for cell in cells(METHODS.format(two))] == [
        "s/forward_kl-T1/big/s0",
        "s/forward_kl-T1/big@base/s0",
    ]


def test_conditions_of_entries_that_differ_otherwise_are_kept_apart(cells):
    two = "  - {name: jsd, beta: 0.1, teacher_condition: base}\n  - {name: jsd, beta: 0.9}"
    assert [cell.label for cell in cells(METHODS.format(two))] == [
        "s/jsd-T1-beta0.1/big@base/s0",
        "s/jsd-T1-beta0.9/big/s0",
    ]


def test_text_is_named_where_it_is_not_the_methods_own(cells):
    own = METHODS.format("  - {name: skew_kl, text: gold}\n  - {name: seqkd, text: teacher}")
    assert {cell.variant for cell in cells(own)} == {""}
    other = METHODS.format("  - {name: skew_kl, text: teacher}\n  - {name: seqkd, text: both}")
    assert {cell.variant for cell in cells(other)} == {"text_teacher", "text_both"}
