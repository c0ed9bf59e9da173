"""Gains of a table of results with training runs random: what `run_contrasts` does without the answers to items."""

from __future__ import annotations

import math
from dataclasses import dataclass
from functools import cached_property

import numpy as np
import pandas as pd

from kdscope.statistics.cells import CELL, DomainRuns
from kdscope.statistics.estimates import Estimate, t_estimate
from kdscope.statistics.run_contrasts import CHECKPOINTS, RUNS, Contrast
from kdscope.statistics.run_noise import RunNoise, gain_over_runs, run_noise
from kdscope.statistics.run_variance import RunComponents, RunDesign, RunShare, with_runs
from kdscope.statistics.tidy import SFT

LUCK_UNKNOWN = "No test: with one run of each setting the luck of the SFT run is unknown."
_WITHOUT_ITEMS = "The table does not tell how many items there are: their choice is not in the interval."


@dataclass(frozen=True, slots=True)
class KnownNoise:
    """What is known of noise from elsewhere (a pilot), where the table cannot tell.

    Attributes:
        run_sd: standard deviation of one training run in points; it stands in where the table does not tell.
        run_df: degrees of freedom of that; infinite for one that is known.
        discordance: share of items on which a distilled student and its control differ; with the column ``items`` it
            gives the error from items where there is no ``item_stderr``.
    """

    run_sd: float | None = None
    run_df: float = math.inf
    discordance: float | None = None


class TableRuns:
    """The runs of one domain on one task, and how much they vary."""

    def __init__(self, domain: DomainRuns, task: str, known: KnownNoise | None = None) -> None:
        self.domain, self.task, self.known = domain, task, known or KnownNoise()
        runs, controls = (rows[rows["task"] == task] for rows in (domain.runs, domain.controls))
        controls = controls[controls["student"].isin(set(runs["student"]))]
        frame = pd.concat([runs, controls.assign(teacher="", family=SFT)], ignore_index=True)
        frame["control"] = frame["family"] == SFT
        # Runs of one setting without seeds of their own are repetitions all the same.
        again = frame.groupby([*CELL, "seed"], sort=False, dropna=False).cumcount()
        frame["seed"] = list(zip(frame["seed"].astype(str), again, strict=True))
        self.frame = frame
        self.arms = list(zip(frame["teacher"], frame["family"], strict=True))
        self.design = RunDesign(
            frame["student"].tolist(), self.arms, frame["control"].to_numpy(dtype=bool), frame["seed"].tolist()
        )

    @property
    def several_seeds(self) -> bool:
        """Whether any setting of any student has several runs."""
        return bool(self.frame.groupby(CELL, sort=False, dropna=False).size().gt(1).any())

    @cached_property
    def components(self) -> RunComponents:
        """Components of the run variance of the domain, in points squared."""
        return self.design.components(self.frame["value"].to_numpy(dtype=np.float64))

    def gain(self, student: str, family: str | None = None) -> Contrast | None:
        """Gain over the student's SFT runs, its settings counting the same; None without a control.

        With one run of each setting there is an interval only, from how much the distilled runs vary about ``student +
        family`` (`run_noise.run_noise`). That it holds for the control too cannot be checked, so that there is no test.
        """
        mine = self.frame["student"] == student
        first = mine & ~self.frame["control"] & ((family is None) | (self.frame["family"] == family))
        second = mine & self.frame["control"]
        if not first.any() or not second.any():
            return None
        weights = self._weights(first) - self._weights(second)
        counts = int(first.sum()), int(second.sum())
        value = float(weights @ self.frame["value"].to_numpy(dtype=np.float64))
        error = self.item_error(student)
        if family is not None:
            # The mean over a student's families averages out what each of them has of its own; one of them does not.
            settings = self.frame.loc[mine & ~self.frame["control"], ["teacher", "family"]].drop_duplicates()
            error *= math.sqrt(2 / (1 + 1 / len(settings)))
        items = Estimate(value, error, math.inf, math.nan, math.nan, math.nan, sum(counts))
        run_sd, share = self.known.run_sd, RunShare(math.nan, math.nan, 0.0)
        if self.several_seeds:
            share = self.components.share(weights)
        if math.isnan(share.variance) and run_sd is not None:
            share = RunShare(float(np.sum(weights**2)) * run_sd**2, 0.0, self.known.run_df)
            return Contrast(with_runs(items, share), RUNS, items, *counts, run_sd, "", error)
        if not self.several_seeds:
            return self._single(first, second, items, self.noise(family))
        found = with_runs(items, share)
        if math.isnan(share.variance):
            known = [variance for variance in self.components.variances.values() if variance > 0]
            spread = math.sqrt(max(known)) if known else math.nan
            reason = f"{' and '.join(self.components.unknown(weights))} trained only once, so that its luck is unknown"
            return Contrast(found, RUNS, items, *counts, spread, reason, error)
        return Contrast(found, RUNS, items, *counts, math.sqrt(self.components.largest_variance(weights)), "", error)

    def item_error(self, student: str) -> float:
        """Standard error in points that the choice of items leaves in a student's gain; NaN where it is not told."""
        told = self.domain.item_errors.get((student, self.task), math.nan)
        if not math.isnan(told) or self.known.discordance is None:
            return told
        tasks = [self.task] if self.task in self.domain.items else list(self.domain.items)
        if not tasks:
            return math.nan
        variances = [self.known.discordance / self.domain.items[task] for task in tasks]
        return 100 * math.sqrt(sum(variances)) / len(tasks)

    def without_items(self, student: str) -> str:
        """A warning where the error from items is not known, or nothing."""
        return _WITHOUT_ITEMS if math.isnan(self.item_error(student)) else ""

    def noise(self, family: str | None = None) -> RunNoise:
        """How much single runs vary about ``student + family``, or those of one family about their students.

        A student's controls are a student of their own: that students gain differently is no noise.
        """
        some = self.frame if family is None else self.frame[self.frame["family"] == family]
        students = [
            (SFT, student) if control else student
            for student, control in zip(some["student"], some["control"], strict=True)
        ]
        return run_noise(some["value"].to_numpy(), students, some["family"].tolist())

    def _single(self, first: pd.Series[bool], second: pd.Series[bool], items: Estimate, noise: RunNoise) -> Contrast:
        values, counts = self.frame["value"].to_numpy(dtype=np.float64), (int(first.sum()), int(second.sum()))
        pooled = gain_over_runs(values[first.to_numpy()], values[second.to_numpy()], noise)
        own = items.stderr if items.stderr > 0 else 0.0
        error = math.hypot(pooled.stderr, own) if pooled.stderr > 0 else math.nan
        limits = t_estimate(items.value, error, noise.df, items.n)
        untested = Estimate(items.value, limits.stderr, limits.df, limits.low, limits.high, math.nan, items.n)
        return Contrast(untested, CHECKPOINTS, items, *counts, noise.standard_deviation, "", items.stderr)

    def _weights(self, rows: pd.Series[bool]) -> np.ndarray[tuple[int], np.dtype[np.float64]]:
        some = self.frame[rows]
        arms = some[["teacher", "family"]].drop_duplicates().shape[0]
        sizes = some.groupby(["teacher", "family"], sort=False, dropna=False)["value"].transform("size")
        weights = np.zeros(len(self.frame))
        weights[rows.to_numpy()] = 1.0 / (arms * sizes.to_numpy(dtype=np.float64))
        return weights
