"""The grid of a study: every student with every method, teacher, setting and seed that its lists ask for."""

from __future__ import annotations

import itertools
from collections import defaultdict
from collections.abc import Collection, Iterator, Sequence
from dataclasses import dataclass
from typing import Any

from kdscope.results.methods import METHODS, SFT, has_divergence, training_texts, usual_share
from kdscope.study.arms import Method, Student, Teacher, applicable_settings
from kdscope.study.schema import Study

_GRID_KEYS = ("kd_temperature", "kd_weight", "teacher_noise_std", "teacher_condition")
_NAMED = ("beta", "skew", "on_policy_probability", "on_policy_divergence", "sampling_temperature")


@dataclass(frozen=True)
class Cell:
    """One student to train. `teacher` and what concerns it are None for methods without one.

    Attributes:
        label: Short and readable, unique within the study.
        kd_temperature: T of the divergence; None where the method has none.
        kd_weight: Weight of the divergence against cross-entropy.
        teacher_noise_std: Noise on the teacher's logits.
        variant: The method's other settings where they tell it from the default or from its namesakes.
    """

    label: str
    student: Student
    method: Method
    seed: int
    teacher: Teacher | None = None
    teacher_condition: str | None = None
    kd_temperature: float | None = None
    kd_weight: float | None = None
    teacher_noise_std: float | None = None
    variant: str = ""


def expand_cells(study: Study) -> list[Cell]:
    """All cells, controls (sft) first within each student and seed; identical cells appear once."""
    cells: dict[str, Cell] = {}
    methods = sorted(zip(study.methods, _variants(study.methods), strict=True), key=lambda pair: pair[0].name != SFT)
    for student, seed in itertools.product(study.students, study.seeds):
        for method, variant in methods:
            for cell in _cells_of(study, student, method, seed, variant):
                cells.setdefault(cell.label, cell)
    return list(cells.values())


def _cells_of(study: Study, student: Student, method: Method, seed: int, variant: str) -> Iterator[Cell]:
    if method.name == SFT:
        yield Cell(_label(student.name, f"sft{variant}", seed), student, method, seed, variant=variant[1:])
        return
    for teacher in study.teachers:
        for condition in dict.fromkeys(method.teacher_condition or teacher.condition):
            if not has_divergence(method.name):
                label = _label(student.name, f"{method.name}{variant}", seed, teacher.name, condition)
                yield Cell(label, student, method, seed, teacher, condition, variant=variant[1:])
                continue
            settings = itertools.product(method.kd_temperature, method.kd_weight, method.teacher_noise_std)
            for point in settings:
                name = f"{method.name}{_point(*point)}{variant}"
                label = _label(student.name, name, seed, teacher.name, condition)
                yield Cell(label, student, method, seed, teacher, condition, *point, variant[1:])


def _point(temperature: float, weight: float, noise: float) -> str:
    parts = [f"-T{_short(temperature)}"]
    if weight != 1.0:
        parts.append(f"-w{_short(weight)}")
    if noise != 0.0:
        parts.append(f"-noise{_short(noise)}")
    return "".join(parts)


def _variants(methods: Sequence[Method]) -> list[str]:
    """What tells each entry of `methods` from the defaults, and from other entries with the same name."""
    told: dict[tuple[str, str], set[Any]] = defaultdict(set)
    for method in methods:
        for key in _compared(method.name):
            told[method.name, key].add(method.setting(key))
    return [
        _variant(method, {key for key in _compared(method.name) if len(told[method.name, key]) > 1})
        for method in methods
    ]


def _compared(name: str) -> list[str]:
    """The settings that are one value for each entry of `methods`."""
    return sorted((applicable_settings(name) - {*_GRID_KEYS, "settings"}) | METHODS[name].own_settings.keys())


def _variant(method: Method, varying: Collection[str]) -> str:
    parts = []
    defaults = {key: Method.model_fields[key].default for key in _NAMED} | dict(METHODS[method.name].own_settings)
    defaults |= {"text": training_texts(method.name)[0], "on_policy_probability": usual_share(method.name)}
    for key in _compared(method.name):
        value = method.setting(key)
        if key in varying or (key in defaults and value != defaults[key]):
            parts.append(f"-{key}{_short(value) if isinstance(value, float) else f'_{value}'.lower()}")
    return "".join(parts)


def _short(value: float) -> str:
    """A number in a label: as short as it can be without becoming another number."""
    return short if float(short := f"{value:g}") == value else repr(value)


def _label(student: str, method: str, seed: int, teacher: str | None = None, condition: str | None = None) -> str:
    parts = [student, method]
    if teacher is not None:
        parts.append(teacher if condition == "adapted" else f"{teacher}@base")
    return "/".join([*parts, f"s{seed}"])
