"""From the records of a study to what can be concluded: the rigorous protocol, each result with its sentence."""

from __future__ import annotations

from collections.abc import Mapping
from types import MappingProxyType
from typing import Any

import numpy as np
import pandas as pd
import pyarrow as pa
import pyarrow.compute as compute
from numpy.typing import NDArray

from kdscope.answers.quantities import number_key
from kdscope.evaluation.questions import Questions, TaskFacts, load_questions, save_questions, task_facts
from kdscope.evaluation.records import CELL
from kdscope.protocols.fidelity_gains import fidelity_levels
from kdscope.protocols.item_matrix import PAIR_COLUMNS, item_matrix
from kdscope.protocols.results import RigorousResult, results_frame
from kdscope.protocols.rigorous import rigorous_records
from kdscope.protocols.sentences import sentence
from kdscope.protocols.table_runs import KnownNoise
from kdscope.results.column_names import SFT
from kdscope.results.measures import ITEM_MEASURE

__all__ = [
    "NEEDED_COLUMNS",
    "TEACHER",
    "Questions",
    "TaskFacts",
    "draw_conclusions",
    "item_frame",
    "load_questions",
    "pair_frame",
    "primary_temperature",
    "rows_of",
    "save_questions",
    "task_facts",
]

TEACHER = "teacher"
"""Method of a teacher's own answers."""
_PREFERRED: Mapping[str, Any] = MappingProxyType(
    {"teacher_condition": "adapted", "kd_weight": 1.0, "teacher_noise_std": 0.0}
)
NEEDED_COLUMNS = (
    *(CELL, "task", "item_id", "item_hash", "decoding_seed", "prompt"),
    *("correct_robust", "correct_published", "robust_value", "published_value", "rouge_l"),
)
"""Columns of `run_records.read_run_records` that conclusions are drawn from."""


def primary_temperature(cells: pd.DataFrame, wanted: float | None = None) -> float:
    """The temperature of the primary question: the one wanted, else 1 if cells have it, else the first they have."""
    if wanted is not None:
        return wanted
    known = cells["kd_temperature"].dropna().tolist()
    return 1.0 if 1.0 in known or not known else float(known[0])


def draw_conclusions(
    records: pa.Table, cells: pd.DataFrame, questions: Questions, known: KnownNoise | None = None
) -> pd.DataFrame:
    """The rigorous protocol on the records of a study.

    Args:
        records: With `NEEDED_COLUMNS`.
        cells: The study's table of cells. A student whose kept step lies in its warm start was never trained by its
            method (``distilled`` is false): it has no part in any conclusion, nor have the other runs of its setting,
            which what they reached has selected.
        questions: What is asked.
        known: Run variance that is known from elsewhere, for accuracies.

    Returns:
        Columns of `protocols.results.RigorousResult`, and ``sentence``; levels of fidelity alone where there is no
        control.

    Raises:
        StatisticsError: As `rigorous_records`.
    """
    if not questions.controls:
        return _levels(records, cells, questions)
    frame = item_frame(records, cells, questions)
    if not {*frame["model"]} & {*questions.controls}:
        return _with_sentences([])  # all of their items are left out, or all were left in their warm start
    found = rigorous_records(
        frame,
        temperature=primary_temperature(cells, questions.primary_temperature),
        margin=questions.equivalence_margin,
        options={name: task.options for name, task in questions.tasks.items() if task.options},
        pairs=pair_frame(records, cells, questions),
        fidelity_margin=questions.fidelity_margin,
        run_sd=_known_run_sd(known, questions),
    )
    return found.assign(sentence=[sentence(row) for row in rows_of(found)])


def _levels(records: pa.Table, cells: pd.DataFrame, questions: Questions) -> pd.DataFrame:
    """What can be said of a study without a control: how far its students agree with their teachers, and no test."""
    pairs = pair_frame(records, cells, questions)
    if pairs.empty:
        return _with_sentences([])
    frame = item_frame(records, cells, questions)
    options = {name: task.options for name, task in questions.tasks.items() if task.options}
    rows = [
        row
        for domain, some in frame.groupby("domain", sort=False)
        for row in fidelity_levels(item_matrix(some), str(domain), options, pairs)
    ]
    return _with_sentences(rows)


