"""An evaluation task: where its items come from, how its answers look, what makes one right."""

from __future__ import annotations

import dataclasses
import re
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal, TypeVar

from kdscope.answers import AnswerFormat, AnswerKind, Extraction, Rules, Score, answer_format
from kdscope.answers.answer_format import check_rules
from kdscope.core.errors import DataError
from kdscope.tasks.mapping import FieldMapping
from kdscope.tasks.sources import HubDataset, RepositoryFile, Source, first_file

Domain = Literal["math", "commonsense", "instruction"]
Split = Literal["test", "train"]

_Value = TypeVar("_Value")
_NAME = re.compile(r"[^\W\d_][\w.-]*")


@dataclass(frozen=True, slots=True)
class Task:
    """One evaluation task: how its answers look and where it comes from.

    Attributes:
        name: Folder name of the task's data, for example ``"ARC-Easy"``.
        domain: Which group of tables it belongs to: the paper's two, or instruction following.
        answer_kind: A free number, a letter of a multiple choice, a word such as ``answer3``, or free text, which is
            compared with references by ROUGE-L.
        labels: Every possible answer, in order: empty for numbers and texts, A to at most E for letters, else one word
            numbered from 1 (``answer1``, ``answer2``, ...) or true and false.
        chance: Expected accuracy of a uniform guess, a fraction; 0 for numbers and texts.
        test_items: Number of test items as published; None for a generated task, which has as many as are asked for,
            and for a task with a `file` of its own, which has as many as that.
        citation: Authors, venue and identifier of the task's paper; the software's name for a generated task.
        licence: Licence of the data as its authors state it.
        description: One line for people.
        aliases: Other names a person may type.
        sources: Where its test items can be had, the preferred one first.
        train_sources: The same for its training split; empty where there is none.
        file: The rows of a person's own task; None for rows that are looked for in a data folder.
        fields: How rows of `file` become instruction, input, output and answer; None where they are that already.
        template: Name of the prompt template it is asked with; None: the study's.
    """

    name: str
    domain: Domain
    answer_kind: AnswerKind
    labels: tuple[str, ...]
    chance: float
    test_items: int | None
    citation: str
    licence: str
    description: str
    aliases: tuple[str, ...] = ()
    sources: tuple[Source, ...] = ()
    train_sources: tuple[Source, ...] = ()
    file: Path | None = None
    fields: FieldMapping | None = None
    template: str | None = None

    def __post_init__(self) -> None:
        if _NAME.fullmatch(self.name) is None:
            raise DataError("a name has letters, digits, '.', '_' and '-', and begins with a letter", key=self.name)
        if not 0.0 <= self.chance < 1.0 or (self.test_items is not None and self.test_items <= 0):
            raise DataError("chance must be in [0, 1) and test_items positive", key=self.name)
        try:
            answer_format(self.answer_kind, self.labels)
        except DataError as error:
            raise DataError(str(error), key=self.name) from None

    @property
    def answer_format(self) -> AnswerFormat:
        """How its answers look, are read and are compared."""
        return answer_format(self.answer_kind, self.labels)

    @property
    def generated(self) -> bool:
        """Whether its items are made on demand, so that no file is needed."""
        return self.test_items is None and self.file is None

    @property
    def is_number(self) -> bool:
        """Whether its answers are compared as numbers."""
        return self.answer_format.is_number

    @property
    def is_text(self) -> bool:
        """Whether its answers are free text, neither right nor wrong, but compared with references by ROUGE-L."""
        return self.answer_format.is_text

    def locations(self, split: Split = "test") -> tuple[str, ...]:
        """Paths below a data folder where its rows are looked for, in order; the first is where a download belongs.

        >>> from kdscope.tasks import get_task
        >>> get_task("gsm8k").locations()
        ('gsm8k/test.json', 'tasks/gsm8k/test.json')
        """
        if self.generated or self.file is not None:
            return ()
        if not self.is_text:
            return (f"{self.name}/{split}.json", f"tasks/{self.name}/{split}.json")
        # Files of the instruction sets are called as MiniLLM's are, and their folders go by several names.
        file = "valid.jsonl" if split == "test" else "train.jsonl"
        return tuple(f"{folder}{name}/{file}" for folder in ("", "instruct/") for name in (self.name, *self.aliases))

    def extract(
        self, text: str, rules: Rules = "robust", *, finish_reason: str = "stop", instruction: str = ""
    ) -> Extraction:
        """The answer that a completion states, by the robust rules or by those of the paper's code.

        Args:
            text: The completion.
            rules: Which rules read it.
            finish_reason: Why generation ended; ``"length"``: the text may be cut.
            instruction: The question, whose options and numbers the robust rules know.

        Raises:
            DataError: There are no such rules.

        >>> from kdscope.tasks import get_task
        >>> get_task("gsm8k").extract("She has 3 left. The answer is 3 of 24.").value
        '3'
        """
        return self.answer_format.extract(text, rules, finish_reason=finish_reason, instruction=instruction)

    def is_correct(self, value: str | None, gold: str, rules: Rules = "robust") -> bool:
        """Whether an extracted answer is the right one; None never is, nor is any text of a text task.

        Numbers: by the published rules to 0.001; by the robust ones exactly for an integer, else to a relative 1e-6.

        Raises:
            DataError: There are no such rules, or the gold answer is no number, or none of the task's labels.

        >>> from kdscope.tasks import get_task
        >>> get_task("gsm8k").is_correct("4.0", "4"), get_task("gsm8k").is_correct("4.0005", "4", "published")
        (True, True)
        """
        check_rules(rules)
        problem = self.answer_format.gold_problem(gold)
        if problem is not None:
            raise DataError(problem, key=self.name)
        return value is not None and self.answer_format.matches(value, gold, rules)

    def score(self, completion: str, gold: str, *, finish_reason: str, instruction: str = "") -> Score:
        """One completion scored against the gold answer, by both rules.

        Raises:
            DataError: The gold answer is no number, or none of the task's labels.

        >>> from kdscope.tasks import get_task
        >>> score = get_task("gsm8k").score("The answer is 10 - 3 = 7.", "7.0", finish_reason="stop")
        >>> score.correct_published, score.robust_value, score.robust_status
        (True, '7', 'explicit')
        """
        published = self.extract(completion, "published")
        robust = self.extract(completion, finish_reason=finish_reason, instruction=instruction)
        return Score(
            published_value=published.value,
            correct_published=self.is_correct(published.value, gold, "published"),
            robust_value=robust.value,
            robust_rule=robust.rule,
            robust_status=robust.status,
            truncated=robust.truncated,
            correct_robust=self.is_correct(robust.value, gold),
        )

    def options(self, instruction: str) -> dict[str, str]:
        """Label to option text of a multiple-choice item, in order; empty where the instruction lists no options.

        Letters stand as ``(A) text``, numbered labels as ``Answer1: text``, as in the LLM-Adapters data.
        """
        return self.answer_format.options(instruction)


