"""One training run against several: how much runs of a student vary, and which gains stand out from that."""

from __future__ import annotations

import math
from collections.abc import Hashable, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import ArrayLike, NDArray
from scipy import stats
from scipy.optimize import brentq

from kdscope.core.errors import StatisticsError
from kdscope.statistics.estimates import Estimate, numbered, t_estimate


@dataclass(frozen=True, slots=True)
class RunNoise:
    """How much single runs of a student vary.

    Attributes:
        variance: of one run; NaN where there is no repetition to tell it from.
        df: degrees of freedom of that variance.
    """

    variance: float
    df: int

    @property
    def standard_deviation(self) -> float:
        """Of one run."""
        return math.sqrt(self.variance)


def run_noise(values: ArrayLike, students: Sequence[Hashable], methods: Sequence[Hashable]) -> RunNoise:
    """Variance of a run about ``student + method``: the residual mean square of that additive model.

    Teachers are not in the model: what they differ by counts as noise, which makes tests conservative.

    Args:
        values: accuracy of each run, shape [n].
        students: whose run it is, length n.
        methods: how it was trained, length n; the control is a method.

    Raises:
        StatisticsError: The lengths differ or a value is not finite.

    Example:
        >>> run_noise([1.0, 3.0, 2.0, 4.0], "aabb", "xyxy").df
        1
    """
    y = np.asarray(values, dtype=np.float64)
    if not (y.size == len(students) == len(methods)) or not np.isfinite(y).all():
        raise StatisticsError("run noise needs a finite value, a student and a method for every run")
    design = np.hstack([_indicators(students), _indicators(methods)])
    fitted, _, rank, _ = np.linalg.lstsq(design, y, rcond=None)
    df = y.size - int(rank)
    residual = float(np.sum((y - design @ fitted) ** 2))
    return RunNoise(residual / df if df > 0 else math.nan, df)


def gain_over_runs(distilled: ArrayLike, control: ArrayLike, noise: RunNoise, confidence: float = 0.95) -> Estimate:
    """Gain of one student: mean of its distilled runs minus mean of its control runs, with pooled run noise.

    ``stderr = s sqrt(1/m + 1/k)``: that all ``m`` gains share the ``k`` control runs is the term ``1/k``, which no
    number of distilled runs removes. With one student, one control run and ``s`` from its own runs this is the test of
    a single case against a sample (Crawford and Howell 1998, Clin Neuropsychol 12:482); pooled over students it gains
    degrees of freedom. Assumes that a control run varies no more than a distilled one.

    Args:
        distilled: accuracies of the distilled runs, shape [m].
        control: accuracies of the control runs, shape [k].
        noise: of `run_noise`.
        confidence: level of the interval.

    Raises:
        StatisticsError: One of the two has no runs.

    Example:
        >>> round(gain_over_runs([50.0, 52.0, 54.0], [48.0], RunNoise(4.0, 20)).stderr, 4)
        2.3094
    """
    kd, sft = np.asarray(distilled, dtype=np.float64), np.asarray(control, dtype=np.float64)
    if kd.size == 0 or sft.size == 0:
        raise StatisticsError("a gain needs at least one distilled and one control run")
    error = math.sqrt(noise.variance * (1 / kd.size + 1 / sft.size)) if noise.df > 0 else math.nan
    return t_estimate(float(kd.mean() - sft.mean()), error, noise.df, kd.size + sft.size, confidence)


def largest_of(gains: int, gain: float, noise: RunNoise, control_runs: int = 1, confidence: float = 0.95) -> Estimate:
    """The largest of ``gains`` gains of single runs, with limits that hold for all of them at once.

    Bonferroni's simultaneous limits (Dunn 1961, JASA 56:52): the largest of many noisy numbers is too large, and its
    own interval does not know.

    Raises:
        StatisticsError: There are no gains.
    """
    if gains < 1:
        raise StatisticsError("the largest of no gains is none")
    error = math.sqrt(noise.variance * (1 + 1 / control_runs)) if noise.df > 0 else math.nan
    alone = t_estimate(gain, error, noise.df, gains, 1 - (1 - confidence) / gains)
    p_value = float(np.minimum(1.0, alone.p_value * gains))  # a NaN stays one
    return Estimate(gain, alone.stderr, alone.df, alone.low, alone.high, p_value, gains, confidence)


def detectable_gain(stderr: float, df: float, alpha: float = 0.05, power: float = 0.8) -> float:
    """The smallest true gain that a two-sided t test with this error finds with the stated power.

    Solves ``P(|T'| > t) = power`` for the noncentrality of ``T'``, noncentral t with ``df`` degrees of freedom.

    Example:
        >>> round(detectable_gain(1.0, 1e6), 3)
        2.802
    """
    if not (stderr > 0 and df > 0):
        return math.nan
    threshold = float(stats.t.isf(alpha / 2, df))

    def missing(shift: float) -> float:
        # The other tail, beyond -threshold at a positive shift, is below 1e-3 of this and numerically fragile.
        return power - float(stats.nct.sf(threshold, df, shift))

    return float(brentq(missing, 0.0, 2 * threshold + 10, xtol=1e-6)) * stderr


def _indicators(labels: Sequence[Hashable]) -> NDArray[np.float64]:
    column, names = numbered(labels)
    return np.eye(len(names))[column]