def _with_sentences(rows: list[RigorousResult]) -> pd.DataFrame:
    found = results_frame(rows)
    return found.assign(sentence=[sentence(row) for row in rows_of(found)])


def item_frame(records: pa.Table, cells: pd.DataFrame, questions: Questions) -> pd.DataFrame:
    """The records as `rigorous_records` reads them: students with a control, their controls, and the teachers.

    ``fidelity`` is the item's `fidelity_items.ITEM_MEASURE`, with several decoding seeds their mean: missing for
    teachers and controls, no column where it was not measured. ``cluster`` is equal for items with the same prompt.
    """
    models = _models(cells, questions.controls)
    table = _asked(records, models, questions)
    text = table.select([CELL, "task", "item_id"]).to_pandas()
    facts: pd.DataFrame = models.loc[text[CELL]].reset_index(drop=True)
    domains = {name: f"{task.domain} (ROUGE-L)" if task.free_text else task.domain for name, task in _tasks(questions)}
    frame: pd.DataFrame = facts.assign(
        model=text[CELL],
        domain=text["task"].map(domains),
        task=text["task"],
        item=text["item_id"],
        correct=_values(table, questions),
        cluster=_clusters(table),
        contaminated=text["item_id"].isin(set(questions.contaminated)),
    )
    if questions.likeness is not None:
        frame = frame.assign(fidelity=_fidelity(text, questions.likeness))
    return frame.drop(columns="teacher_cell")


def _tasks(questions: Questions) -> list[tuple[str, TaskFacts]]:
    return list(questions.tasks.items())


def _models(cells: pd.DataFrame, controls: Mapping[str, str]) -> pd.DataFrame:
    """Student, teacher, method, temperature, seed and ablation of every model that a question is about."""
    done = _without_never_distilled(cells[cells["state"] == "done"])
    # A distilled run whose control of the same seed failed still stands beside the controls of other seeds.
    # Without any control, as where levels are told, all students stand.
    some = done[done["cell"].isin([*controls.values()])] if controls else done
    controlled, settings = set(some["student"].dropna()), set(some["variant"].map(_text))
    # Controls of another setting (the prompt in the loss, say) than those that students are compared with stay out.
    beside = (done["method"] != SFT) | done["variant"].map(_text).isin(settings)
    students = (done["role"] == "student") & done["student"].isin(controlled) & beside
    involved = done[students | (done["role"] == "teacher")]
    own_teacher = {(r["teacher"], r["teacher_condition"]): r["cell"] for r in rows_of(done[done["role"] == "teacher"])}
    usual = _usual(cells)
    rows = [
        {
            "model": row["cell"],
            "student": row["student"] if row["role"] == "student" else "",
            "teacher": _text(row["teacher"]),
            "method": _method(row, usual),
            "temperature": row["kd_temperature"],
            "seed": row["seed"],
            "ablation": _ablation(row, usual) if row["role"] == "student" else _as_it_came(row, own_teacher),
            "teacher_cell": own_teacher.get((row["teacher"], row["teacher_condition"]), ""),
            "parameters": row["parameters"],
        }
        for row in rows_of(involved)
    ]
    return pd.DataFrame(rows).set_index("model")


_SETTING = ("student", "teacher", "teacher_condition", "method", "variant", "kd_temperature", "kd_weight")
"""With the noise of the teacher what makes two cells runs of one setting."""


def _without_never_distilled(cells: pd.DataFrame) -> pd.DataFrame:
    """The cells without the settings of which some run's kept step lies in its warm start."""
    if "distilled" not in cells:
        return cells
    never = ~cells["distilled"].astype("boolean").fillna(True)
    columns = [name for name in (*_SETTING, "teacher_noise_std") if name in cells]
    key = cells[columns].astype(object).where(cells[columns].notna(), None).apply(tuple, axis=1)
    return cells[~key.isin(set(key[never]))]


def _known_run_sd(known: KnownNoise | None, questions: Questions) -> dict[str, tuple[float, float]]:
    """By domain, those of free text left out: their values are no accuracies."""
    if known is None or known.run_sd is None:
        return {}
    domains = {task.domain for _, task in _tasks(questions) if not task.free_text}
    return dict.fromkeys(domains, (known.run_sd, known.run_df))


_Settings = dict[str, Any]


