"""What one simulated study says: which tests reject, which intervals hold the truth. One function a family of tests.

Each returns the outcomes of one simulation by name: 1 for a rejection or a covered truth, else 0, NaN for no answer.
"""

from __future__ import annotations

import numpy as np
import pandas as pd
from null_grids import METHODS, PAIRS, SIZES, STUDENT_OF, TEACHER_OF, Array, Grid, Truth, make_answers, make_grid
from scipy import stats

from kdscope.protocols.fidelity_gains import chance_corrected
from kdscope.statistics.crossed import blocked_permutation, bootstrap_mean, grid_effect, teacher_effects
from kdscope.statistics.effects import cliffs_delta, hedges_g, matched_odds_ratio, tost_of_items, tost_of_units
from kdscope.statistics.estimates import (
    Estimate,
    ancova_slope,
    corrected_slope,
    instrument_slope,
    mean_over_units,
    slope_over_units,
)
from kdscope.statistics.means import macro_mean
from kdscope.statistics.multiplicity import holm, max_t, select_then_test
from kdscope.statistics.paired import mcnemar_mid_p, tango_interval
from kdscope.statistics.resampling import paired_bca
from kdscope.statistics.run_contrasts import RunContrasts
from kdscope.statistics.run_noise import RunNoise, gain_over_runs, largest_of, run_noise

Outcomes = dict[str, float]


def gains_of(grid: Grid) -> Array:
    """Mean gain of each student over its cells at temperature 1, on the average."""
    cells = grid.at_one().mean(axis=1)
    means = np.array([cells[student == STUDENT_OF].mean() for student in range(6)])
    return means - grid.control.mean(axis=1)


def published_h1(grid: Grid) -> float:
    """One-sided p-value of the published protocol: maxima over temperatures, cells as independent."""
    cells = np.nanmax(grid.distilled.mean(axis=-1), axis=2)
    gains = cells - grid.control.mean(axis=1)[STUDENT_OF, None]
    return float(stats.ttest_1samp(gains.ravel(), 0.0, alternative="greater").pvalue)


def noise_of(values: Array, noise_students: list[object]) -> RunNoise:
    """Of runs [11, 3]."""
    return run_noise(values.ravel(), noise_students, list(METHODS) * len(PAIRS))


def student_estimates(grid: Grid) -> list[Estimate]:
    """The primary question of each student."""
    runs, control = grid.at_one(), grid.control.mean(axis=1)
    noise = noise_of(runs, np.repeat(STUDENT_OF, 3).tolist())
    return [gain_over_runs(runs[s == STUDENT_OF].ravel(), control[s : s + 1], noise) for s in range(6)]


def nothing(generator: np.random.Generator) -> Outcomes:
    """No gain for anyone: distilled and control runs differ by noise only."""
    grid = make_grid(generator, Truth())
    found = student_estimates(grid)
    out = {"published H1, one-sided": rejected(published_h1(grid))}
    out["H1, students as units"] = rejected(mean_over_units(gains_of(grid)).p_value)
    out["H1-student, any of six (Holm)"] = rejected(min(holm([one.p_value for one in found])))
    out["H1-student, one test"] = rejected(found[0].p_value)
    out["H1-student interval"] = covered(found[0], 0.0)
    out["H1-anova, permuted within students"] = rejected(blocked_permutation(_by_method(grid))[1])
    out["largest gain (simultaneous)"] = rejected(_largest(grid))
    other = grid.distilled[:8, :2, 1].mean(axis=(1, 2)) - grid.distilled[:8, :2, 0].mean(axis=(1, 2))
    by_student = [np.nanmean(other[STUDENT_OF[:8] == student]) for student in range(3)]
    out["temperature, three students"] = rejected(mean_over_units(by_student).p_value)
    return out


def heterogeneous(generator: np.random.Generator) -> Outcomes:
    """No gain on average, but students, tasks and methods differ; relations with gains that are none."""
    truth = Truth(student_gain_sd=2.0, task_gain_sd=2.0, method_sd=1.5)
    grid = make_grid(generator, truth)
    control, gains = grid.control.mean(axis=1), gains_of(grid)
    out = {"H1-anova, methods suit students": rejected(blocked_permutation(_by_method(grid))[1])}
    by_task = _grid_gains(grid)
    found = grid_effect(by_task).mean
    out |= {"H1-grid, students x tasks": rejected(found.p_value), "H1-grid interval": covered(found, 0.0)}
    again = bootstrap_mean(by_task, 499, int(generator.spawn(1)[0].integers(2**31)))
    out |= {"H1-grid, two-way bootstrap": rejected(again.p_value), "two-way bootstrap interval": covered(again, 0.0)}
    slope = slope_over_units(np.log2(SIZES), gains)
    out |= {"H3, slope over students": rejected(slope.p_value), "H3 interval": covered(slope, 0.0)}
    naive = slope_over_units(control, gains)
    noise = noise_of(grid.at_one(), np.repeat(STUDENT_OF, 3).tolist())
    fixed = corrected_slope(control, control + gains, noise.variance)
    out |= {"naive slope of gain on SFT": rejected(naive.p_value)}
    out |= {"H3.2, Blomqvist": rejected(fixed.p_value), "H3.2 interval": covered(fixed, 0.0)}
    raw = np.array([grid.agreement[s == STUDENT_OF].mean() for s in range(6)])
    out["raw agreement, slope over students"] = rejected(slope_over_units(raw, gains).p_value)
    out["H4, agreement beyond chance"] = rejected(slope_over_units(_kappa(grid), gains).p_value)
    fixed_tasks = make_grid(generator, Truth(student_gain_sd=2.0))
    mean = mean_over_units(gains_of(fixed_tasks))
    out |= {"H1 with differing students": rejected(mean.p_value), "H1 interval": covered(mean, 0.0)}
    return out


