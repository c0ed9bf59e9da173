"""What can be concluded: paired comparisons, corrections for many tests, and the published hypothesis tests."""

from kdscope.statistics.multiplicity import holm
from kdscope.statistics.paired import PairedComparison, compare_paired, wilson_interval
from kdscope.statistics.published import (
    TestResult,
    h1_gain_positive,
    h1_methods_differ,
    published_gains,
    published_h1,
)

__all__ = [
    "PairedComparison",
    "TestResult",
    "compare_paired",
    "h1_gain_positive",
    "h1_methods_differ",
    "holm",
    "published_gains",
    "published_h1",
    "wilson_interval",
]
