"""However many tokens: no tensor ever holds the logits of all of them, and the largest does not grow."""

from __future__ import annotations

from typing import Any

import pytest
import torch
from torch import Tensor
from torch.utils._python_dispatch import TorchDispatchMode

from kdscope.objectives import DIVERGENCES, Head, Objective, fused_loss
from kdscope.objectives.fused import Pass
from tests.objectives.students import make_student
from tests.objectives.test_expectation import expectation_of

VOCABULARY, CHUNK = 40, 8


class Allocations(TorchDispatchMode):
    """Counts the elements of every storage that an operation makes."""

    def __init__(self) -> None:
        super().__init__()
        self.largest, self.operations = 0, []

    def __torch_dispatch__(self, operation: Any, types: Any, arguments: Any = (), options: Any = None) -> Any:
        result = operation(*arguments, **(options or {}))
        for tensor in result if isinstance(result, tuple | list) else [result]:
            if isinstance(tensor, Tensor):
                self.largest = max(self.largest, tensor.untyped_storage().nbytes() // tensor.element_size())
        self.operations.append(operation.overloadpacket.__name__)
        return result


class TeacherOnDemand:
    """Makes its logits row by row, as a teacher's head does."""

    def logits(self, start: int, stop: int) -> Tensor:
        return torch.linspace(-1.0, 1.0, VOCABULARY, dtype=torch.float64).repeat(stop - start, 1)


def largest(divergence: str, tokens: int, *, cached: bool = False, trained: bool = False) -> int:
    student = make_student(tokens, VOCABULARY, 3, scale=0.5, softcap=None if cached else 5.0)
    teacher = expectation_of(student, 2.0) if cached else TeacherOnDemand()
    student.hidden.requires_grad_()
    student.head.weight.requires_grad_(trained)
    objective = Objective(divergence, 0.5, temperature=2.0)
    with Allocations() as allocations:
        loss = fused_loss(
            objective, student.hidden, student.head, student.targets, student.weights, teacher, chunk_rows=CHUNK
        )
        loss.total.backward()
    return allocations.largest


@pytest.mark.parametrize("trained", [False, True])
@pytest.mark.parametrize("divergence", ["none", *DIVERGENCES])
def test_the_largest_tensor_is_a_chunk(divergence: str, trained: bool) -> None:
    assert largest(divergence, 100, trained=trained) == CHUNK * VOCABULARY
    # Twelve times the tokens: what is left to grow is the hidden states and their gradient, three numbers a token.
    assert largest(divergence, 1200, trained=trained) == 1200 * 3


def test_with_a_cached_expectation_too() -> None:
    assert largest("forward_kl", 100, cached=True) == CHUNK * VOCABULARY
    assert largest("forward_kl", 1200, cached=True) == 1200 * 3


def test_the_measure_sees_dense_logits() -> None:
    student = make_student(100, VOCABULARY, 3)
    with Allocations() as allocations:
        student.dense_total(Objective("jsd", 0.5))
    assert allocations.largest == 100 * VOCABULARY


def test_without_a_gradient_there_is_one_product_a_chunk() -> None:
    student = make_student(32, VOCABULARY, 3)
    student.hidden.requires_grad_()

    def products() -> int:
        with Allocations() as allocations:
            fused_loss(
                Objective("none", 0.0), student.hidden, student.head, student.targets, student.weights, chunk_rows=CHUNK
            )
        return allocations.operations.count("mm")

    assert products() == 8
    with torch.no_grad():
        assert products() == 4


@pytest.mark.parametrize("vocabulary", [50, 49_152, 152_064, 262_144])
def test_a_chunk_is_chosen_by_the_vocabulary(vocabulary: int) -> None:
    """At most 64 MiB in float32, yet enough rows for a matrix product; blocks cover it without a gap."""
    tokens = 3000
    targets = torch.zeros(tokens, dtype=torch.int64)
    head = Head(torch.empty(vocabulary, 1))
    job = Pass(Objective("none", 0.0), head, targets, torch.ones(tokens), None, None)
    chunks = list(job.chunks())
    sizes = [chunk.stop - chunk.start for chunk in chunks]
    assert sum(sizes) == tokens
    assert max(sizes) * vocabulary * 4 <= 64 * 2**20
    assert min(sizes) >= 16
    assert max(sizes) - min(sizes) <= 1
    covered = [row for block in job.blocks(sizes[0]) for row in range(sizes[0])[block]]
    assert covered == list(range(sizes[0]))
