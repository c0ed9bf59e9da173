"""Results in words: one plain sentence each, for a reader who knows no statistics, then its warnings."""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import asdict
from typing import Any

from kdscope.results.formatting import format_p
from kdscope.results.methods import method_sentence
from kdscope.statistics.results import (
    CONFIRMATORY,
    CORRELATIONS,
    EFFECT,
    EQUIVALENCE,
    FIDELITY,
    FIDELITY_LEVEL,
    FIDELITY_METHOD,
    INHERITED,
    NONINFERIORITY,
    SHARED_RIGHT,
    SHARED_WRONG,
    TWO_WAY,
    VARIANCE,
    WITHIN,
    RigorousResult,
)
from kdscope.statistics.run_contrasts import CHECKPOINTS

_LIKENESS = {
    FIDELITY: "Agreement with the teacher beyond accuracy",
    INHERITED: "The share of inherited errors",
    SHARED_RIGHT: "What both have right beyond accuracy",
    SHARED_WRONG: "What both have wrong alike beyond chance",
}
_VERBS = dict.fromkeys((*_LIKENESS, FIDELITY_METHOD), ("is higher by", "is lower by"))
_LARGEST = 100
"""Accuracies differ by no more points than this."""
_RELATED = {
    "H2": "the teacher's accuracy",
    "H3": "the student's size",
    "H3.2": "the student's accuracy under SFT",
    "H4": "agreement with the teacher",
    "H5": "likeness to the teacher's texts",
}


def sentence(result: RigorousResult | Mapping[str, Any]) -> str:
    """One plain sentence on a result, then its warnings.

    Where a p-value is adjusted for a family, the interval is the one that holds for the whole family at once.

    Args:
        result: a row of the rigorous protocol, or of the published one, which gets the warning that belongs to it.

    Example:
        >>> row = {"hypothesis": "H1-student", "group": "Qwen2.5-0.5B", "estimate": 4.1, "low": 1.2, "high": 7.0,
        ...        "p_adjusted": 0.01, "p_value": 0.002, "n": 500, "unit": "items", "detectable": 3.9, "task": "gsm8k",
        ...        "role": "confirmatory", "domain": "math"}
        >>> sentence(row)  # doctest: +NORMALIZE_WHITESPACE
        'Distillation gained 4.1 points over SFT on Qwen2.5-0.5B (math, gsm8k), 95% CI 1.2 to 7.0, Holm-adjusted p .01;
        minimum detectable difference 3.9 points (80% power).'
    """
    row = asdict(result) if isinstance(result, RigorousResult) else dict(result)
    if row.get("protocol") == "published":
        return _published(row)
    if row["hypothesis"] == EFFECT:
        return _effect(row)
    if row["hypothesis"] == VARIANCE:
        return f"Standard deviation of {row['group']}: {row['estimate']:.1f} points. {row['note']}".strip()
    if math.isnan(row["p_value"]):
        said = _untested(row)
    else:
        kinds = {EQUIVALENCE: _equivalence, NONINFERIORITY: _noninferiority, "H1-anova": _methods}
        kinds |= dict.fromkeys(CORRELATIONS, _relation)
        said = kinds.get(row["hypothesis"], _gain)(row)
    warnings = " ".join(part for part in (_question(row), str(row.get("note", ""))) if part)
    return f"{said[:1].upper()}{said[1:]} {warnings}".strip()


def _gain(row: Mapping[str, Any]) -> str:
    value, doubt = row["estimate"], "" if _is_clear(row) else ", not statistically significant"
    if row.get("scope") == CHECKPOINTS:
        said = f"{_subject(row)} {'above' if value > -0.05 else 'below'}{_against(row)}"
        said = said.replace(" {}", f" {abs(value):.1f} points")
    else:
        verb = _VERBS.get(row["hypothesis"], ("gained", "lost"))[int(value <= -0.05)]
        said = f"{_subject(row)} {verb} {abs(value):.1f} points{_against(row)}"
    return f"{said}{_place(row)}, {_interval(row)}, {_p(row)}{doubt}{_detectable(row)}."


def _untested(row: Mapping[str, Any]) -> str:
    if row["hypothesis"] == FIDELITY_LEVEL:
        return f"Agreement of {_method(str(row['group']))} with its teacher beyond accuracy{_place(row)}: " + (
            f"{row['estimate']:+.1f} points, {_interval(row)}."
        )
    if math.isnan(row["estimate"]) or row["hypothesis"] in CORRELATIONS:
        return f"{_subject(row)}: these results cannot tell."
    row = {**row, "scope": ""}
    interval = f", {_interval(row)}" if math.isfinite(row["low"]) else ""
    against = " against that of its SFT control" if row["hypothesis"] in _LIKENESS else _against(row)
    if row["hypothesis"] in ("method", EQUIVALENCE, FIDELITY_METHOD, NONINFERIORITY):
        against = f" against {_method(str(row['group']).partition(' - ')[2])}"
    return f"{_subject(row)}: {row['estimate']:+.1f} points{against}{_place(row)}{interval}, without a test."


