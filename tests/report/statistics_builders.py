"""Synthetic statistics in the form of table `statistics`: one row per setting and hypothesis, with numbers given."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace

import numpy as np
import pandas as pd

from kdscope.report import ReportTables

from .builders import cell_row, empty_tables, stated

NAN = float("nan")
COMPONENTS = ("items", "runs of SFT", "runs of the other methods", "tasks", "methods")


def result(hypothesis: str, **given: object) -> dict[str, object]:
    """A row about a setting of `s`, taught by `t`: exploratory, five runs a side, not significant."""
    row = stated(hypothesis=hypothesis, role="exploratory", sentence="", note="", group="", detectable=4.0)
    row |= {"scope": "runs", "student": "s", "teacher": "t", "method": "seqkd", "temperature": NAN, "ablation": ""}
    row |= {"reference": "sft", "low_simultaneous": NAN, "high_simultaneous": NAN, "runs": 5, "control_runs": 5}
    return row | {"run_sd": 1.5, "p_value": 0.3, "p_adjusted": 0.5} | given


def interval(estimate: float, half: float, wider: float = 1.5) -> dict[str, float]:
    """Estimate, pointwise and simultaneous limits."""
    both = {"low": estimate - half, "high": estimate + half}
    return {"estimate": estimate, **both} | {
        "low_simultaneous": estimate - wider * half,
        "high_simultaneous": estimate + wider * half,
    }


def mean_of(student: str = "s", **given: object) -> dict[str, object]:
    """The primary question's answer for a student."""
    return result("H1-student", role="confirmatory", student=student, group=student, method="", teacher="") | given


def about_setting(gain: float, p_adjusted: float, *, half: float = 3.0, **given: object) -> list[dict[str, object]]:
    """The four rows of a setting: gain, fidelity with its parts, inherited errors."""
    fidelity = given.pop("fidelity", 2.0)
    assert isinstance(fidelity, float)
    p_values = {"p_value": p_adjusted / 2, "p_adjusted": p_adjusted}
    parts = {"fidelity": fidelity, "shared_right": fidelity / 2, "shared_wrong": fidelity / 2, "inherited_errors": 1.0}
    return [
        result("cell", **interval(gain, half), **p_values) | given,
        *(result(name, **interval(value, 1.0)) | given for name, value in parts.items()),
    ]


def variance_rows(domain: str = "math") -> list[dict[str, object]]:
    """The components of variance, each with its degrees of freedom."""
    return [
        result("variance", domain=domain, role="detail", group=name, student="", teacher="", method="")
        | {"estimate": 0.5 + place, "n": 10 + place, "p_value": NAN, "p_adjusted": NAN, "unit": ""}
        for place, name in enumerate(COMPONENTS)
    ]


def student_cells(*methods: str, student: str = "s", seeds: int = 1, **given: object) -> list[dict[str, object]]:
    """The control and the distilled students of one student, `seeds` runs each."""
    taught = {"teacher": "t", "teacher_condition": "adapted"}
    return [
        cell_row(f"{student}/{method}/{seed}", "student", method, student=student, seed=seed)
        | ({} if method == "sft" else taught)
        | given
        for method in ("sft", *methods)
        for seed in range(seeds)
    ]


def study(rows: list[dict[str, object]], cells: list[dict[str, object]] | None = None) -> ReportTables:
    """A study of one student with these statistics; its methods are those that the rows name."""
    named = dict.fromkeys(str(row["method"]) for row in rows if row["method"])
    made = student_cells(*named) if cells is None else cells
    return replace(empty_tables(cells=pd.DataFrame(made)), statistics=pd.DataFrame(rows))


def measured(tables: ReportTables, scope: str = "runs", seed: int = 0) -> ReportTables:
    """The tables with made-up statistics for every setting of every student: for pages and figures."""
    rng = np.random.default_rng(seed)
    cells = tables.cells[(tables.cells["role"] == "student") & (tables.cells["method"] != "sft")]
    columns = ["student", "teacher", "method", "kd_temperature", "teacher_condition"]
    taught = cells.drop_duplicates(columns)
    both = (cells["teacher_condition"] == "adapted").any()
    rows: list[dict[str, object]] = []
    for student in dict.fromkeys(taught["student"]):
        for domain in ("math", "commonsense"):
            mean = float(rng.normal(0, 3))
            rows.append(mean_of(student, domain=domain, scope=scope, **interval(mean, 2.0), p_adjusted=rng.random()))
    for cell in taught.to_dict("records"):
        unadapted = both and cell["teacher_condition"] == "base"
        about: Mapping[str, object] = {
            "student": cell["student"],
            "teacher": cell["teacher"],
            "method": cell["method"],
            "temperature": cell["kd_temperature"],
            "ablation": "unadapted teacher" if unadapted else "",
            "scope": scope,
            **dict.fromkeys(("runs", "control_runs"), 5 if scope == "runs" else 1),
        }
        for domain in ("math", "commonsense"):
            gain = float(rng.normal(-12 if unadapted else 0, 5))
            p_adjusted = float(np.clip(np.exp(-abs(gain)), 0, 1))
            fidelity = float(rng.normal(1, 2))
            rows += about_setting(gain, p_adjusted, half=abs(gain) / 2 + 1, fidelity=fidelity, domain=domain, **about)
    rows += [*variance_rows("math"), *variance_rows("commonsense")]
    return replace(tables, statistics=pd.DataFrame(rows))
