"""How alike student and teacher are: their answers, their traces, their steps, and what chance alone would give."""

from kdscope.fidelity.agreement import AnswerFidelity, answer_fidelity, count_answers, encode_answers, pair_answers
from kdscope.fidelity.bootstrap import Estimate, ResampledSums, estimate, limits, resample
from kdscope.fidelity.calibration import Calibration, calibration, pair_confidences
from kdscope.fidelity.compared import FidelityComparison, compare_fidelity
from kdscope.fidelity.controls import Floor, floor, shuffled_orders
from kdscope.fidelity.matched_control import agreement_beyond_matched_control
from kdscope.fidelity.measures import Measure, Pairing, joined, values_of, with_both_right
from kdscope.fidelity.normalised import Normalised, normalise
from kdscope.fidelity.step_measures import StepFidelity, StepScores, step_fidelity
from kdscope.fidelity.step_pairs import pair_steps
from kdscope.fidelity.steps import Trace, parse_trace
from kdscope.fidelity.traces import TraceBleu, pair_traces, prepare_texts, trace_bleu, trace_signatures

__all__ = [
    "AnswerFidelity",
    "Calibration",
    "Estimate",
    "FidelityComparison",
    "Floor",
    "Measure",
    "Normalised",
    "Pairing",
    "ResampledSums",
    "StepFidelity",
    "StepScores",
    "Trace",
    "TraceBleu",
    "agreement_beyond_matched_control",
    "answer_fidelity",
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
    "pair_steps",
    "pair_traces",
    "parse_trace",
    "prepare_texts",
    "resample",
    "shuffled_orders",
    "step_fidelity",
    "trace_bleu",
    "trace_signatures",
    "values_of",
    "with_both_right",
]
