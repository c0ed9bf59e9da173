"""The format of a task's answers: how one is read out of a completion, and when it is the right one.

Every completion is scored twice: by the rules of the paper's evaluation code (*published*) and by rules that look for
what the model states (*robust*).
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from dataclasses import dataclass
from typing import ClassVar, Literal

from kdscope.core.errors import DataError

Rules = Literal["robust", "published"]
Status = Literal["explicit", "fallback", "ambiguous", "unparsed"]


@dataclass(frozen=True, slots=True)
class Extraction:
    """The answer read from one completion.

    Attributes:
        value: The answer as text, None when ambiguous or unparsed.
        rule: Name of the rule that decided.
        status: Whether the model stated its answer, it was inferred, it stated several, or none was found.
        truncated: The length limit cut the answer itself, not merely text that ran on after it.
    """

    value: str | None
    rule: str
    status: Status
    truncated: bool


@dataclass(frozen=True, slots=True)
class Score:
    """One completion scored by both rules; an answer that could not be read is wrong in both.

    A free text has no right answer: its value is the cleaned text, compared with references elsewhere.

    Attributes:
        published_value: The answer by the published rules, None when unparsed.
        correct_published: Whether it is right by the published rules.
        robust_value: The answer by the robust rules, None when ambiguous or unparsed.
        robust_rule: The robust rule that decided.
        robust_status: explicit, fallback, ambiguous or unparsed.
        truncated: The length limit cut the answer.
        correct_robust: Whether the robust answer is right.
    """

    published_value: str | None
    correct_published: bool
    robust_value: str | None
    robust_rule: str
    robust_status: Status
    truncated: bool
    correct_robust: bool


@dataclass(frozen=True)
class AnswerFormat(ABC):
    """A kind of answer and its possible values; one subclass a kind, listed in `kdscope.answers.kinds`.

    Attributes:
        labels: Every possible answer, in order; empty where answers are numbers or texts.
    """

    labels: tuple[str, ...] = ()

    domain: ClassVar[str] = "commonsense"
    """The group of tables that a task with such answers belongs to if it names none."""
    default_labels: ClassVar[tuple[str, ...]] = ()
    """The labels of a task that lists none."""
    is_number: ClassVar[bool] = False
    """Whether answers are compared as numbers."""
    is_text: ClassVar[bool] = False
    """Whether answers are free text, neither right nor wrong, but more or less like references."""
    label_form: ClassVar[str] = ""
    """The labels that can be read, in words; empty for a kind without labels."""

    def labels_are_readable(self) -> bool:
        """Whether the rules know labels of this form; always where there are none."""
        return True

    @abstractmethod
    def read_published(self, completion: str) -> Extraction:
        """The answer by the paper's evaluation code (Ramesh et al. 2025, after Hu et al. 2023, arXiv 2304.01933)."""

    @abstractmethod
    def read_robust(self, completion: str, finish_reason: str, instruction: str) -> Extraction:
        """The answer that a completion states, see `kdscope.answers.robust.read_answer`."""

    @abstractmethod
    def matches(self, value: str, gold: str, rules: Rules) -> bool:
        """Whether an answer that was read is the gold answer."""

    @abstractmethod
    def gold_problem(self, gold: str) -> str | None:
        """What is wrong with a gold answer; None if it can be compared with."""

    def options(self, instruction: str) -> dict[str, str]:
        """Label to option text, in order; empty where the instruction lists no options."""
        del instruction
        return {}

    def extract(
        self, completion: str, rules: Rules = "robust", *, finish_reason: str = "stop", instruction: str = ""
    ) -> Extraction:
        """The answer of a completion by either rules.

        Args:
            completion: What the model wrote after the prompt, special tokens included or not.
            rules: Which rules read it.
            finish_reason: ``"stop"`` if the model ended by itself, ``"length"`` if the token limit did, ``"run_on"``
                if generation was ended because the model began a new prompt.
            instruction: The item's instruction: the robust rules know its options, given numbers and unit asked for.

        Raises:
            DataError: There are no such rules.
        """
        check_rules(rules)
        if rules == "published":
            return self.read_published(completion)
        return self.read_robust(completion, finish_reason, instruction)


def check_rules(rules: str) -> None:
    """Refuse names of rules that do not exist.

    Raises:
        DataError: There are no such rules.
    """
    if rules not in ("robust", "published"):
        raise DataError(f"there are no rules {rules!r} (known: robust, published)", key="rules")


def published_extraction(value: str | None, status: Status) -> Extraction:
    """What the published rules read: they know no statement, and no length limit."""
    return Extraction(value, "published", status if value is not None else "unparsed", truncated=False)


def first_response(completion: str) -> str:
    """The completion up to a repeated response header, where the paper's code splits."""
    return completion.partition("### Response:")[0].strip()
