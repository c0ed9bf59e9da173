"""The part of a completion that answers: cut before run-on text, without special tokens, in plain typography."""

from __future__ import annotations

import re
from dataclasses import dataclass

from kdscope.answers.reasoning import without_reasoning
from kdscope.answers.typography import plain_markup

_END_TOKENS = (
    r"</s>|<\|(?:im_end|endoftext|eot_id|end_of_text|end|eom_id|return|eot|eos|end_of_turn|end_of_turn_token)\|>"
    r"|<eos>|<end_of_turn>|<｜end▁of▁sentence｜>"
)
_OTHER_TOKENS = r"<s>|<pad>|<unk>|<bos>|<start_of_turn>|<\|[A-Za-z_]{1,30}\|>|\[/?INST\]|<<[^<>\n]{0,200}>>"
_END_TOKEN = re.compile(rf"(?:{_END_TOKENS})+")
_OTHER_TOKEN = re.compile(rf"(?:{_OTHER_TOKENS})+")
_BEFORE_FIRST_WORD = re.compile(rf"(?:{_END_TOKENS}|{_OTHER_TOKENS}|\W)*+")
# What only a prompt template writes: it ends an answer even where nothing stands before it.
_TEMPLATE = (
    r"(?<!#)#{2,6}[ \t]{0,9}(?:instruction|input)\b"
    r"|\bbelow is an instruction that describes"
    r"|<\|im_start\|>(?!assistant)"
)
# A second question or another turn: it ends an answer only after one, as some answers open by repeating the question.
_TURN = (
    r"(?:(?:here is|here's|now) )?(?:(?:the )?next |(?:a )?new |another |follow-up )?"
    r"(?:q|question|problem|exercise|instruction|input|user|human|student)"
)
_RUN_ON = (
    r"(?<!#)#{2,6}[ \t]{0,9}(?:response|(?:next )?question|problem|exercise|example|user|human)s?\b"
    r"|<\|im_start\|>|<\|start_header_id\|>|<start_of_turn>|\[INST\]|<\|?(?:user|human|start)\|?>"
    rf"|^[ \t*_]{{0,9}}(?:{_TURN}[ \t]{{0,9}}\d{{0,4}}[ \t*_]{{0,9}}:|\[{_TURN}\])"
    r"|^[ \t*_]{0,9}(?:q|question|problem|exercise|example|task)[ \t]{0,3}#?\d{1,4}[ \t*_]{0,5}(?:[.:)]|$)"
    r"|^(?:user|human)[ \t]{0,9}$|(?<=[.!?])[ \t]{1,3}(?:human|user|(?:next )?question)[ \t]{0,3}\d{0,4}:"
)
# "Sure! Here is the solution." and a line break: no answer yet, and the question may be repeated after it.
_PREFACE = re.compile(
    r"\W*+(?:(?:sure|ok|okay|certainly|of course|alright|absolutely)\b[^\w\n]{1,5})?"
    r"(?:let me\b|let us\b|let's|here\b|below\b|to (?:solve|find|answer)\b)[^\n\d]{0,160}\n",
    re.IGNORECASE,
)
_LONGEST_TEMPLATE = 50
_FLAGS = re.IGNORECASE | re.MULTILINE
_TEMPLATE_START = re.compile(_TEMPLATE, _FLAGS)
_END = re.compile(f"{_END_TOKENS}|{_TEMPLATE}|{_RUN_ON}", _FLAGS)
_END_OF_FREE_TEXT = re.compile(rf"{_END_TOKENS}|{_TEMPLATE}|<\|im_start\|>|<\|start_header_id\|>|### Response:", _FLAGS)
_HEADER = re.compile(r"#{2,6}[ \t]{0,9}(?:response|answer|solution)\b:?|<\|im_start\|>assistant|assistant:", re.I)
# Longer completions are runaway text. Reading their two ends keeps the time linear, and small.
_LONGEST_COMPLETION = (38_000, 12_000)
_LONGEST_ANSWER = (3_000, 7_000)
_UNFINISHED_CHARACTERS = re.compile(r"[\w.,$%/^-]*+")
_RESULT = re.compile(r"=[ $]{0,3}(\d[\d.,]{0,40}\d|\d)")
_SENTENCES = re.compile(r"(?<=[.!?])[ \t]+|\n+")
_LONGEST_REPETITION = 400
_SHORTEST_REPETITION = 8
_SENTENCE_ENDS = (".", "!", "?")


