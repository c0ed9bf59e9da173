"""Does the student answer, reason and doubt like the teacher? With its control, its ceiling and chance beside it."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import pyarrow.parquet as pq

from kdscope.evaluation.accuracy import without_items
from kdscope.evaluation.distribution_fidelity import PairReading, compare_readings
from kdscope.evaluation.fidelity_per_task import Sampling
from kdscope.evaluation.fidelity_table import fidelity_rows, item_likeness, measure_records, rows_frame
from kdscope.evaluation.records import Record, read_records
from kdscope.pipeline.run import StageContext
from kdscope.stages.audit_contamination import read_audit
from kdscope.stages.own_tasks import registry_of


def run(context: StageContext) -> None:
    """Write fidelity.parquet, and items.parquet: how like the teacher the student writes, item by item.

    A task that one of the two has not answered is left out.
    """
    settings: Any = context.stage.parameters
    left_out = read_audit(context.inputs["audit"]).items if "audit" in context.inputs else frozenset()
    sides = {side: _records(context.inputs, side) for side in ("student", "teacher", "control", "ceiling")}
    kept = without_items(sides, left_out)
    both = [task for task in settings["tasks"] if task in kept["student"] and task in kept["teacher"]]
    student, teacher, control, ceiling = ({t: kept[s][t] for t in both if t in kept[s]} for s in sides)
    registry, sampling = registry_of(settings), Sampling(seed=settings["seed"])
    measured = measure_records(
        *(student, teacher, settings["scoring"]),
        registry=registry,
        control=control,
        ceiling=ceiling,
        sampling=sampling,
    )
    rows = fidelity_rows(measured, registry)
    if (read := _reading(context.inputs, "reading")) is not None:
        clusters = {record.item_id: record.prompt for answered in teacher.values() for record in answered}
        with_control = _reading(context.inputs, "control_reading")
        rows += compare_readings(read, with_control, clusters, sampling)
    rows_frame(rows).to_parquet(context.output / "fidelity.parquet", index=False)
    pq.write_table(item_likeness(measured), context.output / "items.parquet")


def _records(inputs: Mapping[str, Path], side: str) -> dict[str, list[Record]]:
    found = {role.split("/", 1)[1]: folder for role, folder in inputs.items() if role.startswith(f"{side}/")}
    return {task: read_records(folder / "records.parquet") for task, folder in found.items()}


def _reading(inputs: Mapping[str, Path], role: str) -> PairReading | None:
    """What two models made of the same texts; None where they were not asked, or speak of other tokens."""
    return PairReading.load(inputs[role]) if role in inputs else None
