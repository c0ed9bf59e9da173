"""What of a published study holds: each of its claims beside the rigorous protocol on the study's own tables."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import asdict, dataclass
from typing import Any

import pandas as pd

from kdscope.results.column_names import AVERAGE
from kdscope.results.formatting import format_p
from kdscope.results.hypotheses import (
    CONFIRMATORY,
    EXPLORATORY,
    H1,
    H1_ANOVA,
    H1_STUDENT,
    H2,
    H3,
    H3_2,
    H4,
    H5,
    LARGEST_GAIN,
    TEMPERATURE,
    UNADAPTED_TEACHER,
    is_significant,
)

HOLDS, BEFORE = "holds", "only before adjustment"
CONTRADICTED, OPEN = "contradicted", "cannot be told"


@dataclass(frozen=True, slots=True)
class TestedClaim:
    """One claim of the paper, tested.

    Attributes:
        claim: what the paper says.
        domain: domain it is tested in.
        hypothesis: row of the protocols it stands for.
        group: its group.
        published_p: p-value by the paper's own protocol; NaN where it has no test.
        estimate: in percentage points, or points per unit of a slope.
        low: lower limit of 95%.
        high: upper limit.
        p_value: by the rigorous protocol, two-sided.
        p_one_sided: of the direction claimed; NaN for a claim without one.
        p_exact: two-sided, by all flips of the students' signs; NaN where students are not the units.
        p_adjusted: two-sided, after adjustment.
        verdict: ``holds``, ``only before adjustment``, ``contradicted`` or ``cannot be told``.
    """

    claim: str
    domain: str
    hypothesis: str
    group: str
    published_p: float
    estimate: float
    low: float
    high: float
    p_value: float
    p_one_sided: float
    p_exact: float
    p_adjusted: float
    verdict: str


EITHER, ANY = None, ""
_CLAIMS: tuple[tuple[str, str, str, int | None], ...] = (
    ("Distillation improves students over fine-tuning", H1, "all", 1),
    ("The smallest student gains (the abstract: up to 10% on average)", H1_STUDENT, "Qwen2.5-0.5B", 1),
    ("The largest student gains little (the abstract: about 1.3%)", H1_STUDENT, "Qwen2.5-7B", 1),
    ("On one task some student gains much (the abstract: 22%)", LARGEST_GAIN, ANY, 1),
    ("SeqKD (forward KL) improves students", H1, "SeqKD", 1),
    ("RevKD (reverse KL) improves students", H1, "RevKD", 1),
    ("GKD improves students", H1, "GKD", 1),
    ("Methods do not differ", H1_ANOVA, "all", 0),
    ("The teacher's performance has minimal impact on the gain", H2, "all", 0),
    ("Task expertise matters: a teacher that was not trained on it teaches worse", UNADAPTED_TEACHER, "SeqKD", -1),
    ("Smaller students gain more, larger ones less", H3, "all", -1),
    ("Students that are worse under SFT gain more", H3_2, "all", -1),
    ("Agreement with the teacher goes with the gain", H4, "all", 1),
    ("Gains are not aligned with fidelity to the teacher's reasoning", H5, "all", 0),
    ("Smoothing the logits matters: SeqKD at temperature 2", TEMPERATURE, "SeqKD at 2 instead of 1", EITHER),
    ("Smoothing the logits matters: SeqKD at temperature 5", TEMPERATURE, "SeqKD at 5 instead of 1", EITHER),
    ("Smoothing the logits matters: RevKD at temperature 2", TEMPERATURE, "RevKD at 2 instead of 1", EITHER),
    ("Smoothing the logits matters: RevKD at temperature 5", TEMPERATURE, "RevKD at 5 instead of 1", EITHER),
)
"""What is claimed, by which test, of whom, and in which direction (0: that there is no effect; EITHER: some effect)."""


def reanalyse(published: pd.DataFrame, rigorous: pd.DataFrame) -> pd.DataFrame:
    """Claim by claim, both protocols' results on the average over tasks.

    A claim of an effect holds where the adjusted two-sided p-value is at most .05 in the direction claimed (if one is),
    and is contradicted where it is in the other one. Otherwise it holds only before adjustment, or cannot be told: the
    interval then contains the claim as well as no effect, or there is no test. A claim of *no* effect is contradicted
    where there is one; that none is found proves nothing, so that otherwise it cannot be told. Beside the two-sided
    p-value, on which the verdict rests, stand the one-sided one of a claim with a direction and the exact one.

    Args:
        published: of `published_protocol`.
        rigorous: of `rigorous_protocol`.

    Returns:
        Columns are the attributes of `TestedClaim`.
    """
    rows = [asdict(verdict) for verdict in _verdicts(published, rigorous)]
    return pd.DataFrame(rows, columns=list(TestedClaim.__slots__))


def _verdicts(published: pd.DataFrame, rigorous: pd.DataFrame) -> Iterator[TestedClaim]:
    main = rigorous[rigorous["role"].isin([CONFIRMATORY, EXPLORATORY])]
    for claim, hypothesis, group, direction in _CLAIMS:
        rows = main[(main["hypothesis"] == hypothesis) & ((main["group"] == group) | (group == ANY))]
        for row in rows.to_dict("records"):
            yield TestedClaim(
                *(claim, row["domain"], hypothesis, row["group"], _published_p(published, row)),
                *(row["estimate"], row["low"], row["high"], row["p_value"]),
                *(_one_sided(row, direction), row["p_exact"], row["p_adjusted"]),
                verdict=_verdict(row, direction),
            )


def _published_p(published: pd.DataFrame, row: dict[Any, Any]) -> float:
    same = published[
        (published["domain"] == row["domain"])
        & (published["hypothesis"] == row["hypothesis"])
        & (published["group"] == row["group"])
        & (published["task"] == AVERAGE)
    ]
    return float(same["p_value"].iloc[0]) if len(same) else float("nan")


def _verdict(row: dict[Any, Any], direction: int | None) -> str:
    as_claimed = direction is EITHER or direction * row["statistic"] > 0
    if is_significant(row["p_adjusted"]):
        return HOLDS if as_claimed else CONTRADICTED
    if direction == 0:
        return OPEN
    return BEFORE if as_claimed and is_significant(row["p_value"]) else OPEN


def _one_sided(row: dict[Any, Any], direction: int | None) -> float:
    """P-value of an effect in the direction claimed, from the two-sided one of a symmetric statistic."""
    if not direction:
        return float("nan")
    half = float(row["p_value"]) / 2
    return half if direction * row["statistic"] > 0 else 1 - half


def verdict_row(verdict: dict[str, object]) -> list[str]:
    """A verdict as cells of a table, under `HEADINGS`."""
    estimate, low, high = (float(str(verdict[name])) for name in ("estimate", "low", "high"))
    interval = "-" if low != low else f"{low:.2f} to {high:.2f}"
    p_values = [
        float(str(verdict[name])) for name in ("published_p", "p_value", "p_one_sided", "p_exact", "p_adjusted")
    ]
    published, *shown = ("-" if p != p else format_p(p) for p in p_values)
    told = "-" if estimate != estimate else f"{estimate:+.2f}"
    claim, outcome = str(verdict["claim"]), str(verdict["verdict"])
    return [claim, str(verdict["hypothesis"]), published, told, interval, *shown, outcome]


HEADINGS = (
    *("claim", "test", "published p", "estimate", "95% interval", "p", "one-sided p", "exact p", "adjusted p"),
    "verdict",
)
"""Of a table of verdicts."""
