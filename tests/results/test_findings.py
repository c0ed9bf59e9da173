"""What is read from table `statistics`: names, scopes, verdicts, and what is left out."""

from __future__ import annotations

from dataclasses import replace

import pandas as pd
import pytest

from kdscope.results.findings import (
    MEAN_OF_METHODS,
    UNKNOWN,
    Verdict,
    distilled_only,
    findings_of,
    settings_of_cells,
    student_findings,
)
from tests.report.builders import build_tables, empty_tables, pooled_gains_rows, stated
from tests.report.statistics_builders import (
    NAN,
    about_setting,
    interval,
    mean_of,
    measured,
    result,
    student_cells,
    study,
)


@pytest.mark.parametrize(
    ("given", "verdict"),
    [
        ({"p_adjusted": 0.049, "estimate": 2.0}, Verdict.HIGHER),
        ({"p_adjusted": 0.049, "estimate": -2.0}, Verdict.LOWER),
        ({"p_adjusted": 0.05, "estimate": 9.0}, Verdict.HIGHER),
        ({"p_adjusted": 0.0501, "estimate": 9.0}, Verdict.OPEN),
        ({"p_value": NAN, "p_adjusted": 0.01}, Verdict.NO_CLAIM),
        ({"p_value": NAN, "p_adjusted": NAN}, Verdict.NO_CLAIM),
        ({"p_adjusted": 0.001, "scope": None}, Verdict.NO_CLAIM),
        ({"p_adjusted": 0.001, "scope": ""}, Verdict.NO_CLAIM),
    ],
)
def test_the_adjusted_p_decides_and_without_a_scope_nothing_does(given, verdict):
    [found] = findings_of(study([result("cell", **given)]), "cell")
    assert found.verdict is verdict


def test_limits_are_the_simultaneous_ones_where_there_are_any():
    numbers = interval(3.0, 1.0, wider=2.0)
    [both] = findings_of(study([result("cell", **numbers)]), "cell")
    assert (both.low, both.high, both.simultaneous) == (1.0, 5.0, True)
    [pointwise] = findings_of(study([result("cell", **numbers | {"low_simultaneous": NAN})]), "cell")
    assert (pointwise.low, pointwise.high, pointwise.simultaneous) == (2.0, 4.0, False)
    assert both.text == "+3.0 [+1.0, +5.0]"


def test_no_interval_goes_beyond_what_a_difference_can_be():
    rows = [result(name, **interval(-25.0, 600.0)) for name in ("cell", "inherited_errors", "fidelity")]
    gain, inherited, fidelity = (findings_of(study(rows), row["hypothesis"])[0] for row in rows)
    assert (gain.low, gain.high) == (inherited.low, inherited.high) == (-100.0, 100.0)
    assert (fidelity.low, fidelity.high) == (-200.0, 200.0)


def test_a_setting_has_the_name_of_its_cells():
    cells = [
        *student_cells("seqkd", seeds=2),
        *student_cells("gkd", kd_temperature=1.0, variant="beta 0.5")[1:],
        *student_cells("forward_kl", kd_temperature=1.0, teacher_noise_std=0.0)[1:],
        *[
            row | {"cell": "s/fkl@base", "teacher_condition": "base"}
            for row in student_cells("forward_kl", kd_temperature=1.0)[1:]
        ],
        *[
            row | {"cell": "s/fkl-T2", "kd_temperature": 2.0}
            for row in student_cells("forward_kl", kd_temperature=1.0)[1:]
        ],
        *[
            row | {"cell": "s/fkl-n", "teacher_noise_std": 0.5}
            for row in student_cells("forward_kl", kd_temperature=1.0)[1:]
        ],
    ]
    rows = [
        result("cell", method="seqkd"),
        result("cell", method="gkd beta 0.5", temperature=1.0),
        result("cell", method="forward_kl", temperature=1.0),
        result("cell", method="forward_kl", temperature=1.0, ablation="unadapted teacher"),
        result("cell", method="forward_kl", temperature=2.0),
        result("cell", method="forward_kl", temperature=1.0, ablation="noise 0.5"),
        result("cell", method="unheard_of", temperature=3.0, ablation="odd"),
    ]
    assert [found.setting for found in findings_of(study(rows, cells), "cell")] == [
        "seqkd",
        "gkd beta 0.5, T=1",
        "forward_kl, T=1",
        "forward_kl, T=1, unadapted teacher",
        "forward_kl, T=2",
        "forward_kl, T=1, noise 0.5",
        "unheard_of, T=3, odd",
    ]
    of_cells = settings_of_cells(study(rows, cells))
    assert [setting.name for _, setting in of_cells["s/fkl-T2"]] == ["forward_kl, T=2"]
    assert of_cells["s/sft/0"] == []


