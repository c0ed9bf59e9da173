from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from kdscope.core.errors import DataError
from kdscope.tasks import PromptTemplate, get_template, list_templates

INDENT = " " * 16
ALONE = "Below is an instruction that describes a task. Write a response that appropriately completes the request."
PAIRED = (
    "Below is an instruction that describes a task, paired with an input that provides further context. "
    "Write a response that appropriately completes the request."
)


def test_alpaca() -> None:
    template = get_template("alpaca")
    assert template.render("Add.") == f"{ALONE}\n\n### Instruction:\nAdd.\n\n### Response:\n"
    assert template.render("Add.", "1 2") == (
        f"{PAIRED}\n\n### Instruction:\nAdd.\n\n### Input:\n1 2\n\n### Response:\n"
    )


def test_published_evaluation_prompt() -> None:
    template = get_template("published")
    assert template.render("Add.") == (
        f"{ALONE} \n\n{INDENT}### Instruction:\n{INDENT}Add.\n\n{INDENT}### Response:\n{INDENT}"
    )
    assert template.render("Add.", "1 2") == (
        f"{PAIRED}\n\n{INDENT}### Instruction:\n{INDENT}Add.\n\n{INDENT}### Input:\n{INDENT}1 2\n\n"
        f"{INDENT}### Response:\n{INDENT}"
    )


def test_published_training_prompt_differs_in_white_space_only() -> None:
    template = get_template("published_training")
    assert template.render("Add.") == (
        f"{ALONE}  \n\n{INDENT}### Instruction:\n{INDENT}Add.\n{INDENT}\n{INDENT}### Response:\n{INDENT}"
    )
    for input_text in ("", "1 2"):
        rendered = [get_template(name).render("Add.", input_text) for name in ("published", "published_training")]
        assert rendered[0] != rendered[1]
        assert rendered[0].split() == rendered[1].split()


def test_plain_is_the_text_alone() -> None:
    template = get_template("plain")
    assert (template.render("Add."), template.render("Add.", "1 2")) == ("Add.", "Add.\n1 2")
    assert not template.chat


def test_chat_is_the_users_message_and_says_so() -> None:
    template = get_template("chat")
    assert (template.render("Add."), template.render("Add.", "1 2")) == ("Add.", "Add.\n\n1 2")
    assert [template.name for template in list_templates() if template.chat] == ["chat"]


@given(st.text(), st.text())
def test_data_is_inserted_literally(instruction: str, input_text: str) -> None:
    template = PromptTemplate("t", "<{instruction}|{input}>", "<{instruction}>")
    expected = f"<{instruction}|{input_text}>" if input_text else f"<{instruction}>"
    assert template.render(instruction, input_text) == expected


def test_field_names_inside_the_data_stay() -> None:
    template = get_template("alpaca")
    assert "\nSay {input} and {0} \\1.\n" in template.render("Say {input} and {0} \\1.", "{instruction}")


def test_unknown_template() -> None:
    with pytest.raises(DataError, match=r"unknown prompt template 'vicuna' \(known: alpaca, published"):
        get_template("vicuna")
    assert [get_template(template.name) for template in list_templates()] == list(list_templates())
