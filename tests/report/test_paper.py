"""Tables for papers, from tables small enough to be worked out by hand."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import numpy as np
import pandas as pd
import pytest

from kdscope.core.errors import DataError
from kdscope.report.paper import paper_tables, write_exports
from kdscope.results.markdown import one_line
from kdscope.results.table import Table, TableCell
from kdscope.results.tables import ReportTables
from tests.report.builders import build_tables, cell_row, designed_tables, empty_tables
from tests.report.latex_reader import read_tabulars
from tests.results.markdown_reader import read_table

TAUGHT = {"student": "tiny", "teacher": "big", "teacher_condition": "adapted"}


def accuracy_row(cell: str, task: str, value: float, low: float = np.nan, high: float = np.nan) -> dict[str, object]:
    return {
        **{"cell": cell, "task": task, "scoring": "robust", "metric": "accuracy", "items": 100, "correct": None},
        **{"accuracy": value, "stderr": np.nan, "low": low, "high": high, "unparsed_rate": 0.0, "truncated_rate": 0.0},
        **{"chance": 0.25 if task == "ARC" else 0.0, "below_chance": False},
    }


def gain_row(cell: str, task: str, gain: tuple[float, float, float], p: float, holm: float) -> dict[str, object]:
    return {
        **{"cell": cell, "control": "sft", "task": task, "scoring": "robust", "items": 100, "only_cell": 30},
        **{"only_control": 10, "gain": gain[0], "low": gain[1], "high": gain[2], "p_value": p, "p_holm": holm},
        "method_of_test": "McNemar exact",
    }


def study(**cells: dict[str, object]) -> ReportTables:
    """One student; its control, and two ways of distilling it, the first clearly the best on everything but ARC."""
    rows = {
        "sft": cell_row("sft", "student", "sft", student="tiny"),
        "gkd": cell_row("gkd", "student", "gkd", **TAUGHT),
        "jsd": cell_row("jsd", "student", "jsd", **TAUGHT),
    }
    tasks = [
        accuracy_row("sft", "sums", 0.40, 0.30, 0.50),
        accuracy_row("sft", "ARC", 0.50, 0.40, 0.60),
        accuracy_row("sft", "average", 0.45),
        accuracy_row("gkd", "sums", 0.6, 0.5, 0.7),
        accuracy_row("gkd", "ARC", 0.8, 0.74, 0.85),
        accuracy_row("gkd", "average", 0.7),
        accuracy_row("jsd", "sums", 0.4512, 0.35, 0.5512),
    ]
    gains = [
        gain_row("gkd", "sums", (0.2, 0.1, 0.3), 0.001, np.nan),
        gain_row("gkd", "ARC", (0.3, 0.2, 0.4), 0.04, np.nan),
        gain_row("gkd", "pooled", (0.25, 0.15, 0.35), 0.00001, 0.00002),
        gain_row("jsd", "sums", (-0.0512, -0.09, -0.01), 0.0125, np.nan),
        gain_row("jsd", "pooled", (0.0512, -0.01, 0.11), 0.0312, 0.0312),
    ]
    return empty_tables(
        cells=pd.DataFrame((rows | cells).values()), accuracy=pd.DataFrame(tasks), gains=pd.DataFrame(gains)
    )


def found(tables: ReportTables, scoring: str = "robust") -> dict[str, Table]:
    return {table.key: table for table in paper_tables(tables, scoring)}


def shown(value: TableCell) -> str:
    text = f"{value.text}{value.mark}" + (f" {value.interval}" if value.interval else "")
    return f"**{text}**" if value.bold else text


def rows_of(table: Table) -> list[list[str]]:
    return [[shown(value) for value in row] for row in table.rows]


def test_the_main_table_by_hand() -> None:
    table = found(study())["accuracy"]
    assert [column.heading for column in table.columns] == ["model", "trained with", "sums", "ARC", "average", "gain"]
    assert rows_of(table) == [
        # MOVER: 0.45 - sqrt(0.1² + 0.1²) / 2 = 0.3793, 0.45 + 0.0707 = 0.5207.
        ["tiny", "sft", "40.0 [30.0, 50.0]", "50.0 [40.0, 60.0]", "45.0 [37.9, 52.1]", "–"],
        # 0.7 - sqrt(0.1² + 0.06²) / 2 = 0.6417, 0.7 + sqrt(0.1² + 0.05²) / 2 = 0.7559. On single tasks Holm's p-values
        # are 0.003 (sums), 0.025 (jsd on sums) and 0.04 (ARC). Nobody else answered ARC: none is the best there.
        [
            *("tiny", "gkd", "**60.0* [50.0, 70.0]**", "80.0* [74.0, 85.0]", "70.0 [64.2, 75.6]"),
            "**+25.0* [+15.0, +35.0]**",
        ],
        # On the one task worse than SFT by interval and p; over all items neither.
        ["tiny", "jsd", "45.1† [35.0, 55.1]", "–", "–", "+5.1 [−1.0, +11.0]"],
        ["chance", "", "0.0", "25.0", "0.0", ""],
    ]
    assert any("Every task has 100 items." in note for note in table.notes)
    assert any("Bold: in addition" in note for note in table.notes)


def test_the_largest_gain_is_not_bold_unless_it_is_shown_to_be_the_best() -> None:
    """The other method's interval reaches into that of the best; or the p-value does not hold."""
    tables = study()
    overlap = tables.gains.assign(high=tables.gains["high"].where(tables.gains["cell"] == "gkd", 0.16))
    pooled = rows_of(found(replace(tables, gains=overlap))["gains"])
    assert pooled[0][5] == "+25.0* [+15.0, +35.0]"
    doubtful = tables.gains.assign(p_holm=tables.gains["p_holm"].where(tables.gains["cell"] != "gkd", 0.06))
    assert rows_of(found(replace(tables, gains=doubtful))["gains"])[0][5] == "+25.0 [+15.0, +35.0]"
    nothing = tables.gains.assign(low=np.nan, high=np.nan)
    assert rows_of(found(replace(tables, gains=nothing))["gains"])[0][5] == "+25.0"


