"""Evaluating, comparing and scoring again, without a study; models are of the tiny family that comes with kdscope."""

from __future__ import annotations

import json
import shutil
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from safetensors.torch import load_file, save_file

from kdscope.api import compare_models, evaluate_model, rescore_answers
from kdscope.core.errors import DataError, KdscopeError, ModelError, StudyError
from kdscope.evaluation.records import read_records, write_records
from kdscope.study.embedded import embedded_model
from tests.stages.test_planning import in_shards

FAST: dict[str, Any] = {"max_new_tokens": 24, "batch_size": 8}
CPU: dict[str, Any] = {"device": "cpu", "dtype": "float32"}
OWN = """
name: capitals
answer: letter
labels: [A, B]
file: rows.jsonl
fields: {instruction: '{ask}', answer: '{key}'}
"""


@pytest.fixture(scope="module")
def evaluated(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Path]:
    """Two tiny models' answers to the first items of two mini tasks."""
    root = tmp_path_factory.mktemp("evaluated")
    tasks = ["mini-one-step", "MINI_choose"]
    for name in ("tiny-s", "tiny-l"):
        model = embedded_model(name)
        evaluate_model(model, tasks, limit=12, evaluation=FAST, runtime=CPU, store=root / "store", out=root / name)
    return {"store": root / "store", "s": root / "tiny-s", "l": root / "tiny-l"}


def again(evaluated: dict[str, Path], out: Path, tasks: list[str] | None = None, **changes: Any) -> Any:
    settings = {"limit": 12, "evaluation": FAST, "runtime": CPU, "store": evaluated["store"], "out": out} | changes
    return evaluate_model(embedded_model("tiny-s"), tasks or ["mini-one-step", "mini-choose"], **settings)


def test_records_and_tables_are_written(evaluated: dict[str, Path]) -> None:
    records = read_records(evaluated["l"] / "records.parquet")
    assert [record.item_id for record in records] == [
        f"{t}/{n}" for t in ("mini-one-step", "mini-choose") for n in range(12)
    ]
    assert "| mini-one-step |" in (evaluated["l"] / "table.md").read_text(encoding="utf-8")
    exported = [path.name.split("_20")[0] for path in (evaluated["l"] / "lm_eval").rglob("*.json*")]
    assert sorted(exported) == ["results", "samples_mini-choose", "samples_mini-one-step"]


def test_what_is_done_is_not_done_again(evaluated: dict[str, Path], tmp_path: Path) -> None:
    result = again(evaluated, tmp_path / "out")
    assert not result.run.executed
    assert read_records(tmp_path / "out" / "records.parquet") == read_records(evaluated["s"] / "records.parquet")
    more = again(evaluated, tmp_path / "out", evaluation=FAST | {"max_new_tokens": 23}, tasks=["mini-choose"])
    assert [stage.kind for stage in more.run.executed] == ["evaluate_model"]


def test_batches_change_no_answer_in_float32(evaluated: dict[str, Path], tmp_path: Path) -> None:
    for number, batch in enumerate(({"batch_size": 1}, {"batch_size": 12}, {"batch_tokens": 200})):
        result = again(evaluated, tmp_path / str(number), evaluation=FAST | batch)
        found = [record.completion for answered in result.records.values() for record in answered]
        assert found == [record.completion for record in read_records(evaluated["s"] / "records.parquet")]


def test_several_seeds_answer_every_item_several_times(evaluated: dict[str, Path], tmp_path: Path) -> None:
    sampled = FAST | {"sampling_temperature": 1.0, "decoding_seeds": (3, 4)}
    result = again(evaluated, tmp_path, ["mini-choose"], evaluation=sampled)
    records = result.records["mini-choose"]
    assert [record.decoding_seed for record in records] == [3] * 12 + [4] * 12
    assert [r.completion for r in records[:12]] != [r.completion for r in records[12:]]
    row = result.accuracy.set_index(["task", "scoring"]).loc["mini-choose", "robust"]
    assert row["items"] == 12
    assert row["accuracy"] == pytest.approx(sum(r.correct_robust for r in records) / 24)