def _noninferiority(row: Mapping[str, Any]) -> str:
    first, _, second = str(row["group"]).partition(" - ")
    shown = "is" if row["p_adjusted"] <= 0.05 else "is not shown to be"
    of = "the checkpoint of " if row.get("scope") == CHECKPOINTS else ""
    return (
        f"{of}{_method(first)} {shown} as faithful to its teacher as {_method(second)} within {row['margin']:g} points"
        f"{_place(row)}: {row['estimate']:+.1f}, {_interval(row)}, {_p(row)}."
    )


def _relation(row: Mapping[str, Any]) -> str:
    direction = "more" if row["estimate"] > 0 else "less"
    found = f"{abs(row['estimate']):.2g} points {direction} per {row['per']}, {_interval(row, 2)}, {_p(row)}"
    what = _RELATED[row["hypothesis"]] + (f" {row['group']}" if row["group"] == WITHIN else "")
    if _is_clear(row):
        return f"The gain goes with {what}{_place(row)}: {found}."
    return f"No relation of the gain with {what} is shown{_place(row)}: {found}."


def _equivalence(row: Mapping[str, Any]) -> str:
    first, _, second = str(row["group"]).partition(" - ")
    of = "the checkpoints of " if row.get("scope") == CHECKPOINTS else ""
    interval = (
        f"{_method(first)} minus {_method(second)} is {round(row['estimate'], 1) + 0.0:+.1f} points, {_interval(row)}"
    )
    if row["p_adjusted"] <= 0.05:
        said = f"{of}{_method(first)} and {_method(second)} are equivalent within {row['margin']:g} points"
        return f"{said}{_place(row)}: {interval}, {_p(row)}."
    return f"Not shown to be equivalent within {row['margin']:g} points{_place(row)}: {interval}, {_p(row)}."


def _effect(row: Mapping[str, Any]) -> str:
    value = f"{row['estimate']:.2f}" if math.isfinite(row["estimate"]) else "infinite"
    low, high = (f"{row[name]:.2f}" if math.isfinite(row[name]) else "none" for name in ("low", "high"))
    limits = f"95% CI {low} to {high}, over {row['n']:,} {row['unit']}"
    told = {
        "hedges_g": f"The mean gain over SFT is {value} standard deviations between students (Hedges' g",
        "cliffs_delta": f"Pairs in which the distilled student is above the fine-tuned one outweigh the others by "
        f"{value} of all (Cliff's delta",
        "matched_odds_ratio": f"{_method(str(row['group']))}: right where SFT is wrong {value} times as often as the "
        "reverse (matched odds ratio",
    }
    return f"{told[row['test']]}, {limits}){_place(row)}."


def _methods(row: Mapping[str, Any]) -> str:
    verdict = "The methods differ" if _is_clear(row) else "No difference between the methods is shown"
    return f"{verdict}{_place(row)}: F {row['statistic']:.2f} over {row['n']} students, {_p(row)}."


def _published(row: Mapping[str, Any]) -> str:
    where = f"{row['hypothesis']} for {row['group']} on {row['task']} ({row['domain']})"
    return (
        f"{where}, as published: {row['test']} {row['statistic']:.2f}, p {format_p(row['p_value'])}. The cells are "
        "maxima over temperatures and share their controls, so that this p-value is too small."
    )


def _subject(row: Mapping[str, Any]) -> str:
    kind, group = row["hypothesis"], str(row["group"])
    if kind in CORRELATIONS:
        return f"Whether the gain goes with {_RELATED[kind]}"
    if row.get("scope") == CHECKPOINTS:
        return f"{_checkpoints(row)}"
    if kind in (FIDELITY, INHERITED, SHARED_RIGHT, SHARED_WRONG):
        return f"{_LIKENESS[kind]} of {_method(group)}"
    if kind in (FIDELITY_METHOD, NONINFERIORITY):
        return f"{_LIKENESS[FIDELITY]} of {_method(group.partition(' - ')[0])}"
    if kind in ("method", EQUIVALENCE):
        return _method(group.partition(" - ")[0])
    if kind in ("cell", "largest_gain", "temperature") or (kind == "H1" and group != "all"):
        return _method(group)
    what, _, cell = group.rpartition(": ")
    told = {
        "unadapted_teacher": f"An unadapted teacher ({_method(group)})",
        "best_temperature": f"The best temperature of {_method(group)}",
        "ablation": f'The ablation "{what}" of {_method(cell)}',
    }
    return told.get(kind, "Distillation")


