"""Examples and items from files: what is read, what is refused, and how rows are split."""

import hashlib
import json
from collections import Counter
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from kdscope.core.errors import DataError
from kdscope.data.examples import (
    Example,
    as_examples,
    as_items,
    as_prompts,
    form_of,
    prompt_texts,
    read_examples,
    split_examples,
    training_texts,
)
from kdscope.data.rows import Row, read_rows
from kdscope.tasks import Task, get_task
from tests.builders import read_items


def _task(name, labels=(), answer_kind="number"):
    kind = "label" if labels else answer_kind
    return Task(name, "math", "letter" if labels[:1] == ("A",) else kind, labels, 0.0, 1, "", "", "")


NUMBERS = _task("sums")
LABELS = _task("truth", ("true", "false"))


def _row(index, **changes):
    return {"instruction": f"question {index}", "input": "", "output": f"answer {index}", "answer": "1"} | changes


@pytest.fixture
def write(tmp_path):
    def write_rows(rows, name="data.json"):
        path = tmp_path / name
        path.parent.mkdir(exist_ok=True)
        lines = "\n".join(json.dumps(row, ensure_ascii=False) for row in rows)
        path.write_text(lines if name.endswith("l") else json.dumps(rows, indent=1), encoding="utf-8")
        return path

    return write_rows


@pytest.mark.parametrize("name", ["data.json", "data.jsonl"])
def test_a_list_and_lines_read_alike(write, name):
    rows = [_row(1), _row(2, input="more", extra=[1, 2]), _row(3, output="a\u2028b\x85c\n\x0cd ünï 😀")]
    assert read_examples(write(rows, name)) == [
        Example(number, row["instruction"], row["input"], row["output"]) for number, row in enumerate(rows, 1)
    ]


def test_lines_in_a_file_called_json(tmp_path):
    (tmp_path / "data.json").write_text('{"instruction": "a", "output": "b"}\n{"instruction": "c", "output": "d"}\n')
    assert [example.output for example in read_examples(tmp_path / "data.json")] == ["b", "d"]


def test_rows_of_jsonl_are_lines(tmp_path):
    text = '\ufeff{"instruction": "a", "output": "b"}\r\n\r\n{"instruction": "c", "output": "d", "input": null}\r\n'
    (tmp_path / "data.jsonl").write_bytes(text.encode())
    assert read_examples(tmp_path / "data.jsonl") == [Example(1, "a", "", "b"), Example(3, "c", "", "d")]


def test_prompts_are_examples_whose_answers_are_not_looked_at(write):
    rows = [_row(1), _row(2, input="more", output=["no", "text"]), {"instruction": "third"}]
    assert as_prompts(read_rows(write(rows))) == [
        Example(1, "question 1", "", ""),
        Example(2, "question 2", "more", ""),
        Example(3, "third", "", ""),
    ]


def test_prompts_need_a_question(write):
    with pytest.raises(DataError, match=r"data.json, row 2: instruction: the key is missing"):
        as_prompts(read_rows(write([_row(1), {"output": "answer"}])))


def test_items_keep_their_place_and_their_content_hash(write, tmp_path):
    rows = [_row(0, answer="4.5"), _row(1, answer="-2", input="with more"), _row(0, answer="4.5"), _row(0, answer="5")]
    write(rows, "sums/test.json")
    items = read_items(NUMBERS, tmp_path)
    assert [(item.index, item.item_id, item.gold) for item in items] == [
        (0, "sums/0", "4.5"),
        (1, "sums/1", "-2"),
        (2, "sums/2", "4.5"),
        (3, "sums/3", "5"),
    ]
    assert items[0].content_hash == items[2].content_hash
    assert len({item.content_hash for item in items}) == 3
    assert items[1].content_hash == hashlib.sha256(b'["question 1","with more","-2"]').hexdigest()


def test_the_first_items_are_a_limit_and_the_rest_is_not_looked_at(write, tmp_path):
    write([_row(0), _row(1), {"broken": True}], "sums/test.json")
    assert [item.index for item in read_items(NUMBERS, tmp_path, limit=2)] == [0, 1]


@pytest.mark.parametrize(
    ("written", "gold"), [(72, "72"), (0.5, "0.5"), ("576.0", "576.0"), (" 3/4 ", "3/4"), ("-1e3", "-1e3")]
)
def test_numbers_as_gold(write, tmp_path, written, gold):
    write([_row(0, answer=written)], "sums/test.json")
    assert read_items(NUMBERS, tmp_path)[0].gold == gold


