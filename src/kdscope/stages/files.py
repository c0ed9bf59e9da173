"""What stages leave for each other: small files, read and written in one place."""

from __future__ import annotations

import json
from collections.abc import Iterable
from dataclasses import asdict, replace
from pathlib import Path
from typing import Any

from kdscope.data.sources import Example, Item
from kdscope.models.source import ModelPlace
from kdscope.pipeline.run import StageContext


def write_rows(rows: Iterable[Any], file: Path) -> None:
    """Dataclass instances or dictionaries as JSON lines."""
    with file.open("w", encoding="utf-8") as stream:
        for row in rows:
            stream.write(json.dumps(row if isinstance(row, dict) else asdict(row), ensure_ascii=False) + "\n")


def read_rows(file: Path) -> list[dict[str, Any]]:
    """JSON lines as dictionaries. Lines end with newline only: text may hold other line separators."""
    return [json.loads(line) for line in file.read_text(encoding="utf-8").split("\n") if line]


def read_prepared_examples(file: Path) -> list[Example]:
    """Training or validation examples written by prepare_data."""
    return [Example(**row) for row in read_rows(file)]


def read_prepared_items(folder: Path) -> list[Item]:
    """Evaluation items written by prepare_task."""
    rows = read_rows(folder / "items.jsonl")
    return [Item(**row | {"references": tuple(row["references"])}) for row in rows]


def model_place(context: StageContext, base: str, trained: str | None = None) -> ModelPlace:
    """Where a stage finds a model: a base (a source, or a prepared student) and what was trained on it, if anything.

    Args:
        context: The running stage's.
        base: Role of the base model: where it comes from is in the stage's context; if it was prepared, it is an input.
        trained: Role of the stage that trained it.
    """
    source: Any = context.stage.context[base]
    place = ModelPlace(**source)
    if base in context.inputs:
        place = ModelPlace(str(context.inputs[base] / "model"), trust_remote_code=place.trust_remote_code)
    if trained is None or trained not in context.inputs:
        return place
    folder = context.inputs[trained] / "model"
    if (folder / "adapter_config.json").exists():
        return replace(place, adapter=str(folder))
    return ModelPlace(str(folder), trust_remote_code=place.trust_remote_code)
