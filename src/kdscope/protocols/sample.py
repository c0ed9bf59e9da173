"""Samples that the rigorous protocol asks its questions of: one domain, training runs or items and runs.

A table of results (`table_runs.TableSample`) and item records (`record_sample.RecordSample`) are two such samples. Both
tell of each contrast an estimate, its error and degrees of freedom; questions are asked of either in the same words.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Hashable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from types import MappingProxyType
from typing import Any, NamedTuple

from kdscope.protocols.results import RigorousResult, contrast_result, result_of
from kdscope.results.column_names import SFT
from kdscope.results.hypotheses import DETAIL, EXPLORATORY
from kdscope.statistics.estimates import Estimate
from kdscope.statistics.run_contrasts import Contrast

OPTIONS: Mapping[str, int] = MappingProxyType(
    {
        **{"AQuA": 5, "boolq": 2, "piqa": 2, "winogrande": 2, "social_i_qa": 3},
        **{"hellaswag": 4, "ARC-Easy": 4, "ARC-Challenge": 4, "openbookqa": 4},
    }
)
"""Options of the multiple-choice tasks: what guessing gives. Tasks that are not here have free answers."""


@dataclass(frozen=True, slots=True)
class ProtocolSettings:
    """What is settled before looking.

    Attributes:
        temperature: of the primary question; 1 is plain distillation.
        margin: methods closer than this, in percentage points, count as equal.
        fidelity_margin: a method whose fidelity is lower by less than this, in percentage points, counts as not less
            faithful.
        options: of multiple-choice tasks, for warnings below chance and for agreement beyond chance.
        draws: sign vectors of max-T, and resamples of the bootstraps of item records.
        seed: of those, and of the halves of the items.
    """

    temperature: float = 1.0
    margin: float = 1.0
    fidelity_margin: float = 1.0
    options: Mapping[str, int] = field(default_factory=lambda: OPTIONS)
    draws: int = 9999
    seed: int = 0


class TaughtPairs(NamedTuple):
    """Accuracy in percent of every pair of student and teacher, and the teachers' own accuracies."""

    values: Sequence[float]
    students: Sequence[Hashable]
    teachers: Sequence[Hashable]
    accuracy_of: Mapping[str, float]


class Sample(ABC):
    """One domain of a study.

    Attributes:
        name: of the domain.
        task: what conclusions are drawn on: `Average`, or the only task there is.
        settings: what is settled before looking.
        tests: size of the confirmatory family, over all domains.
    """

    def __init__(self, name: str, task: str, settings: ProtocolSettings) -> None:
        self.name, self.task, self.settings, self.tests = name, task, settings, 1

    @property
    @abstractmethod
    def confirmatory(self) -> int:
        """How many students have a gain: the part of this domain in the confirmatory family."""

    @abstractmethod
    def primary_gains(self) -> Iterator[tuple[str, Contrast, str]]:
        """Each student with its gain over SFT in points, training runs random, and reservations about it."""

    @abstractmethod
    def gains_by_student(self) -> Iterator[tuple[str, Mapping[str, float]]]:
        """Tasks that gains are related on, each with the mean gain of every student in points."""

    @abstractmethod
    def sizes(self, students: Sequence[str]) -> Sequence[float]:
        """Parameters of each student, in one unit; NaN where it is not known."""

    @abstractmethod
    def taught_pairs(self) -> Iterator[tuple[str, TaughtPairs]]:
        """Tasks on which effects of teachers are related to their accuracy, each with what that takes."""

    def facts_of(self, student: str) -> dict[str, Any]:
        """Columns of a row about a student's gain."""
        return {"student": student, "reference": SFT}

    def contrast(self, contrast: Contrast, hypothesis: str, group: str, **more: Any) -> RigorousResult:
        """A row from a contrast of runs in points."""
        return contrast_result(contrast, self.name, hypothesis, group, self.task, **more)

    def row(
        self, found: Estimate, hypothesis: str, group: str, test: str, *, task: str = "", **more: Any
    ) -> RigorousResult:
        """A row from an estimate; exploratory on the task of conclusions, detail on others, unless told."""
        more.setdefault("role", self.role_on(task))
        return result_of(found, self.name, hypothesis, group, task or self.task, test, **more)

    def role_on(self, task: str) -> str:
        """Of a question asked on one task."""
        return EXPLORATORY if task in ("", self.task) else DETAIL
