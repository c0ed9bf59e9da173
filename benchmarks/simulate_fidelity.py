"""Does fidelity minus the control's find copying and nothing else? Studies with known truth, measured many times.

    python benchmarks/simulate_fidelity.py                              # 2,000 studies of every setting, on one core
    python benchmarks/simulate_fidelity.py --studies 200 --only level,gate
    python benchmarks/simulate_fidelity.py --out docs/simulated_fidelity.md

A study is a teacher, an SFT control and a student (or two, or the teacher's other run) on the same items. The measures,
the joint item bootstrap's intervals, the normalised score and the comparison of two students are the product's own.
"""

from __future__ import annotations

import argparse
import time
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, replace
from math import nan
from pathlib import Path

import numpy as np
from fidelity_page import page
from scipy.special import expit
from simulated_fidelity import (
    MATCHED,
    Array,
    Model,
    Population,
    Study,
    difficulties,
    estimates,
    excess_of_runs,
    logit_of,
    simulate_studies,
)

from kdscope.fidelity.bootstrap import ResampledValue, combine, limits, standard_limits
from kdscope.fidelity.comparison import ABOVE_CEILING, Normalised, compare_fidelity, normalise
from kdscope.fidelity.measures import ratio
from kdscope.statistics.paired import wilson_interval

DRAWS = 300
TEACHERS, SDS, GAINS = (0.81, 0.96), (0.0, 1.0, 2.0), (0.0, 0.09, 0.15)
CONTROL = 0.60
ANSWERS = {"free": 0, "choice of 4": 4}
Measured = dict[str, dict[str, ResampledValue]]
BEYOND, INHERITED = "agreement_beyond_accuracy", "same_wrong_given_both_wrong"
Z_SUM = 1.95996 + 0.84162
"""Of a two-sided test at 5% and a power of .80."""


@dataclass(frozen=True)
class Rate:
    """How often something happened in so many studies.

    Attributes:
        count: how often.
        studies: of how many.
        most: it should be at most this; NaN: no bar.
        least: it should be at least this; NaN: no bar.
    """

    count: int
    studies: int
    most: float = nan
    least: float = nan

    @property
    def holds(self) -> bool:
        """Whether the 95% Monte Carlo interval does not lie wholly beyond the bar."""
        if not self.studies:
            return True
        low, high = wilson_interval(self.count, self.studies)
        return not (low > self.most or high < self.least)

    def __str__(self) -> str:
        if not self.studies:
            return "-"
        low, high = (100 * limit for limit in wilson_interval(self.count, self.studies))
        return f"{100 * self.count / self.studies:.1f}% [{low:.1f}, {high:.1f}]{'' if self.holds else ' **no**'}"


@dataclass(frozen=True)
class Bias:
    """A mean difference to the truth, in points, that should be at most `most` either way; NaN: no bar."""

    values: Array
    most: float = nan

    @property
    def holds(self) -> bool:
        """Whether the 95% Monte Carlo interval does not lie wholly beyond the bar."""
        return not abs(self.values.mean()) - self._error > self.most

    @property
    def _error(self) -> float:
        return 1.96 * float(self.values.std()) / max(1, self.values.size) ** 0.5

    def __str__(self) -> str:
        return f"{self.values.mean():+.2f}{'' if self.holds else ' **no**'}"


Cell = str | Rate | Bias
Row = tuple[Cell, ...]


@dataclass(frozen=True)
class Table:
    """The rows of one question."""

    name: str
    head: tuple[str, ...]
    rows: tuple[Row, ...]

    @property
    def failures(self) -> list[Row]:
        """Rows with a cell beyond its bar."""
        return [row for row in self.rows if not all(cell.holds for cell in row if isinstance(cell, Rate | Bias))]

    def markdown(self) -> str:
        """As Markdown."""
        lines = [self.head, ("---",) * len(self.head), *self.rows]
        return "\n".join(f"| {' | '.join(str(cell) for cell in line)} |" for line in lines)


@dataclass(frozen=True)
class Plan:
    """How many studies, and the seed."""

    studies: int
    seed: int

    def generator(self, *place: int) -> np.random.Generator:
        """Of one setting; the same whatever else is simulated."""
        return np.random.default_rng([self.seed, *place])


