"""What a study could see, from the study as it is written."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from kdscope.api import load_study
from kdscope.stages.graph import planned_comparisons
from kdscope.statistics.planning import detectable_by_normal
from kdscope.tasks import default_registry
from tests.builders import make_data, make_hollow_model, write_study

ITEMS = {"AddSub": 300, "SVAMP": 900, "boolq": 2000, "dolly": 500}


@pytest.fixture
def compared(tmp_path: Path) -> Any:
    make_data(tmp_path)
    make_hollow_model(tmp_path / "teacher")

    def plan(names: list[str] | None = None, **changes: Any) -> dict[str, Any]:
        study = load_study(write_study(tmp_path, **changes))
        if names is not None:
            study = study.model_copy(update={"tasks": study.tasks.model_copy(update={"names": tuple(names)})})
        return {found.name: found for found in planned_comparisons(study, ITEMS, default_registry())}

    return plan


def test_every_student_and_domain_is_a_question(compared: Any) -> None:
    students = [{"name": name, "path": "teacher"} for name in ("small", "large")]
    found = compared(["AddSub", "SVAMP", "boolq"], students=students)
    primary = {f"{student}, {domain}" for student in ("small", "large") for domain in ("math", "commonsense")}
    assert set(found) == primary | {"any model, AddSub", "any model, SVAMP"}
    assert {found[name].comparisons for name in primary} == {4}
    assert found["small, math"].items == 1200
    assert found["small, math"].detectable == pytest.approx(100 * detectable_by_normal(1200, 0.2, 0.05 / 4))
    assert found["any model, SVAMP"].comparisons == 1


def test_free_text_is_adjusted_for_and_not_told(compared: Any) -> None:
    found = compared(["AddSub", "SVAMP", "dolly"])
    assert not any("instruction" in name or "dolly" in name for name in found)
    primary = [row for name, row in found.items() if not name.startswith("any model")]
    assert {row.comparisons for row in primary} == {2 * len(primary)}


@pytest.mark.parametrize("methods", [["sft"], ["forward_kl", "gkd"]])
def test_without_a_control_or_a_method_nothing_is_compared(compared: Any, methods: list[str]) -> None:
    assert compared(methods=methods) == {}
