"""Prompts in a model's own chat template contain their question; answers end as the template ends them."""

from __future__ import annotations

from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest

from kdscope.core.errors import ModelError, ModelFileError
from kdscope.models import chat
from kdscope.models.chat import chat_prompts, end_as_turns_do, end_of_turn, stop_at_end
from tests.builders import make_tokenizer

CHATML = (
    "{% for m in messages %}<|im_start|>{{ m.role }}\n{{ m.content }}<|im_end|>\n{% endfor %}"
    "{% if add_generation_prompt %}<|im_start|>assistant\n{% endif %}"
)
PARTS = (
    "{% for m in messages %}{{ m.role }}: {% for part in m.content if part is mapping %}{{ part.text }}{% endfor %}"
    "{% if m.role == 'assistant' %}<|im_end|>{% endif %}\n{% endfor %}"
    "{% if add_generation_prompt %}assistant:{% endif %}"
)
# Ends by the tokenizer's own end token, after a blank.
LLAMA_2 = "{% for m in messages %}{{ '[INST] ' + m.content | trim + ' [/INST]' if m.role == 'user' else ' ' + m.content + ' ' + eos_token }}{% endfor %}"  # fmt: skip  # noqa: E501
# Phi's: an end of turn, and after the last message the end of the text.
PHI = "{% for m in messages %}<|{{ m.role }}|>\n{{ m.content }}<|end|>\n{% endfor %}{{ '<|assistant|>\n' if add_generation_prompt else eos_token }}"  # fmt: skip  # noqa: E501
BARE = "{% for m in messages %}{{ m.role }}: {{ m.content }}\n{% endfor %}"
REFUSES_ANSWERS = "{% for m in messages %}{% if m.role != 'user' %}{{ raise_exception('no') }}{% endif %}{{ m.content }}{% endfor %}"  # fmt: skip  # noqa: E501
QUESTIONS = ["Which floats?\n\nAnswer1:  wood ", "{1} 'and' {2}"]


def chatting(template: str | None) -> Any:
    tokenizer = make_tokenizer()
    tokenizer.add_tokens(["<|im_start|>", "<|im_end|>", "<|end|>"], special_tokens=True)
    tokenizer.chat_template = template
    return tokenizer


@pytest.mark.parametrize("template", [CHATML, PARTS, LLAMA_2, PHI, BARE, REFUSES_ANSWERS])
def test_every_prompt_contains_its_question(template: str) -> None:
    prompts = chat_prompts(chatting(template), QUESTIONS)
    assert len(prompts) == len(QUESTIONS)
    for question, prompt in zip(QUESTIONS, prompts, strict=True):
        assert question.strip() in prompt
        assert "'type'" not in prompt


def test_a_short_question_is_not_found_in_the_templates_own_words() -> None:
    with pytest.raises(ModelError, match="leaves out what the user says"):
        chat_prompts(chatting("{% for m in messages %}{{ m.role }}: {% endfor %}assistant:"), ["a", "user"])


def test_a_text_is_tried_before_parts() -> None:
    assert chat_prompts(chatting(CHATML), ["Hi"]) == ["<|im_start|>user\nHi<|im_end|>\n<|im_start|>assistant\n"]
    assert chat_prompts(chatting(PARTS), ["Hi"]) == ["user: Hiassistant:"]  # jinja cuts the line break after a block


@pytest.mark.parametrize(
    ("template", "words"),
    [
        ("{% for m in messages %}{{ m.role }}: {% endfor %}assistant:", "leaves out what the user says"),
        ("{{ messages[0].content[:5] }}", "leaves out what the user says"),
        ("{{ raise_exception('system messages only') }}", "cannot be used: system messages only"),
        ("{% for m in messages %}", "cannot be used"),
        ("{{ messages[0].nothing.more }}", "cannot be used"),
        ("{{ 1 / 0 }}", "cannot be used"),
        ("{% if messages[0].content is string %}{% else %}{{ messages[0].content }}{% endif %}", "leaves out"),
        (None, "no chat template"),
    ],
)
def test_a_template_that_fails_or_leaves_the_question_out_is_refused(template: str | None, words: str) -> None:
    with pytest.raises(ModelError, match=words) as caught:
        chat_prompts(chatting(template), QUESTIONS)
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize(
    ("template", "end"),
    [
        (CHATML, "<|im_end|>"),
        (PARTS, "<|im_end|>"),
        (PHI, "<|end|>"),
        (LLAMA_2, "<end>"),
        (BARE, "<end>"),
        (REFUSES_ANSWERS, "<end>"),
    ],
)
def test_the_end_of_a_turn_is_the_templates_own(template: str, end: str) -> None:
    tokenizer = chatting(template)
    for _ in range(2):  # once more with the tokenizer that a trained model is saved with
        assert tokenizer.convert_ids_to_tokens(end_of_turn(tokenizer)) == end
        end_as_turns_do(tokenizer)
        assert tokenizer.eos_token == end


