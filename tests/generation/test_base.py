"""A completion with stop texts is the one without them, cut at the first occurrence; however it was written."""

from __future__ import annotations

import time
from collections.abc import Sequence
from dataclasses import replace
from importlib.resources import files

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from kdscope.core.errors import ModelError
from kdscope.generation.base import Completion, Decoding, StopTexts, first_stop
from kdscope.generation.huggingface import HuggingFaceGenerator, StopRows
from kdscope.models.load import load_model, load_tokenizer
from kdscope.models.source import ModelPlace

QUESTIONS = [
    "Ann has 3 pens and gets 4 more. How many pens does Ann have?",
    "Tom has 12 apples. He eats 5. How many apples are left?",
    "What is 7 times 8?",
    "Sue buys 2 bags with 6 eggs each and breaks 3 eggs. How many eggs are whole?",
]
DECODINGS = [Decoding(48), Decoding(48, temperature=1.0, seed=1), Decoding(40, temperature=2.5, top_p=0.95, seed=2)]


class Transformers(HuggingFaceGenerator):
    """For models that the decoding loop is not right for."""

    decodes_itself = False


def prompt_of(question: str) -> str:
    return f"Below is an instruction.\n\n### Instruction:\n{question}\n\n### Response:\n"


@pytest.fixture(scope="module", params=["tiny-s", "tiny-m"])
def generator(request: pytest.FixtureRequest) -> HuggingFaceGenerator:
    place = ModelPlace(str(files("kdscope") / "models" / "tiny" / request.param))
    return HuggingFaceGenerator(load_model(place, "float32", "cpu"), load_tokenizer(place))


@pytest.fixture(scope="module")
def prompts(generator: HuggingFaceGenerator) -> list[list[int]]:
    return [generator.tokenizer(prompt_of(question)).input_ids for question in QUESTIONS]


def first_of(text: str, stops: Sequence[str]) -> int | None:
    """By trying: the shortest beginning that contains a stop text ends with it; of several, the longest one counts."""
    for end in range(1, len(text) + 1):
        ending = [stop for stop in stops if text[:end].endswith(stop)]
        if ending:
            return end - max(map(len, ending))
    return None


def cut(whole: Completion, stops: Sequence[str], generator: HuggingFaceGenerator) -> Completion:
    start = first_of(whole.text, stops)
    if start is None:
        return whole
    texts = (generator.tokenizer.decode(whole.token_ids[:n], skip_special_tokens=True) for n in range(1, 100))
    length = 1 + next(n for n, text in enumerate(texts) if any(stop in text for stop in stops))
    return Completion(whole.token_ids[:length], whole.text[:start], "run_on")


def some_stops(texts: Sequence[str]) -> list[tuple[str, ...]]:
    """Pieces of what was written, so that they occur: within a token, over several, at the very start, at the end."""
    first, longest = texts[0], max(texts, key=len)
    middle = len(longest) // 2
    return [
        (first[:1],),
        (first[:7], longest[middle : middle + 11]),
        (longest[middle : middle + 2], longest[middle - 3 : middle + 1]),
        (longest[-4:],),
        ("### Instruction", "\n"),
        (longest[middle - 5 : middle + 5], longest[middle + 3 : middle + 5], "e"),
        ("never written",),
    ]


@pytest.mark.parametrize("decoding", DECODINGS)
@pytest.mark.parametrize("way", [HuggingFaceGenerator, Transformers])
def test_it_is_the_completion_without_stop_texts_cut(
    generator: HuggingFaceGenerator,
    prompts: list[list[int]],
    decoding: Decoding,
    way: type[HuggingFaceGenerator],
) -> None:
    writer = way(generator.model, generator.tokenizer)
    free = writer.generate(prompts, decoding, call=3)
    reasons: set[str] = set()
    for stops in some_stops([completion.text for completion in free]):
        found = writer.generate(prompts, replace(decoding, stop_texts=stops), call=3)
        assert found == [cut(whole, stops, generator) for whole in free], stops
        reasons |= {completion.finish_reason for completion in found}
    assert reasons >= {"run_on", free[0].finish_reason}


@settings(deadline=None, max_examples=25)
@given(data=st.data())
def test_any_piece_of_a_text_may_be_the_stop(
    generator: HuggingFaceGenerator, prompts: list[list[int]], data: st.DataObject
) -> None:
    decoding = DECODINGS[1]
    free = generator.generate(prompts, decoding)
    text = data.draw(st.sampled_from([c.text for c in free if c.text]))
    start = data.draw(st.integers(0, len(text) - 1))
    stops = (text[start : start + data.draw(st.integers(1, 12))],)
    found = generator.generate(prompts, replace(decoding, stop_texts=stops))
    assert found == [cut(whole, stops, generator) for whole in free]


def test_rows_that_stopped_leave_the_batch(generator: HuggingFaceGenerator, prompts: list[list[int]]) -> None:
    sizes: list[int] = []
    layer = generator.model.get_decoder().layers[0].mlp
    free = generator.generate(prompts, DECODINGS[0])
    stop = free[2].text[:3]
    handle = layer.register_forward_hook(lambda _m, _i, output: sizes.append(len(output)))
    found = generator.generate(prompts, replace(DECODINGS[0], stop_texts=(stop,)))
    handle.remove()
    written = [len(completion.token_ids) for completion in found]
    steps = sizes[-(max(written) - 1) :] if max(written) > 1 else []
    assert steps == [sum(length > step for length in written) for step in range(1, max(written))]


