"""A whole small study through the command line: real training, real evaluation, real tables."""

from __future__ import annotations

import json
import random
import re
import shutil
import time
from pathlib import Path
from typing import Any

import pandas as pd
import pytest
from safetensors.torch import load_file, save_file

from kdscope.evaluation.records import read_records, read_run_records
from tests.end_to_end.conftest import World

Events = list[dict[str, Any]]


def labels(events: Events, name: str) -> list[str]:
    return [event["label"] for event in events if event["event"] == name]


def test_a_study_leaves_tables_that_agree_with_its_records(finished: World) -> None:
    tables = {
        name: pd.read_csv(finished.folder / f"runs/small/tables/{name}.csv") for name in ("cells", "accuracy", "gains")
    }
    assert set(tables["cells"]["method"]) == {"adapt", "sft", "seqkd", "forward_kl", "gkd"}
    assert (tables["cells"]["state"] == "done").all()
    files = sorted((finished.folder / ".kdscope/stages/evaluate_model").glob("*/records.parquet"))
    assert len(files) == 14  # a teacher, the same sampled, and five students, two tasks each
    assert sum(len(read_records(file)) for file in files) == 14 * 6
    one = tables["accuracy"].query("cell == 'cut/sft/s0' and task == 'AddSub' and scoring == 'robust'").iloc[0]
    manifests = [json.loads((f.parent / "manifest.json").read_text()) for f in files]
    record_file = files[[m["label"] for m in manifests].index("AddSub: cut/sft/s0")]
    assert one["correct"] == sum(record.correct_robust for record in read_records(record_file))
    assert set(tables["gains"]["control"]) == {"cut/sft/s0"}
    assert (tables["gains"]["gain"].abs() <= 1).all()


def test_the_page_stands_alone(finished: World) -> None:
    page = (finished.folder / "runs/small/report.html").read_text()
    assert not re.search(r"""(src|href)=["']https?://[^"']+\.(js|css)""", page)
    for word in ("forward_kl", "kd_temperature", "torch", "AddSub"):
        assert word in page


def test_the_folder_holds_what_it_takes_to_ask_again(finished: World) -> None:
    folder = finished.folder / "runs/small"
    told = json.loads((folder / "run.json").read_text())
    for cell, place in told["models"].items():
        assert (Path(told["store"]) / place / "model/config.json").exists() or (
            Path(told["store"]) / place / "model/adapter_config.json"
        ).exists(), cell
    records = read_run_records(folder / "records", ["cell", "task"])
    assert len(records) == 12 * 6
    done = finished.call("analyze", "runs/small", "--out", "again")
    assert done.returncode == 0, done.stderr
    again, before = (
        pd.read_csv(finished.folder / f"{place}/statistics.csv") for place in ("again", "runs/small/tables")
    )
    pd.testing.assert_frame_equal(again[before.columns], before)
    assert set(before["role"]) >= {"confirmatory"}


def test_a_run_ends_in_a_table_and_answers(finished: World) -> None:
    done = finished.call("run", "study.yaml")
    assert re.search(r"^cut +sft +\d", done.stdout, re.MULTILINE)
    quiet = finished.call("run", "study.yaml", "--quiet")
    assert "accuracy %" not in quiet.stdout
    assert "report: runs/small/report.html" in quiet.stdout
    told = finished.run()[-1]
    assert {row["model"] for row in told["models"]} == {"big", "cut"}
    assert told["answers"]
    for answer in told["answers"]:
        assert f"- {answer}\n" in done.stdout
        assert f"- {answer}\n" in quiet.stdout


def test_the_second_run_executes_nothing(finished: World) -> None:
    began = time.monotonic()
    result = finished.run()[-1]
    assert (result["executed"], result["failed"]) == (0, 0)
    assert result["reused"] == 40
    assert time.monotonic() - began < 5


def test_changing_one_temperature_reruns_what_depends_on_it(finished: World) -> None:
    methods = ["sft", "seqkd", {"name": "forward_kl", "kd_temperature": [1.0, 3.0]}, "gkd"]
    finished.rewrite(methods=methods)
    assert labels(finished.run(), "finished") == [
        "train cut/forward_kl-T3/big/s0",
        "AddSub: cut/forward_kl-T3/big/s0",
        "SVAMP: cut/forward_kl-T3/big/s0",
        "cut/forward_kl-T3/big/s0 reads with teacher/big",
        "cut/forward_kl-T3/big/s0 ~ teacher/big",
        "analysis",
        "report",
    ]


def test_how_often_checkpoints_are_written_reruns_nothing(finished: World) -> None:
    study = finished.folder / "study.yaml"
    study.write_text(study.read_text().replace("checkpoint_every_steps: 2", "checkpoint_every_steps: 1"))
    assert finished.run()[-1]["executed"] == 0


