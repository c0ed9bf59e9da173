"""Variance between training runs: its components, estimated from the repetitions of a whole study.

A run of student ``s`` in setting ``a`` with seed ``k`` has value ``y = mu_sa + r_sak``. The deviations ``r`` of two
runs are independent unless the runs belong to one student and share the seed (data order, initial adapter), so that
the components are one variance for each group of settings and one covariance for each pair of groups:

- the control (SFT) and the other settings are two groups, since either may be noisier than the other;
- a setting, or a student, whose runs vary significantly more than those of the others is a group of its own
  (`RunDesign.components` on how that is decided).

All components are pooled over students and settings. A contrast of runs has the variance ``c . components``; its
degrees of freedom are Satterthwaite's (1946, Biometrics Bull 2:110) for the quadratic form that estimates it,
``tr(Q S)^2 / tr(Q S Q S)``, and no more than `degrees_of_freedom.combined_df` gives for the groups apart. With the same
seeds in every setting the estimate is that of the paired differences.
"""

from __future__ import annotations

import math
from collections.abc import Hashable, Mapping, Sequence
from dataclasses import dataclass, replace
from types import MappingProxyType
from typing import Any, cast

import numpy as np
from numpy.typing import ArrayLike, NDArray
from scipy import special

from kdscope.core.errors import StatisticsError
from kdscope.statistics.degrees_of_freedom import combined_df, combined_p
from kdscope.statistics.estimates import Estimate, numbered, t_estimate

CONTROL, OTHERS = "SFT", "the other methods"
"""The groups of settings whose run variance is estimated apart."""
_MANY = 200
"""Degrees of freedom beyond which a part of the error counts as known."""
_LEAST_PAIRED = 0.25
"""The part of the variance of unpaired runs that pairing leaves at least."""
_SPLIT_LEVEL = {"setting": 0.01, "student": 0.1}
"""Level of the F test by which a setting or a student leaves the common pool, Bonferroni over candidates."""

_NONE: Mapping[str, float] = MappingProxyType({})

Array = NDArray[np.float64]
_Key = tuple[Any, ...]
"""A group of runs: `CONTROL` or `OTHERS`, then the students and settings that left the common pool, kind and name."""


@dataclass(frozen=True, slots=True)
class RunShare:
    """What training runs contribute to the variance of a contrast.

    Attributes:
        variance: of the contrast, from runs and, within them, from how each run answered each item.
        residual: the second part alone, which the variance over items holds as well.
        df: degrees of freedom of ``variance``; infinite for a variance that is known.
    """

    variance: float
    residual: float
    df: float


