"""Do differences with training runs random hold their level, their coverage and their power? Studies with known truth.

    python benchmarks/simulate_runs.py                                    # 2,000 studies a setting, some ten minutes
    python benchmarks/simulate_runs.py --studies 200 --parts equal,power  # some of it
    python benchmarks/simulate_runs.py --out docs/simulated_runs.md

Most studies are drawn as sufficient statistics: the means of all runs, and the error from items of each difference.
That is all the estimator sees (`kdscope.statistics.run_variance`), so that thousands of studies take seconds. `whole`
draws item records and sends them, and the table of their accuracies, through the whole protocols.
"""

from __future__ import annotations

import argparse
import itertools
import math
import time
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ProcessPoolExecutor
from dataclasses import dataclass, field, replace
from pathlib import Path

import numpy as np
from numpy.typing import NDArray
from simulated_studies import Layout, run_verdicts

from kdscope.statistics.effects import tost_of_estimate
from kdscope.statistics.estimates import Estimate, t_estimate
from kdscope.statistics.paired import wilson_interval
from kdscope.statistics.planning import Noise, Runs, detectable_by_normal, detectable_over_runs
from kdscope.statistics.run_variance import RunDesign, with_runs

Array = NDArray[np.float64]
NOISE = Noise()
MARGIN = 2.0
"""Of equivalence, in points."""
QUESTIONS = ("student", "cell", "method")


@dataclass(frozen=True)
class Setting:
    """One kind of study.

    Attributes:
        students: students that were trained.
        seeds: runs of every setting.
        run_sd: standard deviation between runs in points.
        items: items of the test.
        methods: distilled settings of every student.
        control_seeds: runs of the control; as ``seeds`` where None.
        missing: whose control has fewer runs: the first student's, or all of them.
        control_factor: how much noisier the control is.
        student_factor: how much noisier the first student is, of which the questions are.
        method_factor: how much noisier the second method is; the questions are about the first.
        shared: part of the run variance that all runs of one student and seed share.
    """

    students: int = 2
    seeds: int = 3
    run_sd: float = 2.0
    items: int = 600
    methods: int = 4
    control_seeds: int | None = None
    missing: str = "all"
    control_factor: float = 1.0
    student_factor: float = 1.0
    method_factor: float = 1.0
    shared: float = 0.0


@dataclass
class Found:
    """What the studies of a setting came to, by question."""

    studies: int
    rejected: dict[str, int] = field(default_factory=dict)
    declined: dict[str, int] = field(default_factory=dict)
    equivalent: int = 0
    widths: dict[str, list[float]] = field(default_factory=dict)

    def width(self, question: str) -> float:
        """Median width of the interval; infinite where most studies decline."""
        known = self.widths.get(question, [])
        return float(np.median([*known, *[math.inf] * (self.studies - len(known))]))


class Drawn:
    """Studies of a setting, without any effect."""

    def __init__(self, setting: Setting) -> None:
        self.setting = setting
        rows = list(_rows(setting))
        self.student, self.method, seed = (np.array(column) for column in zip(*rows, strict=True))
        self.design = RunDesign(self.student.tolist(), self.method.tolist(), self.method == 0, seed.tolist())
        keys = list(dict.fromkeys(zip(self.student, seed, strict=True)))
        self.pair = np.array([keys.index(key) for key in zip(self.student, seed, strict=True)])
        factor = np.where(self.method == 0, setting.control_factor, 1.0)
        factor = factor * np.where(self.student == 0, setting.student_factor, 1.0)
        self.sd = setting.run_sd * factor * np.where(self.method == 2, setting.method_factor, 1.0)
        self.single = 1e4 * NOISE.discordance * NOISE.repeated / 2 / setting.items
        self.lasting = 1e4 * NOISE.discordance * (1 - NOISE.repeated) / 2 / setting.items
        self.residuals = {s: np.eye(len(block.rows)) * self.single for s, block in enumerate(self.design.blocks)}
        self.questions = dict(zip(QUESTIONS, (self._gain(), self._cell(), self._contrast()), strict=True))

    def estimates(self, generator: np.random.Generator) -> dict[str, Estimate]:
        """The estimate of every question in one study."""
        own, shared = generator.normal(size=len(self.sd)), generator.normal(size=self.pair.max() + 1)[self.pair]
        run = self.sd * (math.sqrt(1 - self.setting.shared) * own + math.sqrt(self.setting.shared) * shared)
        lasting = generator.normal(0, math.sqrt(self.lasting), (self.setting.students, self.setting.methods + 1))
        y = run + generator.normal(0, math.sqrt(self.single), len(run)) + lasting[self.student, self.method]
        components = self.design.components(y, self.residuals)
        return {
            name: with_runs(self._items(weights, y, generator), components.share(weights))
            for name, weights in self.questions.items()
        }

    def _items(self, weights: Array, y: Array, generator: np.random.Generator) -> Estimate:
        n = self.setting.items
        by_arm = np.zeros((self.setting.students, self.setting.methods + 1))
        np.add.at(by_arm, (self.student, self.method), weights)
        variance = float(np.sum(by_arm**2)) * self.lasting + float(np.sum(weights**2)) * self.single
        error = math.sqrt(variance * generator.chisquare(n - 1) / (n - 1))
        return Estimate(float(weights @ y), error, n - 1, math.nan, math.nan, math.nan, n)

    def _mean(self, student: int, method: int) -> Array:
        own = (self.student == student) & (self.method == method)
        return own / own.sum()

    def _gain(self) -> Array:
        methods = range(1, self.setting.methods + 1)
        return np.asarray(np.mean([self._mean(0, m) for m in methods], axis=0) - self._mean(0, 0))

    def _cell(self) -> Array:
        return self._mean(0, 1) - self._mean(0, 0)

    def _contrast(self) -> Array:
        students = range(self.setting.students)
        return np.asarray(
            np.mean([self._mean(s, 1) - self._mean(s, min(2, self.setting.methods)) for s in students], 0)
        )


