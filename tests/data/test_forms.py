"""The forms of training rows say the same; what cannot be used of a row is refused with row and key."""

import json
from pathlib import Path

import pytest

from kdscope.core.errors import DataError
from kdscope.data.examples import Example, as_examples, as_items, as_prompts, read_examples
from kdscope.data.forms import form_of, prompt_texts, training_texts
from kdscope.data.rows import Row
from kdscope.tasks import get_task

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


PART, PICTURE = {"type": "text", "text": USER}, {"type": "image_url", "image_url": {"url": "cat.png"}}
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
    (
        {"messages": [_message("user", [PART, PART]), CHAT[1]]},
        "messages[1]: expected a text, or one part of text, given",
    ),
    ({"messages": [_message("user", [PART, PICTURE]), CHAT[1]]}, "messages[1]: expected a text, or one part of text"),
    ({"messages": [CHAT[0], _message("assistant", [PICTURE])]}, "messages: the assistant's content: expected a text"),
    ({"messages": [_message("user", [{"type": "text"}]), CHAT[1]]}, "messages[1]: expected text, given null"),
    ({"messages": [_message("user", "\ud83d"), CHAT[1]]}, "messages[1]: holds half of a surrogate pair"),
]


@pytest.mark.parametrize(("values", "words"), BROKEN, ids=lambda value: str(value)[:50])
def test_what_is_refused_names_row_and_key(values, words):
    with pytest.raises(DataError) as caught:
        as_examples([_training_row(**values)])
    assert str(caught.value).startswith(f"train.jsonl, row 7: {words}")


def test_a_message_may_be_one_part_of_text():
    parts = [_message(message["role"], [{"type": "text", "text": message["content"]}]) for message in CHAT]
    assert training_texts(_training_row(messages=parts)) == (USER, "", ASSISTANT)


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
