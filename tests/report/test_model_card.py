"""The card says what the tables say, in metadata that the hub's own client reads, whatever anything is called."""

from __future__ import annotations

import ast
from dataclasses import replace
from typing import Any

import pandas as pd
import pytest
import yaml
from huggingface_hub import ModelCard
from markdown_it import MarkdownIt

from kdscope.core.errors import DataError
from kdscope.report import ReportTables
from kdscope.report.card_results import card_results
from kdscope.report.model_card import CardFacts, CardModel, loading_code, model_card
from kdscope.results.tables import TABLE_NAMES
from tests.report.builders import BELOW_CHANCE, FAILED, TEACHER, build_facts, build_tables, cell_row, empty_tables
from tests.report.statistics_builders import about_setting, interval
from tests.report.statistics_builders import result as result_row

CELL, CONTROL = "small/seqkd/teacher/s0", "small/sft/s0"
COMMIT = "0123456789abcdef0123456789abcdef01234567"
PARSER = MarkdownIt("commonmark").enable("table")


@pytest.fixture(scope="module")
def tables() -> ReportTables:
    return build_tables()


def facts(**given: Any) -> CardFacts:
    values: dict[str, Any] = {
        "folder": "student",
        "cell": CELL,
        "base": CardModel("small", hub="org/small", revision=COMMIT, licence="apache-2.0"),
        "teacher": CardModel("big", path=".../models/big"),
        "adapter": True,
        "base_inside": "",
        "parameters": {
            "model": {"hub": "org/small", "revision": COMMIT},
            "method": {"divergence": "none", "beta": 0.5, "prompt_in_loss": False},
            "training": {"epochs": 3, "learning_rate": 3e-4},
            "seed": 0,
        },
        "software": "x86_64 cpu, torch 2.13.0",
        "prompt": "Say 1.\n",
    }
    return CardFacts(**(values | given))


def card(tables: ReportTables, **given: Any) -> ModelCard:
    """The card as the hub's client reads it."""
    return ModelCard(model_card(tables, build_facts(), facts(**given)))


def rows_of(text: str) -> list[list[str]]:
    """The cells of every table row, as a Markdown parser shows them."""
    rows: list[list[str]] = []
    for token in PARSER.parse(text):
        if token.type == "tr_open":
            rows.append([])
        if token.type == "inline" and token.level >= 3 and rows:
            rows[-1].append("".join(child.content for child in token.children or []))
    return rows


def test_the_metadata_is_what_the_hub_reads(tables: ReportTables) -> None:
    data = card(tables).data
    assert data.base_model == "org/small"
    assert data.library_name == "peft"
    assert data.license == "apache-2.0"
    assert {"kdscope", "distillation", "seqkd"} <= set(data.tags)
    assert yaml.safe_load(data.to_yaml()) == yaml.safe_load(model_card(tables, build_facts(), facts()).split("---")[1])
    accuracy = tables.accuracy.query(f"cell == '{CELL}' and scoring == 'robust' and task != 'average'")
    assert [result.dataset_name for result in data.eval_results] == accuracy["task"].tolist()
    for result, row in zip(data.eval_results, accuracy.to_dict("records"), strict=True):
        assert result.metric_type == "accuracy"
        assert result.metric_value == pytest.approx(row["accuracy"], abs=1e-6)
        assert result.metric_args == {
            "items": row["items"],
            "ci95_low": pytest.approx(row["low"], abs=1e-6),
            "ci95_high": pytest.approx(row["high"], abs=1e-6),
        }


def test_numbers_stand_beside_what_they_are_compared_with(tables: ReportTables) -> None:
    rows = {row[0]: row for row in rows_of(card(tables).text) if row}
    robust = tables.accuracy[tables.accuracy["scoring"] == "robust"].set_index(["cell", "task"])["accuracy"]
    shown = rows["gsm8k"]
    for column, cell in ((2, CELL), (5, CONTROL), (6, TEACHER), (7, "small/base")):
        assert shown[column].split(" ")[0] == f"{100 * robust[cell, 'gsm8k']:.1f}"
    gain = tables.gains.query(f"cell == '{CELL}' and task == 'pooled' and scoring == 'robust'").iloc[0]
    together = rows["all items together"]
    low, high = (f"{100 * gain[name]:+.1f}" for name in ("low", "high"))
    assert together[3] == f"{100 * gain['gain']:+.1f} [{low}, {high}]".replace("-", "−")
    assert together[4] == ("< .001" if gain["p_holm"] < 0.001 else f"{gain['p_holm']:.2g}".removeprefix("0"))