@dataclass(frozen=True)
class Found:
    """What many studies of one setting gave, in points: values and limits of one difference."""

    values: Array
    low: Array
    high: Array

    def above(self, most: float = nan, least: float = nan) -> Rate:
        """How often the interval lies above 0; where there is none, nothing is claimed."""
        return Rate(int((self.low > 0).sum()), self.values.size, most, least)

    def below(self, most: float = nan) -> Rate:
        """How often the interval lies below 0."""
        return Rate(int((self.high < 0).sum()), self.values.size, most)

    def covers(self, truth: Array, least: float = nan) -> Rate:
        """How often the interval holds the truth, where there is one."""
        known = np.isfinite(self.low)
        return Rate(int(((self.low <= truth) & (truth <= self.high))[known].sum()), int(known.sum()), least=least)


def over_control(
    each: Sequence[Measured], measure: str, ends_of: Callable[[ResampledValue], tuple[float, float]] = standard_limits
) -> Found:
    """The student's value minus the control's."""
    differences = [combine(np.subtract, one["student"][measure], one["control"][measure]) for one in each]
    return intervals(differences, ends_of)


def intervals(
    found: Sequence[ResampledValue], ends_of: Callable[[ResampledValue], tuple[float, float]] = limits
) -> Found:
    """Values and the product's intervals, in points."""
    ends = 100 * np.array([ends_of(one) for one in found])
    return Found(100 * np.array([one.value for one in found]), ends[:, 0], ends[:, 1])


def measured(
    population: Population, plan: Plan, wanted: Sequence[str], place: Sequence[int], most: int | None = None
) -> tuple[list[Study], list[Measured]]:
    """Studies of one setting (`most` at most) and their estimates; `MATCHED` in the first half of them only."""
    generator = plan.generator(*place)
    number = min(plan.studies, most or plan.studies)
    found = []
    while len(found) < number:
        found += simulate_studies(population, min(250, number - len(found)), generator)
    cheap = [name for name in wanted if name != MATCHED]
    chosen = [wanted if 2 * i < number else cheap for i in range(number)]
    each = zip(found, chosen, strict=True)
    return found, [estimates(study, DRAWS, population.options, names, generator) for study, names in each]


def matched_control(each: Sequence[Measured]) -> Found:
    """Beyond the matched control, in the studies where that was asked."""
    return intervals([one["student"][MATCHED] for one in each if MATCHED in one["student"]], standard_limits)


def setting(teacher: float, sd: float, options: int, gain: float = 0.0, copied: float = 0.0, **others) -> Population:
    """A teacher, a control of accuracy .60 and a student so much better, or that copies so much."""
    models = {"student": Model(CONTROL + gain, copied=copied), "control": Model(CONTROL)}
    return Population(Model(teacher), models, difficulty_sd=sd, options=options, **others)


def level(plan: Plan) -> Table:
    """Independent students that are merely better: nothing is to be found."""
    rows = []
    places = [(a, t, sd, g) for a in range(2) for t in TEACHERS for sd in SDS for g in GAINS]
    for place, (kind, teacher, sd, gain) in enumerate(places):
        answers, options = [*ANSWERS.items()][kind]
        _, each = measured(setting(teacher, sd, options, gain), plan, ("agreement", BEYOND, MATCHED), (1, place))
        headline = over_control(each, BEYOND)
        matched = matched_control(each)
        raw = Rate(sum(_raw_score(one) for one in each), len(each))
        rows.append(
            (
                *(answers, f"{teacher:.2f}", f"{sd:g}", f"+{100 * gain:.0f}"),
                *(
                    headline.above(0.05),
                    Bias(headline.values, 0.5),
                    over_control(each, BEYOND, limits).above(),
                    matched.above(0.05),
                    Bias(matched.values, 0.5),
                ),
                *(intervals([one["student"][BEYOND] for one in each]).above(), raw),
            )
        )
    head = ("answers", "teacher", "SD", "gain", "headline above 0", "bias", "with BCa limits")
    head = (*head, "beyond matched control above 0", "bias")
    return Table("level", (*head, "level above 0", "raw agreement, normalised, above 0"), tuple(rows))


def _raw_score(one: Measured) -> bool:
    """Whether raw agreement between the control and identity is above 0."""
    own, control = one["student"]["agreement"], one["control"]["agreement"]
    identity = ResampledValue(1.0, np.ones_like(own.draws), np.ones_like(own.left_out))
    return normalise(own, control, identity, 1).low > 0