def test_an_only_distilled_cell_is_not_the_best_of_anything() -> None:
    tables = study()
    alone = found(replace(tables, gains=tables.gains[tables.gains["cell"] == "gkd"]))
    assert rows_of(alone["gains"])[0][5] == "+25.0* [+15.0, +35.0]"
    assert not any(value.bold for table in alone.values() for row in table.rows for value in row)


def test_the_total_is_of_right_answers_where_there_is_free_text_too() -> None:
    """ROUGE-L has a pool of its own; it is not the gain in accuracy."""
    tables = study()
    other = pd.DataFrame([gain_row("gkd", "pooled (rouge_l)", (0.01, 0.0, 0.02), 0.2, 0.2)])
    both = found(replace(tables, gains=pd.concat([tables.gains, other])))
    assert [row[-1] for row in rows_of(both["accuracy"])] == [row[-1] for row in rows_of(found(tables)["accuracy"])]
    assert rows_of(both["gains"]) == rows_of(found(tables)["gains"])


def test_one_task_of_each_metric_still_has_totals() -> None:
    """Nothing is pooled then: the total is the gain on the one task with right answers."""
    tables = study()
    alone = tables.gains[tables.gains["task"] == "sums"]
    text = pd.DataFrame([gain_row("gkd", "dolly", (0.01, 0.0, 0.02), 0.2, 0.2)])
    shown_gains = rows_of(found(replace(tables, gains=pd.concat([alone, text])))["gains"])
    assert [row[5].rstrip("*†") for row in shown_gains] == [
        row[5].rstrip("*†") for row in rows_of(found(replace(tables, gains=alone))["gains"])
    ]
    assert [row[:2] for row in shown_gains] == [["tiny", "gkd"], ["tiny", "jsd"]]


def test_gains_by_hand() -> None:
    tables = found(study())
    assert rows_of(tables["gains"]) == [
        ["tiny", "gkd", "100", "30", "10", "**+25.0* [+15.0, +35.0]**", "< .001", "< .001"],
        ["tiny", "jsd", "100", "30", "10", "+5.1 [−1.0, +11.0]", ".031", ".031"],
    ]
    assert rows_of(tables["gains_by_task"]) == [
        ["tiny", "gkd", "**+20.0* [+10.0, +30.0]**", "+30.0* [+20.0, +40.0]"],
        ["tiny", "jsd", "−5.1† [−9.0, −1.0]", "–"],
    ]


