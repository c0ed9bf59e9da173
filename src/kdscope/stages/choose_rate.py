"""The learning rate of an arm: the one whose run of the sweep answers the validation split best."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import cast

from kdscope.pipeline.manifest import read_manifest
from kdscope.pipeline.run import StageContext
from kdscope.pipeline.stage import Stage
from kdscope.stages.planning import Params, StageKind

KIND = StageKind(__name__, version=1)

FILE = "choice.json"


class ChooseRateParams(Params):
    """The rates that were tried."""

    rates: tuple[float, ...]


def plan(arm: str, runs: Mapping[float, Stage]) -> Stage:
    """The choice among the runs of a sweep, by learning rate, for all seeds of an arm."""
    inputs = {role_of(rate): run for rate, run in runs.items()}
    params = ChooseRateParams(rates=tuple(runs))
    return KIND.stage(f"learning rate of {arm}", params, inputs, tolerates_missing=True)


@dataclass(frozen=True)
class Choice:
    """What a sweep came to.

    Attributes:
        rate: The learning rate with the best score; of equals, the smallest.
        scores: The score of every rate tried, on greedy answers to the validation split at the step that is kept; None
            where its run failed.
        budget: Runs spent.
    """

    rate: float
    scores: dict[str, float | None]
    budget: int


def run(context: StageContext) -> None:
    """Write choice.json; a run that failed is no input any more, and counts as the worst."""
    rates = list(ChooseRateParams.of(context.stage).rates)
    choice = choose(rates, [_score(context, role_of(rate)) for rate in rates])
    (context.output / FILE).write_text(json.dumps(asdict(choice), indent=1))
    context.facts.update(asdict(choice))


def choose(rates: list[float], scores: list[float | None]) -> Choice:
    """The best of some learning rates; at least one has a score.

    >>> choose([0.004, 0.002, 0.001], [0.5, 0.5, None]).rate
    0.002
    """
    known = [(-score, rate) for rate, score in zip(rates, scores, strict=True) if score is not None]
    tried = {repr(rate): score for rate, score in zip(rates, scores, strict=True)}
    return Choice(min(known)[1], tried, len(rates))


def role_of(rate: float) -> str:
    """The input that holds the run with a learning rate."""
    return f"rate/{rate!r}"


def read_choice(folder: Path) -> Choice:
    """The choice that this stage left in a folder."""
    return Choice(**json.loads((folder / FILE).read_text()))


def _score(context: StageContext, role: str) -> float | None:
    if role not in context.inputs:
        return None
    score = read_manifest(context.inputs[role] / "manifest.json").facts["validation_accuracy"]
    return float(cast(float, score))