def realistic() -> dict[str, Population]:
    """One factor at a time: teacher .81, difficulty SD 2, independent student 15 points above a control at .60."""
    base = setting(0.81, 2.0, 0, 0.15)
    choice = replace(base, options=4)
    level_pair = setting(0.81, 2.0, 0)

    def pair(control: Model, student: Model, like: Population = base) -> Population:
        return replace(like, models={"student": student, "control": control})

    return {
        "control at .15": pair(Model(0.15), Model(0.30)),
        "control at .30": pair(Model(0.30), Model(0.45)),
        "control at .45": pair(Model(0.45), Model(0.60)),
        "control at .75, student +5": pair(Model(0.75), Model(0.80)),
        "control at .75, student +15": pair(Model(0.75), Model(0.90)),
        "difficulty skewed": replace(base, shape="skewed"),
        "difficulty of two kinds": replace(base, shape="two kinds"),
        "common mistakes (.3 of wrong answers)": replace(base, mistakes=0.3),
        "choice of 4, one attractive wrong option": replace(choice, popular=0.5),
        "10% of the control's answers unparsed": pair(Model(0.60, unparsed=0.1), Model(0.75)),
        "10% of the student's answers unparsed": pair(Model(0.60), Model(0.75, unparsed=0.1)),
        "choice of 4, 10% of the control's unparsed": pair(Model(0.60, unparsed=0.1), Model(0.75), choice),
        "runs differ by 2 points": pair(Model(0.60, run_sd=0.02), Model(0.75, run_sd=0.02)),
        "student and control share noise (r = .5)": replace(base, shared_noise=0.5),
        "choice of 4, shared noise (r = .5)": replace(choice, shared_noise=0.5),
        "student no better, runs differ by 2 points": pair(Model(0.60, run_sd=0.02), Model(0.60, run_sd=0.02)),
        "student no better, runs good at different kinds (20)": replace(level_pair, kinds=20),
        "the same, 6 kinds": replace(level_pair, kinds=6),
        "collapsed control (.05)": pair(Model(0.05), Model(0.75)),
        "collapsed control (.05, 90% unparsed)": pair(Model(0.05, unparsed=0.9), Model(0.75)),
    }


def reality(plan: Plan) -> Table:
    """What varies in reality beyond items, and whether the statement still holds."""
    rows = []
    for place, (name, population) in enumerate(realistic().items()):
        studies, each = measured(population, plan, (BEYOND, MATCHED), (2, place))
        headline = over_control(each, BEYOND)
        matched = matched_control(each)
        exact = not (population.options or population.mistakes or population.shared_noise)
        truths = [[100 * excess_of_runs(population, s, who) for who in ("student", "control")] for s in studies]
        own = headline.covers(np.array([student - control for student, control in truths])) if exact else "-"
        rows.append(
            (
                *(name, headline.above(0.05), headline.below(), Bias(headline.values, 0.5), own),
                *(matched.above(0.05), matched.below(), Bias(matched.values, 0.5)),
            )
        )
    head = ("setting", "headline above 0", "below 0", "bias", "interval holds these checkpoints' own value")
    return Table("reality", (*head, "beyond matched control above 0", "below 0", "bias"), tuple(rows))


def power(plan: Plan) -> Table:
    """A student that copies its teacher on a random fifth of the items."""
    rows = []
    places = [(a, t, sd) for a in range(2) for t in TEACHERS for sd in SDS]
    for place, (kind, teacher, sd) in enumerate(places):
        answers, options = [*ANSWERS.items()][kind]
        population = setting(teacher, sd, options, copied=0.2)
        _, each = measured(population, plan, (BEYOND, MATCHED), (3, place))
        headline = over_control(each, BEYOND)
        matched = matched_control(each)
        error = np.nanmedian(headline.high - headline.low) / (2 * 1.95996)
        needed = int(np.ceil(1000 * (Z_SUM * error / headline.values.mean()) ** 2 / 50) * 50)
        large = replace(population, items=needed)
        checked = over_control(measured(large, plan, (BEYOND,), (4, place), 500)[1], BEYOND)
        demanded = 0.95 if teacher < 0.9 and not options else nan
        rows.append(
            (
                *(answers, f"{teacher:.2f}", f"{sd:g}", f"{headline.values.mean():.1f}"),
                *(headline.above(least=demanded), matched.above(), f"{needed:,}", checked.above()),
            )
        )
    head = ("answers", "teacher", "SD", "mean headline (points)", "found at 1,000 items", "beyond matched control")
    return Table("power", (*head, "items for a power of .80", "power at those"), tuple(rows))


