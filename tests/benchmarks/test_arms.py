"""Arms are comparable only if they do the same work: same examples, same student, same loss, step by step."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest
import torch

from tests.benchmarks.conftest import Load

pytestmark = pytest.mark.filterwarnings("ignore")  # those of other people's trainers

MakeTask = Callable[[], Any]


@pytest.fixture
def ours(load: Load) -> Any:
    return load("kdscope_arms")


@pytest.fixture
def peers(load: Load) -> Any:
    pytest.importorskip("datasets")
    return load("peers")


def test_fine_tuning_is_the_same_in_both(ours: Any, peers: Any, make_task: MakeTask) -> None:
    task = make_task()
    mine, theirs = ours.sft(task).losses, peers.transformers_sft(make_task()).losses
    assert len(mine) == len(task.clock.ends) == 3
    assert mine == pytest.approx(theirs, rel=1e-4)
    assert mine[2] < mine[0], "the learning rate is large enough that a step not taken would show"


@pytest.mark.parametrize("divergence", ["forward_kl", "reverse_kl", "jsd"])
def test_distillation_is_the_same_in_every_way(ours: Any, peers: Any, make_task: MakeTask, divergence: str) -> None:
    pytest.importorskip("trl")
    ours.record(make_task())
    losses = {way: getattr(ours, way)(make_task(), divergence=divergence).losses for way in ("live", "replay")}
    if divergence == "forward_kl":
        ours.expect(make_task())
        losses["expectation"] = ours.expectation(make_task(), divergence=divergence).losses
    arms = peers.peer_arms()
    losses["trl"] = arms[f"trl_gkd_{divergence}"](make_task()).losses
    for way, found in losses.items():
        assert found == pytest.approx(losses["live"], rel=1e-4), way
    assert losses["live"][2] != pytest.approx(losses["live"][0], rel=1e-3)


def test_every_peer_of_the_program_exists(load: Load, peers: Any) -> None:
    names = {name for name in load("bench_distill").ARMS if not name.startswith("kdscope_")}
    assert names == set(peers.peer_arms())


def test_the_authors_loss_by_hand(peers: Any) -> None:
    """KL at T = 2 of these logits is 0.1657819245 nats (float64), times 4 is 0.6631276980."""
    teacher = torch.tensor([2.0, 1.0, 0.0, -1.0]).expand(2, 3, 4).clone()
    student = torch.tensor([0.5, 1.0, 1.5, -0.5]).expand(2, 3, 4).clone()
    everywhere = torch.ones(2, 3)
    assert peers.published_forward_kl(teacher, student, everywhere, 2.0).item() == pytest.approx(0.6631276980, abs=1e-6)
    # The second sequence has one token, at which both agree: half the mean over sequences, whatever their lengths.
    student[1] = teacher[1]
    student[1, 1:] = 100.0 * torch.randn(2, 4)
    mask = torch.tensor([[1.0, 1.0, 1.0], [1.0, 0.0, 0.0]])
    found = peers.published_forward_kl(teacher, student, mask, 2.0).item()
    assert found == pytest.approx(0.6631276980 / 2, abs=1e-6)


def test_samples_have_the_length_that_was_asked_for(ours: Any, peers: Any, load: Load, make_task: MakeTask) -> None:
    pytest.importorskip("trl")
    theirs = load("peers_on_policy")
    settings = {"new_tokens": 9}
    runs = {
        "kdscope": ours.on_policy(make_task(), divergence="jsd", **settings),
        "gkd": theirs.trl_gkd(make_task(), beta=0.5, **settings),
        "distillation": theirs.trl_distillation(make_task(), beta=0.5, **settings),
    }
    for name, run in runs.items():
        assert [call["tokens"] for call in run.facts["generations"]] == [4 * 9] * 3, name
        assert len(run.losses) == 3
        assert all(loss > 0 for loss in run.losses)


def test_trl_samples_the_prompts_that_the_others_do(peers: Any, load: Load, make_task: MakeTask) -> None:
    pytest.importorskip("trl")
    task, theirs = make_task(), load("peers_on_policy")
    tokenizer = load("students").make_tokenizer(task.settings)
    seen = [list(tokenizer(theirs._prompt(tokenizer, sequence)).input_ids) for sequence in task.sequences]
    assert seen == [list(s.token_ids[: s.prompt_length]) for s in task.sequences]


def test_the_grid_is_twelve_trainings_of_one_recording(load: Load, tiny: Any, tmp_path: Any) -> None:
    import json
    from dataclasses import replace

    import yaml

    from kdscope.api import load_study, plan_study
    from kdscope.pipeline.stage import in_order

    study = load("bench_study")
    settings = replace(tiny, extra={"examples": 8, "epochs": 1, "layers": [1, 2]})
    rows = [row for row, _ in load("workload").make_examples(settings, 8)]
    (tmp_path / "train.json").write_text(json.dumps(rows))
    (tmp_path / "study.yaml").write_text(yaml.safe_dump(study.study_values(settings, tmp_path / "train.json")))
    plan, _ = plan_study(load_study(tmp_path / "study.yaml"), tmp_path / "store")
    trained = [arm.trained for arm in plan.arms if arm.trained is not None]
    kinds = [stage.kind for stage in in_order(trained)]
    assert len(trained) == len(list(study.cells(settings))) == kinds.count("distil_student") == 12
    assert kinds.count("record_states") == 1
    assert not {"evaluate_model", "adapt_teacher"} & set(kinds)


@pytest.mark.slow
def test_the_grid_runs_in_both(load: Load, make_task: MakeTask) -> None:
    pytest.importorskip("trl")
    from dataclasses import replace

    task = make_task()
    settings = replace(task.settings, extra={"examples": 8, "epochs": 1, "layers": [1, 2]})
    study, task = load("bench_study"), replace(task, settings=settings, sequences=task.sequences[:8])
    ours, theirs = study.kdscope_study(task), study.trl_gkd(task)
    assert ours.facts["trainings"] == len(theirs.facts["parts"]) == 12
    assert 0 < sum(part["seconds"] for part in ours.facts["parts"]) <= ours.one_off_seconds
