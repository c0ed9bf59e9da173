"""Which models stand side by side when nobody has chosen: a teacher, a student without it, and one with it."""

from __future__ import annotations

from collections.abc import Sequence

from kdscope.view.run import Model


def default_cells(models: Sequence[Model]) -> list[str]:
    """The first distilled student, the plain fine-tuned student of its kind, and its teacher before them.

    Args:
        models: Those that have records, in the study's order.
    """
    students = [model for model in models if model.name.role == "student"]
    distilled = next((model for model in students if model.name.method != "sft"), None)
    kind = distilled or next(iter(students), None)
    plain = next(
        (m for m in students if m.name.method == "sft" and kind is not None and m.name.model == kind.name.model), None
    )
    chosen = [_teacher(models, distilled), plain, distilled]
    found = [model.cell for model in chosen if model is not None]
    return found if len(found) > 1 else [model.cell for model in models[:3]]


def _teacher(models: Sequence[Model], student: Model | None) -> Model | None:
    teachers = [model for model in models if model.name.role == "teacher"]
    own = [
        t for t in teachers if student is not None and (t.teacher, t.condition) == (student.teacher, student.condition)
    ]
    return next(iter([*own, *teachers]), None)


def reference_of(models: Sequence[Model]) -> int:
    """The place of the model that the others are compared with: the first teacher, else the first model."""
    return next((place for place, model in enumerate(models) if model.name.role == "teacher"), 0)
