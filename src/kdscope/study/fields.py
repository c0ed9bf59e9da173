"""Types of single settings: names, paths, numbers with bounds, one value or a list of them."""

from __future__ import annotations

import re
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated, Any

from pydantic import (
    AfterValidator,
    BaseModel,
    BeforeValidator,
    ConfigDict,
    Field,
    GetCoreSchemaHandler,
    GetJsonSchemaHandler,
)
from pydantic_core import PydanticKnownError, core_schema

_NAME = re.compile(r"^[A-Za-z0-9][A-Za-z0-9._-]{0,63}$")


def as_list(value: Any) -> Any:
    """One value where several may stand is a list of one."""
    return tuple(value) if isinstance(value, (list, tuple)) else (value,)


def list_or_none(value: Any) -> Any:
    """One value is a list of one; nothing stays nothing."""
    return None if value is None else as_list(value)


def frozen_list(value: Any) -> Any:
    """A list becomes a tuple; anything else stays."""
    return tuple(value) if isinstance(value, list) else value


def one_or_several(value: Any) -> Any:
    """A list of one is its value; a longer one becomes a tuple."""
    return value[0] if isinstance(value, (list, tuple)) and len(value) == 1 else frozen_list(value)


def name_only(value: Any) -> Any:
    """A method by its bare name."""
    return {"name": value} if isinstance(value, str) else value


def tuning_kind_only(value: Any) -> Any:
    """A tuning by its bare kind."""
    return {"kind": value} if isinstance(value, str) else value


@dataclass(frozen=True)
class OneOf:
    """Text out of a list that is known when a study is read: as `Literal`, in its error and in the JSON schema too."""

    choices: Callable[[], Sequence[str]]

    def __get_pydantic_core_schema__(self, source: Any, handler: GetCoreSchemaHandler) -> core_schema.CoreSchema:
        """The check."""
        return core_schema.no_info_plain_validator_function(self._check)

    def __get_pydantic_json_schema__(self, schema: Any, handler: GetJsonSchemaHandler) -> dict[str, Any]:
        """The choices of this moment."""
        return {"enum": list(self.choices()), "type": "string"}

    def _check(self, value: Any) -> str:
        choices = self.choices()
        if not isinstance(value, str) or value not in choices:
            raise PydanticKnownError("literal_error", {"expected": ", ".join(f"'{choice}'" for choice in choices)})
        return value


def check_name(value: str) -> str:
    """A name that is safe as a folder name.

    Raises:
        ValueError: It is not.
    """
    if not _NAME.fullmatch(value):
        raise ValueError("a name has 1 to 64 letters, digits, '.', '_' or '-', and starts with a letter or digit")
    return value


def greedy_or_warm(value: float) -> float:
    """A sampling temperature that logits can be divided by, or 0.

    Raises:
        ValueError: It is so low that they overflow.
    """
    if 0 < value < LOWEST_TEMPERATURE:
        raise ValueError(f"expected 0 (greedy) or at least {LOWEST_TEMPERATURE:g}, given the number {value:g}")
    return value


LOWEST_TEMPERATURE = 0.001
"""Logits divided by less may overflow."""
PathField = Annotated[Path, Field(strict=False)]
Name = Annotated[
    str, Field(description="Letters, digits, '.', '_' and '-'.", json_schema_extra={"pattern": _NAME.pattern})
]

# Upper bounds are far above what anyone trains with: they catch slips of the pen and what no machine could hold.
MAX_ENTRIES = 1000
"""Of any list of settings."""
Fraction = Annotated[float, Field(ge=0, le=1)]
Temperature = Annotated[float, Field(ge=LOWEST_TEMPERATURE, le=1000)]
SamplingTemperature = Annotated[float, Field(ge=0, le=1000), AfterValidator(greedy_or_warm)]
LearningRate = Annotated[float, Field(gt=0, le=100)]
Points = Annotated[float, Field(gt=0, le=100)]
PointsOrZero = Annotated[float, Field(ge=0, le=100)]
Discordance = Annotated[float, Field(ge=0.001, le=1)]
NoiseStd = Annotated[float, Field(ge=0, le=1000)]
Seed = Annotated[int, Field(ge=0, le=2**31 - 1)]
Rows = Annotated[int, Field(ge=1, le=10**9)]
MiniRows = Annotated[int, Field(ge=1, le=1_000_000)]
Items = Annotated[int, Field(ge=0, le=1_000_000)]
Steps = Annotated[int, Field(ge=1, le=10_000_000)]
Tokens = Annotated[int, Field(ge=1, le=1_000_000)]
BatchTokens = Annotated[int, Field(ge=1, le=100_000_000)]
BatchSize = Annotated[int, Field(ge=1, le=100_000)]
MAX_OWN_NUMBER = 10**15
"""Size of a number that an extension's method is set to, whichever sign."""
OwnSettings = Annotated[
    dict[str, float | int | bool | str],
    Field(
        max_length=MAX_ENTRIES,
        json_schema_extra={
            "additionalProperties": {
                "type": ["number", "boolean", "string"],
                "minimum": -MAX_OWN_NUMBER,
                "maximum": MAX_OWN_NUMBER,
            }
        },
    ),
]
_Entries = Field(min_length=1, max_length=MAX_ENTRIES)
TemperatureList = Annotated[tuple[Temperature, ...], _Entries, BeforeValidator(as_list)]
NoiseStdList = Annotated[tuple[NoiseStd, ...], _Entries, BeforeValidator(as_list)]
FractionList = Annotated[tuple[Fraction, ...], _Entries, BeforeValidator(as_list)]
SeedList = Annotated[tuple[Seed, ...], _Entries, BeforeValidator(as_list)]


class Settings(BaseModel):
    """A frozen group of settings that knows its keys and nothing else."""

    model_config = ConfigDict(
        frozen=True, extra="forbid", strict=True, allow_inf_nan=False, use_attribute_docstrings=True
    )

    def idle_settings(self) -> frozenset[str]:
        """The keys that have no effect, given the other settings."""
        return frozenset()

    def refuse_idle(self, owner: str) -> None:
        """Refuse a setting that would be ignored.

        Raises:
            ValueError: A key without effect is set to something else than its default.
        """
        for key in sorted(self.model_fields_set & self.idle_settings()):
            if getattr(self, key) != type(self).model_fields[key].default:
                raise ValueError(f"'{key}' does not apply to {owner}")
