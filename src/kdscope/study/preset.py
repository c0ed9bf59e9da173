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
    for kind in ("teachers", "students"):
        if kind in merged:
            merged[kind] = _each(merged[kind], lambda model: _merge_model(preset["model_defaults"], model))
    if "methods" in merged:
        merged["methods"] = _each(merged["methods"], lambda method: _merge_method(preset["method_defaults"], method))
    return merged


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
