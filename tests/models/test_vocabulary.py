"""Only heads over the same tokens can be compared, and only unused rows may go."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from scipy.special import softmax

from kdscope.core.errors import ModelError
from kdscope.models.vocabulary import VocabularyMatch, cut_student_logits, cut_teacher_logits, match_vocabularies

WORDS = {f"word{index}": index for index in range(10)}


def test_padding_rows_of_a_qwen_like_pair_are_cut() -> None:
    tokens = {f"token{index}": index for index in range(151_665)}
    match = match_vocabularies(tokens, dict(reversed(tokens.items())), teacher_rows=152_064, student_rows=151_936)
    assert match == VocabularyMatch(shared_size=151_936, teacher_cut=128, student_cut=0, used_size=151_665)
    other_way = match_vocabularies(tokens, tokens, teacher_rows=151_936, student_rows=152_064)
    assert other_way == VocabularyMatch(shared_size=151_936, teacher_cut=0, student_cut=128, used_size=151_665)


def test_ids_without_a_string_are_padding_wherever_they_are() -> None:
    with_hole = {"a": 0, "b": 1, "d": 3}
    assert match_vocabularies(with_hole, with_hole, 6, 4) == VocabularyMatch(4, 2, 0, 4)


def test_a_permuted_vocabulary_is_refused() -> None:
    permuted = WORDS | {"word3": 7, "word7": 3}
    with pytest.raises(
        ModelError, match=r"id 3 is 'word3' for the teacher and 'word7' for the student \(2 ids differ\)"
    ):
        match_vocabularies(WORDS, permuted, 16, 16)


@pytest.mark.parametrize("with_extra", ["teacher", "student"])
def test_an_extra_special_token_is_refused_and_named(with_extra: str) -> None:
    sides = {"teacher": WORDS, "student": WORDS} | {with_extra: WORDS | {"<|pad|>": 10}}
    other = "student" if with_extra == "teacher" else "teacher"
    with pytest.raises(ModelError) as refusal:
        match_vocabularies(sides["teacher"], sides["student"], 16, 16)
    for part in (f"'<|pad|>' for the {with_extra}", f"unused for the {other}", "id 10", "1 ids differ", "seqkd"):
        assert part in str(refusal.value)


def test_a_second_string_for_the_same_id_is_refused() -> None:
    with pytest.raises(ModelError, match="id 0 is 'word0' for the teacher and 'word0' and 'zero' for the student"):
        match_vocabularies(WORDS, WORDS | {"zero": 0}, 16, 16)


@pytest.mark.parametrize(("teacher_rows", "student_rows", "side"), [(9, 16, "teacher"), (16, 9, "student")])
def test_a_used_token_is_never_cut(teacher_rows: int, student_rows: int, side: str) -> None:
    with pytest.raises(ModelError, match=f"uses id 9, but the {side}'s head has only 9 rows"):
        match_vocabularies(WORDS, WORDS, teacher_rows, student_rows)
    assert match_vocabularies(WORDS, WORDS, 10, 10).shared_size == 10


def test_empty_vocabularies_are_refused() -> None:
    with pytest.raises(ModelError, match="empty"):
        match_vocabularies({}, {}, 4, 4)


def test_the_mass_that_is_cut_is_reported() -> None:
    logits = torch.randn(5, 12, generator=torch.Generator().manual_seed(1), dtype=torch.float64)
    kept, mass = cut_teacher_logits(logits, match_vocabularies(WORDS, WORDS, 12, 10))
    assert torch.equal(kept, logits[:, :10])
    np.testing.assert_allclose(mass, softmax(logits.numpy(), axis=-1)[:, 10:].sum(-1), rtol=1e-12)


def test_a_tiny_mass_keeps_its_digits() -> None:
    logits = torch.zeros(1, 11)
    logits[0, 10] = -40.0
    _, mass = cut_teacher_logits(logits, match_vocabularies(WORDS, WORDS, 11, 10))
    assert mass.item() == pytest.approx(np.exp(-40.0) / 10, rel=1e-5, abs=0)


def test_nothing_to_cut() -> None:
    logits = torch.randn(3, 12, dtype=torch.bfloat16)
    kept, mass = cut_teacher_logits(logits, match_vocabularies(WORDS, WORDS, 12, 12))
    assert kept is logits
    assert torch.equal(mass, torch.zeros(3))


def test_the_students_cut_keeps_its_gradient() -> None:
    match = match_vocabularies(WORDS, WORDS, 10, 12)
    logits = torch.randn(3, 12, requires_grad=True)
    kept, mass = cut_student_logits(logits, match)
    kept.sum().backward()
    assert kept.shape == (3, 10)
    assert not mass.requires_grad
    assert logits.grad is not None
    assert torch.equal(logits.grad[0], torch.tensor([1.0] * 10 + [0.0] * 2))


@pytest.mark.parametrize(("cut", "side"), [(cut_teacher_logits, "teacher"), (cut_student_logits, "student")])
def test_logits_of_another_head_are_refused(cut: object, side: str) -> None:
    match = match_vocabularies(WORDS, WORDS, 12, 12)
    with pytest.raises(ModelError, match=rf"the {side}'s logits are \[2, 13\], but its head has 12 rows"):
        cut(torch.zeros(2, 13), match)  # type: ignore[operator]
