"""Does the student answer and reason like the teacher?"""

from __future__ import annotations

from dataclasses import asdict
from typing import Any

import pandas as pd

from kdscope.evaluation.clean import without_items
from kdscope.evaluation.pairs import compare_records
from kdscope.evaluation.records import Record, read_records
from kdscope.pipeline.run import StageContext
from kdscope.stages.audit_contamination import read_audit
from kdscope.stages.own_tasks import registry_of


def run(context: StageContext) -> None:
    """Write fidelity.parquet."""
    settings: Any = context.stage.parameters

    left_out = read_audit(context.inputs["audit"]).items if "audit" in context.inputs else frozenset()

    def records(side: str) -> dict[str, list[Record]]:
        answered = {t: read_records(context.inputs[f"{side}/{t}"] / "records.parquet") for t in settings["tasks"]}
        return without_items({side: answered}, left_out)[side]

    rows = compare_records(records("student"), records("teacher"), settings["scoring"], registry=registry_of(settings))
    pd.DataFrame([asdict(row) for row in rows]).to_parquet(context.output / "fidelity.parquet", index=False)