class RunDesign:
    """Which student, setting and seed each run has: what variance components can be estimated from.

    Args:
        students: whose run it is, length n.
        arms: its setting, length n.
        controls: whether it is a control (SFT), length n.
        seeds: its training seed, length n. Runs of one student with one seed are paired.

    Raises:
        StatisticsError: The lengths differ, or one student has a setting twice with one seed.
    """

    def __init__(
        self, students: Sequence[Hashable], arms: Sequence[Hashable], controls: ArrayLike, seeds: Sequence[Hashable]
    ) -> None:
        self.controls = np.asarray(controls, dtype=np.bool_)
        if not len(students) == len(arms) == len(seeds) == self.controls.size:
            raise StatisticsError("run variance needs a student, a setting, a seed and a role for every run")
        self.student_of, students = numbered(students)
        self.setting_of, settings = numbered(arms)
        self.seed_of, _ = numbered(seeds)
        self._named: dict[str, list[Hashable]] = {"student": students, "setting": settings}
        if len(set(zip(self.student_of, self.setting_of, self.seed_of, strict=True))) != len(self):
            raise StatisticsError("a student has one run of each setting and seed")
        self.blocks = tuple(_Block(self, np.flatnonzero(self.student_of == s)) for s in range(len(students)))
        self._terms: dict[tuple[_Key, ...], list[_Term]] = {}

    def __len__(self) -> int:
        return self.controls.size

    def components(
        self, values: ArrayLike, residuals: Mapping[int, Array] | None = None, *, split: bool = True
    ) -> RunComponents:
        """Estimate the components from the values of the runs.

        A setting (over all students), then a student (over all its settings), leaves the common pool where the F test
        of its variance between runs against that of the rest is significant, at 1% for settings and 10% for students,
        Bonferroni over the candidates, the largest first: one method that collapses with some seeds neither widens
        every other interval nor has its own too narrow.

        Args:
            values: of the runs, shape [n].
            residuals: for each student (by number, in order of appearance) the covariance matrix of its runs' values
                over items, shape [n_s, n_s]; None where items are not known.
            split: whether groups may leave the pool.

        Raises:
            StatisticsError: A value is not finite, or the shape is another.
        """
        y = np.asarray(values, dtype=np.float64)
        if y.shape != self.controls.shape or not np.isfinite(y).all():
            raise StatisticsError("run variance needs a finite value for every run")
        groups: list[_Key] = [(CONTROL,) if control else (OTHERS,) for control in self.controls]
        if split:
            groups = self._split(y, groups)
        return RunComponents(self, y, groups, residuals or {})

    def terms(self, groups: Sequence[_Key]) -> list[_Term]:
        """The components of a grouping of the runs; made once, as most studies have the same."""
        key = tuple(groups)
        if key not in self._terms:
            group_of, labels = numbered(groups)
            count = range(len(labels))
            own = [_Term(self, group_of, i, i, own=True) for i in count]
            self._terms[key] = own + [_Term(self, group_of, i, j, own=False) for i in count for j in count[i:]]
        return self._terms[key]

    def _split(self, y: Array, groups: list[_Key]) -> list[_Key]:
        squares, df = np.zeros(len(self)), np.zeros(len(self))
        for block in self.blocks:
            squares[block.rows] = (block.centring @ y[block.rows]) ** 2
            df[block.rows] = (block.sizes - 1) / block.sizes
        for kind, candidate_of in (("setting", self.setting_of), ("student", self.student_of)):
            if kind == "student":
                squares = _standardised(squares, df, groups)
            pool = np.array([group == (OTHERS,) or kind == "student" for group in groups])
            while (worst := _noisiest(squares, df, candidate_of, pool, _SPLIT_LEVEL[kind])) is not None:
                pool &= candidate_of != worst
                whose = (kind, self._named[kind][worst])
                groups = [
                    (*group, whose) if c == worst else group for group, c in zip(groups, candidate_of, strict=True)
                ]
        return groups


def _standardised(squares: Array, df: Array, groups: Sequence[_Key]) -> Array:
    """Squared deviations over the variance of their group, so that students are compared whatever SFT varies by."""
    scaled = squares.copy()
    for group in dict.fromkeys(groups):
        own = np.array([other == group for other in groups])
        variance = squares[own].sum() / max(df[own].sum(), 1e-9)
        scaled[own] = squares[own] / variance if variance > 0 else 0.0
    return scaled


def _noisiest(
    squares: Array, df: Array, candidate_of: NDArray[np.intp], pool: NDArray[np.bool_], level: float
) -> int | None:
    """The candidate whose runs vary significantly more than those of the others in the pool; None if none does."""
    candidates = np.unique(candidate_of[pool])
    least: tuple[float, int] | None = None
    for candidate in candidates:
        own, rest = pool & (candidate_of == candidate), pool & (candidate_of != candidate)
        own_df, rest_df = df[own].sum(), df[rest].sum()
        if own_df < 1 or rest_df < 1 or squares[rest].sum() <= 0:
            continue
        ratio = (squares[own].sum() / own_df) / (squares[rest].sum() / rest_df)
        p_value = float(special.fdtrc(own_df, rest_df, ratio)) * candidates.size
        if p_value < level and (least is None or p_value < least[0]):
            least = p_value, int(candidate)
    return None if least is None else least[1]


class _Block:
    """One student's runs: centring within settings, and which pairs of runs share a seed."""

    def __init__(self, design: RunDesign, rows: NDArray[np.intp]) -> None:
        self.rows = rows
        same_arm = design.setting_of[rows][:, None] == design.setting_of[rows][None, :]
        self.sizes = same_arm.sum(axis=1).astype(np.float64)
        self.centring = np.eye(rows.size) - same_arm / self.sizes[:, None]
        same_seed = design.seed_of[rows][:, None] == design.seed_of[rows][None, :]
        self.paired = (same_seed & ~same_arm).astype(np.float64)