def test_texts_and_not_tokens_count() -> None:
    """Pieces as of a tokenizer that splits anywhere; the text decides, whatever the pieces are."""
    pieces = ["#", "##", " Instr", "uction", ":\n### Instruction: next", "n", "xx# ", "\u00e9"]
    stops = StopTexts(["### Instruction"], lambda row: "".join(pieces[token] for token in row))
    assert not any(stops.reached([0, 1, 2, 3][:n]) for n in range(1, 4))
    assert stops.reached([0, 1, 2, 3])
    assert stops.reached([5, 4])
    assert not stops.reached([5, 6, 3])
    assert stops.cut([5, 0, 1, 2, 3, 6], "n### Instructionxx# ") == ([5, 0, 1, 2, 3], "n")
    assert stops.cut([5, 5], "nn") is None


def test_a_character_may_come_in_pieces() -> None:
    """Bytes as tokens: the stop text is complete with the last byte of its last character."""
    text = "a\u20ac\u20acb"
    tokens = list(text.encode())
    stops = StopTexts(["\u20ac\u20ac"], lambda row: bytes(row).decode(errors="replace"))
    assert [stops.reached(tokens[:n]) for n in range(1, 9)] == [False] * 6 + [True, False]
    assert stops.cut(tokens, text) == (tokens[:7], "a")


@pytest.mark.parametrize(
    ("pieces", "stop"),
    [
        (["a", " "], "a "),
        (["x", " b c"], " b"),
        (["x", " ."], "x."),
        (["a", " b"], "a b"),
        (["###", " Next:"], "# Next"),
    ],
)
def test_a_token_alone_may_be_another_text(pieces: list[str], stop: str) -> None:
    """Some tokenizers leave the first blank of a text out, or one before a full stop."""

    def decode(row: Sequence[int]) -> str:
        return "".join(pieces[token] for token in row).removeprefix(" ").replace(" .", ".")

    assert StopTexts([stop], decode).reached([0, 1])


@given(st.text("ab#", max_size=12), st.lists(st.text("ab#", min_size=1, max_size=3), max_size=3))
def test_the_first_to_end_counts(text: str, stops: list[str]) -> None:
    assert first_stop(text, stops) == first_of(text, stops)


@given(st.text("ab#", min_size=1, max_size=12), st.lists(st.text("ab#", min_size=1, max_size=3), max_size=3), st.data())
def test_where_tokens_end_makes_no_difference(text: str, stops: list[str], data: st.DataObject) -> None:
    """Any split into tokens: the row ends with the first token that completes a stop, and the text is cut alike."""
    ends = sorted(data.draw(st.sets(st.integers(1, len(text)))) | {len(text)})
    pieces = [text[start:end] for start, end in zip([0, *ends], ends, strict=False)]
    watch = StopTexts(stops, lambda row: "".join(pieces[token] for token in row))
    row: list[int] = []
    for token in range(len(pieces)):
        row.append(token)
        if watch.reached(row):
            break
    written = watch.decode(row)
    start = first_of(text, stops)
    assert written == text if start is None else watch.cut(row, written) == (row, text[:start])
    assert watch.cut(list(range(len(pieces))), text) == (None if start is None else (row, text[:start]))


def test_rows_of_transformers_stay_finished() -> None:
    watch = StopRows(StopTexts(["bc"], lambda row: "".join(map(chr, row))), width=1)
    steps = [
        watch(torch.tensor([[9, *b"ab"], [9, *b"bb"]]), None),
        watch(torch.tensor([[9, *b"abc"], [9, *b"bbb"]]), None),
    ]
    assert [step.tolist() for step in steps] == [[False, False], [True, False]]
    assert watch(torch.tensor([[9, *b"abcx"], [9, *b"bbbc"]]), None).tolist() == [True, True]


@pytest.mark.parametrize("stops", [("",), ("a", ""), "###"])
def test_what_cannot_be_a_stop_text_is_refused(stops: tuple[str, ...]) -> None:
    with pytest.raises(ModelError, match="stop_texts"):
        Decoding(8, stop_texts=stops)


def test_looking_for_them_costs_next_to_nothing(generator: HuggingFaceGenerator, prompts: list[list[int]]) -> None:
    """Long rows of tokens that cannot end the stop text: not even one of them is decoded."""
    decoded: list[int] = []

    def decode(row: Sequence[int]) -> str:
        decoded.append(len(row))
        return str(generator.tokenizer.decode(row))

    watch = StopTexts(["### Instruction"], decode)
    rows = [[*row, *row, *row] for row in prompts]
    harmless = [token for token in rows[0] if not watch.reached([token]) and not watch._may_end(token)]
    decoded.clear()
    started = time.process_time()
    for length in range(1, len(harmless)):
        assert not watch.reached(harmless[:length])
    assert decoded == []
    assert time.process_time() - started < 0.1