def test_moving_the_model_reruns_nothing(finished: World) -> None:
    (finished.folder / "teacher").rename(finished.folder / "moved")
    study = finished.folder / "study.yaml"
    study.write_text(study.read_text().replace(str(finished.folder / "teacher"), str(finished.folder / "moved")))
    assert finished.run()[-1]["executed"] == 0


def test_a_run_killed_again_and_again_ends_in_the_same_tables(world: World, expected_tables: dict[str, bytes]) -> None:
    rng = random.Random(3)
    struck = [_start_and_kill(world, rng.uniform(0, 4)) for _ in range(3)]
    assert any(struck), "no kill struck a running study"
    assert world.run()[-1]["failed"] == 0
    assert world.tables() == expected_tables


@pytest.mark.slow
@pytest.mark.parametrize("instant", range(10))
def test_a_run_killed_at_any_instant_ends_in_the_same_tables(
    world: World, expected_tables: dict[str, bytes], instant: int
) -> None:
    assert _start_and_kill(world, random.Random(instant).uniform(0, 13)), "the kill came too late"
    result = world.run()[-1]
    assert result["failed"] == 0
    print(f"killed after {40 - result['executed']} of 40 stages")
    assert world.tables() == expected_tables


def _start_and_kill(world: World, seconds: float) -> bool:
    """Kill a run this long after its first sign of work; whether it was still running then.

    Importing torch takes seconds in which nothing happens: a clock started with the process would mostly strike there.
    """
    process = world.start("run", "study.yaml", "--quiet")
    before, until = _count_files(world.folder / ".kdscope"), time.monotonic() + 60
    while _count_files(world.folder / ".kdscope") == before and process.poll() is None and time.monotonic() < until:
        time.sleep(0.05)
    time.sleep(seconds)
    running = process.poll() is None
    process.kill()
    process.communicate()
    return running


def _count_files(folder: Path) -> int:
    return sum(1 for _ in folder.rglob("*"))


def test_two_processes_share_the_work(world: World, expected_tables: dict[str, bytes]) -> None:
    processes = [world.start("run", "study.yaml", "--json") for _ in range(2)]
    outputs = [process.communicate(timeout=300) for process in processes]
    assert [process.returncode for process in processes] == [0, 0], outputs
    done = [labels([json.loads(line) for line in out.splitlines()], "finished") for out, _ in outputs]
    assert sorted(done[0] + done[1]) == sorted(set(done[0]) | set(done[1])), "a stage was done twice"
    assert len(done[0]) + len(done[1]) == 40
    assert world.tables() == expected_tables


def test_a_cell_that_diverges_does_not_stop_the_study(world: World) -> None:
    teacher = str(world.folder / "teacher")
    shutil.copytree(teacher, world.folder / "wild")
    weights = load_file(world.folder / "wild/model.safetensors")
    weights["model.norm.weight"] *= 1e25  # logits that are numbers, and gradients that are not
    save_file(weights, world.folder / "wild/model.safetensors", {"format": "pt"})
    broken = {"name": "wild", "path": str(world.folder / "wild"), "tuning": "full"}
    sound = {"name": "cut", "path": teacher, "keep_layers": 2, "tuning": "full"}
    world.rewrite(students=[broken, sound], methods=["sft", "forward_kl"])
    done = world.call("run", "study.yaml")
    assert done.returncode == 1
    assert "Traceback" not in done.stderr + done.stdout
    assert re.search(r"failed: train wild/sft/s0: step \d+: the (loss|gradient norm) is (nan|inf)", done.stdout)
    cells = pd.read_csv(world.folder / "runs/small/tables/cells.csv").set_index("cell")
    assert dict(cells["state"]) == {
        "teacher/big": "done",
        "wild/sft/s0": "failed",
        "wild/forward_kl-T1/big/s0": "failed",
        "cut/sft/s0": "done",
        "cut/forward_kl-T1/big/s0": "done",
    }
    assert "lower learning rate" in cells.loc["wild/sft/s0", "cause"]
    assert "wild/sft/s0" in (world.folder / "runs/small/report.html").read_text()


def test_planning_is_fast_and_loads_no_torch(world: World) -> None:
    began = time.monotonic()
    done = world.call("plan", "study.yaml")
    assert done.returncode == 0
    assert "40 of 40 stages will run" in done.stdout
    assert time.monotonic() - began < 5
    assert not (world.folder / ".kdscope/stages").exists() or not list((world.folder / ".kdscope/stages").iterdir())


def test_explain_names_the_input_that_changed(finished: World) -> None:
    finished.rewrite(methods=["sft", "seqkd", {"name": "forward_kl", "kd_temperature": [1.0, 3.0]}, "gkd"])
    done = finished.call("explain", "study.yaml", "train cut/forward_kl-T3/big/s0")
    assert done.returncode == 0
    assert "method.temperature" in done.stdout
    assert "-> 3.0" in done.stdout