def find_task_file(task: Task, folder: Path | None, split: Split = "test") -> Path:
    """The file with a task's rows: its own, or the first of its locations that exists below `folder`.

    Raises:
        DataError: There is none, or the task is generated; the message names what was tried.
    """
    if task.generated:
        raise DataError("its items are generated; there is no file", key=task.name)
    if task.file is not None:
        return _own_file(task, task.file, split)
    return first_file(task.name, folder, task.locations(split))


def _own_file(task: Task, file: Path, split: Split) -> Path:
    if split != "test":
        raise DataError(f"has test items only, in {file}", key=task.name)
    if not file.is_file():
        raise DataError("no such file", file=file, key=task.name)
    return file


def task_to_json(task: Task) -> dict[str, Any]:
    """A task as JSON values; what is at its default is left out, so a new attribute changes no old task.

    >>> from kdscope.tasks import get_task
    >>> task_from_json(task_to_json(get_task("gsm8k"))) == get_task("gsm8k")
    True
    """
    return fields_as_json(task)


def task_from_json(values: Mapping[str, Any]) -> Task:
    """The task of such values.

    Raises:
        DataError: A key is missing or unknown, or the task cannot be.
    """
    made = dict(values)
    for key in ("labels", "aliases"):
        made[key] = tuple(made.get(key, ()))
    for key in ("sources", "train_sources"):
        made[key] = tuple(_source(source) for source in made.get(key, ()))
    if made.get("file") is not None:
        made["file"] = Path(made["file"])
    if made.get("fields") is not None:
        made["fields"] = _mapping(made["fields"])
    return _make(Task, made)


def fields_as_json(value: Any) -> dict[str, Any]:
    """The fields of a dataclass as JSON values, without those at their default."""
    return {
        field.name: _plain(getattr(value, field.name))
        for field in dataclasses.fields(value)
        if getattr(value, field.name) != field.default
    }


def _plain(value: Any) -> Any:
    if dataclasses.is_dataclass(value):
        return fields_as_json(value)
    if isinstance(value, tuple):
        return [_plain(part) for part in value]
    return str(value) if isinstance(value, Path) else value


def _source(values: Mapping[str, Any]) -> Source:
    made = dict(values)
    if made.get("fields") is not None:
        made["fields"] = _mapping(made["fields"])
    return _make(RepositoryFile, made) if "repository" in made else _make(HubDataset, made)


def _mapping(values: Mapping[str, Any]) -> FieldMapping:
    made = dict(values)
    if "options" in made:
        made["options"] = tuple(made["options"])
    if "answers" in made:
        made["answers"] = tuple((found, meant) for found, meant in made["answers"])
    return _make(FieldMapping, made)


def _make(kind: type[_Value], values: Mapping[str, Any]) -> _Value:
    try:
        return kind(**values)
    except TypeError as error:
        raise DataError(f"these are not the values of a {kind.__name__}: {error}") from None