def _usual(cells: pd.DataFrame) -> dict[tuple[str, str, str], _Settings]:
    """By teacher, method and variant the settings that ablations depart from, in everything that was planned.

    Adapted, full weight and no noise, where there is such a cell; else whatever comes first, which is no ablation then.
    What failed counts too: an ablation does not become the main setting because the main setting broke.
    """
    students = cells[cells["role"] == "student"]
    groups: dict[tuple[str, str, str], list[dict[str, Any]]] = {}
    for row in rows_of(students):
        groups.setdefault(_group(row), []).append(row)
    usual = {}
    for group, rows in groups.items():
        known = {name: [row[name] for row in rows if not pd.isna(row[name])] for name in _PREFERRED}
        usual[group] = {
            name: value if value in known[name] or not known[name] else known[name][0]
            for name, value in _PREFERRED.items()
        }
    return usual


def _group(row: Mapping[str, Any]) -> tuple[str, str, str]:
    return _text(row["teacher"]), str(row["method"]), _text(row["variant"])


def _method(row: Mapping[str, Any], usual: Mapping[tuple[str, str, str], _Settings]) -> str:
    """A method with the settings that tell it from its namesakes; controls of any setting are controls."""
    if row["role"] == "teacher":
        return TEACHER
    if row["method"] == SFT:
        return SFT
    unlike = _told(usual[_group(row)], _PREFERRED)
    parts = [" ".join(part for part in (str(row["method"]), _text(row["variant"])) if part), unlike]
    return ", ".join(part for part in parts if part)


def _ablation(row: Mapping[str, Any], usual: Mapping[tuple[str, str, str], _Settings]) -> str:
    return _told(row, usual[_group(row)])


def _as_it_came(row: Mapping[str, Any], teachers: Mapping[tuple[str, str], str]) -> str:
    """Of a teacher that stands beside itself adapted: it is not the teacher that main settings learned from."""
    beside = (row["teacher"], "adapted") in teachers
    return "unadapted teacher" if row["teacher_condition"] == "base" and beside else ""


def _told(settings: Mapping[str, Any], usual: Mapping[str, Any]) -> str:
    """In which settings something is not as usual, in words."""
    parts = []
    for name, value in usual.items():
        own = settings[name]
        if pd.isna(own) or own == value:
            continue
        words = {"kd_weight": f"kd_weight {own}", "teacher_noise_std": f"noise {own}"}
        parts.append(words.get(name, "unadapted teacher" if own == "base" else "adapted teacher"))
    return ", ".join(parts)


def _values(table: pa.Table, questions: Questions) -> NDArray[np.float64]:
    correct = np.asarray(table[f"correct_{questions.scoring}"].to_numpy(zero_copy_only=False), dtype=np.float64)
    measured = table["rouge_l"].to_pandas().to_numpy(dtype=np.float64)
    free = table["task"].to_pandas().map({name: task.free_text for name, task in _tasks(questions)}).to_numpy(bool)
    return np.where(free, measured, correct)


def _clusters(table: pa.Table) -> pd.Series:
    """A number for every question of a task: that of its prompt, as the first model was given it."""
    keys = table.select(["task", "item_id", "prompt", "item_hash"]).group_by(["task", "item_id"], use_threads=False)
    known = keys.aggregate([("prompt", "first"), ("item_hash", "first")]).to_pandas()
    text = known["prompt_first"].where(known["prompt_first"] != "", known["item_hash_first"])
    codes = known["task"].str.cat(text, sep="\n").factorize()[0]
    numbers: pd.Series = table["item_id"].to_pandas().map(dict(zip(known["item_id"], codes, strict=True)))
    return numbers


def pair_frame(records: pa.Table, cells: pd.DataFrame, questions: Questions) -> pd.DataFrame:
    """Every student beside its teacher on every item, as `likeness.PAIR_COLUMNS` has it, means over decoding seeds.

    A control stands beside each teacher of its student's distilled runs. An answer that could not be read is neither
    right nor the same as any other. Tasks of free text have no right and wrong and are left out.
    """
    models = _models(cells, questions.controls)
    answered = [name for name, task in _tasks(questions) if not task.free_text]
    table = _asked(records, models, questions)
    table = table.filter(compute.is_in(table["task"], pa.array(answered, pa.string())))
    right = np.asarray(table[f"correct_{questions.scoring}"].to_numpy(zero_copy_only=False), dtype=np.bool_)
    keys = table.select([CELL, "task", "item_id", "decoding_seed"]).to_pandas()
    rows = keys.assign(answer=_answers(table, questions), right=right)
    rows["wrong"] = ~rows["right"] & rows["answer"].notna()
    by_cell = {str(cell): some.drop(columns=CELL) for cell, some in rows.groupby(CELL, sort=False)}
    parts = [
        _pair(by_cell[cell], by_cell[teacher]).assign(model=cell, teacher_model=teacher)
        for cell, teacher in _teachers_of(models)
        if cell in by_cell and teacher in by_cell
    ]
    return pd.concat(parts, ignore_index=True) if parts else pd.DataFrame(columns=list(PAIR_COLUMNS))


