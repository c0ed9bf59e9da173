"""Results in words: one plain sentence each, for a reader who knows no statistics, then its warnings."""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import asdict
from typing import Any

from kdscope.protocols.results import TWO_WAY, WITHIN, RigorousResult
from kdscope.results.column_names import AVERAGE
from kdscope.results.formatting import format_p
from kdscope.results.hypotheses import CONFIRMATORY, Hypothesis, hypothesis, is_significant
from kdscope.results.methods import method_sentence
from kdscope.statistics.run_contrasts import CHECKPOINTS

_LARGEST = 100
"""Accuracies differ by no more points than this."""


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
    form = hypothesis(row["hypothesis"]).form
    if form == "effect":
        return _effect(row)
    if form == "variance":
        return f"Standard deviation of {row['group']}: {row['estimate']:.1f} points. {row['note']}".strip()
    said = _untested(row) if math.isnan(row["p_value"]) else _TESTED.get(form, _gain)(row)
    exploratory = "" if row.get("role", CONFIRMATORY) == CONFIRMATORY else "Exploratory."
    warnings = " ".join(part for part in (exploratory, str(row.get("note", ""))) if part)
    return f"{said[:1].upper()}{said[1:]} {warnings}".strip()


def _gain(row: Mapping[str, Any]) -> str:
    asked, value = hypothesis(row["hypothesis"]), row["estimate"]
    size = f"{abs(value):.1f} points"
    if row.get("scope") == CHECKPOINTS:
        direction = "above" if value > -0.05 else "below"
        said = f"{_filled(asked.checkpoint, row)} {size} {direction}{_filled(asked.checkpoint_against, row)}"
    else:
        verb = asked.verbs[int(value <= -0.05)]
        said = f"{_subject(asked, row)} {verb} {size}{_filled(asked.against, row)}"
    doubt = "" if is_significant(row["p_adjusted"]) else ", not statistically significant"
    return f"{said}{_place(row)}, {_interval(row)}, {_p(row)}{doubt}{_detectable(row)}."


def _untested(row: Mapping[str, Any]) -> str:
    asked = hypothesis(row["hypothesis"])
    if asked.form == "level":
        return f"{_subject(asked, row)}{_place(row)}: {row['estimate']:+.1f} points, {_interval(row)}."
    if math.isnan(row["estimate"]) or asked.form == "relation":
        return f"{_subject(asked, row)}: these results cannot tell."
    interval = f", {_interval(row)}" if math.isfinite(row["low"]) else ""
    against = _filled(asked.untested_against or asked.against, row)
    return f"{_subject(asked, row)}: {row['estimate']:+.1f} points{against}{_place(row)}{interval}, without a test."


def _noninferiority(row: Mapping[str, Any]) -> str:
    first, _, second = str(row["group"]).partition(" - ")
    shown = "is" if is_significant(row["p_adjusted"]) else "is not shown to be"
    of = "the checkpoint of " if row.get("scope") == CHECKPOINTS else ""
    return (
        f"{of}{_method(first)} {shown} as faithful to its teacher as {_method(second)} within {row['margin']:g} points"
        f"{_place(row)}: {row['estimate']:+.1f}, {_interval(row)}, {_p(row)}."
    )


def _relation(row: Mapping[str, Any]) -> str:
    direction = "more" if row["estimate"] > 0 else "less"
    found = f"{abs(row['estimate']):.2g} points {direction} per {row['per']}, {_interval(row, 2)}, {_p(row)}"
    what = hypothesis(row["hypothesis"]).related_to + (f" {row['group']}" if row["group"] == WITHIN else "")
    if is_significant(row["p_adjusted"]):
        return f"The gain goes with {what}{_place(row)}: {found}."
    return f"No relation of the gain with {what} is shown{_place(row)}: {found}."


def _equivalence(row: Mapping[str, Any]) -> str:
    first, _, second = str(row["group"]).partition(" - ")
    of = "the checkpoints of " if row.get("scope") == CHECKPOINTS else ""
    interval = (
        f"{_method(first)} minus {_method(second)} is {round(row['estimate'], 1) + 0.0:+.1f} points, {_interval(row)}"
    )
    if is_significant(row["p_adjusted"]):
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
    differ = is_significant(row["p_adjusted"])
    said = "The methods differ" if differ else "No difference between the methods is shown"
    return f"{said}{_place(row)}: F {row['statistic']:.2f} over {row['n']} students, {_p(row)}."


def _published(row: Mapping[str, Any]) -> str:
    where = f"{row['hypothesis']} for {row['group']} on {row['task']} ({row['domain']})"
    return (
        f"{where}, as published: {row['test']} {row['statistic']:.2f}, p {format_p(row['p_value'])}. The cells are "
        "maxima over temperatures and share their controls, so that this p-value is too small."
    )


def _subject(asked: Hypothesis, row: Mapping[str, Any]) -> str:
    """Who gains; where a row is about all methods together, distillation."""
    return "Distillation" if row["group"] == "all" and asked.subject == "{group}" else _filled(asked.subject, row)


def _filled(template: str, row: Mapping[str, Any]) -> str:
    """A fragment of the catalogue with the row's group in it."""
    group = str(row["group"])
    first, _, second = group.partition(" - ")
    what, _, cell = group.rpartition(": ")
    return template.format(
        group=_method(group),
        student=group,
        first=_method(first),
        second=_method(second),
        what=what,
        cell=_method(cell),
        checkpoints="checkpoint" if row.get("runs", 2) == 1 else "checkpoints",
    )


def _place(row: Mapping[str, Any]) -> str:
    domain = row.get("domain", "all")
    parts = [str(part) for part in (domain, row["task"]) if part not in ("all", AVERAGE)]
    return f" ({', '.join(parts)})" if parts else ""


def _interval(row: Mapping[str, Any], digits: int = 1) -> str:
    level = hypothesis(row["hypothesis"]).confidence
    limits = [float(row.get(name, math.nan)) for name in ("low_simultaneous", "high_simultaneous")]
    together = all(math.isfinite(limit) for limit in limits) and row["p_adjusted"] > row["p_value"]
    limits = limits if together else [float(row["low"]), float(row["high"])]
    # Rounding first, then adding 0, makes no limit "-0.0".
    low, high = (round(limit, digits) + 0.0 for limit in limits)
    return f"{'simultaneous ' if together else ''}{level}% CI {low:.{digits}f} to {high:.{digits}f}"


def _p(row: Mapping[str, Any]) -> str:
    if row.get("test") == TWO_WAY:
        return f"p {format_p(row['p_value'])}"  # a family of its own: nothing is adjusted
    by = "Max-T" if "max-T" in str(row.get("test", "")) else hypothesis(row["hypothesis"]).adjustment
    return f"{by}-adjusted p {format_p(row['p_adjusted'])}"


def _detectable(row: Mapping[str, Any]) -> str:
    least = row.get("detectable", math.nan)
    if not math.isfinite(least):
        return ""
    if least > _LARGEST:
        return f"; no difference below {_LARGEST} points would be detected with 80% power"
    return f"; minimum detectable difference {least:.1f} points (80% power)"


def _method(name: str) -> str:
    first, separator, rest = name.partition(" ")
    bare = first.rstrip(",")
    return method_sentence(bare) + first[len(bare) :] + separator + rest


_TESTED = {
    "equivalence": _equivalence,
    "noninferiority": _noninferiority,
    "methods": _methods,
    "relation": _relation,
}
"""Sentences on tested rows, by the form of their hypothesis; others are gains."""
