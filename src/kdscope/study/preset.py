"""Presets: settings that stand under a study's own."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from importlib.resources import files
from pathlib import Path
from typing import Any

from kdscope.study.source import parse_document

PRESETS = ("published",)


def apply_preset(values: Mapping[str, Any]) -> dict[str, Any]:
    """The study with its preset underneath; unchanged where it names no preset, or one that does not exist.

    Mappings merge key by key and the study's keys win; any other value of the study replaces the preset's. A preset's
    model defaults go under every teacher and student, its method defaults under the entries of `methods` they name.
    """
    name = values.get("preset")
    if name not in PRESETS:
        return dict(values)
    preset = _read_preset(str(name))
    merged = _merge(preset["settings"], values)
    if isinstance(values.get("training"), dict):
        merged["training"] = inherit_training(preset["settings"]["training"], values["training"])
    for kind in ("teachers", "students"):
        if kind in merged:
            merged[kind] = _each(merged[kind], lambda model: _merge_model(preset["model_defaults"], model))
    if "methods" in merged:
        merged["methods"] = _each(merged["methods"], lambda method: _merge_method(preset["method_defaults"], method))
    return merged


def inherit_training(under: Mapping[str, Any], own: Mapping[str, Any]) -> dict[str, Any]:
    """Training settings over those of another section, which says nothing of the length where these do.

    >>> inherit_training({"epochs": 4, "learning_rate": 0.1}, {"max_steps": 90})
    {'learning_rate': 0.1, 'max_steps': 90}
    """
    # Steps here and epochs there would be two lengths, and are refused where one section gives them both.
    length = ("epochs", "max_steps")
    says_length = any(own.get(key) is not None for key in length)
    return {**{key: value for key, value in under.items() if not (says_length and key in length)}, **own}


def _read_preset(name: str) -> dict[str, Any]:
    resource = files("kdscope.study") / "presets" / f"{name}.yaml"
    return parse_document(resource.read_text(encoding="utf-8"), Path(f"{name}.yaml")).values


def _merge(under: Mapping[str, Any], over: Mapping[str, Any]) -> dict[str, Any]:
    merged = {**under, **over}
    for key in under.keys() & over.keys():
        if isinstance(under[key], dict) and isinstance(over[key], dict):
            merged[key] = _merge(under[key], over[key])
    return merged


def _each(entries: Any, merge: Callable[[Any], Any]) -> Any:
    return [merge(entry) for entry in entries] if isinstance(entries, list) else merge(entries)


def _merge_model(defaults: Mapping[str, Any], model: Any) -> Any:
    if not isinstance(model, dict):
        return model
    tuning = model.get("tuning", {})
    if tuning == "lora":
        tuning = {"kind": "lora"}
    if not isinstance(tuning, dict) or tuning.get("kind", "lora") != "lora":
        return model
    return _merge(defaults, {**model, "tuning": tuning})


def _merge_method(defaults: Mapping[str, Any], method: Any) -> Any:
    entry = {"name": method} if isinstance(method, str) else method
    if not isinstance(entry, dict) or not isinstance(entry.get("name"), str) or entry["name"] not in defaults:
        return method
    return _merge(defaults[entry["name"]], entry)