def _asked(records: pa.Table, models: pd.DataFrame, questions: Questions) -> pa.Table:
    """The records that conclusions are drawn from."""
    asked = compute.is_in(records[CELL], pa.array(list(models.index), pa.string()))
    if questions.exclude_contaminated:
        left_out = pa.array(sorted(questions.contaminated), pa.string())
        asked = compute.and_(asked, compute.invert(compute.is_in(records["item_id"], left_out)))
    return records.filter(asked)


def _teachers_of(models: pd.DataFrame) -> list[tuple[str, str]]:
    """Every distilled student with its teacher, and every control with all teachers of its student's distilled runs."""
    taught = models[(models["student"] != "") & (models["teacher_cell"] != "")]
    of_students = taught.groupby("student", sort=False)["teacher_cell"].unique().to_dict()
    own = list(zip(taught.index, taught["teacher_cell"], strict=True))
    beside = models.loc[models["method"] == SFT, "student"]
    return own + [(cell, teacher) for cell, student in beside.items() for teacher in of_students.get(student, ())]


def _pair(own: pd.DataFrame, teacher: pd.DataFrame) -> pd.DataFrame:
    """Shares of one model and its teacher on every item, seed by seed; a teacher that has one seed is met by all."""
    if teacher["decoding_seed"].nunique() == 1:
        both = own.merge(teacher.drop(columns="decoding_seed"), on=["task", "item_id"], suffixes=("", "_teacher"))
    else:
        both = own.merge(teacher, on=["task", "item_id", "decoding_seed"], suffixes=("", "_teacher"))
    neither = ~both["right"] & ~both["right_teacher"]
    same = (both["answer"] == both["answer_teacher"]) & both["answer"].notna()
    shares = pd.DataFrame(
        {
            "own_right": both["right"],
            "teacher_right": both["right_teacher"],
            "own_wrong": both["wrong"],
            "teacher_wrong": both["wrong_teacher"],
            "both_right": both["right"] & both["right_teacher"],
            "both_wrong": neither,
            "same_wrong": neither & same,
        }
    ).astype(np.float64)
    shares = shares.assign(task=both["task"], item=both["item_id"])
    if not shares.duplicated(["task", "item"]).any():
        return shares
    return shares.groupby(["task", "item"], sort=False).mean().reset_index()


def _fidelity(asked: pd.DataFrame, likeness: pa.Table) -> NDArray[np.float64]:
    """The likeness of each record's model on its item; NaN where there is none."""
    known = likeness.select([CELL, "item_id", ITEM_MEASURE]).to_pandas()
    both = asked[[CELL, "item_id"]].merge(known, on=[CELL, "item_id"], how="left")
    return both[ITEM_MEASURE].to_numpy(dtype=np.float64)


def _answers(table: pa.Table, questions: Questions) -> pd.Series:
    """The answers, equal ones alike; missing where none could be read."""
    found = table.select(["task", f"{questions.scoring}_value"]).to_pandas().set_axis(["task", "answer"], axis=1)
    numeric = found["task"].isin([name for name, task in _tasks(questions) if task.numeric]) & found["answer"].notna()
    known = {value: number_key(value) for value in found.loc[numeric, "answer"].unique()}
    answers: pd.Series = found["answer"].where(~numeric, found["answer"].map(known))
    return answers


def rows_of(cells: pd.DataFrame) -> list[dict[str, Any]]:
    """The rows of a table, a dictionary each."""
    return [{str(name): value for name, value in row.items()} for row in cells.to_dict("records")]


def _text(value: object) -> str:
    return "" if value is None or value is pd.NA or value != value else str(value)