class RunComponents:
    """Variances of groups of settings and covariances of paired runs, as estimated; made by `RunDesign.components`.

    Attributes:
        variances: of one run in each group that has repetitions.
        dfs: degrees of freedom of each of those variances.
    """

    def __init__(self, design: RunDesign, y: Array, groups: Sequence[_Key], residuals: Mapping[int, Array]) -> None:
        group_of, labels = numbered(groups)
        self._design, self._group_of, self._labels, self._y = design, group_of, cast("list[_Key]", labels), y
        self._terms = design.terms(groups)
        divisors = self._divisors = np.array([term.divisor for term in self._terms])
        self._known = divisors > 1e-9
        scale = np.where(self._known, 1 / np.where(self._known, divisors, 1.0), 0.0)
        squares = {number: np.outer(y[block.rows], y[block.rows]) for number, block in enumerate(design.blocks)}
        self._values = scale * np.array([term.applied(squares) for term in self._terms])
        self._residuals = scale * np.array([term.applied(residuals) for term in self._terms])
        self._spread = np.outer(scale, scale) * self._products()
        self.variances = {labels[i]: float(self._values[i]) for i in range(len(labels)) if self._known[i]}
        self.dfs = {labels[i]: float(divisors[i]) for i in range(len(labels)) if self._known[i]}

    def __len__(self) -> int:
        return len(self._design)

    def of_group(self, group: str) -> tuple[float, float]:
        """Variance of one run of `CONTROL` or `OTHERS` without what left the pool, and its df; NaN, 0 if unknown."""
        return self.variances.get((group,), math.nan), self.dfs.get((group,), 0.0)

    def _groups(self, weights: ArrayLike) -> NDArray[np.intp]:
        return np.unique(self._group_of[np.asarray(weights, dtype=np.float64) != 0])

    def without_split(self) -> RunComponents:
        """The same runs with all of them in the common pool."""
        return self._design.components(self._y, split=False)

    def beside_the_pool(self) -> dict[tuple[str, Hashable], tuple[float, float]]:
        """Variance of one run and its df in every group that left the pool: of `CONTROL` or `OTHERS`, and of whom."""
        left = [label for label in self._labels if len(label) > 1 and label in self.variances]
        return {(str(label[0]), label[-1][1]): (self.variances[label], self.dfs[label]) for label in left}

    def unknown(self, weights: ArrayLike, beside: Mapping[str, float] = _NONE) -> list[str]:
        """Names of the groups in a contrast that have no repetition."""
        used = self._groups(weights)
        return list(
            dict.fromkeys(
                [str(self._labels[group][0]) for group in used if not self._known[group]]
                + [name for name, size in beside.items() if size > 0 and (name,) not in self.variances]
            )
        )

    def largest_variance(self, weights: ArrayLike, beside: Mapping[str, float] = _NONE) -> float:
        """Variance of one run in the noisiest group of a contrast whose groups are all known."""
        others = [self.variances[name,] for name, size in beside.items() if size > 0]
        return max(*(float(self._values[group]) for group in self._groups(weights)), *others, 0.0)

    def share(self, weights: ArrayLike, beside: Mapping[str, float] = _NONE) -> RunShare:
        """The part of runs in the variance of ``weights . values``; NaN where a group has no repetition.

        Args:
            weights: of every run, shape [n]; 0 for those that have no part.
            beside: sums of squared weights of runs outside of the design, by `CONTROL` and `OTHERS`; they have the
                variance of that group and are paired with none.
        """
        w = np.asarray(weights, dtype=np.float64)
        if self.unknown(w, beside):
            return RunShare(math.nan, math.nan, 0.0)
        c = np.array([term.coefficient(w) for term in self._terms])
        for name, size in beside.items():
            if size > 0:
                c[self._labels.index((name,))] += size
        variance, spread = float(c @ self._values), float(c @ self._spread @ c)
        groups = range(len(self._labels))
        alone = np.array([max(float(c[group] * self._values[group]), 0.0) for group in groups])
        # What is left of equal differences after rounding is no variance.
        variance = variance if variance > 1e-12 * float(np.abs(c) @ np.abs(self._values)) else 0.0
        df = max(variance**2 / spread, 1.0) if spread > 0 and variance > 0 else math.inf
        if variance > 0:
            # With few pairs their covariance may take nearly all of the variance away, by chance.
            variance = max(variance, _LEAST_PAIRED * float(alone.sum()))
            # Of groups with few degrees of freedom the noisier one decides (`degrees_of_freedom.combined_df`).
            df = min(df, combined_df(alone, [max(self._divisors[group], 1.0) for group in groups]))
        return RunShare(variance, max(0.0, float(c @ self._residuals)), df)

    def _products(self) -> Array:
        """``tr(B_k S B_l S)`` for the forms B of the components and the estimated covariance S of the runs."""
        found = np.zeros((len(self._terms), len(self._terms)))
        for number in range(len(self._design.blocks)):
            covariance = sum(v * term.cores[number] for v, term in zip(self._values, self._terms, strict=True))
            parts = [term.forms[number] @ covariance for term in self._terms]
            found += np.array([[float(np.sum(a * b.T)) for b in parts] for a in parts])
        return found