@pytest.mark.parametrize("written", ["five", "nan", "inf", "1e999", "3/0", "1,200", True])
def test_what_is_no_number(write, tmp_path, written):
    write([_row(0), _row(1, answer=written)], "sums/test.json")
    with pytest.raises(DataError, match=r"row 2: answer: .* is not a number"):
        read_items(NUMBERS, tmp_path)


@pytest.mark.parametrize(("written", "gold"), [(True, "true"), (False, "false"), ("true", "true")])
def test_labels_as_gold(write, tmp_path, written, gold):
    write([_row(0, answer=written)], "truth/test.json")
    assert read_items(LABELS, tmp_path)[0].gold == gold


def test_a_gold_that_is_no_label(write, tmp_path):
    write([_row(0, answer="maybe")], "truth/test.json")
    with pytest.raises(DataError, match=r"row 1: answer: 'maybe' is not an answer of truth: true, false"):
        read_items(LABELS, tmp_path)


TEXT = _task("free", answer_kind="text")


@pytest.mark.parametrize(("output", "references"), [("one", ("one",)), (["one"], ("one",)), (["b", "a"], ("b", "a"))])
def test_text_items_keep_all_references_and_the_first_is_gold(write, tmp_path, output, references):
    write([_row(0, output=output), _row(0, output=references[:1])], "free/test.json")
    first, second = read_items(TEXT, tmp_path)
    assert (first.references, first.gold) == (references, references[0])
    assert (first.content_hash == second.content_hash) == (len(references) == 1)
    canonical = json.dumps(["question 0", "", list(references)], separators=(",", ":"))
    assert first.content_hash == hashlib.sha256(canonical.encode()).hexdigest()


def test_other_items_have_no_references(write, tmp_path):
    write([_row(0, output=["a", "b"])], "sums/test.json")
    assert read_items(NUMBERS, tmp_path)[0].references == ()


@pytest.mark.parametrize(
    ("output", "words"),
    [
        ([], r"output: the list is empty"),
        ("", r"output: the text is empty"),
        (["a", " "], r"output\[2\]: the text is empty"),
        (["a", 3], r"output\[2\]: expected text, given a number"),
        (None, r"output: expected text, given null"),
    ],
)
def test_references_that_are_none(write, tmp_path, output, words):
    write([_row(0), _row(1, output=output)], "free/test.json")
    with pytest.raises(DataError, match=rf"test.json, row 2: {words}"):
        read_items(TEXT, tmp_path)


TEXTS = st.lists(st.sampled_from("abcdefghijkl"), min_size=1, max_size=40)


def _examples(texts):
    return [Example(row, text, "", text) for row, text in enumerate(texts, 1)]


@given(TEXTS, st.integers(0, 10), st.integers(0, 2**31), st.integers(1, 40))
@settings(deadline=None)
def test_a_split_is_disjoint_in_rows_and_texts_and_loses_only_duplicates(texts, validation_items, seed, limit):
    examples = _examples(texts)
    arguments = {"limit": min(limit, len(texts)), "validation_items": validation_items, "seed": seed}
    try:
        split = split_examples(examples, **arguments)
    except DataError:
        assert arguments["limit"] <= validation_items or len(set(texts)) < len(texts)
        return
    assert split == split_examples(examples, **arguments)
    rows = [example.row for example in split.train]
    assert rows == sorted(rows)
    assert not set(rows) & {example.row for example in split.validation}
    assert not {example.output for example in split.train} & {example.output for example in split.validation}
    assert len(split.validation) == validation_items
    assert len(split.train) + len(split.validation) + split.duplicates_removed == arguments["limit"]


def test_everything_is_used_without_limit_or_validation():
    examples = _examples("abcab")
    split = split_examples(examples, limit=None, validation_items=0, seed=3)
    assert (split.train, split.validation, split.duplicates_removed) == (tuple(examples), (), 0)


def test_a_smaller_limit_is_a_part_and_has_the_same_validation():
    examples = _examples([str(number) for number in range(50)])
    small = split_examples(examples, limit=20, validation_items=5, seed=1)
    big = split_examples(examples, limit=40, validation_items=5, seed=1)
    assert small.validation == big.validation
    assert set(small.train) < set(big.train)


def test_seeds_draw_different_rows_and_every_row_gets_its_turn():
    examples = _examples([str(number) for number in range(10)])
    drawn = Counter(
        example.row
        for seed in range(300)
        for example in split_examples(examples, limit=10, validation_items=2, seed=seed).validation
    )
    # 300 draws of 2 in 10: 60 each; five standard deviations of a binomial (300, 0.2) are 35.
    assert set(drawn) == set(range(1, 11))
    assert all(abs(count - 60) < 35 for count in drawn.values())


