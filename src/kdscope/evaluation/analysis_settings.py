"""Settings of a run's analysis, settled before looking, and what is known of its tasks and items beforehand."""

from __future__ import annotations

import json
from collections.abc import Collection, Mapping
from dataclasses import asdict, dataclass, field, replace
from pathlib import Path
from typing import Literal

import pyarrow as pa
import pyarrow.parquet as pq
from pydantic import BaseModel, ConfigDict, NonNegativeFloat, ValidationError

from kdscope.core.errors import DataError
from kdscope.core.strict_json import strict_loads
from kdscope.evaluation.records import CELL
from kdscope.results.measures import ITEM_MEASURE
from kdscope.tasks import TaskRegistry

ITEM_FIDELITY = "item_fidelity.parquet"
"""File beside questions.json: likeness of every distilled student to its teacher, item by item."""


@dataclass(frozen=True)
class TaskFacts:
    """What conclusions need to know of a task.

    Attributes:
        domain: Which tasks it is averaged with.
        options: Of a multiple choice; 0 for a free answer.
        free_text: Whether it is measured by ROUGE-L.
        numeric: Whether answers are numbers, which are equal by value.
    """

    domain: str
    options: int = 0
    free_text: bool = False
    numeric: bool = False


@dataclass(frozen=True)
class AnalysisSettings:
    """What is asked, settled before looking.

    Attributes:
        scoring: robust or published.
        tasks: Facts of every task.
        primary_temperature: Of the primary question; None: 1 if the study has it, else its first.
        equivalence_margin: Methods closer than this, in percentage points, count as equal.
        fidelity_margin: A method whose fidelity is lower by less than this, in percentage points, counts as not less
            faithful.
        contaminated: Ids of items that training data holds.
        exclude_contaminated: Whether those are left out.
        controls: The control's label by student label.
        likeness: How like its own teacher each distilled model writes: columns cell, task, item_id and
            `results.measures.ITEM_MEASURE`; None where that was not measured.
    """

    scoring: str
    tasks: Mapping[str, TaskFacts]
    primary_temperature: float | None = None
    equivalence_margin: float = 1.0
    fidelity_margin: float = 1.0
    contaminated: Collection[str] = field(default_factory=frozenset)
    exclude_contaminated: bool = False
    controls: Mapping[str, str] = field(default_factory=dict)
    likeness: pa.Table | None = None


def task_facts(names: Collection[str], registry: TaskRegistry) -> dict[str, TaskFacts]:
    """The facts of tasks in a registry."""
    found = [registry.get(name) for name in names]
    return {t.name: TaskFacts(t.domain, len(t.labels), t.is_text, t.is_number) for t in found}


def save_analysis_settings(settings: AnalysisSettings, file: Path) -> None:
    """Write the settings as JSON, and `ITEM_FIDELITY` beside it, so that a run can be asked again."""
    found = asdict(replace(settings, likeness=None)) | {"contaminated": sorted(settings.contaminated)}
    del found["likeness"]
    file.write_text(json.dumps(found, indent=1), encoding="utf-8")
    beside = file.with_name(ITEM_FIDELITY)
    if settings.likeness is None:
        beside.unlink(missing_ok=True)
    else:
        pq.write_table(settings.likeness, beside, compression="zstd")


def load_analysis_settings(file: Path) -> AnalysisSettings:
    """Read what `save_analysis_settings` wrote; a run of before there was `ITEM_FIDELITY` is not asked about it.

    Raises:
        DataError: The file is missing or not such a file, or the one beside it is damaged.
    """
    try:
        written = _Written.model_validate(strict_loads(file.read_text(encoding="utf-8")))
    except ValidationError as error:
        first = error.errors(include_url=False)[0]
        key = ".".join(str(part) for part in first["loc"])
        raise DataError(f"not the questions of a run ({first['msg']})", file=file, key=key) from error
    except (OSError, ValueError, RecursionError) as error:
        raise DataError(f"not the questions of a run ({error})", file=file) from error
    told = {name: getattr(written, name) for name in written.model_fields_set}
    return AnalysisSettings(**told, likeness=_likeness(file.with_name(ITEM_FIDELITY)))


class _Written(BaseModel):
    """The file, whose fields are those of `AnalysisSettings`; earlier versions wrote fewer of them."""

    model_config = ConfigDict(extra="forbid", allow_inf_nan=False)

    scoring: Literal["robust", "published"]
    tasks: dict[str, TaskFacts]
    primary_temperature: float | None = None
    equivalence_margin: NonNegativeFloat = 1.0
    fidelity_margin: NonNegativeFloat = 1.0
    contaminated: frozenset[str]
    exclude_contaminated: bool = False
    controls: dict[str, str] = {}


def _likeness(file: Path) -> pa.Table | None:
    if not file.exists():
        return None
    try:
        return pq.ParquetFile(file).read().select([CELL, "task", "item_id", ITEM_MEASURE])
    except (OSError, pa.ArrowException, KeyError) as error:
        raise DataError(f"the likeness of items cannot be read: {error}", file=file) from error