def close_students(generator: np.random.Generator) -> Outcomes:
    """Students nearly alike, so that the noise of their SFT runs is much of what they differ by."""
    grid = make_grid(generator, Truth(student_sd=3.0))
    control, gains = grid.control.mean(axis=1), gains_of(grid)
    noise = noise_of(grid.at_one(), np.repeat(STUDENT_OF, 3).tolist())
    fixed = corrected_slope(control, control + gains, noise.variance)
    # Larger students are better, under SFT and distilled alike: size has nothing to do with the gain.
    size = np.log2(SIZES)
    larger = control + 4 * size
    equal = [ancova_slope(size, larger, larger + gains, error) for error in (0.0, noise.variance)]
    return {
        "naive ANCOVA of size": rejected(equal[0].p_value),
        "H3 by ANCOVA, error of SFT taken out": rejected(equal[1].p_value),
        "naive slope, students alike": rejected(slope_over_units(control, gains).p_value),
        "H3.2, Blomqvist, students alike": rejected(fixed.p_value),
    }


def teachers_differ(generator: np.random.Generator) -> Outcomes:
    """Teachers differ in what they give, not by their accuracy."""
    grid = make_grid(generator, Truth(teacher_sd=2.0))
    effects = teacher_effects(grid.at_one().mean(axis=1), STUDENT_OF.tolist(), TEACHER_OF.tolist())
    names = sorted(int(str(name)) for name in effects)
    slope = slope_over_units(grid.teacher[names], [effects[name] for name in names])
    return {"H2, slope over teachers": rejected(slope.p_value), "H2 interval": covered(slope, 0.0)}


def methods_at_margin(generator: np.random.Generator) -> Outcomes:
    """A true difference of exactly the margin: every claim of equivalence is wrong."""
    table = _by_method(make_grid(generator, Truth(method_gap=2.0, run_sd=0.7, run_task_sd=0.7)))
    found = tost_of_units(table[:, 1] - table[:, 0], margin=2.0)
    return {"TOST over students, at the margin": float(found.equivalent)}


def three_points(generator: np.random.Generator) -> Outcomes:
    """A true gain of three points that students share up to a standard deviation of one."""
    grid = make_grid(generator, Truth(gain=3.0, student_gain_sd=1.0))
    found, mean = student_estimates(grid), mean_over_units(gains_of(grid))
    students = np.array([one.p_value for one in found])
    sure = (holm(students) <= 0.05) & (np.array([one.value for one in found]) > 0)
    return {
        "H1, students as units": rejected(mean.p_value),
        "H1-grid, students x tasks": rejected(grid_effect(_grid_gains(grid)).mean.p_value),
        "H1-student, each (Holm of six)": float(sure.mean()),
        "H1-student, at least one": float(sure.any()),
        "published H1, one-sided": rejected(published_h1(grid)),
    }


def items_without_gain(generator: np.random.Generator) -> Outcomes:
    """Item records: three temperatures and a control that are the same model up to noise."""
    answers = make_answers(generator, 3, 600)
    control, settings = answers[-1], answers[:-1]
    counts = [_discordant(setting, control) for setting in settings]
    best = int(np.argmax(settings.sum(axis=1)))
    b, c = counts[0]
    effect = matched_odds_ratio(b, c) if b + c else None
    low, high = tango_interval(b, c, 600, 0.95)
    selected = select_then_test(settings, control, seed=int(generator.integers(2**31)))
    return {
        "maximum over temperatures as one run": rejected(mcnemar_mid_p(*counts[best])),
        "best temperature, select then test": rejected(selected.gain.p_value),
        "best temperature, interval": covered(selected.gain, 0.0),
        "McNemar mid-p": rejected(mcnemar_mid_p(b, c)),
        "Tango interval": float(low <= 0 <= high),
        "matched odds ratio, interval": float(effect is not None and effect.low <= 1 <= effect.high),
        "max-T over three temperatures": rejected(
            float(max_t((settings - control).T, draws=499, seed=int(generator.integers(2**31))).min())
        ),
    }