def test_main_settings_are_those_of_the_primary_temperature_without_ablation():
    at = [result("cell", method="jsd", temperature=value) for value in (2.0, 1.0)]
    rows = [*at, result("cell", method="seqkd"), result("cell", method="seqkd", ablation="unadapted teacher")]
    cells = [
        *student_cells("jsd", kd_temperature=1.0),
        *[row | {"cell": "s/jsd2", "kd_temperature": 2.0} for row in student_cells("jsd")[1:]],
        *student_cells("seqkd")[1:],
    ]
    [found] = student_findings(study(rows, cells))
    assert [setting.key.temperature for setting in found.settings] == ["1", ""]
    assert [setting.key.temperature or setting.key.ablation for setting in found.others] == ["2", "unadapted teacher"]
    [asked] = student_findings(study([mean_of(temperature=2.0), *rows], cells))
    assert [setting.key.temperature for setting in asked.settings] == ["2", ""]


def test_fidelity_and_inherited_errors_belong_to_their_setting_and_domain():
    rows = [
        *about_setting(1.0, 0.5, fidelity=4.0),
        *about_setting(2.0, 0.5, fidelity=-3.0, domain="commonsense"),
        *about_setting(5.0, 0.5, fidelity=9.0, method="gkd", teacher="u"),
    ]
    math, other = student_findings(study(rows))
    assert [setting.fidelity.estimate for setting in math.settings] == [4.0, 9.0]
    assert [setting.fidelity.estimate for setting in other.settings] == [-3.0]
    assert other.settings[0].inherited.estimate == 1.0
    assert (math.domain, other.name) == ("math", "s on commonsense tasks")


def test_who_was_left_in_the_warm_start_is_in_no_row():
    left = [row | {"distilled": False, "kept_step": 35} for row in student_cells("reverse_kl", seeds=2)[2:]]
    cells = [*student_cells("seqkd", seeds=2), *left]
    rows = [*about_setting(3.0, 0.01, method="reverse_kl"), *about_setting(1.0, 0.5)]
    tables = study(rows, cells)
    [found] = student_findings(tables)
    assert [setting.name for setting in found.settings] == ["seqkd"]
    assert {one.setting for one in findings_of(tables, "fidelity")} == {"seqkd"}
    part = replace(tables, cells=tables.cells.assign(distilled=[*[True] * 4, False, True]))
    assert len(student_findings(part)[0].settings) == 2, "one of two runs was distilled"


def test_tables_without_undistilled_students_keep_their_accuracy():
    cells = [row | {"distilled": row["method"] != "jsd"} for row in student_cells("seqkd", "jsd")]
    gains = pooled_gains_rows({"s/seqkd/0": (0.1, 0.0, 0.2), "s/jsd/0": (0.1, 0.0, 0.2)}, control="s/sft/0")
    accuracy = pd.DataFrame([{"cell": "s/jsd/0", "task": "a", "scoring": "robust", "accuracy": 0.5}])
    rest = dict.fromkeys(("items", "correct", "low", "high", "unparsed_rate", "truncated_rate", "chance"))
    accuracy = accuracy.assign(**rest, below_chance=None)
    left = distilled_only(empty_tables(cells=pd.DataFrame(cells), gains=gains, accuracy=accuracy))
    assert left.gains["cell"].tolist() == ["s/seqkd/0"]
    assert left.accuracy["cell"].tolist() == ["s/jsd/0"]
    untold = build_tables()
    assert distilled_only(untold) is untold


def test_rows_of_before_there_were_scopes_say_what_they_are_about_but_claim_nothing():
    old = build_tables()
    rows = pd.DataFrame([stated(group="small"), stated(group="nobody"), stated(group="tiny", unit="runs")])
    tiny, small = student_findings(replace(old, statistics=rows))
    assert (small.mean.scope, small.mean.verdict) == (UNKNOWN, Verdict.NO_CLAIM)
    assert tiny.mean.verdict is Verdict.HIGHER, "units that are runs have the variation between runs in them"


def test_tables_of_results_have_methods_in_place_of_settings():
    rows = [
        mean_of(),
        mean_of(role="detail", group="s (SeqKD)", method="SeqKD", teacher="", p_adjusted=0.01, estimate=2.0),
    ]
    [found] = student_findings(study(rows, student_cells("seqkd")))
    assert found.mean.setting == MEAN_OF_METHODS
    assert [gain.setting for gain in found.gains] == ["SeqKD"]


def test_a_level_without_a_control_is_a_setting_without_a_gain():
    [found] = student_findings(study([result("fidelity_level", estimate=7.0, role="detail")]))
    [setting] = found.settings
    assert (setting.gain, setting.fidelity, setting.level.estimate) == (None, None, 7.0)
    assert found.gains == []


def test_every_setting_of_a_study_is_found():
    tables = measured(build_tables())
    found = student_findings(tables)
    assert [(one.student, one.domain) for one in found] == [
        (student, domain) for student in ("tiny", "small") for domain in ("math", "commonsense")
    ]
    assert all(len(one.settings) == 4 and one.mean is not None for one in found)
