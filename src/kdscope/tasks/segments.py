"""From raw completion to the answer the model gave: run-on text, special tokens and typography."""

from __future__ import annotations

import re
from dataclasses import dataclass

_END_TOKEN = re.compile(
    r"</s>|<\|(?:im_end|endoftext|eot_id|end_of_text|end|eom_id)\|>|<eos>|<end_of_turn>|<｜end▁of▁sentence｜>"
)
_OTHER_TOKEN = re.compile(r"<s>|<pad>|<unk>|<bos>|<start_of_turn>|<\|[a-z_]{1,30}\|>|\[/?INST\]|<<[^<>\n]{0,200}>>")
_RUN_ON = re.compile(
    r"#{2,6}[ \t]*(?:instruction|input|response|question|problem|exercise|example)s?\b"
    r"|below is an instruction that describes"
    r"|<\|im_start\|>|<\|start_header_id\|>|<start_of_turn>|\[INST\]"
    r"|^[ \t]*(?:q|question|problem|exercise|instruction|input|user|human)[ \t]*\d*[ \t]*:",
    re.IGNORECASE | re.MULTILINE,
)
_HEADER = re.compile(r"\A\s*(?:#{2,6}[ \t]*(?:response|answer|solution)\b:?|<\|im_start\|>assistant|assistant:)", re.I)
_TYPOGRAPHY = str.maketrans(
    {
        **dict.fromkeys("\u2212\u2010\u2011\u2012\u2013\u2014\ufe63\uff0d", "-"),
        **dict.fromkeys("\u00a0\u2009\u202f\u2007", " "),
        **dict.fromkeys("\u2018\u2019", "'"),
        **dict.fromkeys("\u201c\u201d", '"'),
        "\u2044": "/",
        "\r": "\n",
        "½": " 1/2",
        "¼": " 1/4",
        "¾": " 3/4",
        "⅓": " 1/3",
        "⅔": " 2/3",
    }
)


@dataclass(frozen=True, slots=True)
class Answer:
    """The part of a completion that answers the question.

    Attributes:
        text: The answer with plain typography, without special tokens, markdown bold and LaTeX dressing.
        ended: The text went on past its end (an end token, a new instruction, a second question).
    """

    text: str
    ended: bool


def first_answer(completion: str) -> Answer:
    r"""Cuts a completion where its first answer ends and normalises how it is written.

    >>> first_answer("It is −3.</s>\n### Instruction: next")
    Answer(text='It is -3.', ended=True)
    """
    text = _HEADER.sub("", completion)
    ends = [match.start() for pattern in (_END_TOKEN, _RUN_ON) if (match := _first_inside(pattern, text))]
    body = text[: min(ends)] if ends else text
    return Answer(_plain(_END_TOKEN.sub(" ", _OTHER_TOKEN.sub("", body))), ended=bool(ends))


def _first_inside(pattern: re.Pattern[str], text: str) -> re.Match[str] | None:
    """The first match that has an answer before it: a leading header or token ends nothing."""
    return next((match for match in pattern.finditer(text) if _has_words(text[: match.start()])), None)


def _has_words(text: str) -> bool:
    return re.search(r"\w", _END_TOKEN.sub("", _OTHER_TOKEN.sub("", text))) is not None


def _plain(text: str) -> str:
    text = text.translate(_TYPOGRAPHY)
    text = re.sub(r"\\[dt]?frac\s*\{([^{}]{1,40})\}\s*\{([^{}]{1,40})\}", r" \1/\2", text)
    text = re.sub(r"\\(?:text|mathrm|mathbf|textbf)\s*\{([^{}]{0,200})\}", r" \1", text)
    text = text.replace("{,}", ",").replace("\\$", "$").replace("\\%", "%")
    text = re.sub(r"\\[,;!: ]|\\left\b|\\right\b", "", text)
    text = text.replace("\\times", "*").replace("\\cdot", "*").replace("\\div", "/")
    # Bold, but not the power operator of 2**3.
    text = re.sub(r"(?<!\d)\*\*|\*\*(?!\d)", "", text)
    return text.strip()
