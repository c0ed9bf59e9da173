"""Which checkpoint of every run was kept, and how learning rates were chosen, in a sentence each."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import pandas as pd

from kdscope.results.formatting import is_missing, plural
from kdscope.results.methods import SFT
from kdscope.results.tables import known_counts, records

_RULES = {
    "last": "Last checkpoint of every run.",
    "best_accuracy": "Checkpoint with the best validation accuracy of every run.",
    "best_loss": "Checkpoint with the lowest validation loss of every run.",
}
_SEVERAL = "Checkpoints by several rules: {}."


def training_rules(cells: pd.DataFrame) -> list[str]:
    """The rule by which checkpoints were kept, what the other rule would have kept, and how rates were chosen.

    Nothing where the table does not tell, as in tables of before it did.
    """
    trained = [row for row in records(cells[cells["role"] == "student"]) if row["state"] == "done"]
    return [said for said in (_checkpoints(trained), _other_rule(trained), _rates(trained)) if said]


def _checkpoints(rows: Sequence[dict[str, Any]]) -> str:
    rules = list(dict.fromkeys(str(row["keep"]) for row in rows if not is_missing(row["keep"])))
    if len(rules) > 1:
        return _SEVERAL.format(", ".join(rule.replace("_", " ") for rule in rules))
    return _RULES[rules[0]] if rules else ""


def _other_rule(rows: Sequence[dict[str, Any]]) -> str:
    """For how many runs another rule would have kept another step, where validation was generative."""
    known = [row for row in rows if not is_missing(row["other_rule_step"]) and not is_missing(row["kept_step"])]
    if not known:
        return ""
    differ = sum(int(row["other_rule_step"]) != int(row["kept_step"]) for row in known)
    other = "the lowest validation loss" if known[0]["keep"] == "best_accuracy" else "the best validation accuracy"
    if not differ:
        return f"Keeping {other} instead would have kept the same steps."
    return f"Keeping {other} instead would have kept another step in {differ} of {plural(len(known), 'run')}."


def _rates(rows: Sequence[dict[str, Any]]) -> str:
    budgets = known_counts(rows, "tuning_runs")
    rates = sorted({float(row["learning_rate"]) for row in rows if not is_missing(row["learning_rate"])})
    if any(budgets):
        tried = list(dict.fromkeys(str(row["rates_tried"]) for row in rows if not is_missing(row["rates_tried"])))
        told = f" from {'; or from '.join(tried)}" if tried else ""
        return f"Learning rate chosen per method{told} on validation accuracy, {_budget(rows, budgets)}."
    if not rates:
        return ""
    one = f" ({rates[0]:g} for every method)" if len(rates) == 1 else ""
    return f"Learning rate not tuned{one}."


def _budget(rows: Sequence[dict[str, Any]], budgets: Sequence[int]) -> str:
    """The runs that choosing took; told as equal for all only where it was."""
    untuned = [row for row in rows if is_missing(row["tuning_runs"]) or not row["tuning_runs"]]
    if len(budgets) > 1 or untuned:
        known = [budget for budget in budgets if budget]
        spread = f"{known[0]} to {known[-1]}" if len(known) > 1 else str(known[0])
        also = f", {plural(len(untuned), 'model')} not tuned" if untuned else ""
        return f"an unequal budget of {spread} runs{also}"
    control = ", the control included" if any(row["method"] == SFT for row in rows) else ""
    return f"{plural(budgets[0], 'run')} each{control}"
