"""From records to questions: who is asked about what, worked by hand, and what a run keeps of its questions."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import asdict, replace
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pyarrow as pa
import pytest
from scipy import stats

from kdscope.core.errors import DataError, StatisticsError
from kdscope.evaluation.analysis_settings import (
    AnalysisSettings,
    TaskFacts,
    load_analysis_settings,
    save_analysis_settings,
    task_facts,
)
from kdscope.evaluation.compared_models import pair_frame
from kdscope.evaluation.conclusions import draw_conclusions, item_frame, primary_temperature
from kdscope.evaluation.records import Record
from kdscope.evaluation.tidy_results import tidy_results
from kdscope.protocols.published import published_protocol
from kdscope.protocols.results_table import results_table
from kdscope.tasks import default_registry
from tests.evaluation.by_hand import answered, marked

TASKS = {"gsm8k": TaskFacts("math")}


def cell(label: str, role: str, method: str, **facts: Any) -> dict[str, Any]:
    rest = dict.fromkeys(("teacher", "teacher_condition", "variant", "kd_temperature", "kd_weight"))
    rest |= {"student": "s", "teacher_noise_std": None, "seed": 0, "state": "done", "parameters": 1e6}
    return {"cell": label, "role": role, "method": method, **rest, **facts}


def distilled(label: str, **facts: Any) -> dict[str, Any]:
    usual = {"teacher": "t", "teacher_condition": "adapted", "kd_temperature": 1.0, "kd_weight": 1.0}
    return cell(label, "student", "forward_kl", **usual | {"teacher_noise_std": 0.0} | facts)


CELLS = pd.DataFrame(
    [
        cell("teacher/t", "teacher", "adapt", student=None, teacher="t", teacher_condition="adapted"),
        cell("teacher/t@base", "teacher", "base", student=None, teacher="t", teacher_condition="base"),
        cell("s/sft", "student", "sft"),
        cell("s/sft-prompt", "student", "sft", variant="prompt_in_loss_true"),
        cell("s/base", "base", "base"),
        distilled("s/kd"),
        distilled("s/kd-T2", kd_temperature=2.0),
        distilled("s/kd-noise", teacher_noise_std=0.5),
        distilled("s/kd-w", kd_weight=0.5),
        distilled("s/kd@base", teacher_condition="base"),
        distilled("s/kd-noise@base", teacher_condition="base", teacher_noise_std=0.5),
        distilled("s/failed", state="failed"),
    ]
)
STUDENTS = [label for label in CELLS["cell"] if label.startswith("s/kd")]
QUESTIONS = AnalysisSettings("robust", TASKS, controls=dict.fromkeys(STUDENTS, "s/sft"))


def table(records: Mapping[str, Sequence[Record]]) -> pa.Table:
    return pa.Table.from_pylist([{"cell": label, **asdict(r)} for label, own in records.items() for r in own])


def everybody(cells: pd.DataFrame = CELLS, **marks: str) -> pa.Table:
    """All finished cells answer four items of gsm8k; who is not named gets them all wrong."""
    done = cells[cells["state"] == "done"]["cell"]
    names = {label: label.translate(str.maketrans("/-", "__")) for label in done}
    return table({label: marked("gsm8k", marks.get(name, "0000")) for label, name in names.items()})


def test_who_is_asked_about() -> None:
    frame = item_frame(everybody(), CELLS, QUESTIONS)
    told = frame.drop_duplicates("model").set_index("model")
    assert set(told.index) == {"teacher/t", "teacher/t@base", "s/sft", *STUDENTS}
    assert told["ablation"].to_dict() == {
        **dict.fromkeys(("teacher/t", "s/sft", "s/kd", "s/kd-T2"), ""),
        "teacher/t@base": "unadapted teacher",
        "s/kd-noise": "noise 0.5",
        "s/kd-w": "kd_weight 0.5",
        "s/kd@base": "unadapted teacher",
        "s/kd-noise@base": "unadapted teacher, noise 0.5",
    }
    assert told.loc["teacher/t", ["method", "teacher"]].tolist() == ["teacher", "t"]
    assert told.loc["s/kd", "teacher"] == "t"
    assert len(frame) == 4 * len(told)


def test_a_study_of_unadapted_teachers_alone_has_no_ablation() -> None:
    alone = CELLS[CELLS["teacher_condition"] != "adapted"]
    controls = {"s/kd@base": "s/sft", "s/kd-noise@base": "s/sft"}
    frame = item_frame(everybody(), alone, replace(QUESTIONS, controls=controls))
    told = frame.drop_duplicates("model").set_index("model")["ablation"]
    assert told["s/kd@base"] == ""
    assert told["s/kd-noise@base"] == "noise 0.5"


def test_a_teacher_or_method_in_one_form_only_is_no_ablation() -> None:
    """Each teacher and method has its own main setting, and one that is unlike others says so in its name."""
    cells = pd.concat(
        [
            CELLS,
            pd.DataFrame(
                [
                    distilled("s/other", teacher="u", teacher_condition="base"),
                    distilled("s/gkd-w", kd_weight=0.3) | {"method": "gkd"},
                ]
            ),
        ]
    )
    controls = dict.fromkeys(("s/kd", "s/kd@base", "s/other", "s/gkd-w"), "s/sft")
    frame = item_frame(everybody(cells), cells, replace(QUESTIONS, controls=controls))
    told = frame.drop_duplicates("model").set_index("model")[["ablation", "method"]]
    assert told.loc["s/other"].tolist() == ["", "forward_kl, unadapted teacher"]
    assert told.loc["s/gkd-w"].tolist() == ["", "gkd, kd_weight 0.3"]
    assert told.loc["s/kd"].tolist() == ["", "forward_kl"]
    assert told.loc["s/kd@base", "ablation"] == "unadapted teacher"


def test_an_ablation_does_not_take_the_place_of_what_failed() -> None:
    cells = CELLS.assign(state=CELLS["state"].mask(CELLS["cell"] == "s/kd", "failed"))
    frame = item_frame(everybody(cells), cells, QUESTIONS)
    told = frame.drop_duplicates("model").set_index("model")["ablation"]
    assert told["s/kd@base"] == "unadapted teacher"
    with pytest.raises(StatisticsError, match="no student distilled at temperature 1 has a control"):
        draw_conclusions(everybody(cells), cells, QUESTIONS)


def test_equal_numbers_agree_however_they_are_written() -> None:
    golds = ["1", "2", "3"]
    said: dict[str, list[str | None]] = {
        "teacher/t": ["4.0", "0.3333333333333333", "yes"],
        "s/sft": golds,
        "s/kd": ["4", "0.333333333", "Yes"],
    }
    rows = table({label: answered("gsm8k", values, golds) for label, values in said.items()})
    numeric = replace(QUESTIONS, tasks={"gsm8k": TaskFacts("math", numeric=True)}, controls={"s/kd": "s/sft"})
    for questions, expected in ((numeric, [1, 1, 0]), (replace(numeric, tasks=TASKS), [0, 0, 0])):
        pairs = pair_frame(rows, CELLS, questions).set_index("model")
        agreement = pairs["both_right"] + pairs["same_wrong"]
        assert agreement["s/kd"].tolist() == expected


def test_agreement_is_with_the_students_own_teacher() -> None:
    golds = ["1", "2", "3", "4"]
    said: dict[str, list[str | None]] = {
        "teacher/t": ["1", "7", None, "4"],
        "teacher/t@base": ["9", "9", "9", "9"],
        "s/sft": ["1", "2", "3", "4"],
        "s/kd": ["1", "7", None, "5"],
        "s/kd@base": ["1", "9", None, "9"],
    }
    rows = table({label: answered("gsm8k", values, golds) for label, values in said.items()})
    controls = {"s/kd": "s/sft", "s/kd@base": "s/sft"}
    pairs = pair_frame(rows, CELLS, replace(QUESTIONS, controls=controls)).set_index(["model", "teacher_model"])
    same = pairs["both_right"] + pairs["same_wrong"]
    assert same["s/kd", "teacher/t"].tolist() == [1, 1, 0, 0]  # two unread answers do not agree
    assert same["s/kd@base", "teacher/t@base"].tolist() == [0, 1, 0, 1]
    assert same["s/sft", "teacher/t"].tolist() == [1, 0, 0, 1]
    assert same["s/sft", "teacher/t@base"].tolist() == [0, 0, 0, 0]
    assert set(pairs.index) == {
        *(("s/kd", "teacher/t"), ("s/kd@base", "teacher/t@base")),
        *(("s/sft", "teacher/t"), ("s/sft", "teacher/t@base")),
    }
    assert pairs.loc[("s/kd", "teacher/t"), "own_wrong"].tolist() == [0, 1, 0, 1]
    assert pairs.loc[("s/kd", "teacher/t"), "both_wrong"].tolist() == [0, 1, 1, 0]


def test_pairs_are_means_over_decoding_seeds() -> None:
    golds = ["1", "2"]
    rows = []
    for label, seeds in {"teacher/t": [["1", "9"]], "s/sft": [["3", "2"]], "s/kd": [["1", "9"], ["5", "9"]]}.items():
        for seed, values in enumerate(seeds):
            rows += [
                {"cell": label, **asdict(replace(record, decoding_seed=seed))}
                for record in answered("gsm8k", list(values), golds)
            ]
    pairs = pair_frame(pa.Table.from_pylist(rows), CELLS, replace(QUESTIONS, controls={"s/kd": "s/sft"}))
    kd = pairs[pairs["model"] == "s/kd"]
    assert kd["both_right"].tolist() == [0.5, 0.0]
    assert kd["same_wrong"].tolist() == [0.0, 1.0]


def test_a_student_that_was_never_distilled_is_in_no_conclusion() -> None:
    """Nor are the other runs of its setting, which what they reached has selected."""
    golds = [str(n) for n in range(40)]
    said = dict.fromkeys(("teacher/t", "s/sft", "s/kd", "s/kd-T2", "s/kd-T2-s1"), golds)
    rows = table({label: answered("gsm8k", list(values), golds) for label, values in said.items()})
    again = distilled("s/kd-T2-s1", kd_temperature=2.0, seed=1)
    cells = pd.concat([CELLS, pd.DataFrame([again])], ignore_index=True)
    told = {"s/kd-T2": False, "s/kd": True, "s/kd-T2-s1": True}
    cells = cells.assign(distilled=cells["cell"].map(told).astype(object))
    questions = replace(QUESTIONS, controls=dict.fromkeys(told, "s/sft"))
    assert set(item_frame(rows, cells, questions)["model"]) == {"teacher/t", "s/sft", "s/kd"}
    assert set(pair_frame(rows, cells, questions)["model"]) == {"s/sft", "s/kd"}


def test_where_nobody_was_distilled_nothing_is_concluded() -> None:
    golds = [str(n) for n in range(40)]
    rows = table({label: answered("gsm8k", golds, golds) for label in ("teacher/t", "s/sft", "s/kd")})
    cells = CELLS.assign(distilled=CELLS["cell"].map({"s/kd": False}).astype(object))
    found = draw_conclusions(rows, cells, replace(QUESTIONS, controls={"s/kd": "s/sft"}))
    assert found.empty
    assert {"role", "p_value", "sentence"} <= set(found.columns)


def test_a_run_whose_control_failed_stands_beside_the_other_controls() -> None:
    golds = [str(n) for n in range(40)]
    rows = table({label: answered("gsm8k", golds, golds) for label in ("teacher/t", "s/sft", "s/kd", "s/kd-s1")})
    cells = pd.concat([CELLS, pd.DataFrame([distilled("s/kd-s1", seed=1)])], ignore_index=True)
    questions = replace(QUESTIONS, controls={"s/kd": "s/sft"})  # of seed 1 no control was trained to the end
    assert {"s/kd", "s/kd-s1"} <= set(item_frame(rows, cells, questions)["model"])


@pytest.mark.parametrize("controls", [{}, {"s/kd": "s/sft"}])
def test_where_every_model_failed_nothing_is_concluded(controls: dict[str, str]) -> None:
    found = draw_conclusions(everybody(), CELLS.assign(state="failed"), replace(QUESTIONS, controls=controls))
    assert found.empty
    assert {"role", "p_value", "sentence"} <= set(found.columns)


def test_without_a_control_the_level_of_fidelity_is_told_and_not_tested() -> None:
    golds = [str(n) for n in range(60)]
    said = {
        "teacher/t": [g if n % 4 else "x" for n, g in enumerate(golds)],
        "s/kd": [g if n % 3 else "x" for n, g in enumerate(golds)],
    }
    rows = table({label: answered("gsm8k", list(values), golds) for label, values in said.items()})
    cells = CELLS[~CELLS["cell"].str.contains("sft")]
    found = draw_conclusions(rows, cells, replace(QUESTIONS, controls={}))
    [row] = found.to_dict("records")
    assert (row["hypothesis"], row["role"], row["student"]) == ("fidelity_level", "detail", "s")
    assert row["estimate"] == pytest.approx(100 * ((30 + 5) / 60 - 0.75 * 40 / 60))
    assert np.isnan(row["p_value"])
    assert "items that are hard for everybody give some of it" in row["sentence"]


def test_equal_prompts_are_one_cluster_whatever_the_template() -> None:
    def asked(prompts: str, template: str) -> list[Record]:
        return [replace(r, prompt=f"{template}{p}") for r, p in zip(marked("gsm8k", "1111"), prompts, strict=True)]

    rows = table({"s/sft": asked("abca", ""), "s/kd": asked("abca", "<chat>")})
    frame = item_frame(rows, CELLS, replace(QUESTIONS, controls={"s/kd": "s/sft"}))
    clusters = frame.set_index(["model", "item"])["cluster"].unstack()
    assert (clusters.loc["s/kd"] == clusters.loc["s/sft"]).all()
    first, second, third, fourth = clusters.loc["s/kd"]
    assert first == fourth
    assert len({first, second, third}) == 3


def test_contaminated_items_are_told_or_left_out() -> None:
    questions = replace(QUESTIONS, contaminated=frozenset({"gsm8k/2"}))
    frame = item_frame(everybody(), CELLS, questions)
    assert set(frame[frame["contaminated"]]["item"]) == {"gsm8k/2"}
    left = item_frame(everybody(), CELLS, replace(questions, exclude_contaminated=True))
    assert set(left["item"]) == {"gsm8k/0", "gsm8k/1", "gsm8k/3"}


def test_free_texts_are_a_domain_of_their_own() -> None:
    texts = [replace(r, task="dolly", item_id=f"dolly/{n}", rouge_l=0.25) for n, r in enumerate(marked("gsm8k", "11"))]
    rows = table({"s/sft": [*marked("gsm8k", "11"), *texts]})
    questions = replace(
        QUESTIONS, tasks={**TASKS, "dolly": TaskFacts("instruction", free_text=True)}, controls={"s/kd": "s/sft"}
    )
    frame = item_frame(rows, CELLS, questions).groupby("domain")["correct"].mean()
    assert frame.to_dict() == {"math": 1.0, "instruction (ROUGE-L)": 0.25}


def test_the_primary_gain_is_scipys_paired_t_test() -> None:
    rng = np.random.default_rng(4)
    marks = {name: "".join(rng.choice(["0", "1"], 40, p=[1 - p, p])) for name, p in (("sft", 0.4), ("kd", 0.7))}
    rows = table({"s/sft": marked("gsm8k", marks["sft"]), "s/kd": marked("gsm8k", marks["kd"])})
    found = draw_conclusions(rows, CELLS, replace(QUESTIONS, controls={"s/kd": "s/sft"}))
    primary = found[found["role"] == "confirmatory"].iloc[0]
    numbers = [np.array([int(mark) for mark in marks[name]]) for name in ("kd", "sft")]
    test = stats.ttest_rel(*numbers)
    assert primary["estimate"] == pytest.approx(100 * (numbers[0] - numbers[1]).mean())
    assert primary["p_value"] == pytest.approx(test.pvalue)
    interval = test.confidence_interval()
    assert (primary["low"], primary["high"]) == pytest.approx((100 * interval.low, 100 * interval.high))
    assert "The distilled checkpoint of s scored" in primary["sentence"]


def test_ablations_are_not_in_the_primary_question() -> None:
    good = everybody(s_sft="1100", s_kd="1110", s_kd_T2="0000")
    with_ablations = draw_conclusions(good, CELLS, QUESTIONS)
    alone = draw_conclusions(good, CELLS, replace(QUESTIONS, controls={"s/kd": "s/sft"}))
    for found in (with_ablations, alone):
        assert found[found["role"] == "confirmatory"]["estimate"].tolist() == [25.0]
    assert "ablation" in set(with_ablations["hypothesis"])


def test_nothing_to_compare_is_no_conclusion() -> None:
    found = draw_conclusions(everybody(), CELLS, replace(QUESTIONS, controls={}))
    assert set(found["hypothesis"]) <= {"fidelity_level"}
    assert found["p_value"].isna().all()


@pytest.mark.parametrize(
    ("known", "wanted", "primary"),
    [([2.0, 1.0], None, 1.0), ([4.0, 2.0], None, 4.0), ([1.0, 2.0], 2.0, 2.0), ([], None, 1.0)],
)
def test_the_primary_temperature(known: list[float], wanted: float | None, primary: float) -> None:
    cells = pd.DataFrame({"kd_temperature": [*known, None]}, dtype=float)
    assert primary_temperature(cells, wanted) == primary


def test_questions_are_kept(tmp_path: Path) -> None:
    questions = replace(QUESTIONS, contaminated=frozenset({"gsm8k/2", "gsm8k/1"}), primary_temperature=2.0)
    save_analysis_settings(questions, tmp_path / "questions.json")
    assert load_analysis_settings(tmp_path / "questions.json") == questions


@pytest.mark.parametrize("text", ["", "[]", "{}", "[" * 100_000])
def test_what_are_no_questions(tmp_path: Path, text: str) -> None:
    (tmp_path / "questions.json").write_text(text)
    with pytest.raises(DataError, match=r"questions\.json: .*not the questions of a run"):
        load_analysis_settings(tmp_path / "questions.json")


@pytest.mark.parametrize(
    ("key", "value"),
    [
        ("scoring", None),
        ("primary_temperature", {"a": 1}),
        ("equivalence_margin", -1),
        ("controls", {"tiny/kd": [[]]}),
        ("contaminated", 3),
        ("tasks", {"gsm8k": {"domain": {"a": 1}}}),
        ("tasks", {"gsm8k": {"domain": "math", "options": [1]}}),
        ("tasks", {"gsm8k": {"colour": 1}}),
        ("colour", "red"),
    ],
)
def test_a_question_of_another_kind_is_named(tmp_path: Path, key: str, value: object) -> None:
    save_analysis_settings(QUESTIONS, tmp_path / "questions.json")
    written = json.loads((tmp_path / "questions.json").read_text())
    (tmp_path / "questions.json").write_text(json.dumps(written | {key: value}))
    with pytest.raises(DataError, match=rf"questions\.json: {key}.*: not the questions of a run"):
        load_analysis_settings(tmp_path / "questions.json")


def test_facts_of_registered_tasks() -> None:
    assert task_facts(["gsm8k", "boolq"], default_registry()) == {
        "gsm8k": TaskFacts("math", numeric=True),
        "boolq": TaskFacts("commonsense", 2),
    }


def test_a_run_answers_the_published_protocol() -> None:
    """Two students and two tasks: the gains that the published H1 takes the mean of, by hand."""
    cells = pd.DataFrame(
        [
            cell("t", "teacher", "adapt", student=None, teacher="t", teacher_condition="adapted"),
            *(cell(f"{s}/sft", "student", "sft", student=s) for s in ("a-1B", "b-2B")),
            *(distilled(f"{s}/kd-T{t:g}", student=s, kd_temperature=t) for s in ("a-1B", "b-2B") for t in (1.0, 2.0)),
            distilled("a-1B/noisy", student="a-1B", teacher_noise_std=1.0),
        ]
    )
    points = {"t": 0.9, "a-1B/sft": 0.3, "b-2B/sft": 0.5, "a-1B/kd-T1": 0.35, "a-1B/kd-T2": 0.4}
    points |= {"b-2B/kd-T1": 0.52, "b-2B/kd-T2": 0.5, "a-1B/noisy": 0.99}
    accuracy = pd.DataFrame(
        [
            {"cell": label, "task": task, "scoring": "robust", "accuracy": value}
            for label, value in points.items()
            for task in ("gsm8k", "SVAMP", "average")
        ]
    )
    agree = {"cell": "a-1B/kd-T1", "teacher_cell": "t", "task": "gsm8k", "measure": "agreement", "value": 0.5}
    controls = {label: f"{label[:4]}/sft" for label in points if "kd" in label or "noisy" in label}
    questions = AnalysisSettings("robust", {"gsm8k": TaskFacts("math"), "SVAMP": TaskFacts("math")}, controls=controls)
    tidy = tidy_results(cells, accuracy, pd.DataFrame([agree]), questions, "mine")
    assert set(tidy["student"]) == {"t", "a-1B", "b-2B"}
    assert 99 not in set(tidy["value"])
    tested = published_protocol(results_table(tidy, unit="percent").table)
    h1 = tested.set_index(["hypothesis", "group", "task"]).loc[("H1", "all", "Average")]
    gains = [10.0, 2.0]  # the better temperature of each student
    assert h1["n"] == 2
    assert h1["statistic"] == pytest.approx(stats.ttest_1samp(gains, 0.0).statistic)
    assert tidy[tidy["metric"] == "agreement"]["value"].tolist() == [50.0]


def test_a_teacher_is_no_second_run_of_a_student_of_its_name() -> None:
    cells = pd.DataFrame(
        [
            cell("t", "teacher", "adapt", student=None, teacher="s", teacher_condition="adapted"),
            cell("s/sft", "student", "sft"),
            distilled("s/kd", teacher="s"),
        ]
    )
    accuracy = pd.DataFrame(
        [
            {"cell": label, "task": "gsm8k", "scoring": "robust", "accuracy": value}
            for label, value in (("t", 0.9), ("s/sft", 0.3), ("s/kd", 0.5))
        ]
    )
    questions = replace(QUESTIONS, controls={"s/kd": "s/sft"})
    fidelity = pd.DataFrame(columns=["cell", "teacher_cell", "task", "measure", "value"])
    tidy = tidy_results(cells, accuracy, fidelity, questions, "mine").query("task == 'gsm8k'")
    assert tidy.set_index("student")["value"].to_dict() == {"s (teacher)": 90.0, "s": 50.0}
    assert tidy[tidy["method"] == "sft"]["value"].tolist() == [90.0, 30.0]


def test_free_texts_alone_make_no_table() -> None:
    questions = AnalysisSettings("robust", {"dolly": TaskFacts("instruction", free_text=True)})
    accuracy = pd.DataFrame([{"cell": "s/sft", "task": "dolly", "scoring": "robust", "accuracy": 0.2}])
    fidelity = pd.DataFrame(columns=["cell", "teacher_cell", "task", "measure", "value"])
    with pytest.raises(DataError, match="has no accuracies"):
        tidy_results(CELLS, accuracy, fidelity, questions, "mine")


def test_teachers_answer_whether_the_gain_goes_with_them() -> None:
    """H2 needs the teachers' own accuracy: rows of teachers are found by the name that students know them by."""
    rng = np.random.default_rng(2)
    names = ("t", "u", "v")
    rows = [cell("s/sft", "student", "sft")]
    for name in names:
        facts = {"student": None, "teacher": name, "teacher_condition": "adapted"}
        rows += [cell(f"teacher/{name}", "teacher", "adapt", **facts), distilled(f"s/kd-{name}", teacher=name)]
    cells = pd.DataFrame(rows)
    records = {label: marked("gsm8k", "".join(rng.choice(["0", "1"], 60))) for label in cells["cell"]}
    questions = replace(QUESTIONS, controls={f"s/kd-{name}": "s/sft" for name in names})
    found = draw_conclusions(table(records), cells, questions)
    assert "H2" in set(found["hypothesis"])
    assert found.loc[found["hypothesis"] == "H2", "n"].tolist()[0] == 3
