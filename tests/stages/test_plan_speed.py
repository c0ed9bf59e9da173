"""Planning a large study takes seconds."""

from __future__ import annotations

import time
from pathlib import Path

from kdscope.api import plan_study
from kdscope.study.grid import expand_cells
from kdscope.study.schema import Study
from tests.builders import make_data, make_hollow_model, write_study


def test_plan_of_5000_cells_takes_less_than_20_seconds_of_cpu(tmp_path: Path) -> None:
    """Four seconds on an idle machine; what grows with the square of the cells would take minutes."""
    make_data(tmp_path)
    make_hollow_model(tmp_path / "teacher")
    students = [
        {"name": f"s{rank}", "path": "teacher", "keep_layers": 2, "tuning": {"kind": "lora", "rank": rank}}
        for rank in range(1, 6)
    ]
    methods = [
        "sft", "seqkd", {"name": "forward_kl", "kd_temperature": [1, 2, 4]},
        {"name": "reverse_kl", "kd_temperature": [1, 2]}, "jsd", "gkd", "adaptive_kl",
    ]  # fmt: skip
    runtime = {"device": "cpu", "dtype": "float32"}
    study = write_study(tmp_path, students=students, methods=methods, seeds=list(range(100)), runtime=runtime)
    began = time.process_time()
    plan, planned = plan_study(study, tmp_path / "store")
    assert time.process_time() - began < 20
    assert len(plan.arms) == 1 + 5000
    assert len(planned) > 25_000


def test_arms_of_1000_entries_of_one_method_are_told_apart_in_a_second_of_cpu() -> None:
    """Comparing every entry with every other for every cell took a minute."""
    methods = ["sft", *({"name": "gkd", "beta": number / 1000} for number in range(999))]
    study = Study.model_validate(
        {
            "name": "demo",
            "data": {"mini": {"tasks": "mini-choose", "rows_per_task": 9}},
            "tasks": {"names": []},
            "teachers": {"name": "big", "path": Path("teacher")},
            "students": [{"name": f"s{number}", "path": Path("student")} for number in range(5)],
            "methods": methods,
        }
    )
    began = time.process_time()
    assert len({cell.label for cell in expand_cells(study)}) == 5000
    assert time.process_time() - began < 1


def test_plan_of_a_long_chain_of_stages_needs_no_recursion(tmp_path: Path) -> None:
    from kdscope.pipeline.plan import plan_states
    from kdscope.pipeline.stage import Stage, in_order
    from kdscope.pipeline.store import Store

    stage = Stage("toy", "0", 1, {"number": 0}, {})
    for number in range(1, 3000):
        stage = Stage("toy", str(number), 1, {"number": number}, {"before": stage})
    assert [one.label for one in in_order([stage])] == [str(number) for number in range(3000)]
    assert {item.state for item in plan_states([stage], Store(tmp_path))} == {"will run"}