class _Term:
    """One component: which runs it is about, the quadratic form that estimates it, what a contrast has of it.

    A variance has the identity on its group's runs as `cores`, a covariance the pairs with one seed, student by
    student; the covariance of all runs is the sum of the components times their cores.
    """

    def __init__(self, design: RunDesign, group_of: NDArray[np.intp], first: int, second: int, *, own: bool) -> None:
        self.design = design
        self.cores = [_core(block, group_of[block.rows], first, second, own) for block in design.blocks]
        # A pair stands twice in its core.
        twice = 1.0 if own else 2.0
        self.forms = [b.centring @ core @ b.centring / twice for b, core in zip(design.blocks, self.cores, strict=True)]
        self.divisor = sum(float(np.sum(f * c)) for f, c in zip(self.forms, self.cores, strict=True))

    def applied(self, matrices: Mapping[int, Array]) -> float:
        """The sum over students of ``tr(form matrix)``."""
        return sum(float(np.sum(self.forms[number] * matrix)) for number, matrix in matrices.items())

    def coefficient(self, weights: Array) -> float:
        """How often the component is in the variance of a contrast."""
        parts = [(weights[block.rows], core) for block, core in zip(self.design.blocks, self.cores, strict=True)]
        return sum(float(w @ core @ w) for w, core in parts if w.any())


def _core(block: _Block, group_of: NDArray[np.intp], first: int, second: int, own: bool) -> Array:
    mine = group_of == first
    if own:
        return np.diag(mine.astype(np.float64))
    cross = np.outer(mine, group_of == second)
    return np.where(cross | cross.T, block.paired, 0.0)


def item_variance(items: Estimate, share: RunShare) -> float:
    """The variance of an estimate over items without the part that runs vary by from item to item; 0 for no error."""
    return max(items.stderr**2 - share.residual, 0.0) if items.stderr > 0 else 0.0


def with_runs(items: Estimate, share: RunShare) -> Estimate:
    """An estimate whose error comes from items, with that of training runs added.

    ``V = V(runs) + max(V(items) - V(residual), 0)``: how each run answered each item is in both variances and counts
    once. Degrees of freedom by `degrees_of_freedom.combined_df`.

    Args:
        items: the estimate with its error over items; its ``stderr`` is NaN where nothing varied.
        share: what runs contribute, in the same unit squared; a NaN leaves no error and no p-value.

    Example:
        >>> found = with_runs(t_estimate(0.05, 0.02, 599, 600), RunShare(0.0002, 0.0001, 4))
        >>> round(found.stderr, 4), round(found.df, 1)
        (0.0224, 14.6)
    """
    if math.isnan(share.variance):
        return t_estimate(items.value, math.nan, math.nan, items.n, items.confidence)
    own = item_variance(items, share)
    total, parts, dfs = own + share.variance, [own, share.variance], [items.df, share.df]
    found = t_estimate(items.value, math.sqrt(total), combined_df(parts, dfs), items.n, items.confidence)
    if not found.stderr > 0 or min(share.df, items.df) > _MANY:
        return found
    # Far in the tails a t distribution of these degrees of freedom is lighter than the parts together are.
    return replace(found, p_value=combined_p(abs(items.value) / math.sqrt(total), parts, dfs))