def test_p_values_of_single_tasks_are_adjusted_together() -> None:
    data = found(study())["gains_by_task"].data.set_index(["cell", "task"])["p_holm"]
    assert data["gkd", "sums"] == pytest.approx(3 * 0.001)
    assert data["jsd", "sums"] == pytest.approx(2 * 0.0125)
    assert data["gkd", "ARC"] == pytest.approx(0.04)


def test_csv_has_the_numbers_as_they_were_computed(tmp_path: Path) -> None:
    files = write_exports(study(), "robust", "s", "csv", tmp_path)
    assert [file.name for file in files] == ["accuracy.csv", "gains.csv", "gains_by_task.csv", "training.csv"]
    accuracy = pd.read_csv(tmp_path / "accuracy.csv").set_index(["cell", "task"])
    assert accuracy.loc[("jsd", "sums"), "accuracy"] == 0.4512
    assert accuracy.loc[("jsd", "sums"), "gain"] == -0.0512
    assert accuracy.loc[("gkd", "pooled"), "p_holm"] == 0.00002
    assert accuracy.loc[("gkd", "average"), "low"] == pytest.approx(0.7 - np.sqrt(0.1**2 + 0.06**2) / 2, abs=1e-15)
    assert pd.isna(accuracy.loc[("sft", "sums"), "gain"])


def test_markdown_by_hand(tmp_path: Path) -> None:
    write_exports(study(), "robust", "R|D", "markdown", tmp_path)
    lines = (tmp_path / "gains.md").read_text(encoding="utf-8").split("\n")
    assert lines[:6] == [
        "### Gain over SFT in percentage points, over all items together",
        "",
        "| model | trained with | items | only student | only SFT | gain | p | Holm p |",
        "| --- | --- | ---: | ---: | ---: | ---: | ---: | ---: |",
        "| tiny | gkd | 100 | 30 | 10 | **+25.0**\\* [+15.0, +35.0] | &lt; .001 | &lt; .001 |",
        "| tiny | jsd | 100 | 30 | 10 | +5.1 [−1.0, +11.0] | .031 | .031 |",
    ]
    assert "Study: R\\|D." in lines[7]


def test_fidelity_between_control_and_ceiling() -> None:
    place = {"cell": "gkd", "teacher_cell": "big", "task": "sums", "items": 100, "floor": 0.05}
    limits = {"low": 0.6, "high": 0.75, "control": 0.5, "ceiling": 0.9}
    normalised = {"normalised": 0.4512, "normalised_low": -0.21, "normalised_high": 0.6}
    rows = [
        {**place, **limits, **normalised, "family": "answers", "measure": "agreement", "value": 0.6804},
        {**place, "family": "traces", "measure": "bleu", "value": 30.26, "control": 20.0, "floor": None},
        {**place, "family": "distributions", "measure": "forward_kl_teacher", "value": 0.0912, "control": 0.1},
        {**place, "family": "traces", "measure": "chrf", "value": 12.0, "control": 1.0},
        {**place, "cell": "sft", "family": "answers", "measure": "agreement", "value": 0.5},
    ]
    teacher = cell_row("big", "teacher", "adapt", teacher="big", teacher_condition="adapted")
    table = found(replace(study(big=teacher), fidelity=pd.DataFrame(rows)))["fidelity"]
    assert rows_of(table) == [
        ["tiny", "gkd", "agreement (%)", "68.0 [60.0, 75.0]", "5.0", "50.0", "90.0", "0.45 [−0.21, 0.60]"],
        ["tiny", "gkd", "BLEU", "30.3", "–", "20.0", "–", "–"],
        ["tiny", "gkd", "KL on the teacher's text, nats", "0.091", "0.050", "0.100", "–", "–"],
    ]
    assert len(table.data) == 5


