"""What models learn from: labelled examples, and prompts without an answer."""

from __future__ import annotations

from typing import Annotated, Any, Self

from pydantic import BeforeValidator, ConfigDict, Field, model_validator

from kdscope.study.fields import PathField, Settings, as_list


def _only(key: str, kind: str) -> dict[str, Any]:
    """JSON schema of the rule `DataSource._one_source`: this key is there, and not null."""
    return {"required": [key], "properties": {key: {"type": kind}}}


class MiniProblems(Settings):
    """Generated problems of the mini tasks' training split, instead of a file."""

    tasks: Annotated[tuple[str, ...], Field(min_length=1), BeforeValidator(as_list)]
    """List of mini tasks; `kdscope tasks` shows them."""
    rows_per_task: Annotated[int, Field(ge=1)]
    """Problems of each of these tasks."""
    skip_per_task: Annotated[int, Field(ge=0)] = 0
    """Leave out this many first, so that two sets of the same seed have no text in common; quantities may recur."""
    seed: Annotated[int, Field(ge=0)] = 0
    """Another seed, other problems."""


class DataSource(Settings):
    """Where rows come from: a file, or the generator of the mini tasks."""

    model_config = ConfigDict(json_schema_extra={"oneOf": [_only("path", "string"), _only("mini", "object")]})

    path: PathField | None = None
    """JSON (a list) or JSONL; relative to the study file."""
    mini: MiniProblems | None = None
    """Generated problems, instead of a file."""
    limit: Annotated[int, Field(ge=1)] | None = None
    """Use this many rows, drawn with the data seed, instead of all."""
    seed: Annotated[int, Field(ge=0)] = 0
    """Decides which rows are used and which are held out; the same for every arm."""

    @model_validator(mode="after")
    def _one_source(self) -> Self:
        if (self.path is None) == (self.mini is None):
            raise ValueError("give either 'path' (a file) or 'mini' (generated problems)")
        return self


class UnlabelledPrompts(DataSource):
    """Prompts without an answer: the teacher answers them, and every student but the SFT control learns from that.

    Rows as in the training set; an output they may have is not looked at.
    """


class LabelledData(DataSource):
    """A training set: rows with instruction, input (may be empty) and output."""

    validation_items: Annotated[int, Field(ge=0)] = 100
    """Rows held out for the validation loss."""


class TrainingData(LabelledData):
    """The students' training set, and the teachers' where they have none of their own."""

    unlabelled: UnlabelledPrompts | None = None
    """Prompts without an answer that the teacher answers for the students; needs training.max_steps."""
