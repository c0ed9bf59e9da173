from __future__ import annotations

import pandas as pd

from kdscope.results.labels import name_cells, students
from tests.report.builders import build_cells, cell_row

KD = {"student": "s", "teacher": "t", "teacher_condition": "adapted", "kd_temperature": 1.0, "teacher_noise_std": 0.0}


def shorts(*rows):
    return [name.short for name in name_cells(pd.DataFrame(rows)).values()]


def test_only_settings_that_differ_are_told():
    sft = cell_row("a", "student", "sft", student="s")
    assert shorts(sft, cell_row("b", "student", "jsd", **KD)) == ["sft", "jsd"]
    warm = cell_row("c", "student", "jsd", **(KD | {"kd_temperature": 2.5}))
    assert shorts(sft, cell_row("b", "student", "jsd", **KD), warm) == ["sft", "jsd, T=1", "jsd, T=2.5"]


def test_every_setting_has_words():
    first = cell_row("b", "student", "jsd", **(KD | {"kd_weight": 1.0}))
    other = {"kd_weight": 0.5, "teacher_noise_std": 0.1, "teacher": "u", "teacher_condition": "base", "seed": 3}
    second = cell_row("c", "student", "jsd", **(KD | other))
    assert shorts(first, second)[1] == "jsd, w=0.5, noise 0.1, u, unadapted teacher, seed 3"


def test_teachers_and_untrained_models():
    teachers = [cell_row(f"t{n}", "teacher", "adapt", teacher="t", teacher_condition="adapted", seed=n) for n in (0, 1)]
    raw = cell_row("tb", "teacher", "base", teacher="t", teacher_condition="base")
    assert shorts(*teachers, raw, cell_row("b", "base", "base", student="s")) == [
        "adapted, seed 0",
        "adapted, seed 1",
        "untrained, seed 0",
        "untrained",
    ]


def test_runs_of_one_setting_share_its_name():
    runs = [cell_row(f"r{seed}", "student", "gkd", variant="beta 0.5", seed=seed, **KD) for seed in (0, 1)]
    names = list(name_cells(pd.DataFrame(runs)).values())
    assert [name.short for name in names] == ["gkd beta 0.5, seed 0", "gkd beta 0.5, seed 1"]
    assert {name.setting for name in names} == {"gkd beta 0.5"}


def test_an_adapted_teacher_goes_without_saying():
    both = [cell_row(c, "student", "jsd", **KD | {"teacher_condition": c}) for c in ("adapted", "base")]
    assert shorts(*both) == ["jsd", "jsd, unadapted teacher"]


def test_names_are_unique_within_a_model():
    twins = [cell_row(label, "student", "jsd", **KD) for label in ("s/jsd-b0.1", "s/jsd-b0.9")]
    assert shorts(*twins) == ["jsd (s/jsd-b0.1)", "jsd (s/jsd-b0.9)"]


def test_order_is_the_studys():
    cells = build_cells()
    names = name_cells(cells)
    assert list(names) == list(cells["cell"])
    assert students(names) == ["tiny", "small"]
