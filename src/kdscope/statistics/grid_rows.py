"""The mean of a grid of gains once more, by resampling: a row beside the mixed model's."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from kdscope.results.hypotheses import H1_GRID, SENSITIVITY
from kdscope.statistics.grid import bootstrap_mean
from kdscope.statistics.results import TWO_WAY, RigorousResult, result_of
from kdscope.statistics.run_noise import detectable_gain


def resampled_mean(
    domain: str, task: str, grid: NDArray[np.float64], draws: int = 1999, seed: int = 0
) -> RigorousResult:
    """``H1-grid`` by `grid.bootstrap_mean`.

    Args:
        domain: of the table or records.
        task: that the gains are on.
        grid: gain in points for each student and task, shape [S, T], complete, two or more each way.
        draws: resamples.
        seed: of the resamples.
    """
    found = bootstrap_mean(grid, draws, seed)
    return result_of(
        *(found, domain, H1_GRID, "all", task, TWO_WAY),
        role=SENSITIVITY,
        detectable=detectable_gain(found.stderr, found.df),
        note="Students and tasks drawn again, without a model of what varies: too wide an interval where single "
        "results vary more than students and tasks do.",
    )
