"""The objective without a model: from hidden states to a loss and the gradient of the student's, in several ways."""

from __future__ import annotations

import sys
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
from settings import Settings
from torch import Tensor

from kdscope.models.vocabulary import VocabularyMatch
from kdscope.objectives import Expectation, Head, Objective, fused_loss, token_weights
from kdscope.teacher.expectation import expect
from kdscope.teacher.teacher_logits import HeadRows

_BETA = 0.5


@dataclass(frozen=True)
class Inputs:
    """N tokens of a student and a teacher of equal width D, with heads [V, D] of their own that do not train."""

    student: Tensor
    teacher: Tensor
    student_head: Tensor
    teacher_head: Tensor
    targets: Tensor

    def first(self, tokens: int) -> Inputs:
        """The same heads, fewer tokens."""
        student = self.student[:tokens].detach().requires_grad_()
        return Inputs(student, self.teacher[:tokens], self.student_head, self.teacher_head, self.targets[:tokens])


def make_inputs(settings: Settings, vocabulary: int, tokens: int, width: int) -> Inputs:
    """Random ones, whose logits have about the spread of a language model's."""
    torch.manual_seed(settings.seed)
    dtype = torch.bfloat16 if settings.dtype == "bfloat16" else torch.float32
    there: dict[str, Any] = {"device": settings.device}
    ours, theirs = ((torch.randn(vocabulary, width, **there) * 2.5 / width**0.5).to(dtype) for _ in range(2))
    student, teacher = (torch.randn(tokens, width, **there).to(dtype) for _ in range(2))
    targets = torch.randint(vocabulary, (tokens,), **there)
    return Inputs(student.requires_grad_(), teacher, ours, theirs, targets)


def fused(inputs: Inputs) -> Tensor:
    """kdscope's fused JSD."""
    return _fused(inputs, Objective("jsd", kd_weight=1.0, settings={"beta": _BETA}), _rows(inputs))


def fused_forward_kl(inputs: Inputs) -> Tensor:
    """kdscope's fused forward KL."""
    return _fused(inputs, Objective("forward_kl", kd_weight=1.0), _rows(inputs))


def fused_cross_entropy(inputs: Inputs) -> Tensor:
    """kdscope's fused cross-entropy: what fine-tuning costs."""
    return _fused(inputs, Objective("none", kd_weight=0.0), None)


def prepare_expectation(inputs: Inputs) -> Callable[[Inputs], Tensor]:
    """kdscope's forward KL from recorded expectations, which are made here, once."""
    made = expect(_rows(inputs), Head(inputs.student_head), len(inputs.targets), 1.0)

    def loss(asked: Inputs) -> Tensor:
        kept = Expectation(**{name: values[: len(asked.targets)] for name, values in made.items()})
        return _fused(asked, Objective("forward_kl", kd_weight=1.0), kept)

    return loss


def dense(inputs: Inputs) -> Tensor:
    """JSD with autograd on all logits in float32."""
    with torch.no_grad():
        teacher = (inputs.teacher @ inputs.teacher_head.T).float().log_softmax(-1)
    student = (inputs.student @ inputs.student_head.T).float().log_softmax(-1)
    mixture = torch.logaddexp(teacher, student) - torch.log(torch.tensor(2.0))
    from_teacher = (teacher.exp() * (teacher - mixture)).sum()
    from_student = (student.exp() * (student - mixture)).sum()
    return (from_teacher + from_student) / (2 * len(inputs.targets))


def trl_chunked(inputs: Inputs) -> Tensor:
    """JSD by the function inside trl's DistillationTrainer."""
    from trl.kernels.chunked_divergence import ChunkedDivergenceFunction

    divergence, _ = ChunkedDivergenceFunction.apply(  # type: ignore[no-untyped-call]
        inputs.student, inputs.student_head, None, inputs.teacher, inputs.teacher_head, None,
        _BETA, 1.0, 1.0, None, 1.0, None,
    )  # fmt: skip
    return divergence.mean()  # type: ignore[no-any-return]


def liger(inputs: Inputs) -> Tensor:
    """JSD by Liger Kernel's fused linear JSD."""
    from liger_kernel.transformers.fused_linear_jsd import LigerFusedLinearJSD  # type: ignore[import-not-found, unused-ignore]

    loss: Tensor = LigerFusedLinearJSD(jsd_beta=_BETA)(
        inputs.student, inputs.student_head, inputs.teacher, inputs.teacher_head, inputs.targets
    )
    return loss


WAYS: Mapping[str, Callable[[Inputs], Tensor]] = {
    "kdscope_cross_entropy": fused_cross_entropy,
    "kdscope_forward_kl": fused_forward_kl,
    "kdscope_jsd": fused,
    "dense_jsd": dense,
    "trl_chunked_jsd": trl_chunked,
    "liger_jsd": liger,
}


def added_memory(device: str, work: Callable[[], Any]) -> int | None:
    """Most bytes that some work needs beside what is there before; None where the system cannot tell."""
    if device == "cuda":
        torch.cuda.synchronize()
        torch.cuda.reset_peak_memory_stats()
        before = torch.cuda.memory_allocated()
        work()
        torch.cuda.synchronize()
        return int(torch.cuda.max_memory_allocated()) - before
    if not sys.platform.startswith("linux"):
        work()
        return None
    Path("/proc/self/clear_refs").write_text("5")  # the high-water mark starts again
    before = _resident("VmHWM")
    work()
    return max(0, _resident("VmHWM") - before)


def _fused(inputs: Inputs, objective: Objective, teacher: Any) -> Tensor:
    count = len(inputs.targets)
    weights = token_weights(count, count, device=inputs.targets.device)
    return fused_loss(objective, inputs.student, Head(inputs.student_head), inputs.targets, weights, teacher).total


def _rows(inputs: Inputs) -> HeadRows:
    vocabulary, places = len(inputs.teacher_head), torch.zeros_like(inputs.targets)
    match = VocabularyMatch(vocabulary, 0, 0, vocabulary)
    return HeadRows(inputs.teacher, Head(inputs.teacher_head), match, places, places)


def _resident(entry: str) -> int:
    lines = Path("/proc/self/status").read_text().splitlines()
    return next(int(line.split()[1]) * 1024 for line in lines if line.startswith(entry))
