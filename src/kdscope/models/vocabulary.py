"""Whether a teacher and a student speak of the same tokens, and the rows of their heads that both have.

A divergence compares distributions id by id, so every id must be the same string on both sides. Heads may differ in how
many rows they are padded with (Qwen2.5: 151936 or 152064, for 151665 tokens): only such unused rows are ever cut.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

import torch
from torch import Tensor

from kdscope.core.errors import ModelError


@dataclass(frozen=True)
class VocabularyMatch:
    """How two heads line up.

    Attributes:
        shared_size: rows both heads have; what logits are cut to.
        teacher_cut: unused rows dropped from the teacher's head.
        student_cut: unused rows dropped from the student's head.
        used_size: the highest id with a string, plus one.
    """

    shared_size: int
    teacher_cut: int
    student_cut: int
    used_size: int


def match_vocabularies(
    teacher_tokens: Mapping[str, int], student_tokens: Mapping[str, int], teacher_rows: int, student_rows: int
) -> VocabularyMatch:
    """Matches two vocabularies by their map id -> string.

    Args:
        teacher_tokens: string -> id, added tokens included (a tokenizer's `get_vocab()`).
        student_tokens: the same of the student.
        teacher_rows: rows of the teacher's head.
        student_rows: rows of the student's head.

    Raises:
        ModelError: an id is a different string, or used on one side only, or beyond the rows of a head.

    Example:
        >>> match_vocabularies({"a": 0, "b": 1}, {"a": 0, "b": 1}, teacher_rows=8, student_rows=4)
        VocabularyMatch(shared_size=4, teacher_cut=4, student_cut=0, used_size=2)
    """
    _check_same(teacher_tokens, student_tokens)
    used_size = 1 + max(teacher_tokens.values(), default=-1)
    if used_size == 0:
        raise ModelError("the teacher's and the student's tokenizers are empty")
    for side, rows in (("teacher", teacher_rows), ("student", student_rows)):
        if used_size > rows:
            raise ModelError(f"the tokenizer uses id {used_size - 1}, but the {side}'s head has only {rows} rows")
    shared_size = min(teacher_rows, student_rows)
    return VocabularyMatch(shared_size, teacher_rows - shared_size, student_rows - shared_size, used_size)


def cut_teacher_logits(logits: Tensor, match: VocabularyMatch) -> tuple[Tensor, Tensor]:
    """The teacher's logits on the shared rows, and the probability it gave to the rows cut.

    Args:
        logits: [N, V_t].
        match: of this teacher and its student.

    Returns:
        logits [N, shared_size] (a view), and cut mass [N] at temperature 1, float32 or float64, detached.

    Raises:
        ModelError: the logits do not have the teacher's number of rows.
    """
    return _cut(logits, match.shared_size, match.teacher_cut, "teacher")


def cut_student_logits(logits: Tensor, match: VocabularyMatch) -> tuple[Tensor, Tensor]:
    """The student's logits on the shared rows, and the probability it gave to the rows cut.

    Args:
        logits: [N, V_s].
        match: of the teacher and this student.

    Returns:
        logits [N, shared_size] (a view, with its gradient), and cut mass [N] at temperature 1, detached.

    Raises:
        ModelError: the logits do not have the student's number of rows.
    """
    return _cut(logits, match.shared_size, match.student_cut, "student")


def _cut(logits: Tensor, shared_size: int, cut: int, side: str) -> tuple[Tensor, Tensor]:
    if logits.ndim != 2 or logits.shape[1] != shared_size + cut:
        raise ModelError(f"the {side}'s logits are {list(logits.shape)}, but its head has {shared_size + cut} rows")
    exact = torch.float64 if logits.dtype == torch.float64 else torch.float32
    if cut == 0:
        return logits, torch.zeros(logits.shape[0], dtype=exact, device=logits.device)
    everything = logits.detach().to(exact)
    # Not 1 - kept: the mass is tiny, and a difference from 1 would lose its digits.
    cut_mass = (everything[:, shared_size:].logsumexp(dim=-1) - everything.logsumexp(dim=-1)).exp()
    return logits[:, :shared_size], cut_mass


def _check_same(teacher_tokens: Mapping[str, int], student_tokens: Mapping[str, int]) -> None:
    differing = sorted({token_id for _, token_id in teacher_tokens.items() ^ student_tokens.items()})
    if not differing:
        return
    first = differing[0]
    teacher, student = _strings(teacher_tokens, first), _strings(student_tokens, first)
    raise ModelError(
        f"teacher and student have different vocabularies: id {first} is {teacher} for the teacher and {student} for "
        f"the student ({len(differing)} ids differ). Distributions can be compared only id by id; choose models of one "
        "family, remove tokens added on one side, or use seqkd, which needs only the teacher's text"
    )


def _strings(tokens: Mapping[str, int], wanted: int) -> str:
    return " and ".join(sorted(repr(token) for token, token_id in tokens.items() if token_id == wanted)) or "unused"
