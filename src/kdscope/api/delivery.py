"""The folder of a finished run: the page, its tables, every model's answers, and where its models lie."""

from __future__ import annotations

import json
import shutil
from contextlib import suppress
from pathlib import Path

from kdscope.core.files import discard, replace_folder, unique_token, write_atomically
from kdscope.evaluation.records import write_run_records
from kdscope.pipeline.run import RunResult
from kdscope.stages.graph import StudyPlan
from kdscope.study.schema import Study


def deliver(
    study: Study, plan: StudyPlan, result: RunResult, folder: Path
) -> tuple[Path | None, Path | None, Path | None]:
    """Copy what people open out of the store; tables and records are delivered even where the page could not be made.

    Writes report.html, tables/, records/ (`evaluation.records`) and run.json, which says where the models are.
    Of an earlier run nothing stays that this one did not make.

    Returns:
        The page, the folder of the tables and that of the records; None for what could not be made.
    """
    report, analysis = result.final(plan.report), result.final(plan.analysis)
    page, tables = folder / "report.html", folder / "tables"
    page.unlink(missing_ok=True)  # an old page must not stand beside new tables
    told = None if report is None else result.store.path(report)
    if analysis is None:
        _remove(tables)
    else:
        _put_tables(result.store.path(analysis), None if told is None else told / "facts.json", tables)
    if told is not None:
        shutil.copy2(told / "report.html", page)
    answers = _records(plan, result)
    write_run_records(answers, folder / "records")
    write_atomically(folder / "run.json", json.dumps(_made(study, plan, result), indent=1) + "\n")
    answered = folder / "records" if any(answers.values()) else None
    return page if report is not None else None, tables if analysis is not None else None, answered


def _put_tables(analysis: Path, facts: Path | None, tables: Path) -> None:
    """Build the folder beside its place, so that it is never of two runs."""
    building = tables.with_name(f".{tables.name}.{unique_token()}")
    try:
        shutil.copytree(analysis, building, ignore=lambda *_: ["manifest.json"])
        if facts is not None:
            shutil.copy2(facts, building / facts.name)
        replace_folder(building, tables)
    finally:
        discard(building)


def _remove(tables: Path) -> None:
    aside = tables.with_name(f".{tables.name}.{unique_token()}")
    with suppress(FileNotFoundError):
        tables.rename(aside)
    discard(aside)


def _records(plan: StudyPlan, result: RunResult) -> dict[str, dict[str, Path]]:
    """The file of every model's records on every task that it answered."""
    found: dict[str, dict[str, Path]] = {}
    for arm in plan.arms:
        stages = {task: result.final(stage) for task, stage in arm.evaluations.items()}
        done = {task: stage for task, stage in stages.items() if stage is not None}
        found[arm.label] = {task: result.store.path(stage) / "records.parquet" for task, stage in done.items()}
    return found


def _made(study: Study, plan: StudyPlan, result: RunResult) -> dict[str, object]:
    trained = {arm.label: None if arm.trained is None else result.final(arm.trained) for arm in plan.arms}
    store = result.store
    folders = {label: stage and store.path(stage).relative_to(store.root) for label, stage in trained.items()}
    return {
        "study": study.name,
        "scoring": study.scoring,
        "store": str(store.root.absolute()),
        "models": {label: str(path) if path else None for label, path in folders.items()},
    }
