"""The folder of a finished run: the page, its tables, every model's answers, and where its models lie."""

from __future__ import annotations

import time
from contextlib import suppress
from pathlib import Path

from kdscope.core.errors import DataError
from kdscope.core.files import discard, replace_file, replace_folder, unique_token
from kdscope.evaluation.records import write_run_records
from kdscope.pipeline.run import RunResult
from kdscope.pipeline.stage import Stage
from kdscope.results.run_file import RUN_FILE, file_hashes, save_run_file
from kdscope.stages.graph import StudyPlan
from kdscope.study.schema import Study

_BUILDING = ".delivery."
_ABANDONED_SECONDS = 3600.0


def deliver(
    study: Study, plan: StudyPlan, result: RunResult, folder: Path
) -> tuple[Path | None, Path | None, Path | None]:
    """Copy what people open out of the store; tables and records are delivered even where the page could not be made.

    Writes report.html, tables/, records/ (`evaluation.records`) and run.json, which says where the models are and has
    the hashes of all the others. Of an earlier run nothing stays that this one did not make; where this one cannot be
    written, the earlier one stays.

    Returns:
        The page, the folder of the tables and that of the records; None for what could not be made.

    Raises:
        StoreError: What the store has is damaged.
    """
    report, analysis = result.final(plan.report), result.final(plan.analysis)
    building, answers = folder / f"{_BUILDING}{unique_token()}", _records(plan, result)
    _discard_unfinished(folder)
    try:
        hashes = _copy(result, report, analysis, building)
        written = write_run_records(answers, folder / "records", _earlier_records(folder))
        hashes |= {f"records/{name}": digest for name, digest in written.items()}
        save_run_file(_made(study, plan, result), hashes, building / RUN_FILE)
        _put(building, folder)
    finally:
        discard(building)
    found = [folder / "report.html", folder / "tables", folder / "records"]
    made = (report is not None and analysis is not None, analysis is not None, any(answers.values()))
    page, tables, records = (path if there else None for path, there in zip(found, made, strict=True))
    return page, tables, records


def _discard_unfinished(folder: Path) -> None:
    """Remove what a killed process was building; what is younger may be another one's that is at it."""
    for debris in folder.glob(f"{_BUILDING}*"):
        with suppress(OSError):
            if time.time() - debris.stat().st_mtime > _ABANDONED_SECONDS:
                discard(debris)


def _copy(result: RunResult, report: Stage | None, analysis: Stage | None, building: Path) -> dict[str, str]:
    """Page and tables of a run in a folder of their own, and their hashes by their place there."""
    tables = building / "tables"
    building.mkdir()
    copied = {} if analysis is None else result.store.take(analysis, tables)
    page = {} if report is None else result.store.take(report, building, ["report.html"])
    if report is not None:
        copied |= result.store.take(report, tables, ["facts.json"])
    return {**page, **{f"tables/{name}": digest for name, digest in copied.items()}}


def _earlier_records(folder: Path) -> dict[str, str]:
    """The hashes of the records that an earlier run left; what nothing is known of is written anew."""
    try:
        hashes = file_hashes(folder)
    except DataError:
        return {}
    return {name.removeprefix("records/"): digest for name, digest in hashes.items() if name.startswith("records/")}


def _put(building: Path, folder: Path) -> None:
    """Give everything its place, by renaming: run.json last, so that what was interrupted does not pass for whole."""
    page, tables = folder / "report.html", folder / "tables"
    discard(page)  # an old page must not stand beside new tables
    if (building / tables.name).is_dir():
        replace_folder(building / tables.name, tables)
    else:
        _remove(tables, building)
    for file in (page, folder / RUN_FILE):
        if (building / file.name).is_file():
            if file.is_dir():  # no rename of a file replaces it
                _remove(file, building)
            replace_file(building / file.name, file)


def _remove(folder: Path, building: Path) -> None:
    with suppress(FileNotFoundError):
        folder.rename(building / unique_token())


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