@pytest.mark.parametrize(
    ("limit", "validation_items", "key"),
    [(7, 1, "limit"), (3, 3, "validation_items"), (None, 6, "validation_items"), (None, 9, "validation_items")],
)
def test_too_few_rows(limit, validation_items, key):
    with pytest.raises(DataError) as caught:
        split_examples(_examples("abcdef"), limit=limit, validation_items=validation_items, seed=0)
    assert caught.value.key == key


def test_validation_that_leaves_only_its_own_duplicates():
    with pytest.raises(DataError, match="leave none to train on"):
        split_examples(_examples("aaaa"), limit=None, validation_items=1, seed=0)


REAL_LABELS = {
    "boolq": ("true", "false"),
    "AQuA": tuple("ABCDE"),
    "piqa": ("solution1", "solution2"),
    "ARC-Easy": tuple(f"answer{number}" for number in range(1, 6)),
    "gsm8k": (),
    "AddSub": (),
    "SVAMP": (),
    "MultiArith": (),
    "SingleEq": (),
}


@pytest.mark.parametrize(("name", "count"), [("gsm8k", 1319), ("AddSub", 395), ("SVAMP", 1000), ("MultiArith", 600)])
def test_real_mathematics(shared_data, name, count):
    items = read_items(_task(name), shared_data / "tasks")
    assert len(items) == count
    assert all(float(item.gold) == pytest.approx(float(item.gold)) for item in items)


@pytest.mark.parametrize(("name", "count"), [("boolq", 3270), ("AQuA", 254), ("piqa", 1838), ("ARC-Easy", 2376)])
def test_real_choices(shared_data, name, count):
    items = read_items(_task(name, REAL_LABELS[name]), shared_data / "tasks")
    assert len(items) == count
    assert {item.gold for item in items} == set(REAL_LABELS[name])


def test_multiarith_has_its_known_duplicates(shared_data):
    items = read_items(_task("MultiArith"), shared_data / "tasks")
    assert len({item.content_hash for item in items}) < len(items)


def test_real_instructions(shared_data):
    items = as_items(TEXT, read_rows(shared_data / "instruct" / "sni" / "valid.jsonl"))
    assert len(items) == 1694
    assert max(len(item.references) for item in items) > 1


def test_real_training_sets(shared_data):
    assert len(read_examples(shared_data / "tasks" / "gsm8k" / "train.json")) == 7473
    assert len(read_examples(shared_data / "instruct" / "dolly" / "valid.jsonl")) == 500
    with pytest.raises(DataError, match="expected text, given a list"):
        read_examples(shared_data / "instruct" / "sni" / "valid.jsonl")


USER, ASSISTANT, SYSTEM = "What floats?", "Wood.", "Be brief."


def _message(role, content):
    return {"role": role, "content": content}


def _training_row(**values):
    return Row(Path("train.jsonl"), 7, values)


CHAT = [_message("user", USER), _message("assistant", ASSISTANT)]
WITH_SYSTEM = [_message("system", SYSTEM), *CHAT]

SAME = [
    ("instruction", {"instruction": USER, "input": "", "output": ASSISTANT}),
    ("instruction", {"instruction": USER, "output": ASSISTANT, "prompt": f"### Instruction:\n{USER}"}),
    ("instruction", {"instruction": USER, "output": ASSISTANT, "messages": None, "completion": None}),
    ("completion", {"prompt": USER, "completion": ASSISTANT}),
    ("completion", {"prompt": CHAT[:1], "completion": CHAT[1:]}),
    ("completion", {"prompt": USER, "completion": CHAT[1:]}),
    ("messages", {"messages": CHAT}),
    ("messages", {"messages": [message | {"weight": 1, "name": "x"} for message in CHAT], "prompt": USER}),
]


@pytest.mark.parametrize(("form", "values"), SAME)
def test_every_form_says_the_same(form, values):
    row = _training_row(**values)
    assert form_of(row) == form
    assert training_texts(row) == (USER, "", ASSISTANT)
    assert prompt_texts(row) == (USER, "", "")
    assert as_examples([row]) == [Example(7, USER, "", ASSISTANT)]
    assert as_prompts([row]) == [Example(7, USER, "", "")]


@pytest.mark.parametrize("role", ["system", "developer"])
@pytest.mark.parametrize("key", ["messages", "prompt"])
def test_a_system_message_stands_before_the_question(role, key):
    system = _message(role, SYSTEM)
    row = (
        _training_row(messages=[system, *CHAT])
        if key == "messages"
        else _training_row(prompt=[system, CHAT[0]], completion=ASSISTANT)
    )
    assert training_texts(row) == (f"{SYSTEM}\n\n{USER}", "", ASSISTANT)
    assert prompt_texts(row).instruction == f"{SYSTEM}\n\n{USER}"