def test_an_average_of_one_task_is_that_task(tables: ReportTables) -> None:
    accuracy = tables.accuracy.copy()
    other = accuracy["task"].isin(["SVAMP", "ARC-Easy"])
    accuracy.loc[other, "metric"] = "rouge_l"
    (first, *_) = card_results(replace(tables, accuracy=accuracy), build_facts(), CELL).headline
    assert first.endswith("%, on gsm8k.")
    (first, *_) = card_results(tables, build_facts(), CELL).headline
    assert first.endswith("%, averaged over 3 tasks.")


def test_p_values_are_called_adjusted_where_they_are(tables: ReportTables) -> None:
    """Those of single tasks are not."""
    single = tables.gains["task"] != "pooled"
    assert tables.gains.loc[single, "p_holm"].isna().all()
    said = " The p of all items together is adjusted for all comparisons of the study; other rows have none.\n\n|"
    assert said in card(tables).text
    adjusted = tables.gains.assign(p_holm=tables.gains["p_holm"].fillna(0.5))
    assert " Its p is adjusted for all comparisons of the study.\n\n|" in card(replace(tables, gains=adjusted)).text
    without = replace(tables, gains=tables.gains.assign(p_holm=float("nan")))
    assert "adjusted for" not in card(without).text
    assert "adjusted p –" not in card(without).text
    assert "adjusted p = –" not in card(without).text


def test_fidelity_with_control_ceiling_and_normalised(tables: ReportTables) -> None:
    fidelity = tables.fidelity.copy()
    ours = (fidelity["cell"] == CELL) & (fidelity["measure"] == "agreement") & (fidelity["task"] == "pooled")
    given = {"value": 0.5, "low": 0.45, "high": 0.55, "floor": 0.1, "control": 0.4, "ceiling": 0.9}
    given |= {"normalised": 0.2, "normalised_low": 0.1, "normalised_high": 0.3}
    given |= {"over_control": 0.1, "over_control_low": 0.06, "over_control_high": 0.14}
    fidelity.loc[ours, list(given)] = list(given.values())
    rows = {row[0]: row for row in rows_of(card(replace(tables, fidelity=fidelity)).text) if row}
    told = ["50.0 [45.0, 55.0]", "10.0", "40.0", "10.0 [6.0, 14.0]", "90.0", "0.20 [0.10, 0.30]"]
    assert rows["same answer as the teacher"][1:] == told
    sentences = " ".join(card_results(replace(tables, fidelity=fidelity), build_facts(), CELL).headline)
    assert "50.0" not in sentences, "raw agreement is in the table alone"


def about_cell(tables: ReportTables, **given: object) -> ReportTables:
    """The tables with statistics about the setting of `CELL`."""
    about = {"student": "small", "method": "seqkd", "teacher": "big", "temperature": 1.0} | given
    return replace(tables, statistics=pd.DataFrame(about_setting(5.0, 0.01, fidelity=2.5, **about)))


def test_the_setting_is_told_with_its_fidelity_against_the_control(tables: ReportTables) -> None:
    headline = card_results(about_cell(tables), build_facts(), CELL).headline
    assert headline[-2] == (
        "Over 5 training runs this setting differs from SFT by +5.0 [+0.5, +9.5] points (simultaneous 95% interval), "
        "adjusted p .01, statistically significant."
    )
    assert headline[-1] == (
        "Fidelity (agreement with the teacher beyond accuracy) minus the control's: +2.5 [+1.0, +4.0] points; "
        "inherited errors +1.0 [−0.5, +2.5] points."
    )
    assert "+2.5 \\[+1.0, +4.0\\] points" in card(about_cell(tables)).text


