from __future__ import annotations

import pandas as pd
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from kdscope.report.summary import contrast_sentences, summary_sentences

from .builders import cell_row, designed_tables, empty_tables, pooled_gains_rows, taught_row

NAN = float("nan")
NO_TEST = (
    "Each of these pointwise intervals is about one checkpoint against SFT over items; none tests the difference "
    "between two settings, and another training seed may give another number."
)
CONTROL = cell_row("tiny/sft", "student", "sft", student="tiny")


def told(*cells):
    """The sentences about cells given as (row, (gain, low, high)) or (row, None) for one without a gain."""
    tables = empty_tables(
        cells=pd.DataFrame([CONTROL, *(row for row, _ in cells)]),
        gains=pooled_gains_rows({row["cell"]: gain for row, gain in cells if gain is not None}),
    )
    return contrast_sentences(tables, "robust")


def seqkd(condition, seed=0, **values):
    return taught_row(f"{condition}{seed}{values}", "seqkd", teacher_condition=condition, seed=seed, **values)


def warm(temperature, **values):
    cell = f"{temperature}{sorted(values.items())}"
    return taught_row(cell, "forward_kl", kd_temperature=temperature, **values)


def test_both_ablations_are_told():
    tables = designed_tables()
    expected = [
        "Differences from SFT in points, taught by the unadapted teacher instead of the adapted one. For tiny: seqkd "
        "−1.2 (95% CI −3.0 to +0.6) instead of +4.1 (95% CI +2.0 to +6.2), 5.3 less.",
        "Differences from SFT in points, by temperature. For tiny: forward_kl +5.0 (95% CI +2.0 to +8.0) at T=1, +3.1 "
        f"(95% CI +0.1 to +6.1) at T=2. {NO_TEST}",
    ]
    sentences = summary_sentences(tables, "robust")
    assert [s for s in sentences if s in expected] == expected
    assert summary_sentences(tables, "published") != sentences


@pytest.mark.parametrize(
    ("base", "change"), [(0.02, "2.0 less"), (0.06, "2.0 more"), (0.0402, "no change"), (NAN, None)]
)
def test_what_changes_is_said_with_its_direction(base, change):
    found = told((seqkd("adapted"), (0.04, 0.01, 0.07)), (seqkd("base"), (base, -0.1, 0.1)))
    if change is None:
        assert found == []
    else:
        assert f"+4.0 (95% CI +1.0 to +7.0), {change}. " in found[0]


def test_one_condition_or_temperature_alone_is_no_contrast():
    assert told((seqkd("adapted"), (0.04, 0.01, 0.07)), (warm(1.0), (0.0, -0.1, 0.1))) == []
    assert told((seqkd("adapted"), (0.04, 0.01, 0.07)), (seqkd("base"), None)) == []


def test_only_equal_training_is_set_side_by_side():
    gain = (0.04, 0.01, 0.07)
    differing = [
        (seqkd("adapted"), gain),
        (seqkd("base", teacher="other"), gain),
        (seqkd("base", variant="prompt_in_loss_true"), gain),
        (warm(1.0, kd_weight=0.5), gain),
        (warm(2.0, kd_weight=1.0), gain),
        (warm(4.0, kd_weight=1.0, teacher_noise_std=0.1), gain),
    ]
    assert told(*differing) == []


def test_seeds_are_compared_with_their_own_and_shown_as_a_range():
    pairs = [(seqkd("adapted", seed), (0.03 + seed / 100, 0.0, 0.1)) for seed in (0, 1, 2)]
    pairs += [(seqkd("base", seed), (gain, -0.1, 0.1)) for seed, gain in ((0, 0.05), (2, -0.01))]
    (text,) = told(*pairs)
    assert "seqkd −1.0 to +5.0 over 2 seeds instead of +3.0 to +5.0 over 2 seeds, lower in 1 of them." in text
    assert "CI" not in text


def test_levels_without_a_common_seed_are_not_compared():
    gain = (0.04, 0.01, 0.07)
    assert told((seqkd("adapted", 0), gain), (seqkd("base", 1), gain)) == []


def test_series_are_told_apart_by_what_else_differs():
    gain = (0.04, 0.01, 0.07)
    cells = [
        (warm(temperature, teacher_condition=condition, variant=variant), gain)
        for temperature in (4.0, 1.0)
        for condition in ("adapted", "base")
        for variant in ("", "t2_scale_true")
    ]
    conditions, temperatures = told(*cells)
    assert NO_TEST not in conditions
    assert temperatures.endswith(NO_TEST)
    for label in ("forward_kl, T=1 ", "forward_kl, T=4 ", "forward_kl t2_scale_true, T=1 "):
        assert label in conditions
    for label in ("forward_kl ", "forward_kl t2_scale_true, unadapted teacher "):
        assert label in temperatures
    assert temperatures.index("at T=1") < temperatures.index("at T=4")


def test_gains_without_an_interval_say_so():
    (text,) = told((warm(1.0), (0.01, NAN, NAN)), (warm(2.0), (0.02, -0.01, 0.05)))
    assert "forward_kl +1.0 (no interval) at T=1, +2.0 (95% CI −1.0 to +5.0) at T=2." in text


def test_long_lists_are_cut_with_their_count():
    gain = (0.04, 0.01, 0.07)
    cells = [(warm(t, teacher_noise_std=noise), gain) for t in (1.0, 2.0) for noise in (0.1, 0.2, 0.3, 0.4, 0.5, 0.6)]
    (text,) = told(*cells)
    assert text.count("at T=2") == 4
    assert "; and 2 more. " in text


def test_every_student_has_its_part():
    gain, less = (0.04, 0.01, 0.07), (0.01, -0.02, 0.04)
    cells = [(seqkd("adapted", student=name), gain) for name in ("a", "b", "c")]
    cells += [(seqkd("base", student=name), less) for name in ("a", "c")]
    (text,) = told(*cells)
    assert "For a: seqkd +1.0" in text
    assert "For c: seqkd +1.0" in text
    assert "For b" not in text
    assert text.endswith(NO_TEST)


@settings(max_examples=30, deadline=None)
@given(st.lists(st.floats(-0.4, 0.4), min_size=2, max_size=2))
def test_the_direction_is_that_of_the_numbers(gains):
    base, adapted = gains
    (text,) = told((seqkd("adapted"), (adapted, -1.0, 1.0)), (seqkd("base"), (base, -1.0, 1.0)))
    change = 100 * (base - adapted)
    assert (" less. " in text) <= (change < 0)
    assert (" more. " in text) <= (change > 0)
    assert (" no change. " in text) <= (abs(change) < 0.051)
    assert text.endswith(NO_TEST)