def test_an_own_task_is_asked_and_scored(evaluated: dict[str, Path], tmp_path: Path) -> None:
    rows = [{"ask": f"Capital of country {n}? Answer choices: (A) Rome (B) Oslo", "key": "AB"[n % 2]} for n in range(3)]
    (tmp_path / "tasks").mkdir()
    (tmp_path / "tasks" / "rows.jsonl").write_text("\n".join(map(json.dumps, rows)))
    (tmp_path / "tasks" / "capitals.yaml").write_text(OWN)
    result = again(evaluated, tmp_path / "out", ["Capitals", "mini-choose"], tasks_dir=tmp_path / "tasks")
    assert [record.gold for record in result.records["capitals"]] == ["A", "B", "A"]
    assert "Capital of country 2?" in result.records["capitals"][2].prompt
    assert set(result.accuracy.loc[result.accuracy["task"] == "capitals", "chance"]) == {0.5}
    read = rescore_answers(tmp_path / "out", tasks_dir=tmp_path / "tasks")
    assert [change.robust_value for change in read.changes] == [0, 0]


def test_free_text_is_scored_by_its_references(evaluated: dict[str, Path], tmp_path: Path) -> None:
    rows = [{"instruction": f"Say {n}.", "input": "", "output": [str(n), f"It is {n}."]} for n in range(3)]
    (tmp_path / "vicuna").mkdir()
    (tmp_path / "vicuna" / "valid.jsonl").write_text("\n".join(map(json.dumps, rows)))
    result = again(evaluated, tmp_path / "out", ["vicuna"], data_dir=tmp_path)
    assert all(record.rouge_l is not None and 0 <= record.rouge_l <= 1 for record in result.records["vicuna"])
    assert set(result.accuracy["metric"]) == {"rouge_l"}


@pytest.mark.parametrize(
    ("changes", "error", "message"),
    [
        ({"tasks": ["gsm9k"]}, DataError, "unknown task 'gsm9k'; did you mean gsm8k"),
        ({"tasks": ["gsm8k"]}, DataError, "gsm8k: no data folder"),
        ({"evaluation": {"batch_size": 0}}, StudyError, "batch_size: expected at least 1, given the number 0"),
        ({"evaluation": {"batch": 3}}, StudyError, "batch: unknown key"),
        ({"template": "alpacca"}, DataError, "unknown prompt template 'alpacca'"),
        ({"template": "chat"}, None, "has no chat template"),
    ],
)
def test_what_cannot_be_is_said(
    evaluated: dict[str, Path], tmp_path: Path, changes: dict[str, Any], error: type[KdscopeError] | None, message: str
) -> None:
    if error is None:
        result = again(evaluated, tmp_path, **changes)
        assert message in next(iter(result.run.messages.values()))
        assert not result.records
        return
    with pytest.raises(error, match=message):
        again(evaluated, tmp_path, **changes)


def test_a_model_that_is_none(tmp_path: Path) -> None:
    with pytest.raises(ModelError, match=r"no folder \./nothing"):
        evaluate_model("./nothing", ["mini-choose"], store=tmp_path)
    (tmp_path / "adapter").mkdir()
    (tmp_path / "adapter" / "adapter_config.json").write_text("{}")
    with pytest.raises(ModelError, match="does not name the model it was trained on"):
        evaluate_model(tmp_path / "adapter", ["mini-choose"], store=tmp_path)


@pytest.mark.filterwarnings("ignore:.*is_gradient_checkpointing:FutureWarning")
def test_an_adapter_is_put_on_its_base(evaluated: dict[str, Path], tmp_path: Path) -> None:
    import torch
    from peft import LoraConfig, get_peft_model
    from transformers import AutoModelForCausalLM

    base = embedded_model("tiny-s")
    torch.manual_seed(0)
    adapted = get_peft_model(
        AutoModelForCausalLM.from_pretrained(base),
        LoraConfig(r=2, target_modules="all-linear", init_lora_weights=False),
    )
    adapted.save_pretrained(tmp_path / "adapter")
    shutil.copy(base / "config.json", tmp_path / "adapter")  # as some programs do
    settings: dict[str, Any] = {"limit": 4, "evaluation": FAST, "runtime": CPU, "store": evaluated["store"]}
    by_itself = evaluate_model(tmp_path / "adapter", ["mini-choose"], out=tmp_path / "a", **settings)
    on_base = evaluate_model(base, ["mini-choose"], adapter=tmp_path / "adapter", out=tmp_path / "b", **settings)
    plain = evaluate_model(base, ["mini-choose"], out=tmp_path / "c", **settings)
    assert by_itself.model == on_base.model == "adapter"
    assert by_itself.records == on_base.records
    assert not on_base.run.executed, "the same model under another way to name it"
    assert [r.completion for r in plain.records["mini-choose"]] != [
        r.completion for r in on_base.records["mini-choose"]
    ]


