"""Learning rates against transformers' schedules."""

from __future__ import annotations

import pytest
import torch
from transformers import get_scheduler

from kdscope.training.schedule import learning_rate_at, warmup_length


@pytest.mark.parametrize(
    ("ours", "theirs"), [("linear", "linear"), ("cosine", "cosine"), ("constant", "constant_with_warmup")]
)
@pytest.mark.parametrize("warmup", [0, 1, 7])
def test_schedules_equal_those_of_transformers(ours: str, theirs: str, warmup: int) -> None:
    optimizer = torch.optim.SGD([torch.nn.Parameter(torch.zeros(1))], lr=0.3)
    scheduler = get_scheduler(theirs, optimizer, num_warmup_steps=warmup, num_training_steps=25)
    for step in range(25):
        rate = learning_rate_at(step, peak=0.3, schedule=ours, warmup_steps=warmup, total_steps=25)
        assert rate == pytest.approx(optimizer.param_groups[0]["lr"], abs=1e-12)
        optimizer.step()
        scheduler.step()


def test_warmup_below_one_is_a_share_of_the_steps() -> None:
    assert [warmup_length(value, 30) for value in (0, 0.05, 0.5, 1, 7)] == [0, 2, 15, 1, 7]