def statistics_row(**given: object) -> dict[str, object]:
    row = {
        **{"protocol": "rigorous", "domain": "math", "hypothesis": "H1-student", "group": "tiny", "task": "Average"},
        **{"test": "t over items", "statistic": 3.0, "p_value": 0.002, "n": 1500, "estimate": 4.0512, "low": 1.2},
        **{"high": 7.0, "p_adjusted": 0.01, "note": "", "unit": "items", "per": "", "role": "confirmatory"},
        **{"detectable": 3.94, "margin": None, "sentence": "Distillation gained 4.1 points."},
    }
    return row | given


def test_statistics_in_their_roles() -> None:
    rows = [
        statistics_row(),
        statistics_row(role="exploratory", hypothesis="H3", group="all", estimate=-1.904, per="doubling of size"),
        statistics_row(role="exploratory", hypothesis="H4", p_value=None, sentence="Nobody can tell."),
        statistics_row(role="detail", hypothesis="H1 anew"),
        statistics_row(role="detail", domain="commonsense"),
    ]
    tests = {"protocol": "published", "hypothesis": "H1", "group": "all", "test": "ttest_1samp", "statistic": 1.784}
    tests |= {"p_value": 0.0594, "n": 8}
    more = replace(
        study(),
        statistics=pd.DataFrame(rows),
        tests=pd.DataFrame([tests | {"task": "sums"}, tests | {"task": "Average", "n": 9}]),
    )
    tables = found(more)
    assert tables["statistics"].title.endswith("; domain: math; task: Average")
    of = ["gain of this student", "tiny"]
    assert rows_of(tables["statistics"]) == [[*of, "1,500 items", "4.1 [1.2, 7.0]", ".002", ".01", "3.9"]]
    assert rows_of(tables["statistics_exploratory"]) == [
        [
            *("gain by the student's size per doubling of size", "all"),
            *("1,500 items", "−1.90 [1.20, 7.00]", ".002", ".01", "3.9"),
        ]
    ]
    assert rows_of(tables["statistics_detail"])[0][:3] == ["math", "H1 anew", "tiny"]
    assert rows_of(tables["statistics_detail"])[1][0] == "commonsense"
    assert len(tables["statistics_exploratory"].data) == 2
    assert [row[1] for row in rows_of(tables["conclusions"])] == [
        "Distillation gained 4.1 points.",
        "Distillation gained 4.1 points.",
        "Nobody can tell.",
    ]
    assert rows_of(tables["published_tests"]) == [["H1", "all", "Average", "ttest_1samp", "1.78", ".059", "9"]]


def test_what_training_took() -> None:
    cost = {"training_seconds": 1234.4, "peak_memory_bytes": 2_600_000_000}
    tables = study(gkd=cell_row("gkd", "student", "gkd", **TAUGHT) | cost)
    row = next(row for row in rows_of(found(tables)["training"]) if row[1] == "gkd")
    assert row == ["tiny", "gkd", "134.5 M", "2.4 M", "200", "181.2 k", "1,234", "2.6", "1.234"]


def test_ablations_stand_side_by_side() -> None:
    tables = found(designed_tables())
    assert rows_of(tables["ablation_temperature"]) == [["tiny", "forward_kl", "+5.0 [+2.0, +8.0]", "+3.1 [+0.1, +6.1]"]]
    assert [column.heading for column in tables["ablation_temperature"].columns[2:]] == ["T=1", "T=2"]
    assert rows_of(tables["ablation_teacher"]) == [["tiny", "seqkd", "+4.1 [+2.0, +6.2]", "−1.2 [−3.0, +0.6]"]]
    assert "ablation_noise" not in tables
    assert "seeds" not in tables


