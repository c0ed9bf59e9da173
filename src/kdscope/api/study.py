"""Verbs about a study: load, plan, run, explain."""

from __future__ import annotations

import json
import os
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from pydantic import ValidationError

from kdscope.api.study_files import check_files
from kdscope.core.errors import StudyError
from kdscope.core.files import explained
from kdscope.models.source import read_vocabulary
from kdscope.pipeline.events import Events
from kdscope.pipeline.executors import EXECUTORS
from kdscope.pipeline.explain import Explanation, explain
from kdscope.pipeline.fingerprint import HashCache
from kdscope.pipeline.manifest import read_manifest
from kdscope.pipeline.plan import PlannedStage, plan_states
from kdscope.pipeline.run import RunResult, run_plan
from kdscope.pipeline.stage import Stage, in_order
from kdscope.pipeline.store import Store
from kdscope.results.methods import SFT, has_divergence
from kdscope.stages import execute
from kdscope.stages.cost import Sizes, estimate_seconds, measure_sizes
from kdscope.stages.graph import StudyPlan, build_plan
from kdscope.stages.rows import checked_prompts, checked_split, read_task_items, task_place
from kdscope.statistics.planning import Noise
from kdscope.study.load import LoadedStudy, read_study
from kdscope.study.schema import Study
from kdscope.study.source import Problem
from kdscope.tasks import TaskRegistry, registry_with

if TYPE_CHECKING:
    from kdscope.results.tables import ReportTables


@dataclass(frozen=True)
class StudyResult:
    """What a run left behind.

    Attributes:
        report: The page; None if analysis or report itself failed.
        tables: Folder of the tidy tables; None likewise.
        records: Folder of every model's answers, item by item.
        run: What was executed, reused, failed and blocked.
        scoring: The scoring that conclusions use.
    """

    report: Path | None
    tables: Path | None
    records: Path | None
    run: RunResult
    scoring: str = "robust"

    def load_tables(self) -> ReportTables | None:
        """The tables as pandas frames; None if there are none."""
        from kdscope.results.tables import load_tables  # pandas, which a run itself needs not

        return None if self.tables is None else load_tables(self.tables)


def default_store() -> Path:
    """$KDSCOPE_STORE, or .kdscope in the current folder."""
    return Path(os.environ.get("KDSCOPE_STORE", ".kdscope"))


def load_study(path: Path, extensions: Sequence[Path] = ()) -> Study:
    """The study of a YAML file, with everything it points to looked at.

    Args:
        path: The file.
        extensions: Python files that add to kdscope, beside those that the study names. They are run.

    Raises:
        StudyError: What is wrong, with file, line and key.
    """
    loaded = read_study(Path(path), extensions)
    definitions = loaded.study.tasks.definitions
    registry = registry_with(definitions if definitions is not None and definitions.is_dir() else None)
    check_files(loaded, registry.get)
    check_vocabularies(loaded)
    tasks = loaded.study.tasks
    canonical = tuple(registry.get(name).name for name in tasks.names)
    return loaded.study.model_copy(update={"tasks": tasks.model_copy(update={"names": canonical})})


def plan_study(
    study: Study | Path, store: Path | None = None, noise: Noise = Noise()
) -> tuple[StudyPlan, list[PlannedStage]]:
    """What a run would do: the stages, and for each its state and cost; the minimum detectable gains. Imports no torch.

    Args:
        study: The study, or its file.
        store: Where finished stages are kept.
        noise: What its numbers are expected to vary with (`kdscope.planning_noise` reads a pilot).

    Raises:
        StudyError: The study file is wrong.
        DataError: A row of the data is.
    """
    study = study if isinstance(study, Study) else load_study(study)
    root = Path(store if store is not None else default_store())
    plan = _build(study, root, noise)
    opened = Store(root)
    return plan, estimate_seconds(plan_states([plan.report], opened), opened, plan.device)