def test_other_weights_in_a_subfolder_are_another_model(evaluated: dict[str, Path], tmp_path: Path) -> None:
    names = ["deep/one.safetensors", "two.safetensors"]
    folder = in_shards(embedded_model("tiny-s"), tmp_path / "sharded", names)
    settings: dict[str, Any] = {"limit": 4, "evaluation": FAST, "runtime": CPU, "store": evaluated["store"]}
    first = evaluate_model(folder, ["mini-choose"], out=tmp_path / "a", **settings)
    whole = evaluate_model(embedded_model("tiny-s"), ["mini-choose"], out=tmp_path / "b", **settings)
    assert first.records == whole.records
    weights = {key: weight * 0.5 for key, weight in load_file(folder / names[0]).items()}
    save_file(weights, folder / names[0], metadata={"format": "pt"})
    second = evaluate_model(folder, ["mini-choose"], out=tmp_path / "a", **settings)
    assert second.run.executed
    assert second.records != first.records


def test_two_models_are_compared_item_by_item(evaluated: dict[str, Path]) -> None:
    found = compare_models(evaluated["l"], evaluated["s"], teacher=evaluated["l"])
    by_task = found.differences.set_index("task")
    records = {name: read_records(evaluated[name] / "records.parquet") for name in "sl"}
    for task in ("mini-one-step", "mini-choose"):
        right = {n: sum(r.correct_robust for r in rows if r.task == task) for n, rows in records.items()}
        assert by_task.loc[task, "difference"] == pytest.approx((right["l"] - right["s"]) / 12)
    assert found.fidelity is not None
    agreement = found.fidelity[found.fidelity["measure"] == "agreement_both_parsed"].set_index("task")
    assert agreement.loc["pooled", "a"] == 1.0


def test_the_folder_of_a_study_keeps_its_run_file(evaluated: dict[str, Path], tmp_path: Path) -> None:
    (tmp_path / "s").mkdir()
    (tmp_path / "s" / "run.json").write_text('{"store": "/store", "models": {}}')
    again(evaluated, tmp_path / "s")
    assert (tmp_path / "s" / "run.json").read_text() == '{"store": "/store", "models": {}}'
    assert not compare_models(evaluated["s"], tmp_path / "s").differences["difference"].any()


def test_damaged_records_are_not_compared_and_are_written_again(evaluated: dict[str, Path], tmp_path: Path) -> None:
    again(evaluated, tmp_path / "s")
    file = tmp_path / "s" / "records.parquet"
    whole = file.read_bytes()
    file.write_bytes(whole[:100] + bytes([whole[100] ^ 1]) + whole[101:])
    with pytest.raises(DataError, match=r"s/records\.parquet: was changed .*`kdscope evaluate` writes it again"):
        compare_models(evaluated["s"], tmp_path / "s")
    again(evaluated, tmp_path / "s")
    assert file.read_bytes() == whole
    assert not compare_models(evaluated["s"], tmp_path / "s").differences["difference"].any()


def test_models_that_answered_other_items_are_not_compared(evaluated: dict[str, Path], tmp_path: Path) -> None:
    records = read_records(evaluated["s"] / "records.parquet")
    write_records([replace(record, item_hash="another") for record in records], tmp_path / "records.parquet")
    with pytest.raises(DataError, match="did not answer the same items of mini-one-step"):
        compare_models(evaluated["s"], tmp_path)


def test_completions_from_elsewhere_are_scored(tmp_path: Path) -> None:
    rows = [{"output": "The answer is 4.", "label": "4"}, {"output": "The answer is 5.", "label": "4"}]
    (tmp_path / "gsm8k.jsonl").write_text("\n".join(map(json.dumps, rows)))
    found = rescore_answers(tmp_path / "gsm8k.jsonl")
    assert [record.correct_robust for record in found.records] == [True, False]
    assert found.notes[0] == "2 rows do not say why their completion ended: taken as finish_reason 'stop'"