def test_noise_and_seeds() -> None:
    noisy = {"kd_temperature": 1.0, "teacher_noise_std": 0.5}
    tables = study(
        gkd=cell_row("gkd", "student", "gkd", **TAUGHT, kd_temperature=1.0, teacher_noise_std=0.0),
        jsd=cell_row("jsd", "student", "gkd", **TAUGHT, **noisy),
    )
    table = found(tables)["ablation_noise"]
    assert [column.heading for column in table.columns[2:]] == ["noise 0", "noise 0.5"]
    assert rows_of(table) == [["tiny", "gkd", "+25.0 [+15.0, +35.0]", "+5.1 [−1.0, +11.0]"]]
    repeated = study(jsd=cell_row("jsd", "student", "gkd", **TAUGHT, seed=1))
    accuracy = [*repeated.accuracy.to_dict("records"), accuracy_row("jsd", "average", 0.5)]
    table = found(replace(repeated, accuracy=pd.DataFrame(accuracy)))["seeds"]
    # 70 and 50: mean 60, standard deviation sqrt(2) 10; gains 25 and 5.12.
    assert rows_of(table) == [["tiny", "gkd", "2", "60.0", "14.1", "+15.1", "14.1", "+5.1", "+25.0"]]


def test_contamination_and_what_is_left_without_it() -> None:
    dirty = {"training_set": "train", "task": "sums", "items": 1500, "exact": 3, "near": 0, "some": 12, "examples": ""}
    clean = {"cell": "gkd", "task": "pooled", "scoring": "robust", "items_all": 100, "accuracy_all": None}
    clean |= {"gain_all": 0.25, "low_all": 0.15, "high_all": 0.35, "items_clean": 97, "accuracy_clean": 0.7}
    clean |= {"gain_clean": 0.2, "low_clean": None, "high_clean": None}
    tables = found(replace(study(), contamination=pd.DataFrame([dirty]), clean=pd.DataFrame([clean])))
    assert rows_of(tables["contamination"]) == [["train", "sums", "1,500", "3", "0", "12"]]
    assert rows_of(tables["clean"]) == [
        ["tiny", "gkd", "all items", "100", "–", "+25.0 [+15.0, +35.0]", "97", "70.0", "+20.0"]
    ]


def test_a_whole_study_in_latex(tmp_path: Path) -> None:
    files = write_exports(build_tables(), "robust", "a study", "latex", tmp_path)
    document = (tmp_path / "all_tables.tex").read_text(encoding="utf-8")
    labels = []
    for file in files[:-1]:
        assert rf"\input{{{file.name}}}" in document
        read = read_tabulars(file.read_text(encoding="utf-8"))
        assert all(len(part.rows) > 1 for part in read)
        labels += [part.label for part in read]
    assert len(labels) == len(set(labels))


def test_one_task_needs_no_pool() -> None:
    tables = study()
    one = replace(tables, gains=tables.gains[tables.gains["task"] == "sums"].assign(p_holm=0.001))
    assert [row[5] for row in rows_of(found(one)["gains"])] == ["**+20.0* [+10.0, +30.0]**", "−5.1† [−9.0, −1.0]"]


def test_nothing_to_write(tmp_path: Path) -> None:
    with pytest.raises(DataError, match="nothing has been measured"):
        write_exports(empty_tables(), "robust", "s", "latex", tmp_path)
    with pytest.raises(DataError, match="latex, markdown or csv, not 'word'"):
        write_exports(study(), "robust", "s", "word", tmp_path)  # type: ignore[arg-type]


@pytest.mark.parametrize("name", ["a|b\\|c", "<script>&\n| x |", "{_^}%\\\\[1em]"])
def test_names_of_a_study_go_through_every_file(name: str, tmp_path: Path) -> None:
    cells = {
        label: cell_row(label, "student", kind, student=name)
        for label, kind in (("sft", "sft"), ("gkd", name), ("jsd", "jsd"))
    }
    tables = study(**cells)
    for file in write_exports(tables, "robust", name, "markdown", tmp_path):
        read = read_table(file.read_text(encoding="utf-8"))
        assert {len(row) for row in read} == {len(read[0])}
        assert one_line(name) in {row[0] for row in read}
    for file in write_exports(tables, "robust", name, "latex", tmp_path)[:-1]:
        for part in read_tabulars(file.read_text(encoding="utf-8")):
            assert part.rows[1][0] == one_line(name)
            assert one_line(name) in part.caption
    for file in write_exports(tables, "robust", name, "csv", tmp_path):
        assert name in set(pd.read_csv(file).iloc[:, 0])
