"""Validation errors in words: what was expected, what was given, and which key or value was probably meant."""

from __future__ import annotations

import difflib
import re
from collections import defaultdict
from collections.abc import Iterable, Mapping, Sequence
from typing import Any, get_args

from pydantic import BaseModel, TypeAdapter, ValidationError
from pydantic_core import ErrorDetails

from kdscope.core.errors import StudyError
from kdscope.results.methods import METHODS
from kdscope.study.arms import Method
from kdscope.study.fields import Settings
from kdscope.study.schema import Study
from kdscope.study.source import Location, Problem

_EXPECTED = {
    "bool_type": "true or false",
    "dict_type": "a mapping (key: value)",
    "finite_number": "a finite number",
    "float_type": "a number",
    "int_from_float": "a whole number",
    "int_type": "a whole number",
    "model_type": "a mapping (key: value)",
    "path_type": "a path",
    "string_type": "text",
    "too_short": "at least one value",
    "tuple_type": "a list",
}

_LIMITS = {
    "greater_than": ("gt", "more than"),
    "greater_than_equal": ("ge", "at least"),
    "less_than": ("lt", "less than"),
    "less_than_equal": ("le", "at most"),
}


def check_argument(kind: Any, value: Any, name: str) -> None:
    """Refuse a value that a setting of this type could not have; None is no value.

    Raises:
        StudyError: It could not; names the argument.
    """
    try:
        if value is not None:
            TypeAdapter(kind, config=Settings.model_config).validate_python(value)
    except ValidationError as error:
        raise StudyError(find_problems(error, {})[0].message, key=name) from None


def find_problems(error: ValidationError, values: Mapping[str, Any], section: Location = ()) -> list[Problem]:
    """Each problem once, located in the values as they were written.

    Args:
        error: What pydantic found.
        values: What it looked at.
        section: Where those values stand in a study, if they are not a whole one.

    Validation reports every branch of "a number or a list"; here they become one sentence, or, where one branch got as
    far as a single list item, only that.
    """
    groups: defaultdict[Location, list[ErrorDetails]] = defaultdict(list)
    for key in reversed(section):
        values = {str(key): values}
    for details in error.errors(include_url=False):
        details["loc"] = (*section, *details["loc"])
        if details["type"] == "too_short" and details["input"]:
            continue  # not empty as written: its items are wrong, and have errors of their own
        groups[_written_location(details, values)].append(details)
    sections = {location[:length] for location in groups for length in range(len(location))}
    return [_problem(location, group, values) for location, group in groups.items() if location not in sections]


def _written_location(details: ErrorDetails, values: Any) -> Location:
    """The part of a validation location that exists in the values: not union branches, not indices into a scalar."""
    location: Location = ()
    for part in details["loc"]:
        inside = values[part] if _has(values, part) else None
        if _has(values, part):
            location, values = (*location, part), inside
    return (*location, details["loc"][-1]) if details["type"] == "missing" else location


def _has(values: Any, part: str | int) -> bool:
    if isinstance(values, dict):
        return part in values
    return isinstance(values, list) and isinstance(part, int) and part < len(values)


def _problem(location: Location, group: Sequence[ErrorDetails], values: Mapping[str, Any]) -> Problem:
    first = group[0]
    if first["type"] == "missing":
        return Problem(location, "this key is required")
    if first["type"] == "extra_forbidden":
        return Problem(location, f"unknown key; {_key_advice(location, values)}")
    if first["type"] == "value_error":
        return _rule_problem(location, str(first["ctx"]["error"]), values)
    expected = " or ".join(dict.fromkeys(_expectation(details) for details in group))
    choices = [choice for details in group for choice in _choices(details)]
    given = first["input"]
    return Problem(location, f"expected {expected}, given {_describe(given)}{_advice(given, choices, expected)}")


def _rule_problem(location: Location, message: str, values: Any) -> Problem:
    """A rule over several keys belongs to the first key its message quotes, where that is set."""
    values = _value_at(location, values)
    quoted = [tuple(words.split(".")) for words in re.findall(r"'([\w.]+)'", message)]
    return Problem((*location, *next((keys for keys in quoted if _is_set(values, keys)), ())), message)


def _value_at(location: Location, values: Any) -> Any:
    for part in location:
        values = values[part]
    return values


def _is_set(values: Any, keys: Sequence[str]) -> bool:
    for key in keys:
        if not isinstance(values, dict) or key not in values:
            return False
        values = values[key]
    return True


def _expectation(details: ErrorDetails) -> str:
    kind = details["type"]
    if kind in _LIMITS:
        bound, words = _LIMITS[kind]
        return f"{words} {details['ctx'][bound]:.10g}"
    if kind == "too_long":
        return f"at most {details['ctx']['max_length']} values"
    if choices := _choices(details):
        return f"'{choices[0]}'" if len(choices) == 1 else f"one of {', '.join(choices)}"
    return _EXPECTED.get(kind, "another value")


def _choices(details: ErrorDetails) -> list[str]:
    return re.findall(r"'([^']*)'", details["ctx"]["expected"]) if details["type"] == "literal_error" else []


def _describe(value: Any) -> str:
    if value is None:
        return "nothing"
    if isinstance(value, bool):
        return "true" if value else "false"
    if isinstance(value, (int, float)):
        return f"the number {value!s:.40}"
    if isinstance(value, str):
        return f"the text {value[:40]!r}"
    if isinstance(value, (list, tuple)):
        return f"a list of {len(value)}" if value else "an empty list"
    return "a mapping"


def _advice(given: Any, choices: Iterable[str], expected: str) -> str:
    if isinstance(given, str) and (close := closest(given, choices)):
        return f"; did you mean '{close}'?"
    if expected == "text" and isinstance(given, (bool, int, float)):
        return "; put it in quotes"
    return ""


def closest(word: str, choices: Iterable[str]) -> str | None:
    """The choice most like a word, ignoring case and the signs between words.

    >>> closest("MaxSteps", ["epochs", "max_steps"])
    'max_steps'
    """
    plain = {_plain(choice): choice for choice in choices}
    match = difflib.get_close_matches(_plain(word)[:100], plain, n=1, cutoff=0.6)
    return plain[match[0]] if match else None


def _plain(word: str) -> str:
    return re.sub(r"[\W_]", "", word).lower()


def _key_advice(location: Location, values: Any) -> str:
    key, model = str(location[-1]), _model_at(location[:-1])
    if model is Method and key in _own_settings(_value_at(location[:-1], values)):
        return "it belongs in 'settings'"
    if close := closest(key, model.model_fields):
        return f"did you mean '{close}'?"
    for section, field in Study.model_fields.items():
        nested = _model_in(field.annotation)
        if nested is not None and nested is not model and key in nested.model_fields:
            return f"it belongs in '{section}'"
    return f"known here: {', '.join(model.model_fields)}"


def _own_settings(method: Mapping[str, Any]) -> Mapping[str, Any]:
    """What only this method has, where an extension adds it."""
    name = method.get("name")
    return METHODS[name].own_settings if isinstance(name, str) and name in METHODS else {}


def _model_at(location: Location) -> type[BaseModel]:
    model: type[BaseModel] = Study
    for part in location:
        if isinstance(part, str):
            model = _model_in(model.model_fields[part].annotation) or model
    return model


def _model_in(annotation: Any) -> type[BaseModel] | None:
    """The model a field holds, alone, in a list or optionally."""
    if isinstance(annotation, type) and issubclass(annotation, BaseModel):
        return annotation
    return next((model for part in get_args(annotation) if (model := _model_in(part)) is not None), None)
