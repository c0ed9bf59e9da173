"""Everything measured becomes the study's tidy tables, and notes on how its models were trained."""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from pydantic import BaseModel, ConfigDict, SerializerFunctionWrapHandler, model_serializer

from kdscope.core.errors import StatisticsError
from kdscope.pipeline.fingerprint import JSON
from kdscope.pipeline.manifest import read_manifest
from kdscope.pipeline.run import StageContext
from kdscope.pipeline.stage import Stage
from kdscope.pipeline.store import Store
from kdscope.results.methods import BASE, SFT
from kdscope.stages.audit_contamination import read_audit
from kdscope.stages.planning import StageKind, StudyContext, TaskParams
from kdscope.study.schema import Analysis

if TYPE_CHECKING:
    import pandas as pd
    import pyarrow as pa

    from kdscope.evaluation.analysis_settings import AnalysisSettings
    from kdscope.evaluation.records import Record

KIND = StageKind(__name__, version=6)

_TRAINING_FACTS = ("parameters", "trained_parameters", "steps", "target_tokens", "validation_loss")
_KEPT_FACTS = ("kept_step", "keep", "warm_start_steps", "learning_rate", "tuning_runs", "validation_accuracy")
_COSTS = ("training_seconds", "peak_memory_bytes")
_SETTINGS = (
    *("student", "teacher", "teacher_condition", "variant"),
    *("kd_temperature", "kd_weight", "teacher_noise_std", "seed"),
)


class ArmFacts(BaseModel):
    """What the tables say of a model that is evaluated; what does not concern it is not set."""

    model_config = ConfigDict(frozen=True, extra="forbid", strict=True)

    label: str
    role: str
    method: str
    student: str | None = None
    teacher: str | None = None
    teacher_condition: str | None = None
    kd_temperature: float | None = None
    kd_weight: float | None = None
    teacher_noise_std: float | None = None
    variant: str | None = None
    prompt_in_loss: bool | None = None
    seed: int | None = None

    @model_serializer(mode="wrap")
    def _as_set(self, handler: SerializerFunctionWrapHandler) -> dict[str, object]:
        told: dict[str, object] = handler(self)
        return {name: value for name, value in told.items() if name in self.model_fields_set}


class AnalyseStudyParams(TaskParams):
    """The models, the tasks, and what is asked of the results."""

    arms: tuple[ArmFacts, ...]
    tasks: tuple[str, ...]
    scoring: str
    exclude_contaminated: bool
    analysis: Analysis


class _Place(BaseModel):
    """What the context says: the store, and by model the stages that must succeed and the runs of its sweep."""

    model_config = ConfigDict(frozen=True)

    store: Path
    stages: dict[str, list[str]]
    sweeps: dict[str, dict[str, str]] = {}


def plan(
    context: StudyContext,
    arms: Sequence[ArmFacts],
    inputs: Mapping[str, Stage],
    stages: Mapping[str, Sequence[str]],
    sweeps: Mapping[str, Mapping[str, str]],
) -> Stage:
    """The stage that sees everything; what failed is left out of its inputs when it runs.

    Args:
        context: Of the study.
        arms: The models.
        inputs: `audit`, and by the number of the model `trained/N`, `records/N/TASK`, `probes/N` and `pair/N/TEACHER`.
        stages: Identities of what has to succeed for a model to be in the tables, by its label.
        sweeps: Identities of the runs that its learning rate is chosen from, by their roles.
    """
    study, names = context.study, context.tasks.names
    params = AnalyseStudyParams(
        arms=tuple(arms),
        tasks=names,
        scoring=study.scoring,
        exclude_contaminated=study.tasks.exclude_contaminated,
        analysis=study.analysis,
        own_tasks=context.own_tasks(*names),
    )
    place: dict[str, JSON] = {"stages": stages, "sweeps": sweeps, "store": str(context.store_root)}
    return KIND.stage("analysis", params, inputs, tolerates_missing=True, context=place)