def _rows(setting: Setting) -> Iterator[tuple[int, int, int]]:
    for student in range(setting.students):
        for method in range(setting.methods + 1):
            fewer = method == 0 and setting.control_seeds is not None and (setting.missing == "all" or student == 0)
            for seed in range(int(setting.control_seeds or 0) if fewer else setting.seeds):
                yield student, method, seed


def simulate(setting: Setting, studies: int, seed: int = 0) -> Found:
    """Rates of one setting; the same seed gives the same ones, whatever else is simulated."""
    drawn, found = Drawn(setting), Found(studies)
    for number in range(studies):
        for name, one in drawn.estimates(np.random.default_rng([seed, number])).items():
            if math.isnan(one.p_value):
                found.declined[name] = found.declined.get(name, 0) + 1
                continue
            found.rejected[name] = found.rejected.get(name, 0) + (one.p_value < 0.05)
            found.widths.setdefault(name, []).append(one.high - one.low)
            if name == "method":  # the same study with a true difference of exactly the margin
                moved = t_estimate(one.value + MARGIN, one.stderr, one.df, one.n)
                found.equivalent += tost_of_estimate(moved, MARGIN).equivalent
    return found


def simulate_power(setting: Setting, studies: int, seed: int = 0) -> tuple[float, int]:
    """The detectable gain that a plan prints for the setting, and in how many studies with that gain it is found."""
    runs = Runs(setting.seeds, setting.methods, setting.students)
    least = detectable_over_runs(setting.items, replace(NOISE, run_sd=setting.run_sd), runs)
    drawn, hits = Drawn(setting), 0
    for number in range(studies):
        one = drawn.estimates(np.random.default_rng([seed, 1, number]))["student"]
        hits += t_estimate(one.value + least, one.stderr, one.df, one.n).p_value < 0.05
    return least, hits


def simulate_checkpoints(items: int, run_sd: float, gain: float, studies: int, seed: int = 0) -> tuple[int, int]:
    """One seed, items alone: how often the test of two checkpoints rejects no method effect, and a gain of theirs."""
    generator = np.random.default_rng([seed, 2, items])
    error = math.sqrt(NOISE.discordance / items)
    luck = generator.normal(0, run_sd * math.sqrt(2), studies) / 100
    noise = generator.normal(0, error, studies)
    rejected = np.abs(luck + noise) > 1.959964 * error
    return int(rejected.sum()), int((np.abs(gain / 100 + noise) > 1.959964 * error).sum())


# --- parts of the page ------------------------------------------------------------------------------------------------


def part_equal(studies: int, pool: ProcessPoolExecutor) -> str:
    """Equal runs: the full factorial."""
    settings = [
        Setting(students, seeds, run_sd, items)
        for students in (1, 2, 3)
        for seeds in (2, 3, 5)
        for run_sd in (0.0, 2.0, 4.0)
        for items in (600, 5000)
    ]
    found = list(pool.map(simulate, settings, [studies] * len(settings)))
    rows = [
        [str(s.students), str(s.seeds), f"{s.run_sd:g}", f"{s.items:,}", *_levels(f), f"{f.width('student'):.1f}"]
        for s, f in zip(settings, found, strict=True)
    ]
    head = ["students", "seeds", "run SD", "items", *_LEVELS, "median width, gain"]
    note = (
        f"Level of each test at 5%, no effect (its complement is the coverage of the 95% interval), and how often two "
        f"methods that differ by exactly the margin of {MARGIN:g} points are called equivalent. Four methods."
    )
    return f"## Equal runs\n\n{note}\n\n{_table(head, rows)}\n\n{_verdict(found)}\n"


