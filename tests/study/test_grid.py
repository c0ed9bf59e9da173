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