def _checkpoints(row: Mapping[str, Any]) -> str:
    """The subject of a statement about trained models and no method; {} is where the difference is put."""
    kind, group = row["hypothesis"], str(row["group"])
    if kind == "H1-student":
        several = "checkpoint" if row.get("runs", 2) == 1 else "checkpoints"
        return f"The distilled {several} of {group} scored {{}}"
    if kind in (FIDELITY, INHERITED, SHARED_RIGHT, SHARED_WRONG):
        return f"{_LIKENESS[kind]} of the checkpoint of {_method(group)} is {{}}"
    if kind in (FIDELITY_METHOD, NONINFERIORITY):
        return f"{_LIKENESS[FIDELITY]} of the checkpoints of {_method(group.partition(' - ')[0])} is {{}}"
    name = group.partition(" - ")[0] if kind in ("method", EQUIVALENCE) else group
    if kind == "ablation":
        what, _, cell = group.rpartition(": ")
        return f'The checkpoints of the ablation "{what}" of {_method(cell)} scored {{}}'
    return f"The checkpoints of {_method(name)} scored {{}}"


def _against(row: Mapping[str, Any]) -> str:
    kind, group = row["hypothesis"], str(row["group"])
    if row.get("scope") == CHECKPOINTS:
        other = group.partition(" - ")[2]
        told = {"temperature": " that of the temperature chosen beforehand", "ablation": " the same without it"}
        told |= dict.fromkeys(("method", FIDELITY_METHOD), f" those of {_method(other)}")
        told |= dict.fromkeys(_LIKENESS, " that of its SFT checkpoint")
        return told.get(kind, " its SFT checkpoint")
    if kind == "H1-student":
        return f" over SFT on {group}"
    if kind in ("method", FIDELITY_METHOD):
        return f" {'over' if kind == 'method' else 'than that of'} {_method(group.partition(' - ')[2])}"
    if kind in (FIDELITY, INHERITED, SHARED_RIGHT, SHARED_WRONG):
        return " than that of its SFT control"
    instead = {"temperature": "", "unadapted_teacher": " over an adapted one", "ablation": " over the same without it"}
    return instead.get(kind, " over SFT")


def _place(row: Mapping[str, Any]) -> str:
    domain = row.get("domain", "all")
    parts = [str(part) for part in (domain, row["task"]) if part not in ("all", "Average")]
    return f" ({', '.join(parts)})" if parts else ""


def _interval(row: Mapping[str, Any], digits: int = 1) -> str:
    level = 90 if row["hypothesis"] in (EQUIVALENCE, NONINFERIORITY) else 95
    limits = [float(row.get(name, math.nan)) for name in ("low_simultaneous", "high_simultaneous")]
    together = all(math.isfinite(limit) for limit in limits) and row["p_adjusted"] > row["p_value"]
    limits = limits if together else [float(row["low"]), float(row["high"])]
    # Rounding first, then adding 0, makes no limit "-0.0".
    low, high = (round(limit, digits) + 0.0 for limit in limits)
    return f"{'simultaneous ' if together else ''}{level}% CI {low:.{digits}f} to {high:.{digits}f}"


def _p(row: Mapping[str, Any]) -> str:
    if row.get("test") == TWO_WAY:
        return f"p {format_p(row['p_value'])}"  # a family of its own: nothing is adjusted
    by = "Benjamini-Yekutieli" if row["hypothesis"] in CORRELATIONS else "Holm"
    by = "Bonferroni" if row["hypothesis"] == "largest_gain" else by
    by = "Max-T" if "max-T" in str(row.get("test", "")) else by
    return f"{by}-adjusted p {format_p(row['p_adjusted'])}"


def _detectable(row: Mapping[str, Any]) -> str:
    least = row.get("detectable", math.nan)
    if not math.isfinite(least):
        return ""
    if least > _LARGEST:
        return f"; no difference below {_LARGEST} points would be detected with 80% power"
    return f"; minimum detectable difference {least:.1f} points (80% power)"


def _question(row: Mapping[str, Any]) -> str:
    return "" if row.get("role", CONFIRMATORY) == CONFIRMATORY else "Exploratory."


def _is_clear(row: Mapping[str, Any]) -> bool:
    return bool(row["p_adjusted"] <= 0.05)


def _method(name: str) -> str:
    first, separator, rest = name.partition(" ")
    bare = first.rstrip(",")
    return method_sentence(bare) + first[len(bare) :] + separator + rest
