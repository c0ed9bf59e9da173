"""Whole studies whose cells differ only by noise, through the whole protocol: does it conclude anything?

Three students, two teachers, two methods, three temperatures, one SFT setting a student that all of its gains share,
an ablation, agreement with the teachers and likeness to their texts: the item records through `rigorous_records`, and
the table of their accuracies through `rigorous_protocol`. Whatever is found is wrong, but for equivalence, which is
true here and not counted.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np
import pandas as pd

from kdscope.protocols.item_matrix import PAIR_COLUMNS
from kdscope.protocols.published import published_protocol
from kdscope.protocols.results import results_frame
from kdscope.protocols.results_table import results_table
from kdscope.protocols.rigorous import rigorous_protocol, rigorous_records
from kdscope.protocols.single_settings import changed_settings_of_table
from kdscope.protocols.table_runs import TableSample, domains_of

STUDENTS = ("S-0.5B", "S-1.5B", "S-3B")
TEACHERS = ("T-7B", "T-14B")
METHODS = ("forward_kl", "gkd")
TEMPERATURES = (1.0, 2.0, 4.0)
FAMILIES = {
    "cell": "each cell over SFT (max-T; Holm with several seeds)",
    "best_temperature": "best temperature (Holm)",
    **dict.fromkeys(("temperature", "ablation"), "other temperatures and ablations (Holm)"),
    **dict.fromkeys(("H1", "H1-grid", "H1-anova", "method"), "mean gains and methods (Holm)"),
    **dict.fromkeys(("H2", "H3", "H3.2", "H4", "H5"), "relations (Benjamini-Yekutieli)"),
    "largest_gain": "largest gain (simultaneous)",
    "fidelity": "fidelity beyond the control's (Holm)",
    "fidelity_method": "fidelity of methods (Holm)",
    "inherited_errors": "inherited errors (Holm)",
    **dict.fromkeys(("shared_right", "shared_wrong"), "shared right and wrong (Holm)"),
}
"""Exploratory families by hypothesis."""


@dataclass(frozen=True)
class Layout:
    """How large a study is, and how its runs vary."""

    tasks: int = 4
    items: int = 100
    seeds: int = 1
    run_sd: float = 0.0  # of a training run, in points
    discordance: float = 0.2  # of two single models, in `run_verdicts`
    repeated: float = 0.6  # the part of it that two runs of one setting show as well


def noise_outcomes(generator: np.random.Generator, layout: Layout, draws: int = 499) -> dict[str, float]:
    """Whether each family of tests concludes anything on one study, by item records and by its table."""
    records = make_records(generator, layout)
    pairs = make_pairs(records)
    by_records = rigorous_records(records, pairs=pairs, draws=draws, seed=int(generator.integers(2**31)))
    table = as_table(records)
    found = dict(_concluded(by_records, "records"))
    found |= _concluded(rigorous_protocol(table), "table")
    published = published_protocol(table)
    headline = published[(published["hypothesis"] == "H1") & (published["group"] == "all")]
    average = headline[headline["task"] == "Average"]
    return found | {"published H1, maxima over temperatures": float(average["p_value"].iloc[0] <= 0.05)}


def temperature_outcomes(generator: np.random.Generator, layout: Layout) -> dict[str, float]:
    """The same of one family of one protocol, which is quick enough for many studies: other temperatures, on tables."""
    [domain] = domains_of(as_table(make_records(generator, layout)), 1.0)
    found = results_frame(changed_settings_of_table(TableSample(domain)))
    return {"table: other temperatures (Holm), alone": float((found["p_adjusted"] <= 0.05).any())}


def make_records(generator: np.random.Generator, layout: Layout) -> pd.DataFrame:
    """Item records of one study: every model of a student is right on an item with one and the same probability."""
    shape, [apart] = (layout.tasks, layout.items), generator.spawn(1)
    share = generator.beta(1.5, 1.5, shape)
    own = {name: generator.random(shape) < np.clip(share + 0.2, 0, 1) for name in TEACHERS}
    parts = [_rows(f"{name}", right, method="teacher", teacher=name) for name, right in own.items()]
    for student in STUDENTS:
        level = generator.normal(0, 0.08)
        for number, (facts, its) in enumerate(_settings(own)):
            for seed in range(layout.seeds):
                chance = np.clip(share + level + generator.normal(0, layout.run_sd / 100), 0, 1)
                right = generator.random(shape) < chance
                rows = _rows(f"{student} {number} {seed}", right, student=student, seed=seed, **facts)
                parts.append(rows if its is None else rows.assign(**_told(apart, right & its)))
    return pd.concat(parts, ignore_index=True)


def make_pairs(records: pd.DataFrame) -> pd.DataFrame:
    """Students beside their teachers, controls beside all: wrong answers are never the same."""
    own = records[records["method"] == "teacher"].set_index(["model", "task", "item"])["correct"]
    parts = []
    for (name, method, teacher), rows in records[records["method"] != "teacher"].groupby(
        ["model", "method", "teacher"], sort=False
    ):
        for its in TEACHERS if method == "sft" else (teacher,):
            right, taught = rows["correct"].to_numpy(), own.loc[its].to_numpy()
            shares = (right, taught, ~right, ~taught, right & taught, ~right & ~taught, np.zeros_like(right))
            frame = pd.DataFrame(dict(zip(PAIR_COLUMNS[4:], shares, strict=True))).astype(float)
            keys = {
                "model": name,
                "teacher_model": its,
                "task": rows["task"].to_numpy(),
                "item": rows["item"].to_numpy(),
            }
            parts.append(frame.assign(**keys))
    return pd.concat(parts, ignore_index=True)


def run_verdicts(layout: Layout, gain: float, number: int) -> dict[str, bool]:
    """Whether the first student's gain is found by item records and by their table, and whether both say the same.

    Three students, four methods, every setting with its own lasting pattern of right answers, runs with a level of
    their own. Only claims about the method count.
    """
    generator = np.random.default_rng([7, number, layout.seeds, round(10 * gain)])
    n, parts = layout.tasks * layout.items, []
    base = generator.random(n)
    for student in STUDENTS:
        for method in ("sft", "a", "b", "c", "d"):
            own = np.where(generator.random(n) < _lasting(layout), generator.random(n), base)
            for seed in range(layout.seeds):
                answered = np.where(generator.random(n) < _single(layout), generator.random(n), own)
                shift = generator.normal(0, layout.run_sd) + gain * (method != "sft")
                right = (answered < np.clip(0.6 + shift / 100, 0, 1)).reshape(layout.tasks, layout.items)
                facts = {"student": student, "method": method, "seed": seed}
                facts |= {} if method == "sft" else {"teacher": "T", "temperature": 1.0}
                parts.append(_rows(f"{student} {method} {seed}", right, **facts))
    records = pd.concat(parts, ignore_index=True)
    found = rigorous_records(records, draws=99)
    table = as_table(records)
    primary = found[(found["role"] == "confirmatory") & found["item_stderr"].notna()]
    errors = dict(zip(primary["student"], primary["item_stderr"], strict=True))
    keys = ["student", "teacher", "method", "family", "temperature", "seed", "teacher_condition"]
    means = table.groupby(keys, sort=False, dropna=False)["value"].mean().reset_index()
    means = means.assign(
        study=table["study"].iloc[0], domain=table["domain"].iloc[0], metric="accuracy", task="Average"
    )
    means["item_stderr"] = [
        errors.get(s) if m == "sft" else None for s, m in zip(means["student"], means["method"], strict=True)
    ]
    by_table = rigorous_protocol(pd.concat([table, means], ignore_index=True))
    said = [_claims(frame, STUDENTS[0]) for frame in (found, by_table)]
    return {"records": said[0], "table": said[1], "same": said[0] == said[1]}


def _lasting(layout: Layout) -> float:
    """Share of items that a setting answers by itself, so that two settings differ on the wanted share of them."""
    return layout.discordance * (1 - layout.repeated) / 2 / 0.24


def _single(layout: Layout) -> float:
    """Share of items that a run answers by itself."""
    return layout.discordance * layout.repeated / 2 / 0.24


def _claims(found: pd.DataFrame, student: str) -> bool:
    row = found[(found["role"] == "confirmatory") & (found["group"] == student)].iloc[0]
    return bool(row["scope"] == "runs" and row["p_value"] < 0.05)


def as_table(records: pd.DataFrame) -> pd.DataFrame:
    """The table of accuracies a person would have of it, ablations left out."""
    main = records[(records["ablation"] == "") & (records["method"] != "teacher")]
    keys = ["student", "teacher", "method", "temperature", "seed", "task"]
    table = main.groupby(keys, sort=False, dropna=False)["correct"].mean().mul(100).rename("value").reset_index()
    return results_table(table, unit="percent").table


def _settings(own: dict[str, np.ndarray]) -> Iterator[tuple[dict[str, object], np.ndarray | None]]:
    """Settings of one student, each with its teacher's answers."""
    yield {"method": "sft"}, None
    for teacher, its in own.items():
        for method in METHODS:
            for temperature in TEMPERATURES:
                yield {"method": method, "teacher": teacher, "temperature": temperature}, its
        yield {"method": METHODS[0], "teacher": teacher, "temperature": 1.0, "ablation": "noise 2"}, its


