"""Keys beside the texts of a row or a chat message that say what is asked or taught, in the files of other trainers.

What they say cannot be used here. Dropped, the row would teach something else than it says: so it is refused.
Whatever other keys a row has is taken for a note about it.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Any

from kdscope.data.rows import Row

SYSTEM = "system"
"""What stands before the question in every form of a row."""
_ASKED = {
    "history": "earlier turns of the conversation",
    **dict.fromkeys(("tools", "functions"), "tools that the model may call"),
    **dict.fromkeys(("image", "images", "video", "videos", "audio", "audios"), "what is no text"),
}
_WRITTEN = {
    **dict.fromkeys(("reasoning_content", "thinking"), "reasoning before the response"),
    **dict.fromkeys(("tool_calls", "function_call"), "calls of tools"),
    **dict.fromkeys(("train_detail", "training_detail"), "which parts of the response are learned"),
}
# The reasoning of a message is part of it; that of a row may be a note.
_IN_MESSAGE = _ASKED | _WRITTEN | {"reasoning": _WRITTEN["thinking"]}
_WEIGHT = "weight"
_SWITCHES = ("train", "training", "trainable", "kto_tag")
_ADVICE = "leave out the row, or the key if it does not matter"


def check_asked(row: Row) -> None:
    """Refuse a row that asks with more than its texts.

    Raises:
        DataError: It does.
    """
    _refuse(row, row.values, _ASKED, "")


def check_item(row: Row) -> None:
    """The same for an evaluation item, which is asked as it stands in its task.

    Raises:
        DataError: It asks with more than its texts.
    """
    check_asked(row)
    if has_system(row):
        raise row.error(f"an item is asked without a system prompt, which would be lost; {_ADVICE}", SYSTEM)


def check_taught(row: Row) -> None:
    """Refuse a row whose response is more than its text, counts for more or less than others, or is not to be learned.

    Raises:
        DataError: It is.
    """
    _refuse(row, row.values, _WRITTEN, "")
    _check_counted(row, row.values, "")
    if row.values.get("completion") is not None and row.values.get("label") is False:
        raise row.error(f"says that the completion is not wanted, and every completion is learned; {_ADVICE}", "label")


def check_message(row: Row, message: Mapping[str, Any], place: str, *, taught: bool) -> None:
    """The same for a message of a chat, at `place` in its row; `taught`: it is the response.

    Raises:
        DataError: It holds something that cannot be used.
    """
    _refuse(row, message, _IN_MESSAGE, f"{place}.")
    if taught:
        _check_counted(row, message, f"{place}.")


def has_system(row: Row) -> bool:
    """Whether a row has a text that stands before its question, under a key of its own."""
    return says_something(row.values.get(SYSTEM))


def system_text(row: Row) -> str:
    """That text; empty where there is none.

    Raises:
        DataError: It is no text.
    """
    return row.text(SYSTEM) if has_system(row) else ""


def says_something(value: object, levels: int = 4) -> bool:
    """Whether a value is not empty: null, NaN, blank texts, and lists and objects of such are, down to some levels.

    >>> says_something([["", None]]), says_something({"name": "f"})
    (False, True)
    """
    if isinstance(value, (Mapping, list, tuple)):
        inner = value.values() if isinstance(value, Mapping) else value
        return any(levels == 0 or says_something(part, levels - 1) for part in inner)
    if isinstance(value, str):
        return bool(value.strip())
    return value is not None and value is not False and value == value


def notes_of(values: Mapping[str, Any], used: Iterable[str]) -> list[str]:
    """The keys of a row or a message that say something and are not read."""
    known = {*used, *_IN_MESSAGE, SYSTEM, _WEIGHT, *_SWITCHES}
    return [key for key, value in values.items() if key not in known and says_something(value)]


def _refuse(row: Row, values: Mapping[str, Any], keys: Mapping[str, str], place: str) -> None:
    for key, what in keys.items():
        if says_something(values.get(key)):
            raise row.error(f"holds {what}, which cannot be used and would be lost; {_ADVICE}", f"{place}{key}")


def _check_counted(row: Row, values: Mapping[str, Any], place: str) -> None:
    weight = values.get(_WEIGHT)
    if weight is not None and weight != 1:
        message = f"expected 1, given {repr(weight)[:40]}: every response counts the same; {_ADVICE}"
        raise row.error(message, f"{place}{_WEIGHT}")
    for key in _SWITCHES:
        if str(values.get(key)).lower() in ("false", "0", "0.0"):
            message = f"says that the response is not learned, and every response is; {_ADVICE}"
            raise row.error(message, f"{place}{key}")
