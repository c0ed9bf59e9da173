"""Stage 9: does the student answer and reason like the teacher?"""

from __future__ import annotations

from dataclasses import asdict
from typing import Any

import pandas as pd

from kdscope.evaluation.pairs import compare_records
from kdscope.evaluation.records import Record, read_records
from kdscope.pipeline.run import StageContext


def run(context: StageContext) -> None:
    """Write fidelity.parquet."""
    settings: Any = context.stage.parameters

    def records(side: str) -> dict[str, list[Record]]:
        return {t: read_records(context.inputs[f"{side}/{t}"] / "records.parquet") for t in settings["tasks"]}

    rows = compare_records(records("student"), records("teacher"), settings["scoring"])
    pd.DataFrame([asdict(row) for row in rows]).to_parquet(context.output / "fidelity.parquet", index=False)
