"""Item records of a teacher, a control and students, simulated; and what the product says about them.

Shapes: S studies, n items, C cells (kinds of items that contribute alike). An item is what the models made of it:
whether the teacher is right, and whether each other model is right, wrong as the teacher, wrong otherwise or unparsed.
There are few such cells, so that drawing items with replacement is one multinomial draw of their counts: the bootstrap
of `kdscope.fidelity.bootstrap.resample`, in a hundredth of its time. Everything else is the product's own code.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import cache

import numpy as np
from numpy.typing import NDArray
from scipy.optimize import brentq
from scipy.special import expit, ndtr, ndtri

from kdscope.fidelity.agreement import pair_answers
from kdscope.fidelity.bootstrap import ResampledSums, ResampledValue, estimate, join_columns
from kdscope.fidelity.controls import COLUMNS, agreement_beyond_matched_control
from kdscope.fidelity.measures import columns

Array = NDArray[np.float64]
Answers = NDArray[np.int64]
UNPARSED, RIGHT, MISTAKE = -1, 0, 1
MATCHED = "agreement_beyond_matched_control"
_STATES = 4  # of a model that is no teacher: right, wrong as the teacher, wrong otherwise, unparsed


@dataclass(frozen=True)
class Model:
    """How a model answers.

    Attributes:
        accuracy: share of items it has right by itself, over all items and runs.
        copied: share of items on which it gives the teacher's answer instead.
        unparsed: share of its own answers that cannot be read; they are wrong.
        run_sd: standard deviation of its accuracy over training runs.
    """

    accuracy: float
    copied: float = 0.0
    unparsed: float = 0.0
    run_sd: float = 0.0


@dataclass(frozen=True)
class Population:
    """Items, a teacher and the models beside it.

    Attributes:
        teacher: the teacher.
        models: the others by name.
        difficulty_sd: of items, shared by all models, on the logit scale.
        options: of a choice; 0: free answers, where wrong answers differ unless they are an item's common mistake.
        mistakes: share of wrong free answers that are the item's common mistake.
        popular: for choices, share of wrong answers that are the item's most attractive wrong option.
        items: n.
        shape: of difficulty: normal, skewed (an exponential tail of hard items) or two kinds of items.
        shared_noise: correlation of the models' own noise with each other (not with the teacher's): the same start and
            data. Two models that are wrong then give the same wrong answer in that share of cases.
        kinds: kinds of items, in each of which every training run, the teacher's too, is better or worse by a logit of
            its own (standard deviation .5); 0: none.
    """

    teacher: Model
    models: Mapping[str, Model]
    difficulty_sd: float = 0.0
    options: int = 0
    mistakes: float = 0.0
    popular: float = 0.0
    items: int = 1000
    shape: str = "normal"
    shared_noise: float = 0.0
    kinds: int = 0


@dataclass(frozen=True)
class Study:
    """One simulated study: the cells its items fall into, and how many fall into each.

    Attributes:
        names: of the models beside the teacher.
        cells: the answers of teacher and models that stand for a cell, shape [1 + models, C].
        counts: items of each cell, shape [C].
        runs: the logit of each model, the teacher's too, in each kind of items, at mean difficulty.
    """

    names: tuple[str, ...]
    cells: Answers
    counts: Array
    runs: Mapping[str, Array]


def simulate_studies(population: Population, studies: int, generator: np.random.Generator) -> list[Study]:
    """Independent studies: other items, other training runs."""
    runs = _runs(population, studies, generator)
    teacher, others = simulate_answers(population, runs, generator)
    codes = np.stack([teacher != RIGHT, *(_states(teacher, own) for own in others.values())])
    base = _STATES ** np.arange(len(others))[::-1]
    number = codes[0] * _STATES ** len(others) + np.tensordot(base, codes[1:], axes=1)
    found = []
    for study, row in enumerate(number):
        cells, counts = np.unique(row, return_counts=True)
        own = {name: logits[study] for name, logits in runs.items()}
        found.append(Study(tuple(others), _representatives(cells, len(others)), counts.astype(float), own))
    return found


def excess_of_runs(population: Population, study: Study, name: str) -> float:
    """What a model of this study has of agreement beyond accuracy over all items there could be: difficulty alone.

    For free answers without common mistakes and models that copy nothing: the covariance of being right.
    """
    difficulty = difficulties(population.shape, population.difficulty_sd)
    teacher, own = (expit(study.runs[who][:, np.newaxis] + difficulty) for who in ("teacher", name))
    own = own * (1 - population.models[name].unparsed)
    return float((teacher * own).mean() - teacher.mean() * own.mean())


def simulate_answers(
    population: Population, runs: Mapping[str, Array], generator: np.random.Generator
) -> tuple[Answers, dict[str, Answers]]:
    """The teacher's answers and the other models', each of shape [S, n]; the right answer is 0."""
    shape = (len(runs["teacher"]), population.items)
    difficulty = _difficulty(population.shape, population.difficulty_sd, generator.random(shape))
    shared = generator.normal(size=shape)
    copied_wrong = generator.random(shape) < population.shared_noise
    lent = _wrong(population, 2, shape, generator)
    right = generator.random(shape) < _chances(runs["teacher"], difficulty)
    teacher = np.where(right, RIGHT, _wrong(population, 3, shape, generator))
    others = {}
    for number, (name, model) in enumerate(population.models.items()):
        noise = generator.normal(size=shape)
        rho = population.shared_noise
        level = ndtr(np.sqrt(rho) * shared + np.sqrt(1 - rho) * noise)
        wrong = np.where(copied_wrong, lent, _wrong(population, 4 + number, shape, generator))
        own = np.where(level < _chances(runs[name], difficulty), RIGHT, wrong)
        own = np.where(generator.random(shape) < model.unparsed, UNPARSED, own)
        others[name] = np.where(generator.random(shape) < model.copied, teacher, own)
    return teacher, others


def estimates(
    study: Study, draws: int, options: int, wanted: Sequence[str], generator: np.random.Generator
) -> dict[str, dict[str, ResampledValue]]:
    """The measures that are wanted of every model against the teacher, resampled together.

    `MATCHED`: of a student beside a control, its agreement beyond that of a matched control.
    """
    items = study.counts.sum()
    drawn = generator.multinomial(int(items), study.counts / items, size=draws).astype(float)
    needed = {*wanted, *(key for _, key in COLUMNS if MATCHED in wanted)} - {MATCHED}
    teacher = study.cells[0]
    sums: dict[str, dict[str, ResampledSums]] = {}
    found: dict[str, dict[str, ResampledValue]] = {}
    for name, own in zip(study.names, study.cells[1:], strict=True):
        chance = 1 / options if options else 0.0
        pairing = pair_answers(teacher, own, teacher == RIGHT, own == RIGHT, chance=chance)
        each = pairing.paired()
        places = zip(pairing.measures, columns(pairing.measures), strict=True)
        kept = {measure.name: (measure, place) for measure, place in places if measure.name in needed}
        sums[name] = {key: _resampled(each[:, place], study.counts, drawn) for key, (_, place) in kept.items()}
        found[name] = {key: estimate([kept[key][0]], [sums[name][key]]) for key in wanted if key != MATCHED}
    if MATCHED in wanted:
        together = [join_columns([sums[role][key] for role, key in COLUMNS])]
        found["student"][MATCHED] = agreement_beyond_matched_control(together)
    return {who: {key: _every_item(one, study.counts) for key, one in own.items()} for who, own in found.items()}


def _resampled(each: Array, counts: Array, drawn: Array) -> ResampledSums:
    total = counts @ each
    return ResampledSums(total, drawn @ each, total - each)


def _every_item(found: ResampledValue, counts: Array) -> ResampledValue:
    """The jackknife over items from that over cells."""
    return ResampledValue(found.value, found.draws, np.repeat(found.left_out, counts.astype(int)))


def _runs(population: Population, studies: int, generator: np.random.Generator) -> dict[str, Array]:
    """Logits at mean difficulty of each model's training run, shape [S, kinds]."""
    found = {}
    for name, model in {"teacher": population.teacher, **population.models}.items():
        accuracy = (model.accuracy + model.run_sd * generator.normal(size=(studies, 1))) / (1 - model.unparsed)
        logit = logit_of(population.shape, population.difficulty_sd, accuracy)
        profile = generator.normal(0, 0.5, (studies, population.kinds)) if population.kinds else np.zeros((studies, 1))
        found[name] = logit + profile
    return found


