"""Studies written as YAML, and the JSON schema by which an editor checks and completes one."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from pathlib import PurePath
from typing import Any, get_args

import yaml
from pydantic.json_schema import GenerateJsonSchema, JsonSchemaValue
from pydantic_core import core_schema

from kdscope.results.methods import method_names
from kdscope.study.arms import Tuning
from kdscope.study.fields import Settings, as_list, list_or_none, name_only, one_or_several, tuning_kind_only
from kdscope.study.schema import Study
from kdscope.study.source import FLOAT_PATTERN, INT_PATTERN

_EITHER = frozenset(
    {
        *("path", "hub", "revision", "mini", "max_steps", "folder", "definitions", "data", "unlabelled"),
        *("teacher_condition", "text", "tracking_folder", "extensions", "settings"),
    }
)


class _Dumper(yaml.SafeDumper):
    """Also quotes text that this package's loader, unlike PyYAML's, would read as a number."""


def _represent_list(dumper: _Dumper, data: list[Any]) -> yaml.SequenceNode:
    """Lists of single values stay on one line."""
    flow = not any(isinstance(item, (dict, list)) for item in data)
    return dumper.represent_sequence("tag:yaml.org,2002:seq", data, flow_style=flow)


def _represent_text(dumper: _Dumper, data: str) -> yaml.ScalarNode:
    """Quoted where PyYAML would leave a Unicode line break bare, which reads back as a space."""
    style = '"' if any(character in data for character in "\x85\u2028\u2029") else None
    return dumper.represent_scalar("tag:yaml.org,2002:str", data, style=style)


_Dumper.add_representer(list, _represent_list)
_Dumper.add_representer(str, _represent_text)

_Dumper.add_implicit_resolver("tag:yaml.org,2002:float", FLOAT_PATTERN, list("-+0123456789."))
_Dumper.add_implicit_resolver("tag:yaml.org,2002:int", INT_PATTERN, list("-+0123456789"))


def study_yaml(study: Study, *, shorten_paths: bool = False) -> str:
    """Every setting of a study, defaults and preset filled in; loading it gives an equal study.

    Left out is only what has no effect: settings of other methods, LoRA settings of a model tuned in full. With
    `shorten_paths` only the last two parts of a path are told, for pages that others will read.
    """
    values = _plain(study, shorten_paths)
    return yaml.dump(values, Dumper=_Dumper, sort_keys=False, allow_unicode=True, width=100)


def values_yaml(values: Mapping[str, Any]) -> str:
    """The YAML of a study's values as they would be written, without what is left out of them."""
    return yaml.dump(dict(values), Dumper=_Dumper, sort_keys=False, allow_unicode=True, width=100)


def _plain(value: Any, shorten_paths: bool) -> Any:
    if isinstance(value, Settings):
        keys = sorted(type(value).model_fields.keys() - value.idle_settings(), key=_reading_order(value))
        settings = {key: getattr(value, key) for key in keys}
        told = {key: item for key, item in settings.items() if key not in _EITHER or item not in (None, (), {})}
        return {key: _plain(item, shorten_paths) for key, item in told.items()}
    if isinstance(value, tuple):
        return [_plain(item, shorten_paths) for item in value]
    if isinstance(value, PurePath) and shorten_paths and len(value.parts) > 3:
        value = PurePath("...", *value.parts[-2:])
    return str(value).replace("$", "$$") if isinstance(value, PurePath) else value


def _reading_order(settings: Settings) -> Callable[[str], tuple[bool, int]]:
    declared = list(type(settings).model_fields)
    return lambda key: (key != "name", declared.index(key))


def study_schema() -> dict[str, Any]:
    """The JSON schema (draft 7) of a study file, for editors with a YAML language server.

    It allows what the loader allows: one value where a list may stand, a method or a tuning by its bare name.
    """
    generated = Study.model_json_schema(schema_generator=_EditorSchema)
    return {"$schema": "http://json-schema.org/draft-07/schema#", **generated}


class _EditorSchema(GenerateJsonSchema):
    """Pydantic's schema describes a field after its shorthand is written out; this one allows the shorthand."""

    def function_before_schema(self, schema: core_schema.BeforeValidatorFunctionSchema) -> JsonSchemaValue:
        full = self.generate_inner(schema["schema"])
        short = _shorthand(schema["function"]["function"], full)
        return full if short is None else {"anyOf": [short, full]}


def _shorthand(validator: Callable[..., Any], full: JsonSchemaValue) -> JsonSchemaValue | None:
    if validator is as_list:
        return dict(full["items"])
    if validator is list_or_none:
        return next(dict(branch["items"]) for branch in full["anyOf"] if "items" in branch)
    if validator is one_or_several:
        return {"type": "array", "items": dict(full["anyOf"][0]), "minItems": 1, "maxItems": 1}
    if validator is name_only:
        return {"enum": list(method_names())}
    if validator is tuning_kind_only:
        return {"enum": list(get_args(Tuning.model_fields["kind"].annotation))}
    return None
