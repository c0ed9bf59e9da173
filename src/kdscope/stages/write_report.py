"""The tables become a page."""

from __future__ import annotations

import json
import shutil
from collections.abc import Mapping
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path

from pydantic import BaseModel, ConfigDict

from kdscope.core.extensions import origins_of
from kdscope.models.hardware import describe_hardware
from kdscope.pipeline.fingerprint import JSON
from kdscope.pipeline.run import StageContext
from kdscope.pipeline.stage import Stage
from kdscope.stages.planning import Params, StageKind, StudyContext
from kdscope.study.arms import DataSource, LabelledData
from kdscope.study.dump import study_yaml
from kdscope.study.grid import expand_cells
from kdscope.study.schema import Study, Tasks
from kdscope.tasks import default_registry

KIND = StageKind(__name__, version=5)

_REPORTED = (
    "kdscope",
    "torch",
    "transformers",
    "peft",
    "accelerate",
    "sacrebleu",
    "rouge-score",
    "scipy",
    "statsmodels",
)


class WriteReportParams(Params):
    """What the page says that its tables do not."""

    name: str
    description: str
    scoring: str


class _Place(BaseModel):
    """What the context says: the study as it was read, where the page is written, and the stage of every model."""

    model_config = ConfigDict(frozen=True)

    study: dict[str, object]
    device: str
    dtype: str
    stages: dict[str, str]


def plan(context: StudyContext, analysis: Stage, trained: Mapping[str, Stage]) -> Stage:
    """The page of an analysis; `trained` are the stages that made the models, by label."""
    study = context.study
    stages: dict[str, JSON] = {label: stage.directory_name for label, stage in trained.items()}
    place: dict[str, JSON] = {"device": context.device, "dtype": context.dtype, "stages": stages}
    return KIND.stage(
        "report",
        WriteReportParams(
            name=study.name,
            description=study.description,
            scoring=study.scoring,
            extensions=tuple(origins_of("figure")),
        ),
        {"analysis": analysis},
        context={"study": study.model_dump(mode="json"), **place},
    )


def run(context: StageContext) -> None:
    """Write report.html, and tables/ beside it."""
    from kdscope.report.facts import PageFacts, save_facts
    from kdscope.report.page import write_page
    from kdscope.results.tables import load_tables

    params, where = WriteReportParams.of(context.stage), _Place.model_validate(context.stage.context)
    study = Study.model_validate_json(json.dumps(where.study))
    shutil.copytree(context.inputs["analysis"], context.output / "tables", ignore=lambda *_: ["manifest.json"])
    tables = load_tables(context.output / "tables")
    failed = tables.cells[tables.cells["state"] == "failed"]
    facts = PageFacts(
        name=params.name,
        description=params.description,
        study_yaml=study_yaml(study, shorten_paths=True),
        versions=_versions(),
        hardware=f"{describe_hardware(where.device)}, {where.dtype}; where this page was written",
        seeds=list(study.seeds),
        scoring=params.scoring,
        warnings=json.loads((context.output / "tables" / "notes.json").read_text()),
        failures=list(zip(failed["cell"], failed["cause"], strict=True)),
        data_facts=_data_facts(study),
        contaminated_items_excluded=study.tasks.exclude_contaminated,
        stages=where.stages,
    )
    save_facts(facts, context.output / "facts.json")
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
    tasks = study.tasks
    facts = {"training data": _labelled(study.data)}
    if study.data.unlabelled is not None:
        facts["unlabelled prompts"] = f"{_rows(study.data.unlabelled)}; answered by the teacher"
    adapted = {
        cell.teacher.name for cell in expand_cells(study) if cell.teacher and cell.teacher_condition == "adapted"
    }
    for teacher in study.teachers:
        if teacher.data is not None and teacher.name in adapted:
            facts[f"training data of teacher {teacher.name}"] = _labelled(teacher.data)
    items = [_items(tasks, generated) for generated in (False, True) if _names(tasks, generated)]
    return {
        **facts,
        "evaluation items": "; ".join(items),
        "tasks": ", ".join(tasks.names),
        "prompt template": study.template,
    }


def _labelled(data: LabelledData) -> str:
    return f"{_rows(data)}, {data.validation_items:,} held out"


def _rows(source: DataSource) -> str:
    """Where rows come from, and how many of them are used."""
    used = "all rows" if source.limit is None else f"{source.limit:,} rows"
    if source.mini is None:
        path = Path(str(source.path))
        return f"{path.name} in {path.parent.name}: {used}"
    mini = source.mini
    of = mini.tasks[0] if len(mini.tasks) == 1 else f"each of {', '.join(mini.tasks)}"
    skipped = f" after the first {mini.skip_per_task:,}" if mini.skip_per_task else ""
    return f"generated: {mini.rows_per_task:,} problems of {of}{skipped} (seed {mini.seed}); {used}"


def _items(tasks: Tasks, generated: bool) -> str:
    if generated:
        wanted = tasks.mini_items if tasks.limit is None else min(tasks.limit, tasks.mini_items)
        return f"generated: {wanted:,} of {_of(tasks, generated)} (seed {tasks.mini_seed})"
    used = "all" if tasks.limit is None else f"the first {tasks.limit:,}"
    return f"{used} of {_of(tasks, generated)}"


def _of(tasks: Tasks, generated: bool) -> str:
    """All tasks together, or those of one kind where a study has both."""
    names = _names(tasks, generated)
    return "each task" if len(names) == len(tasks.names) else ", ".join(names)


def _names(tasks: Tasks, generated: bool) -> list[str]:
    made = {task.name for task in default_registry() if task.generated}
    return [name for name in tasks.names if (name in made) == generated]
