"""What a model's card tells of the setting that the model is one run of, from the statistics over all its runs."""

from __future__ import annotations

from kdscope.results.findings import CHECKPOINTS, Finding, Setting, Verdict, settings_of_cells
from kdscope.results.formatting import p_value, plural
from kdscope.results.tables import ReportTables


def setting_sentences(tables: ReportTables, cell: str) -> list[str]:
    """What the statistics say of the setting that this model is one run of, in every domain."""
    said = []
    for domain, setting in settings_of_cells(tables).get(cell, []):
        where = f" on {domain} tasks" if domain else ""
        gain = setting.gain
        if gain is not None and gain.verdict is not Verdict.NO_CLAIM:
            significant = ("not " if gain.verdict is Verdict.OPEN else "") + "statistically significant"
            whose = f"Over {plural(gain.runs, 'training run')} this setting differs from SFT"
            whose = "This checkpoint differs from its SFT control's" if gain.scope == CHECKPOINTS else whose
            said.append(
                f"{whose}{where} by {gain.text} points ({_kind(gain)} 95% interval), "
                f"adjusted p {p_value(gain.p_adjusted)}, {significant}."
            )
        elif gain is not None:
            said.append(f"Nothing is claimed of this setting{where}: the variation between training runs is not known.")
        said += _fidelity_sentences(setting, where)
    return said


def _fidelity_sentences(setting: Setting, where: str) -> list[str]:
    if setting.fidelity is not None:
        beside = "" if setting.inherited is None else f"; inherited errors {setting.inherited.text} points"
        return [
            f"Fidelity (agreement with the teacher beyond accuracy) minus the control's{where}: "
            f"{setting.fidelity.text} points{beside}."
        ]
    if setting.level is None:
        return []
    level = setting.level.text.replace("+", "")
    return [
        f"Agreement with the teacher beyond accuracy{where}: {level} points. There is no control, and items of shared "
        "difficulty alone give some of it."
    ]


def _kind(found: Finding) -> str:
    return "simultaneous" if found.simultaneous else "pointwise"
