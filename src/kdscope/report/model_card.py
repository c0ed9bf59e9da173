"""The Hugging Face model card of a trained model: YAML metadata, then Markdown made from a template."""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from kdscope.report.card_results import CardResults, card_results
from kdscope.report.facts import PageFacts
from kdscope.report.templating import templates
from kdscope.results.formatting import is_missing
from kdscope.results.markdown import code, fenced, literal, one_line, plain
from kdscope.results.methods import has_divergence
from kdscope.results.table import Row
from kdscope.results.tables import ReportTables
from kdscope.study.arms import applicable_settings

_HUB = re.compile(r"^(?:[A-Za-z0-9][A-Za-z0-9._-]*/)?[A-Za-z0-9][A-Za-z0-9._-]*$")
_LICENCE = re.compile(r"^[a-z0-9][a-z0-9.-]*$")


@dataclass(frozen=True)
class CardModel:
    """A model that the card speaks of.

    Attributes:
        name: What the study calls it.
        hub: Its hub repository, if it is from there.
        revision: The commit of that.
        path: Its local folder, if it is from one, as a reader is told of it.
        licence: As its own card states it; None where that is not known.
        changed: What was done to it first, such as layers that were left out.
    """

    name: str
    hub: str | None = None
    revision: str | None = None
    path: str | None = None
    licence: str | None = None
    changed: str = ""


@dataclass(frozen=True)
class CardFacts:
    """What a card tells beside the tables of its run.

    Attributes:
        folder: Name of the model's folder.
        cell: The model, as the tables call it.
        base: What was trained.
        teacher: What it learned from; None for a control and for a teacher.
        adapter: Whether the folder holds an adapter only, which needs the base.
        base_inside: The folder within this one where the base lies; empty where it lies elsewhere.
        base_place: Where an adapter's base is loaded from, where that is a folder elsewhere.
        parameters: What it was trained with: `method`, `training`, `tuning`, `dtype`, `seed`.
        software: What trained it.
        prompt: A prompt as the model was asked, for the example.
        chat: Whether the prompt goes through the tokenizer's chat template.
        own_code: Whether the model comes with Python code that must be trusted.
    """

    folder: str
    cell: str
    base: CardModel
    teacher: CardModel | None
    adapter: bool
    base_inside: str
    parameters: Mapping[str, Any]
    software: str
    prompt: str
    base_place: str = ""
    chat: bool = False
    own_code: bool = False


def model_card(tables: ReportTables, page: PageFacts, card: CardFacts) -> str:
    """The card, metadata first.

    Raises:
        DataError: The run has no such model.
    """
    results = card_results(tables, page, card.cell)
    environment = templates(escape=False)
    environment.filters.update(code=code, plain=plain)
    text = environment.get_template("model_card.md.jinja").render(
        card=card,
        page=page,
        results=results,
        title=_title(card, results),
        method=results.method,
        settings=_settings(_applicable(card.parameters, results.method)),
        loading=fenced(loading_code(card), "python"),
        study=fenced(page.study_yaml, "yaml"),
    )
    return f"---\n{_metadata(card, results)}\n---\n\n{text.strip()}\n"


def loading_code(card: CardFacts) -> str:
    """Python that loads the model and asks it; it runs as it stands where the folder is."""
    environment = templates(escape=False)
    environment.filters.update(literal=literal)
    return environment.get_template("loading.py.jinja").render(card=card).strip()


def _metadata(card: CardFacts, results: CardResults) -> str:
    from huggingface_hub import EvalResult, ModelCardData

    evaluated = [
        EvalResult(
            task_type="text-generation",
            dataset_type=one_line(row["task"]),
            dataset_name=one_line(row["task"]),
            dataset_split="test",
            metric_type="rouge" if row["metric"] == "rouge_l" else "accuracy",
            metric_name=f"{_metric(row)} ({results.scoring} scoring, zero-shot)",
            metric_value=round(float(row["accuracy"]), 6),
            metric_args={"items": int(row["items"])}
            | {
                name: round(float(row[column]), 6)
                for name, column in (("stderr", "stderr"), ("ci95_low", "low"), ("ci95_high", "high"))
                if not is_missing(row[column])
            },
        )
        for row in results.tasks
    ]
    licence = card.base.licence
    data = ModelCardData(
        base_model=card.base.hub if card.base.hub and _HUB.fullmatch(card.base.hub) else None,
        library_name="peft" if card.adapter else "transformers",
        pipeline_tag="text-generation",
        license=licence if licence and _LICENCE.fullmatch(licence) else None,
        tags=["kdscope", *_kind_tags(results), one_line(results.method).replace("_", "-")],
        model_name=_title(card, results) if evaluated else None,
        eval_results=evaluated or None,
    )
    return data.to_yaml()


def _metric(row: Row) -> str:
    return "accuracy" if is_missing(row["metric"]) else str(row["metric"])


def _title(card: CardFacts, results: CardResults) -> str:
    """What the model is, as a name.

    A folder's name would do, were it not that people call them all alike.
    """
    if card.teacher is not None:
        return one_line(f"{card.base.name} distilled from {card.teacher.name} by {results.method}")
    return one_line(f"{card.base.name} fine-tuned")


def _kind_tags(results: CardResults) -> list[str]:
    return ["distillation", "knowledge-distillation"] if results.distilled else ["fine-tuned"]


def _applicable(parameters: Mapping[str, Any], method: str) -> dict[str, Any]:
    """The parameters that applied: none of other methods, and no learning rate in whose place another came."""
    applied = dict(parameters)
    method_settings, training, tuning = (parameters.get(name) for name in ("method", "training", "tuning"))
    if isinstance(method_settings, Mapping):
        known = applicable_settings(method) | ({"divergence", "temperature"} if has_divergence(method) else set())
        applied["method"] = {key: value for key, value in method_settings.items() if key in known}
    if isinstance(training, Mapping) and isinstance(tuning, Mapping) and tuning.get("learning_rate"):
        applied["training"] = {key: value for key, value in training.items() if key != "learning_rate"}
    return applied


def _settings(parameters: Mapping[str, Any], prefix: str = "") -> list[tuple[str, str]]:
    """Every setting that decided the training, by its dotted name."""
    settings: list[tuple[str, str]] = []
    for key, value in parameters.items():
        if key in ("model", "teacher"):
            continue  # content hashes and places, told in words
        if isinstance(value, Mapping):
            settings += _settings(value, f"{prefix}{key}.")
        elif value is not None:
            shown = value if isinstance(value, str) else literal_value(value)
            settings.append((f"{prefix}{key}", shown))
    return settings


def literal_value(value: Any) -> str:
    """A setting's value as YAML has it.

    >>> literal_value(True), literal_value(0.0003), literal_value([1, "a"])
    ('true', '0.0003', '[1, a]')
    """
    if isinstance(value, bool):
        return "true" if value else "false"
    if isinstance(value, list):
        return f"[{', '.join(literal_value(part) for part in value)}]"
    return f"{value:g}" if isinstance(value, float) else str(value)
