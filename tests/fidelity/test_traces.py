"""Trace overlap against sacrebleu called directly, at its limits, and n-grams against counting."""

from __future__ import annotations

import math
from collections import Counter
from types import SimpleNamespace

import numpy as np
import pytest
import sacrebleu
from hypothesis import given, settings
from hypothesis import strategies as st

from kdscope.core.errors import StatisticsError
from kdscope.fidelity import traces
from kdscope.fidelity.measures import columns, values_of
from kdscope.fidelity.traces import (
    TokenTexts,
    bleu_score,
    chrf_score,
    count_ngrams,
    pair_traces,
    prepare_texts,
    shared_ngrams,
    trace_signatures,
)

TEACHER = [
    "Tom has 3 apples and buys 4 more. 3 + 4 = 7. The answer is 7.",
    "Each box holds 6 eggs, so 5 boxes hold 5 * 6 = 30 eggs. The answer is 30.",
    "Half of 48 is 24, and 48 + 24 = 72. The answer is 72.",
]
STUDENT = [
    "Tom has 3 apples. He buys 4 more, so 3 + 4 = 7. The answer is 7.",
    "5 boxes hold 5 * 6 = 30 eggs. The answer is 30.",
    "",
]


def trace_bleu(student, teacher):
    """All trace measures of a set of texts, as attributes, and the BLEU of each text."""
    pairing = pair_traces(*prepare_texts([teacher, student]))
    place = columns(pairing.measures)[[measure.name for measure in pairing.measures].index("sentence_bleu")]
    return SimpleNamespace(sentence_scores=tuple(pairing.paired()[:, place][:, 1].tolist()), **values_of(pairing))


def test_scores_are_sacrebleus():
    result = trace_bleu(STUDENT, TEACHER)
    assert result.bleu == pytest.approx(sacrebleu.corpus_bleu(STUDENT, [TEACHER]).score, abs=1e-12)
    assert result.chrf == pytest.approx(sacrebleu.corpus_chrf(STUDENT, [TEACHER]).score, abs=1e-12)
    pairs = zip(STUDENT, TEACHER, strict=True)
    expected = [sacrebleu.sentence_bleu(s, [t], use_effective_order=True).score for s, t in pairs]
    assert result.sentence_scores == pytest.approx(expected, abs=1e-12)
    assert result.sentence_bleu == pytest.approx(sum(expected) / 3, abs=1e-12)


def test_corpus_bleu_from_its_definition():
    """Papineni 2002: clipped n-gram precisions pooled over the corpus, with the brevity penalty."""
    student, teacher = (
        [s.split() for s in ("a b c d e f", "a b x d e")],
        [t.split() for t in ("a b c d e g h", "a b d e")],
    )
    precisions = []
    for order in range(1, 4 + 1):
        hits = total = 0
        for s, t in zip(student, teacher, strict=True):
            mine = Counter(tuple(s[i : i + order]) for i in range(len(s) - order + 1))
            theirs = Counter(tuple(t[i : i + order]) for i in range(len(t) - order + 1))
            hits, total = hits + (mine & theirs).total(), total + mine.total()
        precisions.append(hits / total)
    # 11 words against 11: no penalty.
    expected = 100 * math.exp(sum(map(math.log, precisions)) / 4)
    texts = [[" ".join(words) for words in side] for side in (student, teacher)]
    assert trace_bleu(*texts).bleu == pytest.approx(expected, rel=1e-9)


PIECES = [
    "She has ",
    "3 apples",
    " + 4 = 7.",
    "\n",
    "  ",
    "$5,000.50",
    "don't",
    " ×",
    "中文",
    "-\n",
    "&amp;",
    " <skipped>",
    "x-1",
    "",
]
TEXT = st.lists(st.sampled_from(PIECES), max_size=8).map("".join)


@settings(deadline=None)
@given(st.lists(st.tuples(TEXT, TEXT), min_size=1, max_size=6))
def test_any_texts_score_as_sacrebleu_scores_them(pairs):
    students, teachers = (list(side) for side in zip(*pairs, strict=True))
    result = trace_bleu(students, teachers)
    assert result.bleu == pytest.approx(sacrebleu.corpus_bleu(students, [teachers]).score, abs=1e-9)
    assert result.chrf == pytest.approx(sacrebleu.corpus_chrf(students, [teachers]).score, abs=1e-9)
    expected = [sacrebleu.sentence_bleu(s, [t], use_effective_order=True).score for s, t in pairs]
    assert result.sentence_scores == pytest.approx(expected, abs=1e-9)


@settings(deadline=None)
@given(st.lists(st.tuples(TEXT, TEXT), min_size=2, max_size=6), st.randoms(use_true_random=False))
def test_texts_meet_in_any_order(pairs, random):
    students, teachers = (list(side) for side in zip(*pairs, strict=True))
    order = random.sample(range(len(pairs)), len(pairs))
    pairing = pair_traces(*prepare_texts([teachers, students]))
    met = [students[i] for i in order]
    rows = pairing.contributions(np.array(order, np.intp))
    assert np.allclose(rows, pair_traces(*prepare_texts([teachers, met])).paired(), atol=1e-9)


def test_scores_of_many_sums_at_once():
    """A resampled corpus is scored from the sums of its sentences' statistics."""
    pairing = pair_traces(*prepare_texts([TEACHER, STUDENT]))
    rows, chosen = pairing.paired(), [[0, 0, 1], [2, 1, 1], [2, 2, 2]]
    sums = np.stack([rows[choice].sum(axis=0) for choice in chosen])
    for measure, place in zip(pairing.measures, columns(pairing.measures), strict=True):
        scorer = {"bleu": sacrebleu.corpus_bleu, "chrf": sacrebleu.corpus_chrf}.get(measure.name)
        if scorer:
            expected = [scorer([STUDENT[i] for i in c], [[TEACHER[i] for i in c]]).score for c in chosen]
            assert measure.score(sums[:, place]) == pytest.approx(expected, abs=1e-9)


