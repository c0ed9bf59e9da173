"""One model evaluated without a study."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from importlib.metadata import version
from pathlib import Path
from typing import Any

import pandas as pd
from pydantic import ValidationError

from kdscope.api.answers import task_items
from kdscope.api.study import default_store
from kdscope.core.errors import DataError, ModelError, ModelFileError, StudyError
from kdscope.core.files import explained, sha256_of
from kdscope.evaluation.accuracy import accuracy_table, leaderboard, write_leaderboard
from kdscope.evaluation.lm_eval_files import ExportFacts, write_lm_eval_files
from kdscope.evaluation.records import Record, read_records, write_records
from kdscope.models.configuration import read_object
from kdscope.models.files import ADAPTER_CONFIG, INDEX, WEIGHTS
from kdscope.models.source import resolve_revision
from kdscope.pipeline.events import Events
from kdscope.pipeline.fingerprint import HashCache
from kdscope.pipeline.run import RunResult, run_plan
from kdscope.pipeline.store import Store
from kdscope.results.csv_cells import write_csv
from kdscope.results.run_file import RUN_FILE, load_run_file, save_run_file
from kdscope.stages import evaluate_model as evaluation_stage
from kdscope.stages import execute
from kdscope.stages.cost import measure_sizes
from kdscope.stages.planning import EvaluationContext
from kdscope.study.arms import ModelSource
from kdscope.study.problems import find_problems
from kdscope.study.schema import Evaluation, Runtime, Tasks
from kdscope.study.source import key_text
from kdscope.tasks import TaskRegistry, get_template, registry_with


@dataclass(frozen=True)
class EvaluationResult:
    """What an evaluation left behind.

    Attributes:
        model: What tables call the model.
        records: Records by task; tasks that failed are missing.
        accuracy: One row a task and scoring, and their averages.
        run: What was executed, reused and failed.
        folder: Where records and tables were written.
    """

    model: str
    records: Mapping[str, Sequence[Record]]
    accuracy: pd.DataFrame
    run: RunResult
    folder: Path


def evaluate_model(
    model: str | Path,
    tasks: Sequence[str],
    *,
    adapter: Path | None = None,
    revision: str | None = None,
    trust_remote_code: bool = False,
    data_dir: Path | None = None,
    tasks_dir: Path | None = None,
    limit: int | None = None,
    template: str = "alpaca",
    evaluation: Mapping[str, Any] | None = None,
    runtime: Mapping[str, Any] | None = None,
    store: Path | None = None,
    out: Path | None = None,
    events: Events | None = None,
) -> EvaluationResult:
    """Zero-shot evaluation of one model; what the store has is not generated again.

    Args:
        model: A Hugging Face folder, the folder of a peft adapter (whose base model it names), or a hub repository.
        tasks: Names of tasks.
        adapter: Folder of a peft adapter to put on the model.
        revision: Commit of a hub repository; the newest where absent.
        trust_remote_code: Run Python code that comes with the model.
        data_dir: Folder with the tasks' files.
        tasks_dir: Folder with a person's own tasks.
        limit: Use the first this many items of each task.
        template: Prompt template.
        evaluation: Settings of `evaluation` in a study.
        runtime: Settings of `runtime` in a study.
        store: Where finished work is kept.
        out: Where records and tables go; runs/evaluations/<model> where absent.
        events: Who listens.

    Raises:
        StudyError: A setting is not one.
        DataError: A task is unknown, or its data is missing or damaged.
        ModelError: The model is not one.
    """
    registry = registry_with(tasks_dir)
    names = tuple(dict.fromkeys(registry.get(name).name for name in tasks))
    get_template(template)
    asked = _settings("tasks", Tasks, {"folder": data_dir, "names": names, "limit": limit})
    generation = _settings("evaluation", Evaluation, evaluation or {})
    place = _settings("runtime", Runtime, runtime or {})
    source, adapter = _source(str(model), adapter, revision, trust_remote_code)
    root = Path(store if store is not None else default_store())
    cache = HashCache(root / "hashes.json")
    planned = EvaluationContext(
        asked,
        generation,
        template,
        place,
        registry,
        cache,
        _sizes(asked, registry),
    )
    label = Path(adapter or model).name
    stages = evaluation_stage.plan(planned, label, source, adapter=adapter)
    cache.save()
    opened, started = Store(root), datetime.now().astimezone()
    result = run_plan(list(stages.values()), opened, execute, events=events)
    if result.exit_code == 2:
        raise ModelFileError(result.messages[result.failed[0].identity])
    finished = {task: final for task, stage in stages.items() if (final := result.final(stage)) is not None}
    records = {task: read_records(opened.path(stage) / "records.parquet") for task, stage in finished.items()}
    accuracy = accuracy_table({label: records}, registry=registry) if records else pd.DataFrame()
    folder = Path(out) if out is not None else Path("runs") / "evaluations" / label
    if records:
        facts = _facts(planned, str(model), started)
        with explained("write the results", folder):
            _deliver(folder, records, accuracy, facts, registry)
    return EvaluationResult(label, records, accuracy, result, folder)


def _deliver(
    folder: Path,
    records: Mapping[str, Sequence[Record]],
    accuracy: pd.DataFrame,
    facts: ExportFacts,
    registry: TaskRegistry,
) -> None:
    folder.mkdir(parents=True, exist_ok=True)
    write_records([record for answered in records.values() for record in answered], folder / "records.parquet")
    write_csv(accuracy, folder / "accuracy.csv")
    write_leaderboard(leaderboard(accuracy), folder / "table.md", facts.model)
    write_lm_eval_files(records, folder / "lm_eval", facts, registry=registry)
    if not _is_of_a_study(folder):
        hashes = {name: sha256_of(folder / name) for name in ("records.parquet", "accuracy.csv")}
        save_run_file({"evaluated": facts.model}, hashes, folder / RUN_FILE)


def _is_of_a_study(folder: Path) -> bool:
    """Whether a study's run left its run.json here, which says where its models are."""
    try:
        return "models" in (load_run_file(folder) or {})
    except DataError:
        return False