def controls_of(arms: Sequence[ArmFacts]) -> dict[str, str]:
    """For every other student the SFT student of the same base, seed and target tokens, or failing that the first."""
    alike: dict[tuple[str | None, int | None], list[ArmFacts]] = {}
    for arm in arms:
        if arm.role == "student" and arm.method == SFT:
            alike.setdefault((arm.student, arm.seed), []).append(arm)
    controls = {}
    for arm in arms:
        candidates = alike.get((arm.student, arm.seed), [])
        if arm.role == "student" and arm.method != SFT and candidates:
            control = min(candidates, key=lambda c: c.prompt_in_loss != arm.prompt_in_loss)
            controls[arm.label] = control.label
    return controls


def run(context: StageContext) -> None:
    """Write the tables of `ReportTables`, each as parquet and CSV, notes.json, and the settings of the analysis."""
    import pandas as pd

    from kdscope.evaluation import accuracy as measured
    from kdscope.evaluation.analysis_settings import AnalysisSettings, save_analysis_settings, task_facts
    from kdscope.results.tables import ReportTables, save_tables

    params = AnalyseStudyParams.of(context.stage)
    arms, tasks, registry = params.arms, params.tasks, params.registry()
    records = {arm.label: _records(context, number, tasks) for number, arm in enumerate(arms)}
    answered = {label: found for label, found in records.items() if found}
    done = {
        arm.label
        for number, arm in enumerate(arms)
        if len(records[arm.label]) == len(tasks) and not _untrained(context, number, arm)
    }
    cells = pd.DataFrame([_cell(context, number, arm, arm.label in done) for number, arm in enumerate(arms)])
    controls = controls_of([arm for arm in arms if arm.label in answered])
    audit = read_audit(context.inputs["audit"])
    conclusive = measured.without_items(answered, audit.items) if params.exclude_contaminated else answered
    controls = {cell: control for cell, control in controls.items() if {cell, control} <= {*conclusive}}
    accuracy = measured.accuracy_table(conclusive, registry=registry)
    questions = AnalysisSettings(
        scoring=params.scoring,
        tasks=task_facts(list(tasks), registry),
        contaminated=audit.items,
        exclude_contaminated=params.exclude_contaminated,
        controls=controls,
        likeness=_likeness(context, arms),
        **params.analysis.model_dump(),
    )
    save_analysis_settings(questions, context.output / "questions.json")
    statistics, untold = _conclusions(context, arms, cells, questions)
    tables = ReportTables(
        cells=cells,
        accuracy=accuracy,
        gains=measured.gains_table(conclusive, controls, registry=registry),
        fidelity=_stacked(context, "pair", "fidelity.parquet", arms),
        tests=measured.published_tests_table(accuracy, cells, controls),
        training=_stacked(context, "trained", "training.parquet", arms).drop(columns="cut_mass", errors="ignore"),
        probes=_probes(context, arms),
        contamination=audit.table(),
        clean=measured.decontaminated_results(answered, controls, audit.items, registry),
        statistics=statistics,
    )
    save_tables(tables, context.output)
    notes = [*collect_notes(context, arms), *untold]
    (context.output / "notes.json").write_text(json.dumps(notes, indent=1))


def _records(context: StageContext, number: int, tasks: Sequence[str]) -> dict[str, list[Record]]:
    from kdscope.evaluation.records import read_records

    roles = {task: f"records/{number}/{task}" for task in tasks}
    return {t: read_records(context.inputs[r] / "records.parquet") for t, r in roles.items() if r in context.inputs}


def _untrained(context: StageContext, number: int, arm: ArmFacts) -> bool:
    """Whether a model that should have been trained is not there: without tasks no missing answer tells so."""
    return arm.method != BASE and f"trained/{number}" not in context.inputs


def _conclusions(
    context: StageContext, arms: Sequence[ArmFacts], cells: pd.DataFrame, questions: AnalysisSettings
) -> tuple[pd.DataFrame, list[str]]:
    """What can be concluded, and a note if nothing can: what else was measured is told all the same."""
    import pandas as pd
    import pyarrow as pa

    from kdscope.evaluation.conclusions import NEEDED_COLUMNS, draw_conclusions

    needed = list(NEEDED_COLUMNS[1:])
    labels = {role: arms[int(role.split("/")[1])].label for role in context.inputs if role.startswith("records/")}
    answers = _labelled(context, labels, "records.parquet", needed)
    if answers is None:
        answers = pa.table({name: pa.array([], pa.string()) for name in NEEDED_COLUMNS})
    try:
        return draw_conclusions(answers, cells, questions), []
    except StatisticsError as error:
        return pd.DataFrame(), [f"the primary question has no answer: {error}"]


