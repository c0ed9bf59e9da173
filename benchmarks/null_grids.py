"""Made-up studies with known truth, in the layout of the published one: what the simulations are run on.

Six students, four teachers, eleven pairs, three methods, one SFT run a student that all of its gains share, three
temperatures where the published study has three. A run's accuracy is its student's level plus noise of the run, noise
of the run on the task, and the binomial noise of the task's items.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

Array = NDArray[np.float64]

PAIRS = ((0, 0), (0, 1), (0, 2), (1, 0), (1, 1), (1, 2), (2, 1), (2, 2), (3, 2), (4, 3), (5, 3))
"""Student and teacher of each pair: teachers are 3B, 7B, 14B and Llama-8B."""
METHODS = ("SeqKD", "RevKD", "GKD")
TEMPERATURES = (1.0, 2.0, 5.0)
ITEMS = np.array([1319, 1000, 600, 508, 395, 254])
SIZES = np.array([0.5, 1.5, 3.0, 7.0, 1.0, 3.0])
STUDENT_OF = np.array([student for student, _ in PAIRS])
TEACHER_OF = np.array([teacher for _, teacher in PAIRS])


@dataclass(frozen=True)
class Truth:
    """What is true of a simulated study, in points."""

    gain: float = 0.0
    student_gain_sd: float = 0.0  # how students' gains differ
    task_gain_sd: float = 0.0  # how tasks' gains differ
    teacher_sd: float = 0.0  # how teachers differ in what they give
    method_gap: float = 0.0  # of SeqKD below the other two
    method_sd: float = 0.0  # how students differ in which method suits them
    run_sd: float = 1.5
    run_task_sd: float = 1.5
    student_sd: float = 10.0


@dataclass(frozen=True)
class Grid:
    """One simulated study in percent."""

    distilled: Array  # [11 pairs, 3 methods, 3 temperatures, 6 tasks], NaN where not run
    control: Array  # [6 students, 6 tasks]
    teacher: Array  # [4 teachers]: accuracy under SFT
    agreement: Array  # [11 pairs, 6 tasks]: share of items on which both are right
    gains: Array  # [6 students]: true mean gain

    def at_one(self) -> Array:
        """Average accuracy of each pair and method at temperature 1: [11, 3]."""
        return self.distilled[:, :, 0].mean(axis=-1)


def make_grid(generator: np.random.Generator, truth: Truth) -> Grid:
    """One study."""
    level = generator.normal(60, truth.student_sd, 6)[:, None] + generator.normal(0, 12, 6)
    level = np.clip(level, 15, 88)
    own = generator.normal(0, truth.student_gain_sd, 6)
    task = generator.normal(0, truth.task_gain_sd, 6)
    teachers = generator.normal(0, truth.teacher_sd, 4)[TEACHER_OF]
    suits = generator.normal(0, truth.method_sd, (6, 3)) - truth.method_gap * np.array([1, 0, 0])
    true = level[STUDENT_OF] + truth.gain + own[STUDENT_OF, None] + task + teachers[:, None]
    distilled = true[:, None, None, :] + suits[STUDENT_OF, :, None, None]
    distilled = measured(generator, np.repeat(distilled, 3, axis=2), truth)
    distilled[~_was_run()] = np.nan
    control, teacher = measured(generator, level, truth), np.clip(generator.normal(78, 5, 4), 60, 95)
    right = distilled[:, :, 0].mean(axis=1) * teacher[TEACHER_OF, None] / 100
    agreement = right + generator.normal(0, 1.5, right.shape)
    gains = truth.gain + own + (suits.mean(axis=1) if truth.method_sd or truth.method_gap else 0.0)
    return Grid(distilled, control, teacher, np.clip(agreement, 0, 100), gains)


def measured(generator: np.random.Generator, true: Array, truth: Truth) -> Array:
    """Accuracies of runs [..., 6 tasks] whose true accuracies are given."""
    shift = generator.normal(0, truth.run_sd, true.shape[:-1])[..., None]
    noisy = true + shift + generator.normal(0, truth.run_task_sd, true.shape)
    return 100 * generator.binomial(ITEMS, np.clip(noisy / 100, 0.01, 0.99)) / ITEMS


def make_answers(
    generator: np.random.Generator, models: int, items: int, gain: float | Array = 0.0, hardness: float = 0.35
) -> NDArray[np.int64]:
    """Whether each of ``models + 1`` models is right on each item; the last is the control, others gain points."""
    share = generator.beta(0.6 / hardness, 0.4 / hardness, items)
    shift = np.broadcast_to(np.asarray(gain, dtype=np.float64), (models,))[:, None] / 100
    # Where no item's probability is cut off, the true difference is the shift itself.
    inside = 0.1 + 0.8 * share
    return np.vstack(
        [generator.random((models, items)) < inside + shift, generator.random((1, items)) < inside]
    ).astype(np.int64)


def _was_run() -> NDArray[np.bool_]:
    """Which of [11, 3, 3] were run: other temperatures than 1 for teachers 3B and 7B, without GKD."""
    run = np.zeros((11, 3, 3), dtype=bool)
    run[:, :, 0] = True
    run[np.ix_(np.flatnonzero(TEACHER_OF < 2), [0, 1])] = True
    return run
