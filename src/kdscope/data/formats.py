"""Rows to train on in the forms people have them: instruction and output, prompt and completion, or chat messages.

The form is told by the row's keys. Prompt-completion and chat rows are those of TRL and of OpenAI's fine-tuning files.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any, Literal, NamedTuple

from kdscope.data.rows import Row, kind_of

Form = Literal["instruction", "completion", "messages", "prompt"]
# The key that tells each form. `prompt` tells nothing beside them: instruction and chat rows often keep one as well.
_TELLING: tuple[Form, ...] = ("instruction", "completion", "messages")
_SYSTEM = ("system", "developer")
_FORMS = "a row has 'instruction' and 'output', 'prompt' and 'completion', or 'messages'"


class Texts(NamedTuple):
    """The texts of a training row; `output` is empty where it was not asked for."""

    instruction: str
    input: str
    output: str


def form_of(row: Row) -> Form:
    """Which form a row has; a key that holds null counts as absent.

    Raises:
        DataError: It has none, or the keys of two.
    """
    found = [key for key in _TELLING if row.values.get(key) is not None]
    if len(found) > 1:
        raise row.error(f"the row mixes two forms: '{found[0]}' is there too; {_FORMS}", found[1])
    if found:
        return found[0]
    present = [key for key in (*_TELLING, "prompt") if key in row.values]
    if present:
        return "prompt" if "prompt" in present else present[0]
    keys = ", ".join(repr(key)[:40] for key in list(row.values)[:10]) or "no keys"
    raise row.error(f"the key is missing; the row has {keys}, and {_FORMS}", "instruction")


def training_texts(row: Row) -> Texts:
    """Question and response of a row of any form.

    Raises:
        DataError: A part is missing or not of its kind, a chat has several turns, or the row mixes two forms.
    """
    form = form_of(row)
    if form == "instruction":
        return Texts(row.text("instruction"), row.optional_text("input"), row.text("output"))
    if form == "messages":
        turns = _messages(row, "messages", row.values["messages"])
        output = _answer(row, "messages", turns[-1:])
        return Texts(_question(row, "messages", turns[:-1]), "", output)
    return Texts(_prompt(row), "", _completion(row))


def prompt_texts(row: Row) -> Texts:
    """Question of a row of any form; its response is neither needed nor looked at.

    Raises:
        DataError: The question is missing or not of its kind, a chat has several turns, or the row mixes two forms.
    """
    form = form_of(row)
    if form == "instruction":
        return Texts(row.text("instruction"), row.optional_text("input"), "")
    if form == "messages":
        turns = _messages(row, "messages", row.values["messages"])
        answered = len(turns) > 1 and turns[-1]["role"] == "assistant"
        return Texts(_question(row, "messages", turns[:-1] if answered else turns), "", "")
    return Texts(_prompt(row), "", "")


def _prompt(row: Row) -> str:
    value = row.value("prompt")
    if not isinstance(value, list):
        return row.text("prompt")
    return _question(row, "prompt", _messages(row, "prompt", value))


def _completion(row: Row) -> str:
    value = row.value("completion")
    if not isinstance(value, list):
        return row.text("completion")
    return _answer(row, "completion", _messages(row, "completion", value))


def _messages(row: Row, key: str, value: object) -> Sequence[Mapping[str, Any]]:
    if not isinstance(value, list):
        raise row.error(f"expected a list of messages, given {kind_of(value)}", key)
    if not value:
        raise row.error("the list is empty, and messages are needed", key)
    for place, message in enumerate(value, 1):
        if not isinstance(message, dict) or not {"role", "content"} <= message.keys():
            raise row.error("expected a message with 'role' and 'content'", f"{key}[{place}]")
    return value


def _question(row: Row, key: str, messages: Sequence[Mapping[str, Any]]) -> str:
    """The user's text; what the system says stands before it, a blank line between."""
    wanted = "expected one user message, perhaps after a system message"
    roles = [message["role"] for message in messages]
    if sum(role == "user" for role in roles) > 1:
        raise row.error(f"the chat has several turns ({', '.join(map(str, roles))}), and only one can be used", key)
    if not roles or roles[-1] != "user" or len(roles) > 2 or (len(roles) == 2 and roles[0] not in _SYSTEM):
        raise row.error(f"{wanted}, given {', '.join(map(str, roles)) or 'none'}", key)
    texts = [row.as_text(message["content"], f"{key}[{place}]") for place, message in enumerate(messages, 1)]
    return "\n\n".join(texts)


def _answer(row: Row, key: str, messages: Sequence[Mapping[str, Any]]) -> str:
    roles = [message["role"] for message in messages]
    if roles != ["assistant"]:
        raise row.error(f"expected one assistant message at the end, given {', '.join(map(str, roles))}", key)
    return row.as_text(messages[0]["content"], f"{key}: the assistant's content")