def ceiling(plan: Plan) -> Table:
    """A perfect copy, a partial one and an independent student under both ceilings."""
    rows = []
    for place, (teacher, sd) in enumerate([(t, sd) for t in TEACHERS for sd in (0.0, 2.0)]):
        models = {
            "student": Model(CONTROL + 0.15),
            "control": Model(CONTROL),
            "fifth": Model(CONTROL, copied=0.2),
            "copy": Model(CONTROL, copied=1.0),
            "again": Model(teacher, copied=0.6),
        }
        population = Population(Model(teacher), models, difficulty_sd=sd)
        _, each = measured(population, plan, (BEYOND,), (5, place), 500)
        scores = [
            {
                (who, end): normalise(one[who][BEYOND], one["control"][BEYOND], one[end][BEYOND], 1)
                for who in ("student", "fifth", "copy")
                for end in ("copy", "again")
            }
            for one in each
        ]
        identical = sum(score["copy", "copy"].value == 1.0 for score in scores)
        above = {
            who: sum(s[who, "again"].reason == ABOVE_CEILING for s in scores) for who in ("copy", "fifth", "student")
        }
        place_of = np.nanmean([score["copy", "again"].value for score in scores])
        rows.append(
            (
                *(f"{teacher:.2f}", f"{sd:g}", Rate(identical, len(scores), least=1.0), f"{place_of:.2f}"),
                *(Rate(above["copy"], len(scores), least=0.99), Rate(above["fifth"], len(scores), 0.05)),
                Rate(above["student"], len(scores), 0.05),
            )
        )
    head = ("teacher", "SD", "perfect copy at 1 under identity", "its mean score under a second seed")
    told = ("copy called above the second seed", "20% copier called above", "independent student called above")
    return Table("ceiling", (*head, *told), tuple(rows))


def inherited(plan: Plan) -> Table:
    """Same wrong answers among items both have wrong, minus the control's."""
    rows = []
    kinds = {
        "free, common mistakes .3": (0, 0.3, 0.0),
        "choice of 4": (4, 0.0, 0.0),
        "choice, attractive": (4, 0.0, 0.5),
    }
    places = [(kind, t, sd, g) for kind in kinds for t in TEACHERS for sd in (0.0, 2.0) for g in (0.0, 0.15)]
    for place, (kind, teacher, sd, gain) in enumerate(places):
        options, mistakes, popular = kinds[kind]
        others = {"mistakes": mistakes, "popular": popular}
        found = over_control(
            measured(setting(teacher, sd, options, gain, **others), plan, (INHERITED,), (6, place))[1], INHERITED
        )
        copier = setting(teacher, sd, options, gain, copied=0.2, **others)
        copied = over_control(measured(copier, plan, (INHERITED,), (7, place), 500)[1], INHERITED)
        rows.append(
            (
                *(kind, f"{teacher:.2f}", f"{sd:g}", f"+{100 * gain:.0f}"),
                *(found.above(0.05), found.below(0.05), Bias(found.values), copied.above()),
            )
        )
    head = ("answers", "teacher", "SD", "gain", "above 0", "below 0", "bias", "20% copier found")
    return Table("inherited", head, tuple(rows))


def _copied_for(difference: float, teacher: float, sd: float, accuracy: float) -> float:
    """By how much a student copies more that is so much more faithful, both as fractions.

    With free answers a share q of copies gives ``q (1 - a^2 - cov)`` beyond accuracy and what difficulty gives.
    """
    difficulty = difficulties("normal", sd)
    own, taught = (expit(logit_of("normal", sd, share) + difficulty) for share in (accuracy, teacher))
    covariance = float((own * taught).mean() - accuracy * teacher)
    return difference / (1 - teacher**2 - covariance)