def _likeness(context: StageContext, arms: Sequence[ArmFacts]) -> pa.Table | None:
    """Every distilled student's likeness to its own teacher, item by item; None without such a student."""
    pairs = {role: arms[int(role.split("/")[1])] for role in context.inputs if role.startswith("pair/")}
    return _labelled(context, {role: arm.label for role, arm in pairs.items() if arm.teacher}, "items.parquet")


def _labelled(
    context: StageContext, labels: Mapping[str, str], file: str, columns: list[str] | None = None
) -> pa.Table | None:
    """The rows of a file of these inputs, each with the label of its model; None without any input."""
    import pyarrow as pa
    import pyarrow.parquet as pq

    from kdscope.evaluation.records import CELL

    parts = []
    for role, label in labels.items():
        table = pq.ParquetFile(context.inputs[role] / file).read(columns=columns)
        parts.append(table.add_column(0, CELL, pa.array([label] * len(table), pa.string())))
    return pa.concat_tables(parts) if parts else None


def _probes(context: StageContext, arms: Sequence[ArmFacts]) -> pd.DataFrame:
    """What every model's probes come to, task by task."""
    import pandas as pd

    from kdscope.evaluation.probes import ProbeRow, probe_table
    from kdscope.evaluation.records import read_row_file

    frames = [
        probe_table(read_row_file(ProbeRow, folder / "probes.parquet")).assign(cell=arms[int(role.split("/")[1])].label)
        for role, folder in context.inputs.items()
        if role.startswith("probes/")
    ]
    return pd.concat(frames, ignore_index=True) if frames else pd.DataFrame()


def _stacked(context: StageContext, prefix: str, file: str, arms: Sequence[ArmFacts]) -> pd.DataFrame:
    """One table of all arms' (or pairs of arms') tables."""
    import pandas as pd

    frames = []
    for role, folder in context.inputs.items():
        if role.split("/")[0] != prefix:
            continue
        labels = [arms[int(number)].label for number in role.split("/")[1:]]
        names = dict(zip(("cell", "teacher_cell"), labels, strict=False))
        frames.append(pd.read_parquet(folder / file).assign(**names))
    return pd.concat(frames, ignore_index=True) if frames else pd.DataFrame()


class _TrainingFacts(BaseModel):
    """What a stage that trained wrote down about itself, as far as sentences and columns are made of it."""

    model_config = ConfigDict(frozen=True)

    kept_step: int | None = None
    warm_start_steps: int = 0
    learning_rate: float | None = None
    rates_tried: tuple[float, ...] | None = None
    rate_scores: dict[str, float | None] | None = None
    examples: int | None = None
    unlabelled_prompts: int = 0
    examples_again: int = 0
    examples_left_out: int = 0
    examples_cut: int = 0
    responses_unfinished: int = 0
    teacher_cut_mass: float = 0.0
    software: str | None = None

    @property
    def labelled(self) -> int:
        """Labelled examples among those trained on, each counted once."""
        return (self.examples or 0) - self.unlabelled_prompts - self.examples_again


def _cell(context: StageContext, number: int, arm: ArmFacts, done: bool) -> dict[str, object]:
    row: dict[str, object] = {"cell": arm.label, "role": arm.role, "method": arm.method}
    row |= {"state": "done" if done else "failed", **{name: getattr(arm, name) for name in _SETTINGS}}
    facts: dict[str, JSON] = {}
    if f"trained/{number}" in context.inputs:
        manifest = read_manifest(context.inputs[f"trained/{number}"] / "manifest.json")
        facts = {**manifest.facts, "training_seconds": manifest.seconds}
    row |= {name: facts.get(name) for name in (*_TRAINING_FACTS, *_COSTS, *_KEPT_FACTS, "other_rule_step")}
    return row | _learned(arm, _TrainingFacts.model_validate(facts)) | {"cause": None if done else _cause(context, arm)}