def test_a_saved_tokenizer_ends_as_its_turns_do(tmp_path: Path) -> None:
    from transformers import AutoTokenizer

    tokenizer = chatting(CHATML)
    end_as_turns_do(tokenizer)
    tokenizer.save_pretrained(tmp_path)
    again = AutoTokenizer.from_pretrained(tmp_path)
    assert (again.eos_token, again.eos_token_id) == ("<|im_end|>", tokenizer.convert_tokens_to_ids("<|im_end|>"))
    assert again.get_vocab() == chatting(CHATML).get_vocab()


@pytest.mark.parametrize(("own", "after"), [(None, [7]), (3, [3, 7]), ([3, 4], [3, 4, 7]), ([7, 3], [7, 3]), (7, 7)])
def test_a_model_stops_at_the_end_token_too(own: Any, after: Any) -> None:
    model: Any = SimpleNamespace(generation_config=SimpleNamespace(eos_token_id=own))
    stop_at_end(model, SimpleNamespace(eos_token_id=7))  # type: ignore[arg-type]
    assert model.generation_config.eos_token_id == after


BOMBS = {
    "one text multiplied": "{{ 'a' * 10000000000 }}",
    "an end token multiplied": "{{ eos_token * 10000000000 }}",
    "a filter": "{{ 'a' | center(10000000000) }}",
    "loops in loops": "{% for a in range(99999) %}{% for b in range(99999) %}{% endfor %}{% endfor %}",
    "doubled in a loop": (
        "{% set n = namespace(t='a') %}{% for i in range(60) %}{% set n.t = n.t ~ n.t %}{% endfor %}{{ n.t }}"
    ),
    "for one question only": "{{ messages[0].content }}{{ 'a' * 10000000000 if 'wood' in messages[0].content }}",
    "in the block of an answer": "{% generation %}{{ 'a' * 10000000000 }}{% endgeneration %}",
    "two million characters": "{{ 'a' * 2000000 }}",
}


@pytest.mark.parametrize("template", BOMBS.values(), ids=BOMBS)
def test_a_template_that_multiplies_texts_or_loops_is_refused_and_harms_nothing(
    template: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("kdscope.models.chat._LEAST_SECONDS", 1)
    with pytest.raises(ModelFileError, match="takes more than 1 seconds, 1 GiB of memory or 1000000 characters"):
        chat_prompts(chatting(template), QUESTIONS)


def test_the_end_of_a_turn_is_not_sought_in_a_template_that_loops() -> None:
    with pytest.raises(ModelFileError, match="takes more than 5 seconds"):
        end_of_turn(chatting("{{ 'a' * 10000000000 }}"))


def test_a_long_question_is_not_too_much() -> None:
    assert len(chat_prompts(chatting(CHATML), ["word " * 400_000])[0]) > 1_000_000


def test_several_templates_without_a_default_are_one_message() -> None:
    tokenizer = chatting(None)
    tokenizer.chat_template = {"one": CHATML, "other": CHATML}
    with pytest.raises(ModelFileError, match="cannot be used: This model has multiple chat templates"):
        chat_prompts(tokenizer, QUESTIONS)
    assert end_of_turn(tokenizer) == tokenizer.eos_token_id


def test_many_questions_are_tried_some_at_a_time(monkeypatch: pytest.MonkeyPatch) -> None:
    asked = []
    real = chat._try_at_once
    monkeypatch.setattr(chat, "_TALKS", 3)
    monkeypatch.setattr(
        chat, "_try_at_once", lambda own, talks, then: asked.append(len(talks)) or real(own, talks, then)
    )
    assert len(chat_prompts(chatting(CHATML), QUESTIONS)) == 2
    assert asked == [3, 3]  # a question of our own and both of these, as texts and as parts
    with pytest.raises(ModelFileError, match="characters for 3 talks"):
        chat_prompts(
            chatting("{{ 'a' * 2000000 if messages[0].content is not string }}{{ messages[0].content }}"), QUESTIONS
        )
