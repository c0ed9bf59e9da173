"""How alike student and teacher are: their answers, their reasoning traces, and what chance alone would give."""

from kdscope.fidelity.agreement import AnswerFidelity, answer_fidelity
from kdscope.fidelity.controls import shuffled_floor
from kdscope.fidelity.traces import TraceBleu, corpus_bleu, corpus_chrf, trace_bleu

__all__ = [
    "AnswerFidelity",
    "TraceBleu",
    "answer_fidelity",
    "corpus_bleu",
    "corpus_chrf",
    "shuffled_floor",
    "trace_bleu",
]