@pytest.mark.parametrize("values", [{"prompt": USER}, {"prompt": CHAT[:1]}, {"messages": CHAT[:1]}])
def test_prompts_need_no_answer(values):
    assert prompt_texts(_training_row(**values)) == (USER, "", "")
    with pytest.raises(DataError, match=r"train.jsonl, row 7: (completion: the key is missing|messages: expected one)"):
        training_texts(_training_row(**values))


def test_a_file_may_hold_all_forms(tmp_path):
    file = tmp_path / "train.jsonl"
    file.write_text("\n".join(json.dumps(values) for _, values in SAME))
    assert {example.output for example in read_examples(file)} == {ASSISTANT}


BROKEN = [
    ({"instruction": USER, "output": ASSISTANT, "messages": CHAT}, "messages: the row mixes two forms: 'instruction'"),
    ({"prompt": USER, "completion": ASSISTANT, "messages": CHAT}, "messages: the row mixes two forms: 'completion'"),
    ({"instruction": USER, "completion": ASSISTANT}, "completion: the row mixes two forms"),
    ({"question": USER, "answer": ASSISTANT}, "instruction: the key is missing; the row has 'question', 'answer'"),
    ({}, "instruction: the key is missing; the row has no keys"),
    ({"instruction": None, "output": "a"}, "instruction: expected text, given null"),
    ({"completion": ASSISTANT}, "prompt: the key is missing"),
    ({"prompt": USER, "completion": None}, "completion: expected text, given null"),
    ({"prompt": USER, "completion": ["Wood"]}, "completion[1]: expected a message with 'role' and 'content'"),
    ({"prompt": USER, "completion": CHAT}, "completion: expected one assistant message at the end, given user, assis"),
    ({"prompt": CHAT, "completion": ASSISTANT}, "prompt: expected one user message, perhaps after a system message, "),
    ({"prompt": [], "completion": ASSISTANT}, "prompt: the list is empty"),
    ({"messages": USER}, "messages: expected a list of messages, given text"),
    ({"messages": []}, "messages: the list is empty"),
    ({"messages": [{"role": "user"}]}, "messages[1]: expected a message with 'role' and 'content'"),
    ({"messages": CHAT + CHAT}, "messages: the chat has several turns (user, assistant, user), and only one can be"),
    ({"messages": CHAT[:1] * 2 + CHAT[1:]}, "messages: the chat has several turns (user, user)"),
    ({"messages": CHAT[:1]}, "messages: expected one assistant message at the end, given user"),
    ({"messages": CHAT[1:]}, "messages: expected one user message, perhaps after a system message, given none"),
    ({"messages": [_message("tool", "x"), *CHAT]}, "messages: expected one user message, perhaps after a system mess"),
    ({"messages": [CHAT[0], _message("assistant", " ")]}, "messages: the assistant's content: the text is empty"),
    ({"messages": [CHAT[0], _message("assistant", None)]}, "messages: the assistant's content: expected text, given n"),
    ({"messages": [_message("user", ["x"]), CHAT[1]]}, "messages[1]: expected text, given a list"),
    ({"messages": [_message("user", "\ud83d"), CHAT[1]]}, "messages[1]: holds half of a surrogate pair"),
]


@pytest.mark.parametrize(("values", "words"), BROKEN, ids=lambda value: str(value)[:50])
def test_what_is_refused_names_row_and_key(values, words):
    with pytest.raises(DataError) as caught:
        as_examples([_training_row(**values)])
    assert str(caught.value).startswith(f"train.jsonl, row 7: {words}")


def test_prompts_of_several_turns_are_refused_too():
    with pytest.raises(DataError, match="several turns"):
        prompt_texts(_training_row(messages=CHAT + CHAT))


