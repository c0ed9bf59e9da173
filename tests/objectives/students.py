"""A small student to distil, and the dense definition of what it minimises."""

from __future__ import annotations

from dataclasses import dataclass, replace

import torch
from torch import Tensor

from kdscope.objectives import Head, Objective, per_token_loss


@dataclass(frozen=True)
class GivenLogits:
    """A teacher whose logits [N, V] lie ready."""

    every: Tensor

    def logits(self, start: int, stop: int) -> Tensor:
        return self.every[start:stop]


@dataclass(frozen=True)
class Student:
    """N target tokens, their hidden states, the head they go through, and what the teacher says of them."""

    hidden: Tensor
    head: Head
    targets: Tensor
    weights: Tensor
    teacher: GivenLogits

    def leaves(self) -> tuple[Tensor, ...]:
        """What may be trained."""
        return (self.hidden, self.head.weight, *(() if self.head.bias is None else (self.head.bias,)))

    def trainable(self) -> Student:
        """The same, with gradients wanted for hidden states and head."""
        for leaf in self.leaves():
            leaf.requires_grad_()
        return self

    def rows(self, rows: Tensor | slice) -> Student:
        """Some of the tokens, in any order."""
        return replace(
            self,
            hidden=self.hidden[rows],
            targets=self.targets[rows],
            weights=self.weights[rows],
            teacher=GivenLogits(self.teacher.every[rows]),
        )

    def dense_total(self, objective: Objective) -> Tensor:
        """The weighted sum by its definition, with all logits at once and autograd through the head."""
        logits = self.head.logits(self.hidden)
        return self.weights @ per_token_loss(objective, logits, self.teacher.every, self.targets).total


def make_student(
    tokens: int = 13,
    vocabulary: int = 19,
    width: int = 5,
    *,
    scale: float = 1.0,
    softcap: float | None = None,
    bias: bool = True,
    seed: int = 0,
) -> Student:
    """A random student in float64."""
    generator = torch.Generator().manual_seed(seed)

    def normal(*shape: int) -> Tensor:
        return torch.randn(*shape, generator=generator, dtype=torch.float64)

    head = Head(normal(vocabulary, width), normal(vocabulary) if bias else None, scale, softcap)
    weights = torch.rand(tokens, generator=generator, dtype=torch.float64) / tokens
    targets = torch.randint(vocabulary, (tokens,), generator=generator)
    return Student(normal(tokens, width), head, targets, weights, GivenLogits(2.0 * normal(tokens, vocabulary)))