def two_methods(plan: Plan) -> Table:
    """Two students compared: nothing between them, and the first at the margin."""
    rows = []
    margin = 2.0
    for place, (teacher, sd) in enumerate([(t, sd) for t in TEACHERS for sd in SDS]):
        less = _copied_for(margin / 100, teacher, sd, CONTROL)
        pairs = {
            "equal": (Model(CONTROL, copied=0.4), Model(CONTROL, copied=0.4)),
            "margin": (Model(CONTROL, copied=0.4 - less), Model(CONTROL, copied=0.4)),
            "better": (Model(CONTROL + 0.15, copied=0.4), Model(CONTROL, copied=0.4)),
        }
        found = {}
        for number, (name, (first, second)) in enumerate(pairs.items()):
            population = Population(Model(teacher), {"student": first, "control": second}, difficulty_sd=sd)
            _, each = measured(population, plan, (BEYOND,), (8, place, number))
            found[name] = [
                compare_fidelity(e["student"][BEYOND], e["control"][BEYOND], margin=margin / 100) for e in each
            ]
        rows.append(
            (
                *(f"{teacher:.2f}", f"{sd:g}", _share([f.p_value < 0.05 for f in found["equal"]], 0.06)),
                _share([f.p_noninferiority < 0.05 for f in found["margin"]], 0.06),
                _share([f.p_noninferiority < 0.05 for f in found["equal"]]),
                _share([f.p_value < 0.05 for f in found["better"]]),
                Bias(100 * np.array([f.difference for f in found["better"]])),
            )
        )
    head = (
        "teacher",
        "SD",
        "two-sided test, equal students",
        "non-inferiority at the margin",
        "non-inferiority, equal",
    )
    return Table(
        "methods", (*head, "two-sided, equal copying, one 15 points better", "its mean difference"), tuple(rows)
    )


def _share(outcomes: Sequence[bool], most: float = nan) -> Rate:
    return Rate(sum(outcomes), len(outcomes), most)


def gate(plan: Plan) -> Table:
    """The normalised score, given that it is shown: second-seed ceilings that are hardly beyond the control."""
    rows = []
    places = [(shared, part) for shared in (0.03, 0.06, 0.1, 0.2, 0.5) for part in (0.0, 0.5, 1.0)]
    for place, (shared, part) in enumerate(places):
        models = {
            "student": Model(CONTROL, copied=shared * part),
            "control": Model(CONTROL),
            "again": Model(CONTROL, copied=shared),
        }
        population = Population(Model(0.81), models, difficulty_sd=1.0)
        _, each = measured(population, plan, (BEYOND,), (9, place))
        parts = [[one[who][BEYOND] for who in ("student", "control", "again")] for one in each]
        scores = [normalise(*own, 1) for own in parts]
        shown = [s for s in scores if np.isfinite(s.value)]
        within = _share([s.low <= part <= s.high for s in shown], nan)
        old = [limits(combine(_score, *own)) for own, s in zip(parts, scores, strict=True) if np.isfinite(s.value)]
        bca = _share([low <= part <= high for low, high in old])
        often = len(shown) >= len(scores) / 2
        within = replace(within, least=0.94) if often else within
        shares = (_share([np.isfinite(s.value) for s in scores]), within, bca)
        rows.append((f"{shared:g}", f"{part:g}", *shares, _bias_of(shown, part)))
    head = ("ceiling copies", "true score", "shown", "Fieller's interval holds it, given shown")
    return Table("gate", (*head, "BCa of the quotient, given shown", "bias, given shown"), tuple(rows))


def _bias_of(shown: Sequence[Normalised], truth: float) -> str:
    """Mean error of the scores that were shown, and the median half of their intervals."""
    if not shown:
        return "-"
    error = np.mean([score.value for score in shown]) - truth
    return f"{error:+.2f} (half-width {np.median([(score.high - score.low) / 2 for score in shown]):.2f})"


def _score(found: Array, control: Array, again: Array) -> Array:
    return ratio(found - control, again - control)


TABLES = {
    "level": level,
    "reality": reality,
    "power": power,
    "ceiling": ceiling,
    "inherited": inherited,
    "methods": two_methods,
    "gate": gate,
}


def simulate(names: Sequence[str], studies: int, seed: int = 0) -> Iterator[Table]:
    """The tables of these names."""
    for name in names:
        start = time.perf_counter()
        table = TABLES[name](Plan(studies, seed))
        print(f"{name}: {time.perf_counter() - start:.0f} s, {len(table.failures)} rows beyond a bar", flush=True)
        yield table


def main(arguments: Sequence[str] | None = None) -> None:
    """Simulate, print, write."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--studies", type=int, default=2000, help="of each setting (default: 2000)")
    parser.add_argument("--only", default=",".join(TABLES), help="tables, separated by commas")
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--out", type=Path, help="Markdown file to write the page to; needs all tables")
    parsed = parser.parse_args(arguments)
    found = {table.name: table.markdown() for table in simulate(parsed.only.split(","), parsed.studies, parsed.seed)}
    print("\n\n".join(found.values()))
    if parsed.out is not None:
        parsed.out.write_text(page(found, parsed.studies, parsed.seed), encoding="utf-8")


if __name__ == "__main__":
    main()
