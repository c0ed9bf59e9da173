"""The best of several settings: what is chosen, on which items it is judged, and that the maximum is not believed."""

from __future__ import annotations

import numpy as np
import pytest
from scipy import stats

from kdscope.core.errors import StatisticsError
from kdscope.statistics.selection import select_then_test


def test_one_setting_is_a_paired_t_test():
    generator = np.random.default_rng(1)
    distilled, control = generator.integers(0, 2, (2, 80))
    choosing = np.arange(80) < 20
    expected = stats.ttest_rel(distilled[20:], control[20:])
    found = select_then_test(distilled, control, validation=choosing)
    assert (found.gain.statistic, found.gain.p_value) == pytest.approx((expected.statistic, expected.pvalue))
    assert found.maximum == pytest.approx(distilled.mean() - control.mean())


def test_the_choice_is_judged_on_other_items():
    # Setting 0 is right on the first half only, setting 1 on the second: whichever half decides, the choice fails.
    distilled = np.array([[1] * 10 + [0] * 10, [0] * 10 + [1] * 10])
    found = select_then_test(distilled, np.zeros(20), validation=np.arange(20) < 10)
    assert (found.gain.value, found.chosen, found.choosing) == (0.0, 0, 10)
    assert found.maximum == 0.5


def test_copies_of_an_item_stay_together():
    values, ids = np.repeat(np.eye(12), 2, axis=1), np.repeat(np.arange(12), 2).tolist()
    found = select_then_test(values, np.zeros(24), ids, share=0.25)
    assert found.choosing == 6
    assert found.gain.n == 9


def test_a_setting_that_is_better_is_found():
    generator = np.random.default_rng(2)
    settings = (generator.random((3, 400)) < np.array([[0.4], [0.7], [0.4]])).astype(int)
    found = select_then_test(settings, generator.integers(0, 2, 400))
    assert found.chosen == 1
    assert found.gain.low > 0


def test_noise_alone_concludes_nothing_though_its_maximum_would():
    selected = maximum = 0
    for study in range(200):
        generator = np.random.default_rng([7, study])
        settings, control = generator.integers(0, 2, (9, 200)), generator.integers(0, 2, 200)
        selected += select_then_test(settings, control, seed=study).gain.p_value <= 0.05
        best = settings[settings.sum(axis=1).argmax()]
        maximum += stats.ttest_rel(best, control).pvalue <= 0.05
    assert selected <= 10 + 3 * np.sqrt(200 * 0.05 * 0.95)
    assert maximum > 19


def test_the_control_may_choose_as_well():
    generator = np.random.default_rng(3)
    values = generator.integers(0, 2, (4, 100))
    assert select_then_test(values, values).gain.value == 0.0


@pytest.mark.parametrize(
    ("distilled", "control", "settings"),
    [
        ([[1, 0]], [1], {}),
        ([[1, np.nan]], [1, 0], {}),
        ([[1, 0]], [1, 0], {"share": 1.0}),
        ([[1, 0]], [1, 0], {"clusters": ["a", "a"]}),
        ([[1, 0]], [1, 0], {"clusters": ["a"]}),
        ([[1, 0]], [1, 0], {"validation": [True, True]}),
        ([[1, 0]], [1, 0], {"validation": [True]}),
    ],
)
def test_bad_input_is_refused(distilled, control, settings):
    with pytest.raises(StatisticsError):
        select_then_test(distilled, control, **settings)