def run_study(
    study: Study | Path,
    *,
    store: Path | None = None,
    out: Path | None = None,
    events: Events | None = None,
    seed: int | None = None,
) -> StudyResult:
    """Run what is missing of a study and put its report and tables into `out` (default: runs/<name>).

    A `seed` stands in for the study's own seeds and becomes part of its name. With several `runtime.workers` the stages
    run in processes of their own, which are gone when this returns, and when this process ends in any other way.

    Raises:
        StudyError: The study file is wrong.
        DataError: A row of the data is.
        StoreError: The store, or the folder of the results, cannot be read or written.
        MachineError: The processes that the study asks for cannot be started.
    """
    study = study if isinstance(study, Study) else load_study(study)
    if seed is not None:
        study = _with_seed(study, seed)
    root = Path(store if store is not None else default_store())
    plan, planned = plan_study(study, root)
    folder = Path(out) if out is not None else Path("runs") / study.name
    with explained("make the folder of the results", folder):
        folder.mkdir(parents=True, exist_ok=True)
    seconds = {item.stage.identity: item.stage for item in planned}
    listener = events or Events()
    listener.plan([seconds[item.stage.identity] for item in planned if item.state in ("will run", "damaged")])
    if all(method.name != SFT for method in study.methods):
        listener.warning(f"no '{SFT}' among the methods: without that control no gain can be computed")
    if study.data.unlabelled is not None and all(method.name == SFT for method in study.methods):
        listener.warning("'data.unlabelled' is not used: the only method is sft, which has no teacher to answer it")
    for sentence in _known_contamination(plan.audit, Store(root)):
        listener.warning(sentence)
    opened, workers = Store(root), study.runtime.workers
    with EXECUTORS["serial" if workers == 1 else "processes"](opened, execute, listener, workers) as executor:
        result = run_plan([plan.report], opened, execute, events=listener, executor=executor)
    from kdscope.api.delivery import deliver  # it reads parquet, which planning needs not

    with explained("write the results", folder):
        return StudyResult(*deliver(study, plan, result, folder), result, study.scoring)


def _known_contamination(audit: Stage, store: Store) -> list[str]:
    """What an audit of an earlier run found; one that runs now tells it itself."""
    if store.inspect(audit, full=False).state != "done":
        return []
    facts: Any = read_manifest(store.path(audit) / "manifest.json").facts
    return [str(sentence) for sentence in facts.get("contamination", [])]


def _with_seed(study: Study, seed: int) -> Study:
    values = json.loads(study.model_dump_json()) | {"seeds": [seed], "name": f"{study.name}-s{seed}"}
    try:
        return Study.model_validate_json(json.dumps(values))
    except ValidationError as error:
        first = error.errors(include_url=False)[0]
        raise StudyError(f"seed {seed}: {first['msg']}", key=str(first["loc"][0])) from None


def explain_stage(study: Study | Path, name: str, store: Path | None = None) -> list[tuple[Stage, Explanation]]:
    """Why the stages whose label or folder name contains `name` are done or must run.

    Raises:
        StudyError: No stage matches.
    """
    study = study if isinstance(study, Study) else load_study(study)
    root = Path(store if store is not None else default_store())
    stages = in_order([_build(study, root).report])
    matching = [s for s in stages if name in (s.label, s.directory_name)]
    matching = matching or [s for s in stages if name.lower() in f"{s.directory_name} {s.label}".lower()]
    if not matching:
        raise StudyError(f"no stage of this study matches {name!r}; `kdscope plan` lists them")
    return [(stage, explain(stage, Store(root))) for stage in matching]


def check_vocabularies(loaded: LoadedStudy) -> None:
    """Divergences need one vocabulary; better to say so now than after the teacher was trained.

    Raises:
        StudyError: A student's vocabulary is not that of a teacher it is compared with.
    """
    study = loaded.study
    needing = [method.name for method in study.methods if has_divergence(method.name)]
    teachers = {t.name: read_vocabulary(t.path) for t in study.teachers if t.path is not None and needing}
    problems = []
    for index, student in enumerate(study.students):
        own = read_vocabulary(student.path) if student.path is not None and teachers else None
        for name, vocabulary in teachers.items():
            if own is not None and vocabulary is not None and own != vocabulary:
                message = (
                    f"its vocabulary is not that of teacher '{name}', which method '{needing[0]}' compares it with"
                )
                problems.append(Problem(("students", index), message))
    if problems:
        raise loaded.source.error(problems)


def _build(study: Study, root: Path, noise: Noise = Noise()) -> StudyPlan:
    cache = HashCache(root / "hashes.json")
    registry = registry_with(study.tasks.definitions)
    plan = build_plan(study, cache, root, _sizes(study, registry), registry, noise)
    cache.save()
    return plan


def _sizes(study: Study, registry: TaskRegistry) -> Sizes:
    """Read all data once: every row is checked before anything runs."""
    tasks = [registry.get(name) for name in study.tasks.names]
    items = {task.name: read_task_items(task, task_place(study.tasks, task)) for task in tasks}
    split = checked_split(study.data)
    train = split.train
    for teacher in study.teachers:
        if teacher.data is not None:
            checked_split(teacher.data)
    unlabelled = checked_prompts(study.data.unlabelled) if study.data.unlabelled is not None else []
    return measure_sizes(
        [f"{e.instruction}{e.input}" for e in train],
        [e.output for e in train],
        {name: [f"{item.instruction}{item.input}" for item in rows] for name, rows in items.items()},
        len(unlabelled),
        len(split.validation),
    )
