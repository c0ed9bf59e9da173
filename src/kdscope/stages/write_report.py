"""Stage 10: the tables become a page."""

from __future__ import annotations

import json
import shutil
from importlib.metadata import PackageNotFoundError, version
from typing import Any

from kdscope.models.hardware import describe_hardware
from kdscope.pipeline.run import StageContext
from kdscope.report.page import PageFacts, write_page
from kdscope.report.tables import load_tables
from kdscope.study.dump import study_yaml
from kdscope.study.schema import Study

_REPORTED = ("kdscope", "torch", "transformers", "peft", "accelerate", "sacrebleu", "scipy", "statsmodels")


def run(context: StageContext) -> None:
    """Write report.html, and tables/ beside it."""
    settings: Any = context.stage.parameters
    where: Any = context.stage.context
    study = Study.model_validate_json(json.dumps(where["study"]))
    shutil.copytree(context.inputs["analysis"], context.output / "tables", ignore=lambda *_: ["manifest.json"])
    tables = load_tables(context.output / "tables")
    failed = tables.cells[tables.cells["state"] == "failed"]
    facts = PageFacts(
        name=settings["name"],
        description=settings["description"],
        study_yaml=study_yaml(study, shorten_paths=True),
        versions=_versions(),
        hardware=f"{describe_hardware(where['device'])}, {where['dtype']}; where this page was written",
        seeds=list(study.seeds),
        scoring=settings["scoring"],
        warnings=json.loads((context.output / "tables" / "notes.json").read_text()),
        failures=list(zip(failed["cell"], failed["cause"], strict=True)),
        data_facts=_data_facts(study),
    )
    write_page(tables, facts, context.output / "report.html")


def _versions() -> dict[str, str]:
    found = {}
    for package in _REPORTED:
        try:
            found[package] = version(package)
        except PackageNotFoundError:
            found[package] = "not installed"
    return found


def _data_facts(study: Study) -> dict[str, str]:
    data, tasks = study.data, study.tasks
    limit = "all rows" if data.limit is None else f"{data.limit} rows"
    return {
        "training data": f"{data.path.name} in {data.path.parent.name}: {limit}, {data.validation_items} held out",
        "evaluation items": "all" if tasks.limit is None else f"the first {tasks.limit} of each task",
        "tasks": ", ".join(tasks.names),
        "prompt template": study.template,
    }