@dataclass(frozen=True, slots=True)
class AnswerText:
    """The part of a completion that answers the question.

    Attributes:
        text: The answer with plain typography, without special tokens, markdown bold and LaTeX dressing.
        ended: The text went on past its end (an end token, a new instruction, a second question).
    """

    text: str
    ended: bool


def first_answer(completion: str) -> AnswerText:
    r"""Cuts a completion where its first answer ends and normalises how it is written.

    Runaway text is read at its two ends only, so that a completion of any length takes little time: of a completion
    the first 38,000 and the last 12,000 characters, of an answer the first 3,000 and the last 7,000.

    >>> first_answer("It is −3.</s>\n### Instruction: next")
    AnswerText(text='It is -3.', ended=True)
    """
    text = _without_header(_both_ends(without_reasoning(completion), *_LONGEST_COMPLETION))
    end = _end(text, _END)
    body = _both_ends(text[:end], *_LONGEST_ANSWER)
    plain = _both_ends(
        plain_markup(_without_tokens(body)), *_LONGEST_ANSWER
    )  # fractions grow when they are written out
    return AnswerText(without_cut_repetition(plain), ended=end is not None)


def free_text(completion: str) -> AnswerText:
    """A free-text answer as it is scored: up to the end token or the next prompt, without special tokens.

    Questions and turns such as ``User:`` may belong to a free text, so they end nothing; its typography stays. Of a
    longer completion, runaway text, the first 50,000 characters are kept.
    """
    text = _without_header(completion[: sum(_LONGEST_COMPLETION)])
    end = _end(text, _END_OF_FREE_TEXT)
    return AnswerText(_without_tokens(text[:end]).strip(), ended=end is not None)


def clean_text(completion: str) -> str:
    r"""The text of `free_text`.

    >>> clean_text(" A quiz.\nQuestion 1: who? </s>### Instruction:")
    'A quiz.\nQuestion 1: who?'
    """
    return free_text(completion).text


def without_unfinished_end(text: str) -> str:
    """`text` without the number or word that the length limit may have cut; a number that repeats a result is whole.

    >>> without_unfinished_end("So it costs $12"), without_unfinished_end("9 + 3 = 12 cents. So it costs 1")
    ('So it costs ', '9 + 3 = 12 cents. So it costs 12')
    """
    unfinished = _UNFINISHED_CHARACTERS.match(text[::-1])
    length = unfinished.end() if unfinished else 0
    kept, cut = text[: len(text) - length], text[len(text) - length :].lstrip("$")
    *_, result = "", *(match[1] for match in _RESULT.finditer(kept))
    if cut[:1].isdigit() and result.startswith(cut):
        return kept + result
    return text if text.endswith(_SENTENCE_ENDS) else kept


def without_cut_repetition(text: str) -> str:
    """`text` without a last sentence that only begins to say the one before it again, as text that loops does.

    >>> without_cut_repetition("The answer is 12. The answer is 12. The answer is 1")
    'The answer is 12. The answer is 12.'
    """
    *_, before, last = ["", *_SENTENCES.split(text[-_LONGEST_REPETITION:])]
    if len(last) >= _SHORTEST_REPETITION and before.startswith(last) and before.rstrip(".!?") != last:
        return text[: -len(last)].rstrip()
    return text


def _both_ends(text: str, head: int, tail: int) -> str:
    return text if len(text) <= head + tail else f"{text[:head]}\n{text[-tail:]}"


def _without_header(completion: str) -> str:
    text = completion.lstrip()
    header = _HEADER.match(text)
    return text[header.end() :] if header else text


def _end(text: str, mark: re.Pattern[str]) -> int | None:
    """Where the answer ends: at the first `mark` that has a word before it, or at a prompt that opens the text."""
    preface = _PREFACE.match(text)
    before = _BEFORE_FIRST_WORD.match(text, preface.end() if preface else 0)
    words = before.end() if before else 0
    template = _TEMPLATE_START.search(text, max(0, words - _LONGEST_TEMPLATE), words + _LONGEST_TEMPLATE)
    if template and template.start() <= words:
        return template.start()
    end = mark.search(text, words + 1)
    return end.start() if end else None


def _without_tokens(text: str) -> str:
    return _END_TOKEN.sub(" ", _OTHER_TOKEN.sub("", text))
