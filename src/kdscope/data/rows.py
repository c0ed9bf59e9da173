"""Rows of a JSON or JSONL file, and errors that say which row."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from kdscope.errors import DataError


@dataclass(frozen=True, slots=True)
class Row:
    """One row, and where it came from.

    Attributes:
        file: The file.
        number: The line of a JSONL file; the position in a JSON list, counted from 1.
        values: What the row holds.
    """

    file: Path
    number: int
    values: Mapping[str, Any]

    def text(self, key: str) -> str:
        """A text that must be there and not be blank.

        Raises:
            DataError: It is not.
        """
        if key not in self.values:
            raise self.error(f"the key is missing; the row has {_list(self.values)}", key)
        value = self._checked(self.values[key], key)
        if not value.strip():
            raise self.error("the text is empty", key)
        return value

    def optional_text(self, key: str) -> str:
        """A text that may be empty, null or absent.

        Raises:
            DataError: It is something else.
        """
        value = self.values.get(key)
        return "" if value is None else self._checked(value, key)

    def scalar_text(self, key: str) -> str:
        """A text that may also be written as a JSON number, true or false.

        Raises:
            DataError: It is missing, empty or something else.
        """
        value = self.values.get(key)
        if isinstance(value, bool):
            return "true" if value else "false"
        return repr(value) if isinstance(value, (int, float)) else self.text(key)

    def error(self, message: str, key: str = "") -> DataError:
        """An error about this row."""
        return DataError(message, file=self.file, row=self.number, key=key)

    def _checked(self, value: object, key: str) -> str:
        if not isinstance(value, str):
            raise self.error(f"expected text, given {_kind(value)}", key)
        if any("\ud800" <= character <= "\udfff" for character in value):
            raise self.error("holds half of a surrogate pair, which is not text", key)
        return value


def read_rows(file: Path) -> list[Row]:
    """The rows of a file, at least one: a JSON list of objects, or JSONL with an object on every line.

    A file named `.jsonl` is JSONL, and so is one whose first line is an object by itself. Blank lines are skipped.

    Raises:
        DataError: The file cannot be read as that; the message names the file and, where it can, the row.
    """
    text = _read_text(file)
    if not text.strip():
        raise DataError("the file is empty", file=file)
    rows = _line_rows(text, file) if _is_json_lines(text, file) else _list_rows(text, file)
    if not rows:
        raise DataError("the list is empty", file=file)
    return rows


def _read_text(file: Path) -> str:
    if not file.is_file():
        raise DataError("this is a folder, not a file" if file.is_dir() else "no such file", file=file)
    try:
        return file.read_bytes().decode("utf-8-sig")
    except UnicodeDecodeError as error:
        line = error.object.count(b"\n", 0, error.start) + 1
        raise DataError(f"this is not UTF-8 text (line {line})", file=file) from None
    except OSError as error:
        raise DataError(f"cannot be read: {error.strerror}", file=file) from None


def _is_json_lines(text: str, file: Path) -> bool:
    if file.suffix.lower() == ".jsonl":
        return True
    try:
        return isinstance(json.loads(text.strip().split("\n", 1)[0]), dict)
    except (ValueError, RecursionError):
        return False


def _list_rows(text: str, file: Path) -> list[Row]:
    try:
        values = json.loads(text)
    except json.JSONDecodeError as error:
        message = f"invalid JSON in line {error.lineno}, column {error.colno}: {error.msg}"
        raise DataError(message, file=file) from None
    except (ValueError, RecursionError):
        raise DataError("invalid JSON: nested too deeply, or a number too long", file=file) from None
    if not isinstance(values, list):
        raise DataError(f"expected a list of rows, given {_kind(values)}", file=file)
    return [_row(file, number, value) for number, value in enumerate(values, 1)]


def _line_rows(text: str, file: Path) -> list[Row]:
    # Only \n ends a row: str.splitlines would also cut inside a text at U+2028 and the like.
    lines = ((number, line.strip()) for number, line in enumerate(text.split("\n"), 1))
    return [_row(file, number, _parse_line(file, number, line)) for number, line in lines if line]


def _parse_line(file: Path, number: int, line: str) -> object:
    try:
        return json.loads(line)
    except json.JSONDecodeError as error:
        message = f"invalid JSON, column {error.colno}: {error.msg}; JSONL has one object on each line"
        raise DataError(message, file=file, row=number) from None
    except (ValueError, RecursionError):
        raise DataError("invalid JSON: nested too deeply, or a number too long", file=file, row=number) from None


def _row(file: Path, number: int, value: object) -> Row:
    if not isinstance(value, dict):
        raise DataError(f"expected an object with keys, given {_kind(value)}", file=file, row=number)
    return Row(file, number, value)


def _list(values: Mapping[str, Any]) -> str:
    return ", ".join(repr(key)[:40] for key in list(values)[:10]) or "no keys"


def _kind(value: object) -> str:
    kinds = {str: "text", bool: "true or false", int: "a number", float: "a number", list: "a list", dict: "an object"}
    return "null" if value is None else kinds.get(type(value), "something else")