def part_unequal(studies: int, pool: ProcessPoolExecutor) -> str:
    """Unequal runs, unequal noise: one factor at a time."""
    settings: list[tuple[str, Setting, bool]] = []
    for students in (1, 2, 3):
        base = Setting(students)
        for seeds, control in ((5, 4), (3, 2), (2, 1)):
            for missing in ("all", "one")[: 1 + (students > 1)]:
                told = f"{seeds}+{control} runs" + (f", {missing} controls" if students > 1 else "")
                settings.append((told, replace(base, seeds=seeds, control_seeds=control, missing=missing), True))
        changes: list[tuple[str, dict[str, float], bool, tuple[int, ...]]] = [
            ("SFT twice as noisy", {"control_factor": 2.0}, True, (2, 3, 5)),
            ("runs paired, half of it shared", {"shared": 0.5}, True, (3, 5)),
            ("another method collapses (SD x 8)", {"method_factor": 8.0}, False, (3, 5)),
        ]
        if students > 1:
            changes.append(("this student twice as noisy as the others", {"student_factor": 2.0}, False, (2, 3, 5)))
        settings += [
            (f"{told}, {seeds} seeds", replace(base, seeds=seeds, **change), counts)
            for told, change, counts, several in changes
            for seeds in several
        ]
    found = list(pool.map(simulate, [s for _, s, _ in settings], [studies] * len(settings)))
    rows = [
        [
            told,
            str(s.students),
            *_levels(f),
            f"{f.width('student'):.1f}",
            f"{100 * f.declined.get('student', 0) / studies:.0f}%",
        ]
        for (told, s, _), f in zip(settings, found, strict=True)
    ]
    head = ["setting", "students", *_LEVELS, "median width, gain", "no claim"]
    counted = [f for (_, _, counts), f in zip(settings, found, strict=True) if counts]
    note = (
        "600 items, run SD 2. *No claim*: studies in which the run variance of a side cannot be estimated. Students of "
        "unequal noise and a method that collapses are there to be known: the components are pooled, and a student or "
        "a method leaves the pool only where its runs vary significantly more."
    )
    return f"## Unequal runs and unequal noise\n\n{note}\n\n{_table(head, rows)}\n\n{_verdict(counted)}\n"


def part_width(studies: int, pool: ProcessPoolExecutor) -> str:
    """Removing a run never narrows the interval."""
    rows = []
    for students in (1, 2, 3):
        steps = [(5, None), (5, 4), (4, None), (4, 3), (3, None), (3, 2), (2, None), (2, 1)]
        settings = [Setting(students, seeds, control_seeds=control, missing="one") for seeds, control in steps]
        widths = [one.width("student") for one in pool.map(simulate, settings, [studies] * len(settings))]
        never = all(later >= 0.98 * earlier for earlier, later in itertools.pairwise(widths))
        rows.append([str(students), *(f"{width:.1f}" for width in widths), "yes" if never else "NO"])
    head = ["students", *("5+5", "5+4", "4+4", "4+3", "3+3", "3+2", "2+2", "2+1"), "never narrower"]
    return (
        "## Fewer runs, wider intervals\n\nMedian width of a student's gain in points (four methods, 600 items, run SD "
        f"2), distilled + control runs; the first student alone lacks runs.\n\n{_table(head, rows)}\n"
    )


def part_power(studies: int, pool: ProcessPoolExecutor) -> str:
    """Power at the detectable gain that `kdscope plan` prints."""
    settings = [Setting(students, seeds) for students in (1, 2, 3) for seeds in (2, 3, 5)]
    rows = []
    for setting, (least, hits) in zip(
        settings, pool.map(simulate_power, settings, [studies] * len(settings)), strict=True
    ):
        rows.append([str(setting.students), str(setting.seeds), f"{least:.1f}", _rate(hits, studies)])
    least = 100 * detectable_by_normal(600, NOISE.discordance)
    rows.append(
        ["two checkpoints", "1", f"{least:.1f}", _rate(simulate_checkpoints(600, 0.0, least, studies)[1], studies)]
    )
    return (
        "## Power at the printed detectable gain\n\nStudies with a true gain of exactly what `kdscope plan` prints (80"
        f"% power; 600 items, four methods, run SD 2).\n\n{_table(['students', 'seeds', 'gain', 'power'], rows)}\n"
    )


def part_single(studies: int, pool: ProcessPoolExecutor) -> str:
    """One seed claims nothing of a method."""
    del pool
    rows = []
    for items in (600, 5000):
        rejected, _ = simulate_checkpoints(items, 2.0, 0.0, studies)
        rows.append([f"{items:,}", _rate(rejected, studies), _rate(0, studies)])
    head = ["items", "two checkpoints differ (p < .05)", "claims about a method"]
    return (
        "## One seed\n\nNo effect of the method, run SD 2. The checkpoints do differ, by their luck; what is said is "
        f"said of them, and nothing of the method.\n\n{_table(head, rows)}\n"
    )


