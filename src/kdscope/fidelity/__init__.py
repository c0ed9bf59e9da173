"""Fidelity of a student to its teacher: answers, texts, steps and confidences, their floors and their intervals."""

from kdscope.fidelity.agreement import count_answers, encode_answers, pair_answers
from kdscope.fidelity.bootstrap import ResampledSums, ResampledValue, estimate, limits, resample
from kdscope.fidelity.calibration import calibration, pair_confidences
from kdscope.fidelity.comparison import FidelityComparison, Normalised, compare_fidelity, normalise
from kdscope.fidelity.controls import Floor, agreement_beyond_matched_control, floor, shuffled_orders
from kdscope.fidelity.measures import (
    ITEM_MEASURES,
    ItemMeasure,
    ItemResponse,
    Measure,
    Pairing,
    joined,
    pair_responses,
    values_of,
    with_both_right,
)
from kdscope.fidelity.steps import pair_steps, parse_trace
from kdscope.fidelity.traces import pair_traces, prepare_texts, trace_signatures

__all__ = [
    "ITEM_MEASURES",
    "FidelityComparison",
    "Floor",
    "ItemMeasure",
    "ItemResponse",
    "Measure",
    "Normalised",
    "Pairing",
    "ResampledSums",
    "ResampledValue",
    "agreement_beyond_matched_control",
    "calibration",
    "compare_fidelity",
    "count_answers",
    "encode_answers",
    "estimate",
    "floor",
    "joined",
    "limits",
    "normalise",
    "pair_answers",
    "pair_confidences",
    "pair_responses",
    "pair_steps",
    "pair_traces",
    "parse_trace",
    "prepare_texts",
    "resample",
    "shuffled_orders",
    "trace_signatures",
    "values_of",
    "with_both_right",
]
