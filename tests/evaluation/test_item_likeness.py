"""H5 of a run: how like its teacher a student writes, item by item, from the texts to the conclusion."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
import sacrebleu

from kdscope.core.errors import DataError
from kdscope.evaluation.analysis_settings import (
    ITEM_FIDELITY,
    AnalysisSettings,
    TaskFacts,
    load_analysis_settings,
    save_analysis_settings,
)
from kdscope.evaluation.conclusions import draw_conclusions, item_frame
from kdscope.evaluation.fidelity_per_task import Sampling
from kdscope.evaluation.fidelity_table import item_likeness, measure_records
from kdscope.evaluation.records import Record
from kdscope.protocols.item_matrix import item_matrix
from kdscope.protocols.record_sample import RecordSample
from kdscope.protocols.relations import likeness_of_records
from tests.evaluation.by_hand import essay_tasks, essays, marked, record
from tests.evaluation.test_conclusions import CELLS, QUESTIONS, cell, distilled, everybody, table

TEACHER = "a b c d"
BY_HAND = {
    "a b c d": 1.0,
    "e f g h": 0.0,
    "": 0.0,
    # All of its words and its pair of words are the teacher's; half as long.
    "a b": math.exp(1 - 4 / 2),
    # Three of four words, two of three pairs, one of two triples; the only run of four counts as half of one.
    "a b c x": (3 / 4 * 2 / 3 * 1 / 2 * (1 / 2) / 1) ** (1 / 4),
}
FEW = Sampling(draws=20, shuffles=1)
TASKS = ("gsm8k", "SVAMP")
KINDS = (("cell", "task", "item_id", "sentence_bleu"), (pa.string(), pa.string(), pa.string(), pa.float64()))


def likeness(student: Sequence[Record], teacher: Sequence[Record], task: str = "gsm8k", **more: Any) -> pa.Table:
    measured = measure_records({task: student}, {task: teacher}, "robust", sampling=FEW, **more)
    return item_likeness(measured)


def saying(texts: Sequence[str], task: str = "gsm8k", seed: int = 0) -> list[Record]:
    return [record(task, index, completion=text, decoding_seed=seed) for index, text in enumerate(texts)]


def of_cells(**values: Sequence[float]) -> pa.Table:
    """Likeness of cells by name, on items of gsm8k."""
    rows = [
        {"cell": name, "task": "gsm8k", "item_id": f"gsm8k/{number}", "sentence_bleu": float(value)}
        for name, own in values.items()
        for number, value in enumerate(own)
    ]
    return pa.Table.from_pylist(rows)


@pytest.mark.parametrize("task", ["gsm8k", "boolq"])
def test_likeness_worked_by_hand(task: str) -> None:
    found = likeness(saying(list(BY_HAND), task), saying([TEACHER] * len(BY_HAND), task), task)
    assert found["item_id"].to_pylist() == [f"{task}/{number}" for number in range(len(BY_HAND))]
    assert set(found["task"].to_pylist()) == {task}
    assert found["sentence_bleu"].to_pylist() == pytest.approx(list(BY_HAND.values()))


def test_it_is_sacrebleus_on_sentences_with_numbers() -> None:
    theirs = ["48 / 2 = 24 clips in May, so 48 + 24 = 72. The answer is 72", "She walks 3 * 4 = 12 miles."]
    ours = ["In May 48 / 2 = 24, altogether 48 + 24 = 72. The answer is 72", "She walks 3 + 4 = 7 miles."]
    expected = [sacrebleu.sentence_bleu(o, [t]).score / 100 for o, t in zip(ours, theirs, strict=True)]
    assert likeness(saying(ours), saying(theirs))["sentence_bleu"].to_pylist() == pytest.approx(expected)


def test_texts_of_one_decoding_seed_meet_and_are_averaged() -> None:
    teacher = saying([TEACHER], seed=0) + saying(["e f g h"], seed=1)
    student = saying([TEACHER], seed=1) + saying(["a b"], seed=0)
    assert likeness(student, teacher)["sentence_bleu"].to_pylist() == pytest.approx([math.exp(-1) / 2])


def test_free_text_has_a_likeness_and_nothing_answered_none() -> None:
    found = likeness(essays("odes", [[0.1], [0.5]]), essays("odes", [[0.1], [0.9]]), "odes", registry=essay_tasks())
    assert found["sentence_bleu"][0].as_py() == pytest.approx(1.0)
    assert 0 < found["sentence_bleu"][1].as_py() < 1
    nothing = item_likeness({})
    assert len(nothing) == 0
    assert nothing.schema == found.schema


def test_every_record_has_the_likeness_of_its_model_and_item() -> None:
    known = of_cells(**{"s/kd": [0.1, 0.2, 0.3, 0.4], "s/kd@base": [0.5, 0.6, 0.7]})
    frame = item_frame(everybody(), CELLS, replace(QUESTIONS, likeness=known)).set_index("model")["fidelity"]
    assert frame["s/kd"].tolist() == [0.1, 0.2, 0.3, 0.4]
    assert frame["s/kd@base"].tolist() == pytest.approx([0.5, 0.6, 0.7, math.nan], nan_ok=True)
    assert frame.drop(["s/kd", "s/kd@base"]).isna().all()
    assert "fidelity" not in item_frame(everybody(), CELLS, QUESTIONS)


def test_decoding_seeds_share_the_items_likeness() -> None:
    twice = [replace(r, decoding_seed=seed) for r in marked("gsm8k", "11") for seed in (0, 1)]
    rows = table({"s/sft": twice, "s/kd": twice})
    questions = replace(QUESTIONS, controls={"s/kd": "s/sft"}, likeness=of_cells(**{"s/kd": [0.25, 0.75]}))
    frame = item_frame(rows, CELLS, questions).set_index("model")["fidelity"]
    assert frame["s/kd"].tolist() == [0.25, 0.25, 0.75, 0.75]


def test_a_run_keeps_it_beside_its_questions(tmp_path: Path) -> None:
    questions = replace(QUESTIONS, likeness=of_cells(**{"s/kd": [0.5, 0.25]}))
    file = tmp_path / "questions.json"
    save_analysis_settings(questions, file)
    assert load_analysis_settings(file) == questions
    save_analysis_settings(QUESTIONS, file)
    assert load_analysis_settings(file).likeness is None


@pytest.mark.parametrize("damage", ["text", "column"])
def test_a_damaged_file_is_named(tmp_path: Path, damage: str) -> None:
    save_analysis_settings(QUESTIONS, tmp_path / "questions.json")
    beside = tmp_path / ITEM_FIDELITY
    if damage == "text":
        beside.write_text("no parquet")
    else:
        pq.write_table(of_cells(**{"s/kd": [0.5]}).drop_columns(["sentence_bleu"]), beside)
    with pytest.raises(DataError, match=r"item_fidelity\.parquet: the likeness of items cannot be read"):
        load_analysis_settings(tmp_path / "questions.json")


def study(
    seed: int, students: int = 5, methods: int = 4, items: int = 100
) -> tuple[pa.Table, pd.DataFrame, AnalysisSettings]:
    """Students whose cells gain more the more alike they write, on two tasks; the likeness of an item varies too."""
    rng = np.random.default_rng(seed)
    rows: list[dict[str, Any]] = []
    records: dict[str, list[Record]] = {}
    parts = []

    def answer(label: str, chance: float) -> None:
        right = ["".join(rng.choice(["0", "1"], items, p=[1 - chance, chance])) for _ in TASKS]
        records[label] = [one for task, own in zip(TASKS, right, strict=True) for one in marked(task, own)]

    for student in range(students):
        name = f"s{student}"
        rows.append(cell(f"{name}/sft", "student", "sft", student=name))
        answer(f"{name}/sft", 0.3)
        for method in range(methods):
            label, like = f"{name}/m{method}", rng.uniform(0.2, 0.7)
            rows.append(distilled(label, student=name) | {"method": f"m{method}"})
            answer(label, 0.3 + 0.5 * (like - 0.2))
            parts += [(label, r.task, r.item_id, np.clip(rng.normal(like, 0.15), 0, 1)) for r in records[label]]
    told = pa.Table.from_pandas(pd.DataFrame(parts, columns=["cell", "task", "item_id", "sentence_bleu"]))
    controls = {row["cell"]: f"{row['student']}/sft" for row in rows if row["method"] != "sft"}
    questions = AnalysisSettings("robust", {t: TaskFacts("math") for t in TASKS}, controls=controls, likeness=told)
    return table(records), pd.DataFrame(rows), questions


def h5(records: pa.Table, cells: pd.DataFrame, questions: AnalysisSettings) -> pd.DataFrame:
    found = draw_conclusions(records, cells, questions)
    return found[found["hypothesis"] == "H5"].set_index("group")


def permuted(questions: AnalysisSettings, seed: int) -> AnalysisSettings:
    """Every cell has the likeness of another."""
    labels = list(questions.controls)
    other = dict(zip(labels, np.random.default_rng(seed).permutation(labels), strict=True))
    assert questions.likeness is not None
    frame = questions.likeness.to_pandas()
    told = pa.Table.from_pandas(frame.assign(cell=frame["cell"].map(other)), preserve_index=False)
    return replace(questions, likeness=told)


@pytest.fixture(scope="module")
def related() -> tuple[pa.Table, pd.DataFrame, AnalysisSettings]:
    return study(0)


def test_a_gain_that_goes_with_likeness_is_found(related: tuple[pa.Table, pd.DataFrame, AnalysisSettings]) -> None:
    records, cells, questions = related
    found = h5(records, cells, questions)
    assert set(found.index) == {"all", "within students"}
    row = found.loc["within students"]
    assert row["p_adjusted"] < 0.01
    assert row["estimate"] == pytest.approx(0.5, abs=0.15)
    assert (row["n"], row["unit"], row["role"]) == (20, "cells", "exploratory")
    assert row["sentence"].startswith("The gain goes with likeness to the teacher's texts within students")
    assert "accuracy by itself" in row["note"]


def test_the_likeness_of_other_cells_is_no_relation(related: tuple[pa.Table, pd.DataFrame, AnalysisSettings]) -> None:
    records, cells, questions = related
    found = []
    for seed in range(4):
        frame = item_frame(records, cells, permuted(questions, seed))
        asked = likeness_of_records(RecordSample("math", item_matrix(frame)))
        found += [row.p_value for row in asked if (row.hypothesis, row.group) == ("H5", "within students")]
    assert len(found) == 4
    assert min(found) > 0.05


def test_a_run_that_kept_no_likeness_is_not_asked() -> None:
    records, cells, questions = study(1, students=2, methods=2, items=20)
    assert not h5(records, cells, questions).empty
    assert h5(records, cells, replace(questions, likeness=None)).empty
    nobody = pa.table({name: pa.array([], kind) for name, kind in zip(*KINDS, strict=True)})
    assert h5(records, cells, replace(questions, likeness=nobody)).empty
