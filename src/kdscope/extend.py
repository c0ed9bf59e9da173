"""Functions by which an extension, a file that a study names under `extensions`, adds to kdscope (docs/extending.md).

Every function raises ValueError where a name is malformed or taken, or an argument cannot be meant; the person who runs
the study is told the file and the line.
"""

from __future__ import annotations

import math
import re
from collections.abc import Callable, Mapping
from types import MappingProxyType
from typing import TYPE_CHECKING, Any, get_args

from pydantic import ValidationError

from kdscope.core.catalogue import Catalogue, Entry
from kdscope.core.extensions import add_entry, running_file
from kdscope.results.backends import BACKENDS, Backend
from kdscope.results.measures import Direction, Unit
from kdscope.results.methods import METHODS, SYMBOLS, USUAL_SHARE, MethodEntry, Text, Value, settings_of_method
from kdscope.study.arms import Method
from kdscope.study.problems import find_problems

if TYPE_CHECKING:
    from altair.typing import ChartType
    from torch import Tensor

    from kdscope.fidelity.measures import ItemResponse
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
_SHARED = frozenset({"beta", "skew", "head_mass", "probability_epsilon"})
"""Keys of a study's method that a divergence may take as settings."""


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
        settings: What it takes beside the temperature, with defaults, whose types are those of the settings. `beta`,
            `skew`, `head_mass` and `probability_epsilon` stand beside the name of a study's method; its other keys, and
            `temperature`, are refused.
        check: Is called with the settings by name, once with the defaults; raises ValueError where one lies outside its
            range.
    """
    from kdscope.objectives import DIVERGENCES, Divergence

    _checked("divergence", name)
    _check_callable("function", function)
    if check is not None:
        _check_callable("check", check)
    own = MappingProxyType(_mapping("settings", settings))
    for key, default in own.items():
        _check_setting(key, default)
    entry = Divergence(name=name, function=function, settings=own, check=check or (lambda **_: None))
    entry.complete({})
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

    _checked("method", name)
    _check_choice("divergence", divergence, tuple(DIVERGENCES))
    if text == "teacher":
        raise ValueError("a divergence is taken on reference answers or on what the student samples")
    _check_choice("text", text, ("reference", "student"))
    _check_text(label=label or "", colour=colour)
    if colour and not _COLOUR.fullmatch(colour):
        raise ValueError(f"colour is '#rrggbb', not {colour!r}")
    _check_choice("shape", shape, tuple(SYMBOLS))
    entry_of, usual = DIVERGENCES[divergence], _mapping("defaults", defaults)
    for key in usual:
        if key not in Method.model_fields or key == "name":
            raise ValueError(f"a method of a study has no setting {key!r}")
    taken = entry_of.settings
    shared = taken.keys() & Method.model_fields.keys()
    share = {"on_policy_probability": USUAL_SHARE} if text == "student" else {}
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
        defaults=MappingProxyType({**{key: taken[key] for key in sorted(shared)}, **share, **usual}),
    )

    def add() -> None:
        METHODS.add(entry)
        try:
            _check_defaults(entry)
        except ValueError:
            METHODS.remove(name)
            raise

    add_entry(METHODS.kind, name, add, lambda: METHODS.remove(name))


def register_task(task: Task) -> None:
    """Add a task, which a study or a command then names as any other.

    Args:
        task: Its `file` of rows is a path relative to the extension; without a file it has `test_items`, and its rows
            are looked for in the folder of data.
    """
    from kdscope.tasks import Task
    from kdscope.tasks.definitions import located_task
    from kdscope.tasks.registry import EXTENSION_TASKS, default_registry

    if not isinstance(task, Task):
        raise ValueError(f"a task is a kdscope.tasks.Task, not {task!r:.60}")
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
    _check_callable("load", load)
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

    _checked("measure", name)
    _check_callable("value", value)
    _check_choice("unit", unit, get_args(Unit))
    _check_choice("direction", direction, get_args(Direction))
    _check_text(label=label)
    if perfect is not None and not _is_number(perfect):
        raise ValueError(f"perfect is a finite number or None, not {perfect!r:.60}")
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

    _checked("figure", name)
    _check_callable("draw", draw)
    _check_text(title=title, caption=caption)
    _register(FIGURES, chart_figure(name, draw, title=title, caption=caption))


def _register(catalogue: Catalogue[Entry], entry: Entry) -> None:
    name = _checked(catalogue.kind, entry.name)
    add_entry(catalogue.kind, name, lambda: catalogue.add(entry), lambda: catalogue.remove(name))


def _checked(kind: str, name: str) -> str:
    if not isinstance(name, str) or not _NAME.fullmatch(name):
        raise ValueError(f"a {kind} is named by lower-case letters, digits and '_', not {name!r:.60}")
    return name


def _check_callable(argument: str, value: object) -> None:
    if not callable(value):
        raise ValueError(f"{argument} is a function, not {value!r:.60}")


def _check_choice(argument: str, value: object, choices: tuple[object, ...]) -> None:
    if value not in choices:
        raise ValueError(f"{argument} must be one of {', '.join(map(str, choices))}, not {value!r:.60}")


def _check_text(**values: object) -> None:
    for argument, value in values.items():
        if not isinstance(value, str):
            raise ValueError(f"{argument} is text, not {value!r:.60}")


def _mapping(argument: str, values: Mapping[str, Any] | None) -> dict[str, Any]:
    if values is not None and not isinstance(values, Mapping):
        raise ValueError(f"{argument} is a mapping from names to values, not {values!r:.60}")
    return dict(values or {})


def _check_setting(key: object, default: object) -> None:
    """A divergence can take this setting, with this default."""
    if not isinstance(key, str) or not key.isidentifier():
        raise ValueError(f"the name of a setting has letters, digits and '_', not {key!r:.60}")
    if key == "temperature" or key in Method.model_fields.keys() - _SHARED:
        raise ValueError(f"a divergence cannot have a setting '{key}': every method has one, given beside its name")
    if type(default) not in (bool, str) and not _is_number(default):
        raise ValueError(f"the default of setting '{key}' is a finite number, true, false or text, not {default!r:.60}")


def _is_number(value: object) -> bool:
    return type(value) in (int, float) and math.isfinite(value)  # type: ignore[arg-type]


def _check_defaults(method: MethodEntry) -> None:
    """A study's method that says nothing else is one that a study can have."""
    values = {"name": method.name, **method.defaults}
    try:
        Method.model_validate({"name": method.name})
    except ValidationError as error:
        (location, message), *_ = [(problem.location, problem.message) for problem in find_problems(error, values)]
        key = ".".join(map(str, location))
        raise ValueError(f"defaults: {key}: {message}" if key else f"defaults: {message}") from None
