"""Do the training sets hold evaluation items?"""

from __future__ import annotations

import json
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from kdscope.data.contamination import (
    Tally,
    audit_contamination,
    contaminated_items,
    describe_contamination,
    tally_contamination,
)
from kdscope.pipeline.run import StageContext
from kdscope.pipeline.stage import Stage
from kdscope.stages import prepare_data, prepare_prompts, prepare_task
from kdscope.stages.planning import Params, StageKind, StudyContext, once
from kdscope.stages.rows import read_prepared_examples, read_prepared_items

if TYPE_CHECKING:
    import pandas as pd

KIND = StageKind(__name__, version=1)

_COLUMNS = ("training_set", "task", "items", "exact", "near", "some")


class AuditContaminationParams(Params):
    """Which training sets, by the role of the stage that prepared them, and which tasks."""

    training: dict[str, str]
    tasks: tuple[str, ...]


@once
def plan(context: StudyContext) -> Stage:
    """Which items of which task stand in what the models learn from."""
    sets = {"data": (prepare_data.plan(context), "the training data")}
    for teacher in context.study.teachers:
        if teacher.data is not None:
            own = prepare_data.plan(context, teacher)
            sets[f"data/{teacher.name}"] = (own, f"the training data of teacher {teacher.name}")
    if (prompts := prepare_prompts.plan(context)) is not None:
        sets["prompts"] = (prompts, "the set of unlabelled prompts")
    names = context.tasks.names
    params = AuditContaminationParams(training={role: name for role, (_, name) in sets.items()}, tasks=names)
    inputs = {role: stage for role, (stage, _) in sets.items()}
    inputs |= {f"items/{name}": prepare_task.plan(context, name) for name in names}
    return KIND.stage("contamination audit", params, inputs)


def as_input(context: StudyContext) -> dict[str, Stage]:
    """The audit as an input of stages that leave out what it found; none where the study keeps contaminated items."""
    return {"audit": plan(context)} if context.tasks.exclude_contaminated else {}


def run(context: StageContext) -> None:
    """Write contamination.json: the numbers of every training set and task, and the items concerned."""
    params, folders = AuditContaminationParams.of(context.stage), context.inputs
    training = {
        name: read_prepared_examples(folders[role] / ("prompts.jsonl" if role == "prompts" else "train.jsonl"))
        for role, name in params.training.items()
    }
    items = {task: read_prepared_items(folders[f"items/{task}"]) for task in params.tasks}
    overlaps = audit_contamination(training, items)
    tallies = tally_contamination(overlaps, training, {task: len(rows) for task, rows in items.items()})
    found = {"tallies": [asdict(tally) for tally in tallies], "items": sorted(contaminated_items(overlaps))}
    (context.output / "contamination.json").write_text(json.dumps(found, indent=1), encoding="utf-8")
    sentences = describe_contamination(tallies)
    context.facts["contamination"] = list(sentences)
    for sentence in sentences:
        context.progress.warn(sentence)


@dataclass(frozen=True)
class Audit:
    """What an audit found.

    Attributes:
        tallies: The numbers of every training set and task.
        items: Ids of the contaminated items.
    """

    tallies: tuple[Tally, ...]
    items: frozenset[str]

    def table(self) -> pd.DataFrame:
        """A row for every training set and task that have anything in common."""
        import pandas as pd

        return pd.DataFrame(
            [
                {
                    **{name: getattr(tally, name) for name in _COLUMNS},
                    "examples": "; ".join(f"{item} in row {row}" for item, row in tally.examples),
                }
                for tally in self.tallies
                if tally.exact + tally.near + tally.some
            ]
        )


def read_audit(folder: Path) -> Audit:
    """What the stage wrote into its folder."""
    found = json.loads((folder / "contamination.json").read_text(encoding="utf-8"))
    tallies = (Tally(**row | {"examples": tuple((i, r) for i, r in row["examples"])}) for row in found["tallies"])
    return Audit(tuple(tallies), frozenset(found["items"]))


def contaminated(context: StageContext) -> frozenset[str]:
    """The items that a running stage leaves out: those its audit found, if it has one."""
    return read_audit(context.inputs["audit"]).items if "audit" in context.inputs else frozenset()
