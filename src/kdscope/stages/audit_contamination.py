"""Do the training sets hold evaluation items?"""

from __future__ import annotations

import json
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import pandas as pd

from kdscope.data.contamination import (
    Tally,
    audit_contamination,
    contaminated_items,
    describe_contamination,
    tally_contamination,
)
from kdscope.pipeline.run import StageContext
from kdscope.stages.files import read_prepared_examples, read_prepared_items


def run(context: StageContext) -> None:
    """Write contamination.json: the numbers of every training set and task, and the items concerned."""
    settings: Any = context.stage.parameters
    folders = context.inputs
    training = {
        name: read_prepared_examples(folders[role] / ("prompts.jsonl" if role == "prompts" else "train.jsonl"))
        for role, name in settings["training"].items()
    }
    items = {task: read_prepared_items(folders[f"items/{task}"]) for task in settings["tasks"]}
    overlaps = audit_contamination(training, items)
    tallies = tally_contamination(overlaps, training, {task: len(rows) for task, rows in items.items()})
    found = {"tallies": [asdict(tally) for tally in tallies], "items": sorted(contaminated_items(overlaps))}
    (context.output / "contamination.json").write_text(json.dumps(found, indent=1), encoding="utf-8")
    sentences = describe_contamination(tallies)
    context.facts["contamination"] = list(sentences)
    for sentence in sentences:
        context.progress.warn(sentence)


_COLUMNS = ("training_set", "task", "items", "exact", "near", "some")


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
