"""Verbs about a study: load, plan, run, explain; and the noise to plan with, as a pilot has it."""

from __future__ import annotations

import functools
import json
import math
import os
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from pydantic import ValidationError

from kdscope.api.study_files import check_files
from kdscope.core.errors import DataError, StudyError
from kdscope.core.files import explained
from kdscope.models.chat import different_ends, end_in_chat, ends_apart
from kdscope.models.source import read_vocabulary
from kdscope.pipeline.events import Events
from kdscope.pipeline.executors import EXECUTORS
from kdscope.pipeline.explain import Explanation, explain
from kdscope.pipeline.fingerprint import HashCache
from kdscope.pipeline.manifest import read_manifest
from kdscope.pipeline.plan import PlannedStage, plan_states
from kdscope.pipeline.run import RunResult, run_plan
from kdscope.pipeline.stage import Stage
from kdscope.pipeline.store import Store
from kdscope.results.hypotheses import CELL, VARIANCE
from kdscope.results.methods import SFT, has_divergence
from kdscope.results.run_file import check_run_files
from kdscope.stages import execute
from kdscope.stages.cost import Sizes, estimate_seconds, measure_sizes
from kdscope.stages.graph import StudyPlan, build_plan
from kdscope.stages.rows import checked_prompts, checked_split, read_task_items, task_place
from kdscope.statistics.planning import Noise
from kdscope.study.fields import Discordance, PointsOrZero, Seed
from kdscope.study.load import LoadedStudy, read_study
from kdscope.study.problems import check_argument
from kdscope.study.schema import Study
from kdscope.study.source import Problem
from kdscope.tasks import TaskRegistry, get_template, registry_with

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
    return plan, estimate_seconds(plan_states(plan.targets, opened), opened, plan.device)


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
        result = run_plan(plan.targets, opened, execute, events=listener, executor=executor)
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
    check_argument(Seed, seed, "seed")
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
    opened = Store(root)
    planned = plan_states(_build(study, root).targets, opened)
    matching = [p for p in planned if name in (p.stage.label, p.stage.directory_name)]
    matching = matching or [p for p in planned if name.lower() in f"{p.stage.directory_name} {p.stage.label}".lower()]
    if not matching:
        raise StudyError(f"no stage of this study matches {name!r}; `kdscope plan` lists them")
    return [(item.stage, explain(item, opened)) for item in matching]


def check_vocabularies(loaded: LoadedStudy) -> None:
    """Divergences need one vocabulary, and one end; better to say so now than after the teacher was trained.

    Raises:
        StudyError: A student's vocabulary is not that of a teacher it is compared with, or they end responses with
            different tokens of it.
    """
    study = loaded.study
    needing = [method.name for method in study.methods if has_divergence(method.name)]
    teachers = {t.name: (t.path, read_vocabulary(t.path)) for t in study.teachers if t.path is not None and needing}
    # A tokenizer takes a second to load, and has many partners.
    in_chat = functools.cache(end_in_chat) if get_template(study.template).chat else None
    problems = []
    for index, student in enumerate(study.students):
        own = read_vocabulary(student.path) if student.path is not None and teachers else None
        for name, (folder, vocabulary) in teachers.items():
            if own is None or vocabulary is None or student.path is None:
                continue
            message = ""
            if own != vocabulary:
                message = (
                    f"its vocabulary is not that of teacher '{name}', which method '{needing[0]}' compares it with"
                )
            elif ends := ends_apart(folder, student.path, in_chat):
                message = f"it cannot learn from teacher '{name}' by {needing[0]}: {different_ends(*ends)}"
            problems += [Problem(("students", index), message)] if message else []
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


def planning_noise(
    pilot: Path | None = None, *, run_sd: float | None = None, discordance: float | None = None
) -> Noise:
    """The noise to plan with: as told, else as a pilot run has it, else the defaults of `planning.Noise`.

    Args:
        pilot: The folder of a finished run.
        run_sd: Standard deviation between training runs in percentage points, of the control as of the others.
        discordance: Share of items on which a distilled student and its control differ.

    Raises:
        StudyError: A number is out of its bounds; names the argument.
        DataError: The pilot cannot be read, has no control, or has one training seed and `run_sd` is not told.
    """
    check_argument(PointsOrZero, run_sd, "run_sd")
    check_argument(Discordance, discordance, "discordance")
    found = Noise() if pilot is None else noise_of_run(pilot, needs_runs=run_sd is None)
    return Noise(
        discordance=found.discordance if discordance is None else discordance,
        repeated=found.repeated,
        run_sd=found.run_sd if run_sd is None else run_sd,
        control_sd=found.control_sd if run_sd is None else None,
        run_df=found.run_df if run_sd is None else math.inf,
    )


def noise_of_run(folder: Path, *, needs_runs: bool = True) -> Noise:
    """Discordance, and run variance of the control and the other settings, as a run has them.

    Several domains count as one: the noisiest run variance, and the mean discordance over all items.

    Raises:
        DataError: As `planning_noise`.
    """
    # They read parquet, which planning without a pilot need not wait for.
    from kdscope.results.tables import load_tables
    from kdscope.statistics.run_variance import CONTROL, OTHERS

    check_run_files(folder, "tables/*.parquet")
    tables = load_tables(folder / "tables")
    discordance = _discordance(tables, folder)
    repeated = _repeated(tables, discordance)
    spreads = tables.statistics[tables.statistics["hypothesis"] == VARIANCE]
    found, df = {}, math.inf
    for group in (CONTROL, OTHERS):
        known = spreads.loc[spreads["group"] == f"runs of {group}", "estimate"].dropna()
        if known.empty and needs_runs:
            raise DataError(
                f"the pilot tells nothing of the run variance of {group}: it was trained with one seed. Tell it with "
                "--run-sd, or take a pilot with several seeds",
                file=folder,
            )
        found[group] = float(known.max()) if len(known) else Noise().run_sd
        if len(known):
            df = min(df, float(spreads["n"].to_numpy()[spreads.index.get_loc(known.idxmax())]))
    items = int(tables.gains["items"].max())
    single = 1e4 * discordance * repeated / 2 / max(items, 1)
    control, others = (math.sqrt(max(found[group] ** 2 - single, 0.0)) for group in (CONTROL, OTHERS))
    return Noise(discordance, repeated, others, control, df)


def _discordance(tables: ReportTables, folder: Path) -> float:
    """Share of items on which exactly one of a distilled student and its control is right, a mean over cells."""
    rows = tables.gains[(tables.gains["scoring"] == "robust") & tables.gains["only_cell"].notna()]
    rows = rows[rows["items"] == rows.groupby("cell")["items"].transform("max")]
    if rows.empty:
        raise DataError("the pilot has no student with a control to tell the discordance from", file=folder)
    share = float(((rows["only_cell"] + rows["only_control"]) / rows["items"]).mean())
    return min(max(share, 1e-3), 1.0)


def _repeated(tables: ReportTables, discordance: float) -> float:
    """The part of the discordance that two runs of one setting show as well; the default where seeds are single."""
    rows = tables.statistics[(tables.statistics["hypothesis"] == CELL) & (tables.statistics["scope"] == "runs")]
    rows = rows[rows["item_stderr"].notna()]
    if rows.empty:
        return Noise().repeated
    lasting = float((rows["item_stderr"] ** 2 * rows["n"]).mean()) / 1e4
    return min(max(1 - lasting / discordance, 0.0), 1.0)