def test_one_run_is_told_as_two_checkpoints_and_no_run_variance_as_no_claim(tables: ReportTables) -> None:
    [*_, told, _] = card_results(about_cell(tables, scope="checkpoints"), build_facts(), CELL).headline
    assert told.startswith("This checkpoint differs from its SFT control's by +5.0")
    known = about_cell(tables)
    unknown = replace(known, statistics=known.statistics.assign(p_value=float("nan"), p_adjusted=float("nan")))
    [*_, told, _] = card_results(unknown, build_facts(), CELL).headline
    assert told.startswith("Nothing is claimed of this setting")


def test_without_a_control_a_level_has_its_note(tables: ReportTables) -> None:
    about = {"student": "small", "method": "seqkd", "teacher": "big", "temperature": 1.0}
    level = pd.DataFrame([result_row("fidelity_level", **interval(7.0, 1.0), **about)])
    told = card_results(replace(tables, statistics=level), build_facts(), CELL).headline[-1]
    assert told.startswith("Agreement with the teacher beyond accuracy: 7.0 [5.5, 8.5] points.")
    assert "shared difficulty" in told


def test_who_was_left_in_the_warm_start_is_called_not_distilled(tables: ReportTables) -> None:
    cells = tables.cells.assign(
        distilled=(tables.cells["cell"] != CELL).where(tables.cells["role"] == "student").astype("boolean"),
        kept_step=35,
    )
    found = card_results(about_cell(replace(tables, cells=cells)), build_facts(), CELL)
    assert found.headline[0].startswith("Not distilled (kept step 35 lies in its warm start)")
    assert " p " not in " ".join(found.headline)
    assert all(row[3] == "–" for row in found.compared)
    assert found.fidelity == ()


def test_the_card_tells_checkpoint_and_tuning(tables: ReportTables) -> None:
    tuned = {"keep": "last", "tuning_runs": 3, "rates_tried": "0.001, 0.002", "learning_rate": 0.001}
    text = card(replace(tables, cells=tables.cells.assign(**tuned))).text
    assert "**Checkpoint and tuning**: Last checkpoint of every run. Learning rate chosen per method from 0.001" in text
    assert "Checkpoint and tuning" not in card(tables).text


def test_a_local_base_is_no_hub_repository(tables: ReportTables) -> None:
    for path in ("/models/small", "models/small", "org/small"):
        found = card(tables, base=CardModel("small", path=path), base_place="/models/small")
        assert found.data.get("base_model") is None
        assert 'base = "/models/small"' in found.text
    odd = card(tables, base=CardModel("small", hub="../up"), base_place="/models/small")
    assert odd.data.get("base_model") is None


@pytest.mark.parametrize("licence", [None, "my own\nlicense: mit", "MIT !"])
def test_a_licence_is_told_only_where_it_is_one(tables: ReportTables, licence: str | None) -> None:
    found = card(tables, base=CardModel("small", hub="org/small", revision=COMMIT, licence=licence))
    assert found.data.get("license") is None
    assert "Licence: " in found.text


def test_nothing_is_claimed_of_what_was_not_evaluated() -> None:
    cells = pd.DataFrame([cell_row(CELL, "student", "seqkd", student="small", teacher="big")])
    found = card(empty_tables(cells=cells))
    assert found.data.get("model-index") is None
    assert found.data.eval_results is None
    assert "Not evaluated." in found.text
    assert "It was not evaluated" in found.text
    assert "| gsm8k" not in found.text


def test_a_control_and_a_teacher_have_cards_of_their_own(tables: ReportTables) -> None:
    control = card(tables, cell=CONTROL, teacher=None)
    assert "distillation" not in control.data.tags
    assert "without a teacher: the control" in control.text
    assert "Like its teacher?" not in control.text
    teacher = card(tables, cell=TEACHER, teacher=None)
    assert "to be a teacher" in teacher.text
    assert "No fine-tuned control" not in teacher.text + control.text