def _facts(planned: EvaluationContext, model: str, started: datetime) -> ExportFacts:
    settings = planned.evaluation
    return ExportFacts(
        model=model,
        started=started,
        seconds=(datetime.now().astimezone() - started).total_seconds(),
        model_args={"dtype": planned.dtype},
        max_new_tokens=settings.max_new_tokens,
        temperature=settings.sampling_temperature,
        top_p=settings.top_p,
        stop_texts=settings.stop_texts,
        limit=planned.tasks.limit,
        batch_size=settings.batch_size,
        device=planned.device,
        versions={"transformers_version": version("transformers")},
    )


def _source(
    model: str, adapter: Path | None, revision: str | None, trust_remote_code: bool
) -> tuple[ModelSource, Path | None]:
    """Where a model comes from, and the adapter to put on it."""
    if not model:
        raise ModelError("the model has no name")
    folder = Path(model)
    whole = any((folder / name).is_file() for name in (WEIGHTS, INDEX))  # some programs save config.json with adapters
    if adapter is None and (folder / ADAPTER_CONFIG).is_file() and not whole:
        base = _base_of(folder)
        return _source(base, folder, revision, trust_remote_code)
    if folder.is_dir():
        return _settings("students", ModelSource, {"path": folder, "trust_remote_code": trust_remote_code}), adapter
    if folder.is_absolute() or model.startswith("."):
        raise ModelError(f"no folder {model}")
    commit = resolve_revision(model, revision)
    values = {"hub": model, "revision": commit, "trust_remote_code": trust_remote_code}
    return _settings("students", ModelSource, values), adapter


def _base_of(adapter: Path) -> str:
    """The model that an adapter was trained on, as its folder names it."""
    file = adapter / ADAPTER_CONFIG
    base = read_object(file).get("base_model_name_or_path")
    if not isinstance(base, str) or not base:
        raise ModelError(f"{file} does not name the model it was trained on; give that model, and this with --adapter")
    # An exported student that was cut from a bigger model brings its own base along.
    return str(adapter / base) if base.startswith("./") else base


def _sizes(tasks: Tasks, registry: TaskRegistry) -> Any:
    """Every row is checked before a model is loaded."""
    texts = {name: [f"{i.instruction}{i.input}" for i in task_items(tasks, registry, name)] for name in tasks.names}
    return measure_sizes([], [], texts)


def _settings(section: str, kind: Any, values: Mapping[str, Any]) -> Any:
    """Settings of a section of a study, checked as a study's are."""
    given = {key: value for key, value in values.items() if value is not None}
    try:
        return kind.model_validate(given)
    except ValidationError as error:
        first = find_problems(error, given, (section,))[0]
        raise StudyError(first.message, key=key_text(first.location[1:])) from None
