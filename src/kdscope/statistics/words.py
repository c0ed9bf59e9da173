"""Results in words: one plain sentence for a reader who knows no statistics, and what must not be concluded."""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import asdict
from typing import Any

from kdscope.statistics.results import (
    CONFIRMATORY,
    CORRELATIONS,
    EFFECT,
    EQUIVALENCE,
    TWO_WAY,
    WITHIN,
    RigorousResult,
)

_NAMES = {
    "forward_kl": "forward KL",
    "reverse_kl": "reverse KL",
    "gkd": "GKD",
    "seqkd": "sequence-level KD",
    "jsd": "JSD",
}
_RELATED = {
    "H2": "the teacher's accuracy",
    "H3": "the student's size",
    "H3.2": "the student's accuracy under SFT",
    "H4": "agreement with the teacher",
    "H5": "fidelity to the teacher's reasoning",
}


def sentence(result: RigorousResult | Mapping[str, Any]) -> str:
    """One plain sentence on a result, then its warnings.

    Args:
        result: a row of the rigorous protocol, or of the published one, which gets the warning that belongs to it.

    Example:
        >>> row = {"hypothesis": "H1-student", "group": "Qwen2.5-0.5B", "estimate": 4.1, "low": 1.2, "high": 7.0,
        ...        "p_adjusted": 0.01, "p_value": 0.002, "n": 500, "unit": "items", "detectable": 3.9, "task": "gsm8k",
        ...        "role": "confirmatory", "domain": "math"}
        >>> sentence(row)  # doctest: +NORMALIZE_WHITESPACE
        'Distillation gained 4.1 points over SFT on Qwen2.5-0.5B (math, gsm8k), 95% CI 1.2 to 7.0, Holm-adjusted p .01;
        with 500 items this study could not have seen less than 3.9.'
    """
    row = asdict(result) if isinstance(result, RigorousResult) else dict(result)
    if row.get("protocol") == "published":
        return _published(row)
    if row["hypothesis"] == EFFECT:
        return _effect(row)
    if math.isnan(row["p_value"]):
        said = f"{_subject(row)}: these results cannot tell."
    else:
        kinds = {EQUIVALENCE: _equivalence, "H1-anova": _methods, **dict.fromkeys(CORRELATIONS, _relation)}
        said = kinds.get(row["hypothesis"], _gain)(row)
    warnings = " ".join(part for part in (_question(row), str(row.get("note", ""))) if part)
    return f"{said[:1].upper()}{said[1:]} {warnings}".strip()


def format_p(p_value: float) -> str:
    """A p-value as papers print it.

    Example:
        >>> format_p(0.0312), format_p(0.00004), format_p(1.0)
        ('.031', '< .001', '1')
    """
    if p_value < 0.001:
        return "< .001"
    # What is above .05 is not to look like it.
    digits = 3 if 0.05 < p_value < 0.0505 else 2
    return f"{p_value:.{digits}g}".removeprefix("0") if p_value < 0.9995 else "1"


def _gain(row: Mapping[str, Any]) -> str:
    value = row["estimate"]
    verb = "gained" if value > -0.05 else "lost"
    doubt = ", which is within what chance alone produces"
    if row["p_value"] <= 0.05:
        doubt = ", which chance alone may produce among this many questions"
    doubt = "" if _is_clear(row) else doubt
    return (
        f"{_subject(row)} {verb} {abs(value):.1f} points{_against(row)}{_place(row)}, {_interval(row)}, "
        f"{_p(row)}{doubt}{_seen(row)}."
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
    interval = (
        f"{_method(first)} minus {_method(second)} is {round(row['estimate'], 1) + 0.0:+.1f} points, {_interval(row)}"
    )
    if row["p_adjusted"] <= 0.05:
        return f"{_method(first)} and {_method(second)} are the same within {row['margin']:g} points: {interval}."
    return f"Not shown to be the same within {row['margin']:g} points{_place(row)}: {interval}, {_p(row)}."


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
    if kind == "method":
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


def _against(row: Mapping[str, Any]) -> str:
    kind, group = row["hypothesis"], str(row["group"])
    if kind == "H1-student":
        return f" over SFT on {group}"
    if kind == "method":
        return f" over {_method(group.partition(' - ')[2])}"
    instead = {"temperature": "", "unadapted_teacher": " over an adapted one", "ablation": " over the same without it"}
    return instead.get(kind, " over SFT")


def _place(row: Mapping[str, Any]) -> str:
    domain = row.get("domain", "all")
    parts = [str(part) for part in (domain, row["task"]) if part not in ("all", "Average")]
    return f" ({', '.join(parts)})" if parts else ""


def _interval(row: Mapping[str, Any], digits: int = 1) -> str:
    level = 90 if row["hypothesis"] == EQUIVALENCE else 95
    # Rounding first, then adding 0, makes no limit "-0.0".
    low, high = (round(row[name], digits) + 0.0 for name in ("low", "high"))
    return f"{level}% CI {low:.{digits}f} to {high:.{digits}f}"


def _p(row: Mapping[str, Any]) -> str:
    if row.get("test") == TWO_WAY:
        return f"p {format_p(row['p_value'])}"  # a family of its own: nothing is adjusted
    by = "Benjamini-Yekutieli" if row["hypothesis"] in CORRELATIONS else "Holm"
    by = "Bonferroni" if row["hypothesis"] == "largest_gain" else by
    by = "Max-T" if "max-T" in str(row.get("test", "")) else by
    return f"{by}-adjusted p {format_p(row['p_adjusted'])}"


def _seen(row: Mapping[str, Any]) -> str:
    least = row.get("detectable", math.nan)
    if not math.isfinite(least):
        return ""
    if _is_clear(row) and abs(row["estimate"]) < least:
        return f"; true differences below {least:.1f} this study finds in less than four of five cases"
    return f"; with {row['n']:,} {row.get('unit', 'units')} this study could not have seen less than {least:.1f}"


def _question(row: Mapping[str, Any]) -> str:
    return "" if row.get("role", CONFIRMATORY) == CONFIRMATORY else "Exploratory."


def _is_clear(row: Mapping[str, Any]) -> bool:
    return bool(row["p_adjusted"] <= 0.05)


def _method(name: str) -> str:
    first, separator, rest = name.partition(" ")
    bare = first.rstrip(",")
    return _NAMES.get(bare, bare) + first[len(bare) :] + separator + rest