def test_no_items_have_no_score():
    assert np.isnan(bleu_score(np.zeros(11)))
    assert np.isnan(chrf_score(np.zeros(19)))


def test_the_teacher_is_the_reference():
    """The brevity penalty falls on a short student, not on a short teacher."""
    short, long = ["Five boxes hold 30 eggs in all"], ["Five boxes hold 30 eggs in all because 5 * 6 = 30"]
    student_short, teacher_short = trace_bleu(short, long), trace_bleu(long, short)
    assert student_short.bleu == pytest.approx(100 * math.exp(1 - 13 / 7), rel=1e-9)
    assert student_short.bleu != pytest.approx(teacher_short.bleu, rel=1e-3)


def test_signatures_say_how():
    signatures = trace_signatures()
    assert "eff:no" in signatures["bleu"]
    assert "eff:yes" in signatures["sentence_bleu"]
    for signature in signatures.values():
        assert f"version:{sacrebleu.__version__}" in signature
        assert "nrefs:1" in signature


def test_a_trace_against_itself_is_perfect():
    result = trace_bleu(TEACHER, TEACHER)
    assert (result.bleu, result.sentence_bleu, result.chrf) == pytest.approx((100, 100, 100))


def test_a_short_trace_against_itself_is_perfect_as_a_sentence():
    assert trace_bleu(["7"], ["7"]).sentence_scores == pytest.approx([100])


@pytest.mark.parametrize(("student", "teacher"), [("", "so 7"), ("so 7", ""), ("", ""), ("  \n", "so 7")])
def test_empty_texts_score_zero(student, teacher):
    result = trace_bleu([student], [teacher])
    assert (result.bleu, result.sentence_scores, result.chrf) == (0.0, (0.0,), 0.0)


def test_text_that_looks_tokenized_is_no_cause_for_a_warning(caplog):
    trace_bleu(["3 + 4 = 7 ."] * 101, ["3 + 4 = 7 ."] * 101)
    assert not caplog.records


@pytest.mark.parametrize(("student", "teacher"), [([], []), (["a"], ["a", "b"])])
def test_texts_must_pair_up(student, teacher):
    with pytest.raises(StatisticsError):
        trace_bleu(student, teacher)


def test_real_completions_of_two_models(shared_data):
    """Two adapters of one model overlap more on the same items than on shifted ones."""
    import json

    def completions(model):
        lines = (shared_data / "outputs" / model / "AddSub.jsonl").read_text().splitlines()[:60]
        return [json.loads(line)["output"] for line in lines]

    teacher, student = completions("llama_7b_lora"), completions("llama_7b_parallel")
    paired, shifted = trace_bleu(student, teacher), trace_bleu(student, teacher[1:] + teacher[:1])
    assert paired.bleu > shifted.bleu + 10
    assert paired.bleu == pytest.approx(sacrebleu.corpus_bleu(student, [teacher], force=True).score, abs=1e-9)


NUMBERED = st.lists(st.sampled_from([0, 1, 2, 900_000]), max_size=9)
SIDES = st.integers(1, 5).flatmap(
    lambda n: st.tuples(*[st.lists(NUMBERED, min_size=n, max_size=n)] * 2, st.permutations(range(n)))
)


def texts(side: list[list[int]]) -> TokenTexts:
    return TokenTexts(
        np.array([token for text in side for token in text], np.int64), np.array([len(t) for t in side], np.int64)
    )


def counted(text: list[int], order: int) -> Counter[tuple[int, ...]]:
    return Counter(tuple(text[i : i + order]) for i in range(len(text) - order + 1))


def check(teacher: list[list[int]], student: list[list[int]], order: list[int]) -> None:
    own, other = count_ngrams([texts(teacher), texts(student)], 6)
    for length in range(1, 7):
        grams = [counted(text, length) for text in student]
        expected = [(counted(text, length) & grams[i]).total() for text, i in zip(teacher, order, strict=True)]
        found = shared_ngrams(own[length - 1], other[length - 1], np.array(order, np.intp))
        assert found.tolist() == expected
        assert other[length - 1].totals.tolist() == [gram.total() for gram in grams]
        assert other[length - 1].counts.sum() == sum(gram.total() for gram in grams)


@given(SIDES)
def test_shared_ngrams_are_counter_intersections(sides: tuple[list[list[int]], list[list[int]], list[int]]) -> None:
    check(*sides)


@pytest.mark.parametrize("largest", [1, 1 << 30])
def test_renumbering_changes_nothing(largest: int, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(traces, "_LARGEST", largest)
    check([[0, 1, 2, 0, 1, 2], [900_000, 0, 900_000, 0], []], [[1, 2, 0], [], [2, 2, 2, 2]], [2, 0, 1])


def test_a_large_alphabet_of_long_ngrams_needs_renumbering(monkeypatch: pytest.MonkeyPatch) -> None:
    """Six tokens of 20 bits do not fit into a number."""
    calls = []
    renumbered = traces._renumbered
    monkeypatch.setattr(traces, "_renumbered", lambda codes: calls.append(1) or renumbered(codes))
    check([[900_000, 5, 900_000, 5, 900_000, 5, 7]], [[5, 900_000, 5, 900_000, 5, 7]], [0])
    assert calls
