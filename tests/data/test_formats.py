"""Three forms of training rows say the same; what is mixed, missing or of several turns is refused by row and key."""

import json
from pathlib import Path

import pytest

from kdscope.core.errors import DataError
from kdscope.data.formats import form_of, prompt_texts, training_texts
from kdscope.data.rows import Row
from kdscope.data.sources import Example, as_examples, as_prompts, read_examples

USER, ASSISTANT, SYSTEM = "What floats?", "Wood.", "Be brief."


def _message(role, content):
    return {"role": role, "content": content}


def _row(**values):
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
    row = _row(**values)
    assert form_of(row) == form
    assert training_texts(row) == (USER, "", ASSISTANT)
    assert prompt_texts(row) == (USER, "", "")
    assert as_examples([row]) == [Example(7, USER, "", ASSISTANT)]
    assert as_prompts([row]) == [Example(7, USER, "", "")]


@pytest.mark.parametrize("role", ["system", "developer"])
@pytest.mark.parametrize("key", ["messages", "prompt"])
def test_a_system_message_stands_before_the_question(role, key):
    system = _message(role, SYSTEM)
    row = _row(messages=[system, *CHAT]) if key == "messages" else _row(prompt=[system, CHAT[0]], completion=ASSISTANT)
    assert training_texts(row) == (f"{SYSTEM}\n\n{USER}", "", ASSISTANT)
    assert prompt_texts(row).instruction == f"{SYSTEM}\n\n{USER}"


@pytest.mark.parametrize("values", [{"prompt": USER}, {"prompt": CHAT[:1]}, {"messages": CHAT[:1]}])
def test_prompts_need_no_answer(values):
    assert prompt_texts(_row(**values)) == (USER, "", "")
    with pytest.raises(DataError, match=r"train.jsonl, row 7: (completion: the key is missing|messages: expected one)"):
        training_texts(_row(**values))


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
        as_examples([_row(**values)])
    assert str(caught.value).startswith(f"train.jsonl, row 7: {words}")


def test_prompts_of_several_turns_are_refused_too():
    with pytest.raises(DataError, match="several turns"):
        prompt_texts(_row(messages=CHAT + CHAT))
