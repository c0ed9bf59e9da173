"""Functions by which an extension, a file that a study names under `extensions`, adds to kdscope (docs/extending.md).

Every function raises ValueError where a name is malformed or taken; the person who runs the study is told the file and
the line.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping
from types import MappingProxyType
from typing import TYPE_CHECKING, Any

from kdscope.core.catalogue import Catalogue, Entry
from kdscope.core.extensions import add_entry, running_file
from kdscope.results.backends import BACKENDS, Backend
from kdscope.results.methods import METHODS, SYMBOLS, MethodEntry, Text, Value, settings_of_method
from kdscope.study.arms import Method

if TYPE_CHECKING:
    from altair.typing import ChartType
    from torch import Tensor

    from kdscope.fidelity.measures import ItemResponse
    from kdscope.results.measures import Direction, Unit
    from kdscope.results.tables import ReportTables
    from kdscope.tasks import Task

__all__ = [
    "register_backend",
    "register_divergence",
    "register_figure",
    "register_measure",
    "register_method",
    "register_task",
]

_NAME = re.compile(r"[a-z][a-z0-9_]{0,47}")
_COLOUR = re.compile(r"#[0-9a-fA-F]{6}")


def register_divergence(
    name: str,
    function: Callable[..., Tensor],
    *,
    settings: Mapping[str, Value] | None = None,
    check: Callable[..., None] | None = None,
) -> None:
    """Add a divergence of student from teacher.

    Training calls it on chunks of tokens and differentiates it by autograd; nothing of a chunk outlives it.

    Args:
        name: Lower-case letters, digits and underscores.
        function: ``(teacher_logits [N, V], student_logits [N, V], *, temperature, **settings) -> [N]``, both float32 or
            float64, in torch operations that autograd knows. The teacher's logits have no gradient.
        settings: What it takes beside the temperature, with defaults.
        check: Is called with the settings by name; raises ValueError where one lies outside its range.
    """
    from kdscope.objectives import DIVERGENCES, Divergence

    own = MappingProxyType(dict(settings or {}))
    entry = Divergence(name=name, function=function, settings=own, check=check or (lambda **_: None))
    _register(DIVERGENCES, entry)


def register_method(
    name: str,
    *,
    divergence: str,
    text: Text = "reference",
    defaults: Mapping[str, Any] | None = None,
    label: str | None = None,
    colour: str = "",
    shape: str = "circle",
) -> None:
    """Add a method, which a study then names under `methods` as any other.

    Args:
        name: Lower-case letters, digits and underscores.
        divergence: One of kdscope's, or one registered before.
        text: What it trains on: "reference" answers, or partly what the "student" samples, as GKD does.
        defaults: Settings of a study's method that are other than usual, such as ``{"kd_temperature": 2.0,
            "warm_start_steps": 50}``.
        label: Its name in a sentence; the name where absent.
        colour: Of its marks, ``#rrggbb``; a spare colour where absent.
        shape: Of its marks: circle, square, diamond, cross, triangle-up, -down, -left or -right.
    """
    from kdscope.objectives import DIVERGENCES

    if divergence not in DIVERGENCES:
        raise ValueError(f"divergence must be one of {', '.join(DIVERGENCES)}, not {divergence!r}")
    if text == "teacher":
        raise ValueError("a divergence is taken on reference answers or on what the student samples")
    if colour and not _COLOUR.fullmatch(colour):
        raise ValueError(f"colour is '#rrggbb', not {colour!r}")
    if shape not in SYMBOLS:
        raise ValueError(f"shape must be one of {', '.join(SYMBOLS)}, not {shape!r}")
    if unknown := sorted(set(defaults or {}) - set(Method.model_fields)):
        raise ValueError(f"a method of a study has no setting {unknown[0]!r}")
    entry_of = DIVERGENCES[divergence]
    taken = entry_of.settings
    shared = {key for key in taken if key in Method.model_fields}
    entry = MethodEntry(
        name,
        label or name,
        colour,
        shape,
        divergence,
        text,
        settings_of_method(text) | shared,
        own_settings=MappingProxyType({key: value for key, value in taken.items() if key not in shared}),
        check=lambda setting: entry_of.complete({key: setting(key) for key in taken}),
        defaults=MappingProxyType(dict(defaults or {})),
    )
    _register(METHODS, entry)


def register_task(task: Task) -> None:
    """Add a task, which a study or a command then names as any other.

    Args:
        task: Its `file` of rows is a path relative to the extension; without a file it has `test_items`, and its rows
            are looked for in the folder of data.
    """
    from kdscope.tasks.definitions import located_task
    from kdscope.tasks.registry import EXTENSION_TASKS, default_registry

    file = running_file()
    added = task if file is None else located_task(task, file)

    def add() -> None:
        default_registry().extended([added])  # refuses names and aliases that are taken
        EXTENSION_TASKS.add(added)

    add_entry("task", added.name, add, lambda: EXTENSION_TASKS.remove(added.name))


def register_backend(name: str, load: Callable[..., Any]) -> None:
    """Add a generation backend, which a study then names as `evaluation.backend`.

    Args:
        name: Lower-case letters, digits and underscores.
        load: ``(place, tokenizer, *, dtype, device) -> generator``: a `kdscope.models.source.ModelPlace`, the model's
            tokenizer, "bfloat16" or "float32", and "cpu", "cuda" or "mps" become a `kdscope.generation.base.Generator`.
    """
    _register(BACKENDS, Backend(name, load))


def register_measure(
    name: str,
    value: Callable[[ItemResponse, ItemResponse], float],
    *,
    unit: Unit = "number",
    direction: Direction = 1,
    perfect: float | None = None,
    label: str = "",
) -> None:
    """Add a fidelity measure: the mean over items of a function of the teacher's and the student's response.

    It stands in the fidelity table with interval, floor, control and ceiling as every measure does.

    Args:
        name: Lower-case letters, digits and underscores.
        value: ``(teacher, student) -> float``, each with `answer` (None where none was read), `text` and `correct`; NaN
            where the item does not enter.
        unit: percent (a share between 0 and 1), points, score (0 to 100), nats or number.
        direction: 1 where a student more like its teacher has a larger value, -1 where a smaller one, 0 for neither.
        perfect: What a model gives against itself.
        label: Heading in the tables of papers and on model cards; the page has the name in words.
    """
    from kdscope.fidelity.measures import ITEM_MEASURES, ItemMeasure
    from kdscope.results.measures import MEASURES, MeasureEntry

    entry = MeasureEntry(name, "answers", unit, direction, perfect=perfect, paper=label, card=label)
    _register(MEASURES, entry)
    _register(ITEM_MEASURES, ItemMeasure(name, value))


def register_figure(
    name: str, draw: Callable[[ReportTables], ChartType | None], *, title: str, caption: str = ""
) -> None:
    """Add a figure of one chart to the appendix of the page.

    Args:
        name: Lower-case letters, digits and underscores.
        draw: An Altair chart of the report's tables (`cells`, `accuracy`, `gains`, `fidelity`, … as pandas frames), its
            data in the chart; None where there is nothing to show.
        title: Over the figure.
        caption: How to read it.
    """
    from kdscope.figures.catalogue import FIGURES, chart_figure

    _register(FIGURES, chart_figure(name, draw, title=title, caption=caption))


def _register(catalogue: Catalogue[Entry], entry: Entry) -> None:
    name = _checked(catalogue.kind, entry.name)
    add_entry(catalogue.kind, name, lambda: catalogue.add(entry), lambda: catalogue.remove(name))


def _checked(kind: str, name: str) -> str:
    if not _NAME.fullmatch(name):
        raise ValueError(f"a {kind} is named by lower-case letters, digits and '_', not {name!r}")
    return name