def _learned(arm: ArmFacts, facts: _TrainingFacts) -> dict[str, object]:
    """What a model trained on, whether a student was distilled, and the learning rates it was chosen from.

    A student whose kept step lies in its warm start was not distilled: its method never came to bear on these weights.
    """
    taught = arm.role == "student" and arm.method != SFT
    rates, known = facts.rates_tried, facts.examples is not None
    return {
        # A stage that trained tells all its sequences, and the prompts among them if any.
        "labelled_examples": None if facts.examples is None else facts.labelled,
        "unlabelled_prompts": facts.unlabelled_prompts if known else None,
        "distilled": facts.kept_step > facts.warm_start_steps if taught and facts.kept_step is not None else None,
        "rates_tried": None if rates is None else ", ".join(f"{rate:g}" for rate in rates),
    }


def _cause(context: StageContext, arm: ArmFacts) -> str:
    """What the first of this model's stages that failed said."""
    where = _Place.model_validate(context.stage.context)
    store = Store(where.store)
    for identity in where.stages.get(arm.label, []):
        if (message := store.last_failure(identity)) is not None:
            return message
    sweep = [store.last_failure(identity) for identity in where.sweeps.get(arm.label, {}).values()]
    if sweep and all(message is not None for message in sweep):
        return f"no learning rate of its sweep could be trained; the first: {sweep[0]}"
    return "something it needs failed"


def collect_notes(context: StageContext, arms: Sequence[ArmFacts]) -> list[str]:
    """What a reader should know of how the models were trained: each sentence once, with the models it is about."""
    about: dict[str, list[str]] = {}
    software: dict[str, list[str]] = {}
    for number, arm in enumerate(arms):
        folder = context.inputs.get(f"trained/{number}")
        if folder is None:
            continue
        facts = _TrainingFacts.model_validate(dict(read_manifest(folder / "manifest.json").facts))
        for sentence in (*_notes_on_data(facts), *_notes_on_sweep(facts), *_notes_on_teacher(folder, facts)):
            about.setdefault(sentence, []).append(arm.label)
        software.setdefault(str(facts.software), []).append(arm.label)
    notes = [f"{sentence}: {_listed(labels)}" for sentence, labels in about.items()]
    if len(software) > 1:
        mixed = "; ".join(f"{versions} ({_listed(labels)})" for versions, labels in software.items())
        notes.append(f"models were trained with different software or hardware: {mixed}")
    return notes


def _notes_on_data(facts: _TrainingFacts) -> Iterator[str]:
    if facts.examples_left_out:
        yield f"{facts.examples_left_out} training examples left out, no room for a response"
    if facts.examples_cut:
        yield f"{facts.examples_cut} of {facts.examples} training examples cut at max_length_tokens"
    if facts.responses_unfinished:
        yield f"{facts.responses_unfinished} of the teacher's responses cut at its max_new_tokens"


def _notes_on_sweep(facts: _TrainingFacts) -> Iterator[str]:
    """Learning rates that failed, and a best one at the end of what was tried."""
    scores = facts.rate_scores or {}
    for rate, score in scores.items():
        if score is None:
            yield f"the learning rate {float(rate):g} could not be trained with and counts as the worst"
    rates = [float(rate) for rate in scores]
    for end, side in ((min, "smallest"), (max, "largest")):
        if rates and facts.learning_rate == end(rates):
            other = side.replace("est", "er")
            yield f"the {side} learning rate tried was the best, so that a {other} one may be better"


def _notes_on_teacher(folder: Path, facts: _TrainingFacts) -> Iterator[str]:
    import pandas as pd

    # A condensed teacher was cut when it was condensed, any other at every step.
    lost = pd.read_parquet(folder / "training.parquet", columns=["cut_mass"])["cut_mass"].max()
    lost = max(lost, facts.teacher_cut_mass)
    if lost > 0:
        yield f"up to {lost:.2g} of the teacher's probability lay on ids the student lacks"


def _listed(labels: list[str], shown: int = 4) -> str:
    more = f" and {len(labels) - shown} more" if len(labels) > shown else ""
    return ", ".join(labels[:shown]) + more