def test_a_student_without_a_control_says_that_no_gain_is_known(tables: ReportTables) -> None:
    alone = replace(tables, gains=tables.gains.iloc[:0])
    assert "No fine-tuned control was evaluated beside it" in card(alone).text


def test_warnings_are_those_of_this_model(tables: ReportTables) -> None:
    page = build_facts()
    own, other = (card_results(tables, page, cell).warnings for cell in (CELL, "tiny/jsd/teacher/s0"))
    assert "AddSub shares items with the training set." in own
    assert any(BELOW_CHANCE in sentence for sentence in other)
    assert not any(BELOW_CHANCE in sentence or FAILED in sentence for sentence in own)
    held = pd.DataFrame(
        [{"training_set": "the training data", "task": "gsm8k", "items": 400, "exact": 3, "near": 1, "some": 9}]
    ).assign(examples="")
    contaminated = card(replace(tables, contamination=held)).text
    assert "4 of 400 items of gsm8k are in the training data (3 word for word, 1 nearly" in contaminated


def test_what_the_study_could_not_see_is_told(tables: ReportTables) -> None:
    row = {"protocol": "rigorous", "hypothesis": "H1-student", "group": "small", "test": "t", "role": "confirmatory"}
    seen = [row | {"sentence": "could not have seen less than 3.9."}, row | {"group": "tiny", "sentence": "of tiny"}]
    text = card(replace(tables, statistics=pd.DataFrame(seen).reindex(columns=_statistics_columns()))).text
    assert "could not have seen less than 3.9." in text
    assert "of tiny" not in text


def _statistics_columns() -> list[str]:
    from kdscope.results.schema import SCHEMAS

    return [column.name for column in SCHEMAS["statistics"].columns]


def test_settings_of_other_methods_are_left_out(tables: ReportTables) -> None:
    shown = {row[0]: row[1] for row in rows_of(card(tables).text) if len(row) == 2}
    assert shown["training.learning_rate"] == "0.0003"
    assert shown["method.prompt_in_loss"] == "false"
    assert "method.beta" not in shown
    assert "model.hub" not in shown


def test_a_learning_rate_that_another_replaced_is_left_out(tables: ReportTables) -> None:
    tuning: dict[str, Any] = {"kind": "lora", "learning_rate": 1e-3}
    given = {"training": {"epochs": 3, "learning_rate": 3e-4}, "tuning": tuning, "seed": 0}
    shown = {row[0]: row[1] for row in rows_of(card(tables, parameters=given).text) if len(row) == 2}
    assert shown["tuning.learning_rate"] == "0.001"
    assert shown["training.epochs"] == "3"
    assert "training.learning_rate" not in shown
    tuning["learning_rate"] = None
    shown = {row[0]: row[1] for row in rows_of(card(tables, parameters=given).text) if len(row) == 2}
    assert shown["training.learning_rate"] == "0.0003"


def test_memory_is_told_in_a_unit_that_people_read(tables: ReportTables) -> None:
    cells = tables.cells.assign(peak_memory_bytes=1_503_238_554)
    assert ("peak memory", "1.4 GiB") in card_results(replace(tables, cells=cells), build_facts(), CELL).training


NASTY = [
    "---\nlicense: mit\n---",
    "a\n\n# Heading\n<script>alert(1)</script>",
    "\"quoted\" 'twice' `ticks` ``` | pipe",
    "- *list*\n1. [link](https://example.org) ![x](y)",
    "a: b\nbase_model: org/stolen",
]