def _chances(runs: Array, difficulty: Array) -> Array:
    """To be right, item by item, shape [S, n]; items are of each kind in turn."""
    items = difficulty.shape[1]
    return np.asarray(expit(runs[:, np.arange(items) % runs.shape[1]] + difficulty))


def _wrong(population: Population, owner: int, shape: tuple[int, int], generator: np.random.Generator) -> Answers:
    """A wrong answer to each item: a wrong option, the item's common mistake, or one that only this model gives."""
    if population.options:
        others = generator.integers(1, population.options, shape)
        return np.where(generator.random(shape) < population.popular, MISTAKE, others)
    return np.where(generator.random(shape) < population.mistakes, MISTAKE, 100 + owner)


def _states(teacher: Answers, own: Answers) -> Answers:
    """0 right, 1 wrong as the teacher, 2 wrong otherwise, 3 unparsed."""
    wrong = np.where(own == UNPARSED, 3, np.where((own == teacher) & (teacher != UNPARSED), 1, 2))
    return np.where(own == RIGHT, 0, wrong)


def _representatives(cells: Answers, models: int) -> Answers:
    """Answers that stand for each cell: the teacher right (0) or wrong (1), a model right, as the teacher, or other."""
    answers = [cells // _STATES**models]
    for place in range(models)[::-1]:
        state = cells // _STATES**place % _STATES
        answers.append(np.choose(state, [RIGHT, MISTAKE, 2, UNPARSED]))
    return np.stack(answers)


def _difficulty(shape: str, sd: float, uniform: Array) -> Array:
    """Logits of items, standard deviation `sd`."""
    return sd * _standard(shape, uniform)


def _standard(shape: str, uniform: Array) -> Array:
    if shape == "skewed":
        return np.log(np.maximum(uniform, 1e-12)) + 1
    if shape == "two kinds":
        return np.where(uniform < 0.25, -np.sqrt(3), 1 / np.sqrt(3))
    return np.asarray(ndtri(np.clip(uniform, 1e-12, 1 - 1e-12)))


def difficulties(shape: str, sd: float) -> Array:
    """All items there could be, as 2,000 of equal weight."""
    return _difficulty(shape, sd, (np.arange(2000) + 0.5) / 2000)


def logit_of(shape: str, sd: float, accuracy: Array | float) -> Array:
    """The logit at mean difficulty of a model of this accuracy."""
    return np.interp(np.clip(accuracy, 0.001, 0.999), *_logits(shape, sd))


@cache
def _logits(shape: str, sd: float) -> tuple[Array, Array]:
    """Accuracies, and the logit at mean difficulty that gives each of them."""
    difficulty = difficulties(shape, sd)
    grid = np.concatenate([np.linspace(0.0005, 0.02, 20), np.linspace(0.025, 0.975, 96), np.linspace(0.98, 0.9995, 20)])
    logits = [brentq(lambda m, p=p: expit(m + difficulty).mean() - p, -40, 40) for p in grid]
    return grid, np.array(logits)
