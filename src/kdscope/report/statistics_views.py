"""Tables of the statistics: what varies and by how much, and the parts of every setting's fidelity."""

from __future__ import annotations

from kdscope.report.findings import Finding, findings_of
from kdscope.report.views import Entry, View
from kdscope.results.formatting import MISSING, fixed, is_missing, p_value
from kdscope.results.hypotheses import FIDELITY, INHERITED, SHARED_RIGHT, SHARED_WRONG, VARIANCE
from kdscope.results.tables import ReportTables, records, select

_PARTS = (
    (FIDELITY, "beyond accuracy"),
    (SHARED_RIGHT, "of which both right"),
    (SHARED_WRONG, "of which wrong alike"),
    (INHERITED, "inherited errors"),
)


def variance_view(tables: ReportTables) -> View:
    """One row per component of variance: items, training runs of the control and of the others, tasks, methods."""
    rows = records(select(tables.statistics, hypothesis=VARIANCE))
    several = len({row["domain"] for row in rows}) > 1
    body = [
        (
            *([Entry("" if is_missing(row["domain"]) else str(row["domain"]))] if several else []),
            Entry(str(row["group"])),
            _number(row["estimate"], 2),
            Entry(MISSING) if is_missing(row["n"]) else Entry(f"{int(row['n']):,}", repr(float(row["n"]))),
            Entry("" if is_missing(row["note"]) else str(row["note"])),
        )
        for row in rows
    ]
    return View(
        key="variance",
        title="What varies",
        how_to_read="Standard deviation of each component of the differences from SFT, in points. Components that "
        "could not be estimated have a dash.",
        csv="statistics",
        empty="No variance components were estimated.",
        head=(*(["domain"] if several else []), "component", "SD, points", "degrees of freedom", "note"),
        rows=tuple(body),
    )


def fidelity_parts_view(tables: ReportTables) -> View:
    """One row per setting: fidelity against the control and its parts, and inherited errors, all in points."""
    found = {name: {one.key: one for one in findings_of(tables, name)} for name, _ in _PARTS}
    keys = dict.fromkeys(key for parts in found.values() for key in parts)
    several = len({key.domain for key in keys}) > 1
    body = []
    for key in keys:
        known = {name: parts[key] for name, parts in found.items() if key in parts}
        first = next(iter(known.values()))
        about = [key.student, *([key.domain] if several else []), first.setting, key.teacher or MISSING]
        body.append((*(Entry(text) for text in about), *(_difference(known.get(name)) for name, _ in _PARTS)))
    return View(
        key="fidelity-parts",
        title="Fidelity against the control, points",
        how_to_read="Beyond accuracy: agreement with the teacher minus what both accuracies give, minus the same of "
        "the SFT control. It is the sum of what both have right and what both have wrong alike. Inherited errors: "
        "share of same wrong answers among items that both have wrong, minus the control's. In brackets 95% intervals, "
        "simultaneous where the p-value is adjusted (p), pointwise where there is none.",
        csv="statistics",
        empty="No setting has a fidelity against a control.",
        head=("student", *(["domain"] if several else []), "setting", "teacher", *(title for _, title in _PARTS)),
        rows=tuple(body),
    )


def _difference(found: Finding | None) -> Entry:
    if found is None or is_missing(found.estimate):
        return Entry(MISSING)
    adjusted = f" (p {p_value(found.p_adjusted)})" if found.simultaneous and not is_missing(found.p_adjusted) else ""
    return Entry(found.text + adjusted, repr(found.estimate))


def _number(value: float, decimals: int) -> Entry:
    return Entry(MISSING) if is_missing(value) else Entry(fixed(value, decimals), repr(float(value)))
