"""The forms of training rows, told apart by their keys: instruction, prompt and completion, or a chat.

The latter two are those of TRL and of OpenAI's fine-tuning files.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any, Literal, NamedTuple

from kdscope.data.rows import Row, kind_of
from kdscope.data.side_keys import SYSTEM, check_asked, check_message, check_taught, has_system, system_text

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
        DataError: A part is missing or not of its kind, a chat has several turns, or the row mixes two forms, or has
            more to teach than its texts.
    """
    form = form_of(row)
    check_taught(row)
    if form == "instruction":
        return prompt_texts(row)._replace(output=row.text("output"))
    if form == "messages":
        turns = _messages(row, "messages", row.values["messages"])
        output = _answer(row, "messages", turns[-1:], len(turns))
        check_asked(row)
        return Texts(_question(row, "messages", turns[:-1]), "", output)
    return prompt_texts(row)._replace(output=_completion(row))


def prompt_texts(row: Row) -> Texts:
    """Question of a row of any form; its response is neither needed nor looked at.

    Raises:
        DataError: The question is missing or not of its kind, a chat has several turns, or the row mixes two forms, or
            asks with more than its texts.
    """
    form = form_of(row)
    check_asked(row)
    if form == "instruction":
        return Texts(_after_system(row, row.text("instruction")), row.optional_text("input"), "")
    if form == "messages":
        turns = _messages(row, "messages", row.values["messages"])
        answered = len(turns) > 1 and turns[-1]["role"] == "assistant"
        return Texts(_question(row, "messages", turns[:-1] if answered else turns), "", "")
    return Texts(_prompt(row), "", "")


def _after_system(row: Row, question: str) -> str:
    """A question after what the row's own `system` says, a blank line between."""
    system = system_text(row)
    return f"{system}\n\n{question}" if system else question


def _prompt(row: Row) -> str:
    value = row.value("prompt")
    if not isinstance(value, list):
        return _after_system(row, row.text("prompt"))
    return _question(row, "prompt", _messages(row, "prompt", value))


def _completion(row: Row) -> str:
    value = row.value("completion")
    if not isinstance(value, list):
        return row.text("completion")
    return _answer(row, "completion", _messages(row, "completion", value), 1)


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
    if len(roles) == 2 and has_system(row):
        raise row.error(f"the chat has a {roles[0]} message too, and one of them can be used", SYSTEM)
    texts = []
    for place, message in enumerate(messages, 1):
        check_message(row, message, f"{key}[{place}]", taught=False)
        texts.append(_content(row, message, f"{key}[{place}]"))
    return _after_system(row, "\n\n".join(texts))


def _answer(row: Row, key: str, messages: Sequence[Mapping[str, Any]], place: int) -> str:
    """The assistant's text, in the message at this place."""
    roles = [message["role"] for message in messages]
    if roles != ["assistant"]:
        raise row.error(f"expected one assistant message at the end, given {', '.join(map(str, roles))}", key)
    check_message(row, messages[0], f"{key}[{place}]", taught=True)
    return _content(row, messages[0], f"{key}: the assistant's content")


def _content(row: Row, message: Mapping[str, Any], key: str) -> str:
    """The text of a message, which may be written as a list of one part of text."""
    content = message["content"]
    if isinstance(content, list) and content and all(isinstance(part, dict) for part in content):
        kinds = [str(part.get("type", "text"))[:40] for part in content]
        if kinds != ["text"]:
            raise row.error(
                f"expected a text, or one part of text, given parts ({', '.join(map(repr, kinds[:5]))})", key
            )
        content = content[0].get("text")
    return row.as_text(content, key)