@pytest.mark.parametrize("name", NASTY)
def test_no_name_becomes_markup_or_metadata(tables: ReportTables, name: str) -> None:
    cell = f"{name}/seqkd"
    renamed = _renamed(tables, {CELL: cell, "gsm8k": f"task {name}"})
    page = build_facts(
        name=name, study_yaml=f"name: x\ndescription: |\n  ```\n  </details>\n  # {name}", warnings=[name]
    )
    own = facts(
        cell=cell,
        folder=name,
        base=CardModel(name, hub=name, licence=name),
        teacher=CardModel(name, path=name),
        software=name,
        prompt=name,
        parameters={"method": {name: name}},
    )
    text = model_card(renamed, page, own)
    found = ModelCard(text)
    assert found.data.get("license") is None
    assert found.data.get("base_model") is None
    assert found.data.model_name == f"{' '.join(name.split())} distilled from {' '.join(name.split())} by seqkd"
    tokens = PARSER.parse(found.text)
    headings = [tokens[i + 1].content for i, token in enumerate(tokens) if token.type == "heading_open"]
    plain_headings = ["Load it", "Accuracy", "Like its teacher?", "How it was made", "Before you use it", "The study"]
    assert headings[1:] == plain_headings
    html = [line for token in tokens if token.type == "html_block" for line in token.content.splitlines()]
    assert {line.strip() for line in html} <= {
        "<details><summary>Every setting</summary>",
        "<details><summary>Its YAML</summary>",
        "</details>",
    }
    inline = [child for token in tokens for child in token.children or []]
    assert {child.type for child in inline} <= {
        *("text", "text_special", "code_inline", "softbreak", "strong_open", "strong_close")
    }
    assert [token.info for token in tokens if token.type == "fence"] == ["python", "yaml"]
    ast.parse(next(token.content for token in tokens if token.info == "python"))


def _renamed(tables: ReportTables, names: dict[str, str]) -> ReportTables:
    frames = {name: getattr(tables, name) for name in TABLE_NAMES}
    return ReportTables(**{name: frame.replace(names) for name, frame in frames.items()})


def test_the_code_is_python_for_every_kind_of_folder() -> None:
    kinds = [
        facts(),
        facts(adapter=False),
        facts(base_inside="base"),
        facts(chat=True, own_code=True),
        facts(base=CardModel("small"), base_place='/odd "place"\n'),
    ]
    for kind in kinds:
        ast.parse(loading_code(kind))
    assert f'revision="{COMMIT}"' in loading_code(kinds[0])
    assert "peft" not in loading_code(kinds[1])
    assert 'base = "student/base"' in loading_code(kinds[2])
    assert loading_code(kinds[3]).count("trust_remote_code=True") == 2
    stops = [", eos_token_id=tokenizer.eos_token_id)" in loading_code(kind) for kind in kinds]
    assert stops == [kind.chat for kind in kinds]


def test_an_unknown_cell_is_an_error(tables: ReportTables) -> None:
    with pytest.raises(DataError, match="no model 'nobody'"):
        model_card(tables, build_facts(), facts(cell="nobody"))


def chosen(tables: ReportTables, **told: Any) -> str:
    cells = tables.cells.copy()
    for name, value in ({"keep": "last", "kept_step": 200, "learning_rate": 0.001, "tuning_runs": 0} | told).items():
        cells[name] = value
    return str(card(replace(tables, cells=cells)).text)


def test_the_card_says_which_step_was_kept_and_that_a_single_rate_was_not_tuned(tables: ReportTables) -> None:
    text = chosen(tables)
    assert "Last checkpoint of every run. Learning rate not tuned (0.001 for every method)." in text
    rows = {row[0]: row[1] for row in rows_of(text) if len(row) == 2}
    assert (rows["step whose weights are kept"], rows["peak learning rate"]) == ("200", "0.001")
    assert "learning rates tried" not in rows


def test_the_card_tells_the_budget_of_a_sweep(tables: ReportTables) -> None:
    text = chosen(tables, tuning_runs=2, rates_tried="0.001, 0.002", validation_accuracy=0.625)
    assert "Learning rate chosen per method from 0.001, 0.002 on validation accuracy, 2 runs each" in text
    assert "not tuned" not in text
    rows = {row[0]: row[1] for row in rows_of(text) if len(row) == 2}
    assert rows["runs spent on choosing the learning rate"] == "2"
    assert rows["learning rates tried"] == "0.001, 0.002"
    assert rows["score on greedy answers to the validation split"] == "0.625"


def test_the_card_of_an_older_run_says_nothing_of_what_was_kept(tables: ReportTables) -> None:
    assert "Checkpoint and tuning" not in card(tables).text
