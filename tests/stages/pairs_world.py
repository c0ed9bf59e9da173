"""A teacher and a student that have answered two tasks, and the stages that look at them more closely."""

from __future__ import annotations

import json
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from kdscope.api import plan_study
from kdscope.pipeline.run import RunResult, StageContext, run_plan
from kdscope.pipeline.stage import Stage
from kdscope.pipeline.store import Store
from kdscope.stages import compare_distributions, execute, probe_reasoning
from kdscope.stages.graph import Arm, StudyPlan
from kdscope.stages.planning import AnswerSettings
from tests.builders import make_data, make_model, make_rows, write_study

TASKS = ("AddSub", "mini-choose")
ITEMS = 5


@dataclass(frozen=True)
class World:
    """A small study; its first AddSub item is in the training data."""

    folder: Path
    plan: StudyPlan
    store: Store

    def arm(self, role: str) -> Arm:
        return next(arm for arm in self.plan.arms if arm.role == role)

    def run(self, *targets: Stage, run: Callable[[Stage, StageContext], None] | None = None) -> RunResult:
        return run_plan(targets, self.store, run or run_any)

    def compare(self, student: str = "student", *, context: dict[str, Any] | None = None, **changes: Any) -> Stage:
        """The distribution pass of the student, or of the teacher beside itself."""
        own, teacher = self.arm(student).evaluations, self.arm("teacher").evaluations
        inputs = {f"items/{task}": own[task].inputs["items"] for task in TASKS}
        inputs |= {f"student/{task}": own[task] for task in TASKS}
        inputs |= {f"teacher/{task}": teacher[task] for task in TASKS}
        inputs |= {role: stage for role, stage in own[TASKS[0]].inputs.items() if role in ("base", "model")}
        inputs |= {"audit": self.plan.audit} if changes.pop("audit", False) else {}
        places = {"base": own[TASKS[0]].context["base"], "teacher_base": teacher[TASKS[0]].context["base"]}
        return Stage(
            "compare_distributions",
            "compare",
            1,
            {
                "tasks": list(TASKS),
                "template": "alpaca",
                "dtype": "float32",
                "seed": 0,
                "items": 4,
                "model": own[TASKS[0]].parameters["model"],
                "teacher": teacher[TASKS[0]].parameters["model"],
                **changes,
            },
            inputs,
            context={"device": "cpu", "threads": 1, **places, **(context or {})},
        )

    def probe(self, role: str = "student", *, teacher: bool = True, **changes: Any) -> Stage:
        """The probes of a model, with its teacher's traces or without."""
        own = self.arm(role).evaluations
        inputs = {f"items/{task}": own[task].inputs["items"] for task in TASKS}
        inputs |= {f"own/{task}": own[task] for task in TASKS}
        inputs |= {f"teacher/{t}": stage for t, stage in self.arm("teacher").evaluations.items()} if teacher else {}
        inputs |= {role: stage for role, stage in own[TASKS[0]].inputs.items() if role in ("base", "model")}
        asked: Any = own[TASKS[0]].parameters["evaluation"]
        parameters = {
            "tasks": list(TASKS),
            "template": "alpaca",
            "dtype": "float32",
            "seed": 0,
            "items": 3,
            "answer_tokens": 4,
            "model": own[TASKS[0]].parameters["model"],
            "evaluation": {name: asked[name] for name in AnswerSettings.model_fields if name in asked},
            **changes,
        }
        context = {"device": "cpu", "threads": 1, "base": own[TASKS[0]].context["base"]}
        return Stage("probe_reasoning", "probe", 1, parameters, inputs, context=context)


def run_any(stage: Stage, context: StageContext) -> None:
    """A stage of the study, or one of the two."""
    own = {"compare_distributions": compare_distributions, "probe_reasoning": probe_reasoning}
    if stage.kind in own:
        own[stage.kind].run(context)
    else:
        execute(stage, context)


def make_pair_world(folder: Path) -> World:
    """The study, nothing of it run."""
    make_data(folder, train=12, test=ITEMS)
    make_model(folder / "teacher", spread=0.3)
    rows = json.loads((folder / "train.json").read_text())[:1] + make_rows(ITEMS - 1, seed=8)
    (folder / "tasks" / "AddSub" / "test.json").write_text(json.dumps(rows))
    study = write_study(
        folder,
        data={"path": str(folder / "train.json"), "validation_items": 0},
        tasks={"folder": str(folder / "tasks"), "names": list(TASKS), "mini_items": ITEMS},
        teachers=[{"name": "big", "path": str(folder / "teacher"), "condition": "base"}],
        methods=["sft", "seqkd"],
        training={
            "max_steps": 2,
            "batch_size_sequences": 4,
            "max_length_tokens": 300,
            "learning_rate": 1e-3,
            "validate_every_steps": 9,
        },
        runtime={"device": "cpu", "dtype": "float32", "threads": 1},
    )
    plan, _ = plan_study(study, folder / "store")
    return World(folder, plan, Store(folder / "store"))
