"""A completion without the reasoning that its model marks as such: think tags, channels."""

from __future__ import annotations

import re

_NAMES = (
    r"(?:\w{1,20}[_:])?(?:think(?:ing)?|thoughts?|monologue|chain_of_thought|cot"
    r"|reason(?:ing)?|reflection|scratch_?pad|analysis)"
)
_TAG = re.compile(
    rf"[<◁\[](?=[|/a-z])\|?(?P<ends>/|end_(?:of_)?)?(?:begin_of_|begin_|start_)?{_NAMES}\|?[>▷\]]"
    r"|\A\s{0,9}thinking\.{3}(?=\n)|(?P<done>\.{3}done thinking\.)",
    re.IGNORECASE,
)
_OPENING_SIGNS = frozenset("<◁[.")
_CHANNEL = re.compile(r"<\|channel\|>\s{0,3}(?P<name>\w{1,20})(?:[^<]|<\|constrain\|>){0,80}<\|message\|>")
# What the marks of channels leave when special tokens are not decoded.
_BARE_CHANNEL = re.compile(r"\s{0,9}analysis(?=[A-Z\d])")
# Where reasoning begins and does not end, what stands before it is over.
_END = "</s>"
_BARE_FINAL = "assistantfinal"


def without_reasoning(completion: str) -> str:
    """What a completion says outside its reasoning; reasoning that is not closed lasts to the end of the text.

    A closing tag alone ends reasoning that the prompt opened. Of channels, the last one named ``final`` answers.

    >>> without_reasoning("<think>The answer is 28.</think> 12"), without_reasoning("So 28? No.</think>12")
    (' 12', '12')
    >>> without_reasoning("<|channel|>analysis<|message|>28?<|end|><|start|>assistant<|channel|>final<|message|>12")
    '12'
    """
    channels = list(_CHANNEL.finditer(completion))
    if channels:
        return completion[channels[-1].end() :] if channels[-1]["name"] == "final" else ""
    if _BARE_CHANNEL.match(completion):
        return completion.rpartition(_BARE_FINAL)[2] if _BARE_FINAL in completion else ""
    return _outside_tags(completion)


def _is_heading(tag: str) -> bool:
    """Whether a tag that nothing closes heads a section, as ``[Reasoning]`` does; ``[THINK]`` is a model's mark."""
    return tag.startswith("[") and "think" not in tag.lower()


def _outside_tags(text: str) -> str:
    kept: list[str] = []
    start, reasoning, may_head = 0, False, "[/" not in text
    for tag in _TAG.finditer(text) if _OPENING_SIGNS & set(text) else ():
        if tag["ends"] or tag["done"]:
            kept = kept if reasoning else []
            start, reasoning = tag.end(), False
        elif not reasoning and not (may_head and _is_heading(tag[0])):
            kept.append(text[start : tag.start()])
            reasoning = True
    said = "".join(kept)
    if reasoning:
        return said + _END if said.strip() else ""
    return said + text[start:]