def _told(generator: np.random.Generator, same: np.ndarray) -> dict[str, np.ndarray]:
    """A likeness of texts: by chance, and greater where the answers are the same."""
    return {"fidelity": (generator.random(same.size) + same.ravel()) / 2}


def _rows(name: str, right: np.ndarray, **facts: object) -> pd.DataFrame:
    settings = {"student": "", "teacher": "", "method": "", "temperature": np.nan, "seed": 0, "ablation": ""} | facts
    task, item = np.indices(right.shape)
    rows = pd.DataFrame({"task": [f"t{t}" for t in task.ravel()], "item": item.ravel(), "correct": right.ravel()})
    return rows.assign(model=name, **settings)


def _concluded(found: pd.DataFrame, source: str) -> Iterator[tuple[str, float]]:
    clear = found["p_adjusted"] <= 0.05
    yield f"{source}: primary question, any student (Holm)", float(clear[found["role"] == "confirmatory"].any())
    true_here = ("equivalence", "fidelity_noninferiority")
    explored = found[(found["role"] == "exploratory") & ~found["hypothesis"].isin(true_here)]
    family = explored["hypothesis"].map(FAMILIES)
    for name, rows in clear[explored.index].groupby(family, sort=False):
        yield f"{source}: {name}", float(rows.any())
    yield f"any of them: {source}, exploratory", float(clear[explored.index].any())