def part_whole(studies: int, pool: ProcessPoolExecutor) -> str:
    """Whole studies through both protocols."""
    count = min(studies, 200)
    rows = []
    layout = Layout(tasks=4, items=150, seeds=3, run_sd=2.0)
    noise = replace(NOISE, discordance=layout.discordance, repeated=layout.repeated, run_sd=2.0)
    least = detectable_over_runs(600, noise, Runs(3, 4, 3))
    single = replace(layout, seeds=1)
    for told, used, gain in (
        ("3 seeds, no effect", layout, 0.0),
        (f"3 seeds, a gain of {least:.1f} points", layout, least),
        ("1 seed, no effect", single, 0.0),
    ):
        numbers = range(count)
        found = list(pool.map(run_verdicts, [used] * count, [gain] * count, numbers, chunksize=5))
        first = sum(one["records"] for one in found)
        same = sum(one["same"] for one in found)
        rows.append([told, _rate(first, count), _rate(sum(one["table"] for one in found), count), _rate(same, count)])
    head = ["study", "records: gain of the first student found", "table: the same", "same verdict"]
    return (
        f"## Whole studies\n\n{count} studies each, of three students, four methods and 600 items, as item records "
        "through `rigorous_records` and as their table of accuracies through `rigorous_protocol`; p < .05 of the first "
        f"student's gain, claims about the method only.\n\n{_table(head, rows)}\n"
    )


PARTS: dict[str, Callable[[int, ProcessPoolExecutor], str]] = {
    "equal": part_equal,
    "unequal": part_unequal,
    "width": part_width,
    "power": part_power,
    "single": part_single,
    "whole": part_whole,
}
_LEVELS = ("gain of a student", "cell", "method", "false equivalence")


def _levels(found: Found) -> list[str]:
    shown = []
    for name in QUESTIONS:
        answered = found.studies - found.declined.get(name, 0)
        shown.append(_rate(found.rejected.get(name, 0), answered))
    return [*shown, _rate(found.equivalent, found.studies - found.declined.get("method", 0))]


def _rate(count: int, of: int) -> str:
    if of == 0:
        return "-"
    low, high = wilson_interval(count, of)
    return f"{100 * count / of:.1f}% [{100 * low:.1f}, {100 * high:.1f}]"


def _verdict(found: Sequence[Found]) -> str:
    """Whether any level lies above 6% with its whole Monte Carlo interval."""
    above, tried = 0, 0
    for one in found:
        counts = [(one.rejected.get(name, 0), one.studies - one.declined.get(name, 0)) for name in QUESTIONS]
        counts.append((one.equivalent, one.studies - one.declined.get("method", 0)))
        for count, of in counts:
            if of:
                tried += 1
                above += wilson_interval(count, of)[0] > 0.06
    return f"Of {tried} rates {above} lie above 6% with their whole 95% Monte Carlo interval."


def _table(head: Sequence[str], rows: Sequence[Sequence[str]]) -> str:
    return "\n".join(f"| {' | '.join(row)} |" for row in (head, ["---"] * len(head), *rows))


def main(arguments: Sequence[str] | None = None) -> None:
    """Simulate, print, write."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--studies", type=int, default=2000, help="of each setting (default: 2000)")
    parser.add_argument("--parts", default=",".join(PARTS), help="parts, separated by commas")
    parser.add_argument("--processes", type=int, default=2)
    parser.add_argument("--out", type=Path, help="Markdown file to write")
    parsed = parser.parse_args(arguments)
    told = []
    with ProcessPoolExecutor(parsed.processes) as pool:
        for name in parsed.parts.split(","):
            start = time.perf_counter()
            told.append(PARTS[name](parsed.studies, pool))
            print(f"{name}: {time.perf_counter() - start:.0f} s\n\n{told[-1]}", flush=True)
    if parsed.out is not None:
        parsed.out.write_text(page(told, parsed.studies), encoding="utf-8")


def page(parts: Sequence[str], studies: int) -> str:
    """The tables with what a reader must know of them."""
    body = "\n".join(parts)
    return f"""# Training runs as part of every interval: does it hold?

Written by `python benchmarks/simulate_runs.py --studies {studies} --out FILE`. Studies with known truth, by the
functions that `kdscope run` and `kdscope analyze` use. Runs of one setting vary with a standard deviation of *run SD*
points; two single models differ on {NOISE.discordance:.0%} of the items, {NOISE.repeated:.0%} of which two runs of one
setting show as well. In brackets the 95% interval of the simulation. A level passes unless that interval lies wholly
above 6%.

{body}"""


if __name__ == "__main__":
    main()