CALL = [{"function": {"name": "search", "arguments": "{}"}}]
LOST = [
    ({"history": [["Hi", "Hello"]]}, "history: holds earlier turns"),
    ({"tools": CALL}, "tools: holds tools"),
    ({"functions": CALL}, "functions: holds tools"),
    ({"images": ["cat.png"]}, "images: holds what is no text"),
    ({"reasoning_content": "Wood floats."}, "reasoning_content: holds reasoning"),
    ({"thinking": "Wood floats."}, "thinking: holds reasoning"),
    ({"tool_calls": CALL}, "tool_calls: holds calls of tools"),
    ({"training_detail": [{"begin_offset": 0}]}, "training_detail: holds which parts"),
    ({"weight": 0}, "weight: expected 1, given 0"),
    ({"weight": -1.5}, "weight: expected 1, given -1.5"),
    ({"train": False}, "train: says that the response is not learned"),
    ({"kto_tag": False}, "kto_tag: says that the response is not learned"),
]
OF_A_MESSAGE = [
    ({"reasoning_content": "Wood floats."}, "reasoning_content: holds reasoning"),
    ({"reasoning": "Wood floats."}, "reasoning: holds reasoning"),
    ({"tool_calls": CALL}, "tool_calls: holds calls of tools"),
    ({"weight": 0}, "weight: expected 1, given 0"),
    ({"train": False}, "train: says that the response is not learned"),
]
EMPTY = {
    "system": " ",
    "history": [],
    "tools": None,
    "images": [],
    "reasoning_content": "",
    "tool_calls": [],
    "weight": 1,
}
PLAIN = [
    {"instruction": USER, "output": ASSISTANT},
    {"prompt": USER, "completion": ASSISTANT},
    {"messages": CHAT},
]


@pytest.mark.parametrize(("more", "words"), LOST, ids=lambda value: str(value)[:30])
@pytest.mark.parametrize("values", PLAIN, ids=lambda values: next(iter(values)))
def test_a_row_that_teaches_more_than_its_texts_is_refused(values, more, words):
    with pytest.raises(DataError) as caught:
        as_examples([_training_row(**values, **more)])
    assert str(caught.value).startswith(f"train.jsonl, row 7: {words}")


@pytest.mark.parametrize(("more", "words"), OF_A_MESSAGE, ids=lambda value: str(value)[:30])
def test_a_message_that_teaches_more_than_its_content_is_refused(more, words):
    answer = CHAT[1] | more
    for values, place in (
        ({"messages": [CHAT[0], answer]}, "messages[2]"),
        ({"prompt": USER, "completion": [answer]}, "completion[1]"),
    ):
        with pytest.raises(DataError) as caught:
            as_examples([_training_row(**values)])
        assert str(caught.value).startswith(f"train.jsonl, row 7: {place}.{words}")
    # As a prompt the response is left behind, whatever it holds.
    assert prompt_texts(_training_row(messages=[CHAT[0], answer])).instruction == USER


def test_a_completion_that_is_not_wanted_is_refused():
    with pytest.raises(DataError, match="row 7: label: says that the completion is not wanted"):
        as_examples([_training_row(prompt=USER, completion=ASSISTANT, label=False)])
    assert as_examples([_training_row(instruction=USER, output=ASSISTANT, label=False, weight=1, train=True)])


@pytest.mark.parametrize("values", PLAIN, ids=lambda values: next(iter(values)))
def test_keys_that_say_nothing_are_no_matter_and_notes_are_not_read(values):
    notes = {"id": 3, "source": "forum", "category": "physics", "reasoning": "a note"}
    assert training_texts(_training_row(**values, **EMPTY, **notes)) == (USER, "", ASSISTANT)
    silent = [CHAT[0] | {"weight": 0}, CHAT[1] | {"tool_calls": None, "weight": 1, "name": "Ada"}]
    assert training_texts(_training_row(messages=silent)) == (USER, "", ASSISTANT)


@pytest.mark.parametrize("values", PLAIN, ids=lambda values: next(iter(values)))
def test_the_system_text_of_a_row_stands_before_its_question(values):
    row = _training_row(**values, system=SYSTEM)
    assert training_texts(row) == (f"{SYSTEM}\n\n{USER}", "", ASSISTANT)
    assert prompt_texts(row).instruction == f"{SYSTEM}\n\n{USER}"
    with pytest.raises(DataError, match="row 7: system: expected text, given a list"):
        training_texts(_training_row(**values, system=["x"]))


def test_one_system_text_is_enough():
    row = _training_row(messages=[_message("system", SYSTEM), *CHAT], system="Be brief.")
    with pytest.raises(DataError, match="row 7: system: the chat has a system message too"):
        training_texts(row)


@pytest.mark.parametrize("more", [{"system": SYSTEM}, {"history": [["Hi", "Hello"]]}, {"images": ["cat.png"]}])
def test_an_item_that_asks_with_more_than_its_texts_is_refused(more):
    values = {"instruction": "2 + 2?", "answer": "4"}
    with pytest.raises(DataError, match=f"train.jsonl, row 7: {next(iter(more))}: "):
        as_items(get_task("gsm8k"), [_training_row(**values, **more)])
    assert as_items(get_task("gsm8k"), [_training_row(**values, **EMPTY)])
