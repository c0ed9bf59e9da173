"""A measure as sums over items, so that one bootstrap, one floor and one way of pooling serve every measure.

Shapes: n items, k columns of one measure, K columns of several measures, M measures.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace

import numpy as np
from numpy.typing import ArrayLike, NDArray

from kdscope.core.catalogue import Catalogue
from kdscope.core.errors import StatisticsError
from kdscope.results.measures import BOTH_RIGHT, MeasureEntry, describe_measure

Values = NDArray[np.float64]
Order = NDArray[np.intp]


def as_they_are(sums: Values) -> Values:
    """The identity: what most measures do with the sums of a task before tasks are added."""
    return sums


@dataclass(frozen=True, slots=True)
class Measure:
    """One number about paired answers, made from sums of what every item contributes.

    An item contributes `width` numbers, the first of which is 0 where it does not enter the measure. The value is
    ``score(sum over tasks of within(sum over the task's items))``.

    Attributes:
        name: its name in the catalogue, `kdscope.results.measures`.
        width: k, how many numbers an item contributes.
        score: from sums of shape [..., k'] to values of shape [...].
        within: from the sums of one task [..., k] to what is added over tasks [..., k'].
    """

    name: str
    width: int
    score: Callable[[Values], Values]
    within: Callable[[Values], Values] = as_they_are

    @property
    def entry(self) -> MeasureEntry:
        """Its entry in the catalogue."""
        return describe_measure(self.name)


@dataclass(frozen=True, slots=True)
class Pairing:
    """Two models' answers to the same items of one task, ready to be measured in any pairing.

    Attributes:
        items: n.
        measures: what is measured; their columns stand side by side, in this order.
        contributions: from an order [n] to contributions [n, K]: item i's teacher meets the student's item order[i].
    """

    items: int
    measures: tuple[Measure, ...]
    contributions: Callable[[Order], Values]

    def paired(self) -> Values:
        """The contributions of items that meet themselves, shape [n, K]."""
        return self.contributions(np.arange(self.items))


def mean_measure(name: str) -> Measure:
    """A weighted mean over items: every item contributes ``(weight, weight * value)``."""
    return Measure(name, 2, lambda sums: ratio(sums[..., 1], sums[..., 0]))


@dataclass(frozen=True, slots=True)
class ItemResponse:
    """The response of one model to one item.

    Attributes:
        answer: the answer that was read, None where there is none.
        text: the completion.
        correct: whether the answer is right.
    """

    answer: str | None
    text: str
    correct: bool


@dataclass(frozen=True, slots=True)
class ItemMeasure:
    """A measure of an extension: the mean over items of a function of both responses to an item.

    Attributes:
        name: of its entry in the catalogue.
        value: from the teacher's and the student's response; NaN where the item does not enter.
    """

    name: str
    value: Callable[[ItemResponse, ItemResponse], float]


ITEM_MEASURES: Catalogue[ItemMeasure] = Catalogue("fidelity measure", ())
"""What the fidelity table holds beside the built-in measures."""


def pair_responses(
    teacher: Sequence[ItemResponse], student: Sequence[ItemResponse], measures: Sequence[ItemMeasure]
) -> Pairing:
    """Measures that are functions of two responses, over the items where they are defined.

    Raises:
        StatisticsError: There are no responses, or their numbers differ.
    """
    n = len(teacher)
    if n == 0 or n != len(student):
        raise StatisticsError(f"responses must pair up: {len(student)} of the student, {n} of the teacher")

    def contributions(order: Order) -> Values:
        pairs = [(teacher[item], student[other]) for item, other in enumerate(order)]
        values = np.array([[measure.value(*pair) for pair in pairs] for measure in measures], np.float64)
        entered = np.isfinite(values)
        return np.stack([entered, np.where(entered, values, 0.0)], axis=-1).transpose(1, 0, 2).reshape(n, -1)

    return Pairing(n, tuple(mean_measure(measure.name) for measure in measures), contributions)


def ratio(numerator: ArrayLike, denominator: ArrayLike) -> Values:
    """Quotient of arrays; NaN where the denominator is 0."""
    above, below = np.broadcast_arrays(np.asarray(numerator, np.float64), np.asarray(denominator, np.float64))
    quotient = np.full(below.shape, np.nan)
    np.divide(above, below, out=quotient, where=below != 0)
    return quotient


def columns(measures: Sequence[Measure]) -> list[slice]:
    """The columns of each measure, measures side by side."""
    ends = np.cumsum([measure.width for measure in measures]).tolist()
    return [slice(end - measure.width, end) for measure, end in zip(measures, ends, strict=True)]


def named_columns(measures: Sequence[Measure]) -> dict[str, slice]:
    """The columns of each measure by its name."""
    return dict(zip([measure.name for measure in measures], columns(measures), strict=True))


def values_of(pairing: Pairing) -> dict[str, float]:
    """The value of each measure of one task; NaN where it is undefined."""
    sums = pairing.paired().sum(axis=0)
    places = named_columns(pairing.measures)
    return {one.name: float(one.score(one.within(sums[places[one.name]]))) for one in pairing.measures}


def joined(pairings: Sequence[Pairing]) -> Pairing:
    """Pairings of the same items as one, their measures side by side.

    Raises:
        StatisticsError: There are none, or their numbers of items differ.
    """
    sizes = {pairing.items for pairing in pairings}
    if len(sizes) != 1:
        raise StatisticsError(f"measures of the same items have the same number of items, not {sorted(sizes)}")
    return Pairing(
        sizes.pop(),
        tuple(measure for pairing in pairings for measure in pairing.measures),
        lambda order: np.hstack([pairing.contributions(order) for pairing in pairings]),
    )


def with_both_right(pairing: Pairing, teacher_correct: ArrayLike, student_correct: ArrayLike) -> Pairing:
    """Each measure twice: on all items, and on those that both have right, its name ending in `BOTH_RIGHT`.

    On the latter, models differ in how they reach the same answer, whatever their accuracies.

    Args:
        pairing: of n items.
        teacher_correct: whether the teacher is right, shape [n].
        student_correct: whether the student is right, shape [n].
    """
    teacher_right, student_right = checked_correct(teacher_correct), checked_correct(student_correct)

    def contributions(order: Order) -> Values:
        values = pairing.contributions(order)
        return np.hstack([values, values * (teacher_right & student_right[order])[:, np.newaxis]])

    again = tuple(replace(measure, name=measure.name + BOTH_RIGHT) for measure in pairing.measures)
    return Pairing(pairing.items, pairing.measures + again, contributions)


def numbered_clusters(clusters: Sequence[str]) -> Order:
    """Clusters numbered from 0 in the order of their names, whatever the order of items, shape [n]."""
    numbers = {name: number for number, name in enumerate(sorted(set(clusters)))}
    return np.array([numbers[name] for name in clusters], np.intp)


def checked_correct(values: ArrayLike) -> NDArray[np.bool_]:
    """Correctness as booleans.

    Raises:
        StatisticsError: It is no list, or a value is neither 0 nor 1.
    """
    array = np.asarray(values)
    if array.ndim != 1 or not np.isin(array, (0, 1)).all():
        raise StatisticsError("correctness must be a list of true or false (or 1 or 0), one per item")
    return array.astype(np.bool_)