def items_with_gain(generator: np.random.Generator) -> Outcomes:
    """Item records with a gain of three points, and of exactly the margin of five for equivalence."""
    big = make_answers(generator, 1, 1300, 3.0)
    close = make_answers(generator, 1, 1000, 5.0)
    tasks, clusters = np.repeat([0, 1, 2], [300, 120, 60]), np.arange(480) // 2
    answers = np.repeat(make_answers(generator, 1, 240, 3.0), 2, axis=1)
    found = macro_mean(answers[0] - answers[1], tasks, clusters)
    bca = paired_bca(answers[0] - answers[1], clusters, tasks, draws=999, seed=int(generator.integers(2**31)))
    low, high = tango_interval(*_discordant(big[0], big[1]), 1300, 0.95)
    return {
        "McNemar mid-p, 1300 items": rejected(mcnemar_mid_p(*_discordant(big[0], big[1]))),
        "Tango interval, gain of 3": float(low <= 0.03 <= high),
        "mean over tasks, clustered items, interval": covered(found, 0.03),
        "paired BCa bootstrap, clustered items, interval": float(bca[0] <= 0.03 <= bca[1]),
        "TOST of items, at the margin": float(tost_of_items(close[0], close[1], 0.05).equivalent),
    }


def several_seeds(generator: np.random.Generator) -> Outcomes:
    """Item records of four training seeds whose runs differ by two points; and relations over ten students."""
    tasks, runs = np.repeat([0, 1], [200, 100]), 4
    share = generator.random(300) * 0.6 + 0.2
    kd, sft = (
        (generator.random((runs, 300)) < share + generator.normal(0, 0.02, runs)[:, None]).astype(float)
        for _ in range(2)
    )
    settings = pd.DataFrame({"student": "s", "arm": ["kd"] * runs + ["sft"] * runs, "seed": [*range(runs)] * 2})
    settings["control"] = settings["arm"] == "sft"
    contrasts = RunContrasts(np.vstack([kd, sft]), settings, tasks, np.arange(300))
    found = contrasts.difference(range(runs), range(runs, 2 * runs)).found
    alone = macro_mean((kd - sft)[0], tasks)
    level = generator.normal(60, 3, 10)
    first, second, outcome = (level + generator.normal(0, 2, 10) for _ in range(3))
    halves = instrument_slope(first, second, outcome + generator.normal(0, 2, 10))
    return {
        "one seed: items only, run noise ignored": rejected(alone.p_value),
        "four seeds: items and runs": rejected(found.p_value),
        "four seeds, interval": covered(found, 0.0),
        "H3.2 on halves of items": rejected(halves.p_value),
        "naive slope on the same half": rejected(slope_over_units(first, outcome - first).p_value),
    }


def effect_sizes(generator: np.random.Generator) -> Outcomes:
    """Normal gains of six units with a true effect of 0.8; two samples of thirty, one half a deviation above."""
    g = hedges_g(generator.normal(0.8, 1.0, 6))
    delta = cliffs_delta(generator.normal(0.5, 1.0, 30), generator.normal(0.0, 1.0, 30))
    true = 2 * stats.norm.cdf(0.5 / np.sqrt(2)) - 1
    return {
        "Hedges g, interval": float(g.low <= 0.8 <= g.high),
        "Cliff's delta, interval": float(delta.low <= true <= delta.high),
    }


def rejected(p_value: float) -> float:
    """Whether a test rejects at 5%; one that gives no answer does not."""
    return float(p_value <= 0.05)


def covered(found: Estimate, truth: float) -> float:
    """Whether the interval holds the truth; NaN where there is none."""
    return float(found.low <= truth <= found.high) if np.isfinite(found.low) else np.nan


def _by_method(grid: Grid) -> Array:
    runs = grid.at_one()
    return np.stack([runs[student == STUDENT_OF].mean(axis=0) for student in range(6)])


def _grid_gains(grid: Grid) -> Array:
    cells = grid.distilled[:, :, 0].mean(axis=1)
    return np.stack([cells[student == STUDENT_OF].mean(axis=0) for student in range(6)]) - grid.control


def _kappa(grid: Grid) -> Array:
    own = grid.distilled[:, :, 0].mean(axis=1) / 100
    kappa = chance_corrected(grid.agreement / 100, own, grid.teacher[TEACHER_OF, None] / 100)
    return np.array([kappa[student == STUDENT_OF].mean() for student in range(6)])


def _largest(grid: Grid) -> float:
    gains = grid.distilled[:, :, 0] - grid.control[STUDENT_OF, None]
    *_, task = np.unravel_index(int(np.argmax(gains)), gains.shape)
    noise = noise_of(grid.distilled[:, :, 0, task], np.repeat(STUDENT_OF, 3).tolist())
    return largest_of(gains.size, float(gains.max()), noise).p_value


def _discordant(first: Array, second: Array) -> tuple[int, int]:
    return int(np.sum(first > second)), int(np.sum(second > first))
