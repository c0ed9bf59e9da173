"""Rows of a JSON, JSONL or parquet file, read and written, and errors that say which row."""

from __future__ import annotations

import hashlib
import json
import math
import re
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from kdscope.core.errors import DataError
from kdscope.core.files import sha256_of, write_atomically
from kdscope.core.strict_json import UnmeantError, strict_decoder

_SURROGATE = re.compile("[\ud800-\udfff]")
_CONTROL = re.compile("[\x00-\x08\x0e-\x1f\x7f]")


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
        return self.as_text(self.value(key), key)

    def value(self, key: str) -> Any:
        """Whatever stands at a key.

        Raises:
            DataError: The key is missing.
        """
        if key not in self.values:
            raise self.error(f"the key is missing; the row has {_list(self.values)}", key)
        return self.values[key]

    def optional_text(self, key: str) -> str:
        """A text that may be empty, null or absent.

        Raises:
            DataError: It is something else.
        """
        return self._printable(self.written_text(key), key)

    def written_text(self, key: str) -> str:
        """The same of something that a model wrote, which may hold any character.

        Raises:
            DataError: It is no text.
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
        if isinstance(value, float) and not math.isfinite(value):
            raise self.error(f"expected a number that is finite, given {value}", key)
        return repr(value) if isinstance(value, (int, float)) else self.text(key)

    def texts(self, key: str) -> tuple[str, ...]:
        """One text, or a list of at least one; none may be blank.

        Raises:
            DataError: It is something else.
        """
        value = self.value(key)
        if not isinstance(value, list):
            return (self.as_text(value, key),)
        if not value:
            raise self.error("the list is empty, and one text at least is needed", key)
        return tuple(self.as_text(text, f"{key}[{place}]") for place, text in enumerate(value, 1))

    def as_text(self, value: object, key: str) -> str:
        """A value of this row as a text that is not blank and has no control characters.

        Raises:
            DataError: It is something else; the message names `key`.
        """
        text = self._checked(value, key)
        if not text.strip():
            raise self.error("the text is empty", key)
        return self._printable(text, key)

    def error(self, message: str, key: str = "") -> DataError:
        """An error about this row."""
        return DataError(message, file=self.file, row=self.number, key=key)

    def _printable(self, text: str, key: str) -> str:
        if (found := _CONTROL.search(text)) is not None:
            raise self.error(f"holds the control character U+{ord(found[0]):04X}, which is not text", key)
        return text

    def _checked(self, value: object, key: str) -> str:
        if not isinstance(value, str):
            raise self.error(f"expected text, given {kind_of(value)}", key)
        if _SURROGATE.search(value):
            raise self.error("holds half of a surrogate pair, which is not text", key)
        return value


def read_rows(file: Path) -> list[Row]:
    """The rows of a file, at least one: a JSON list of objects, JSONL with an object on every line, or parquet.

    A file named `.jsonl` is JSONL, and so is one whose first line is an object by itself. Blank lines are skipped. A
    file named `.parquet` is parquet.

    Raises:
        DataError: The file cannot be read as that; the message names the file and, where it can, the row.
    """
    return list(iterate_rows(file))


def iterate_rows(file: Path) -> Iterator[Row]:
    """The rows of a file as `read_rows` gives them, one by one."""
    for entry in scan_rows(file):
        if isinstance(entry, DataError):
            raise entry
        yield entry


def scan_rows(file: Path) -> Iterator[Row | DataError]:
    """The rows of a file as `read_rows` gives them, with an error in place of each that is none.

    Raises:
        DataError: The file as a whole cannot be read.
    """
    if file.suffix.lower() == ".parquet":
        _check_file(file)
        return _parquet_rows(file)
    text = _read_text(file)
    if not text.strip():
        raise DataError("the file is empty", file=file)
    if (reason := foreign_content(text)) is not None:
        raise DataError(reason, file=file)
    decoder = strict_decoder()
    return _line_rows(text, file, decoder) if _is_json_lines(text, file) else _list_rows(text, file, decoder)


def write_rows(path: Path, rows: Sequence[Mapping[str, Any]], sha256: str | None = None) -> str:
    """Write rows as a JSON list, as the files of LLM-Adapters are, or as the lines of a .jsonl; give its SHA-256.

    A file that has that content already is left alone.

    Args:
        path: The file.
        rows: At least one.
        sha256: What the content must have; None for anything.

    Raises:
        DataError: There are no rows, they are not JSON, the content is not the expected one, or the file exists with
            another. Nothing is written then.
    """
    if not rows:
        raise DataError("there are no rows to write", file=path)
    try:
        text = _as_lines(rows) if path.suffix == ".jsonl" else _as_json(rows, indent=4)
        found = hashlib.sha256(text.encode()).hexdigest()
    except (TypeError, ValueError) as error:
        raise DataError(f"the rows cannot be written as JSON: {error}", file=path) from None
    if sha256 not in (None, found):
        raise DataError(f"the rows' SHA-256 is {found} instead of {sha256}", file=path)
    if not path.exists():
        with writing(path):
            write_atomically(path, text)
    elif not path.is_file() or sha256_of(path) != found:
        raise DataError("the file exists with other content; move it away to have it written anew", file=path)
    return found


@contextmanager
def writing(target: Path) -> Iterator[None]:
    """Turn an operating system's error of the block into one that names the file that could not be written.

    Raises:
        DataError: There was one.
    """
    try:
        yield
    except OSError as error:
        raise DataError(f"cannot be written: {error.strerror or error}", file=target) from error


def _as_lines(rows: Sequence[Mapping[str, Any]]) -> str:
    return "".join(_as_json(row, indent=None) for row in rows)


def _as_json(value: object, indent: int | None) -> str:
    return json.dumps(value, ensure_ascii=False, indent=indent, allow_nan=False) + "\n"


def mapped_row(row: Row, convert: Callable[[Mapping[str, Any]], Mapping[str, Any]]) -> Row:
    """A row whose values were made from another's, at the same place.

    Raises:
        DataError: `convert` raised one; it now names file and row.
    """
    try:
        return Row(row.file, row.number, convert(row.values))
    except DataError as error:
        if error.file is not None:
            raise
        raise DataError(str(error), file=row.file, row=row.number) from error


def foreign_content(text: str) -> str | None:
    """What the beginning of a text shows it to be in place of data: a git-LFS pointer or a web page; else None."""
    start = text[:1000].lstrip("\ufeff \t\r\n")
    if start.startswith("version https://git-lfs."):
        fields = dict(line.split(" ", 1) for line in start.splitlines() if " " in line)
        size = fields.get("size", "an unknown number of")
        return f"this is a git-LFS pointer to {size} bytes ({fields.get('oid', 'no id')}), not the data itself"
    if start[:200].lower().startswith(("<!doctype", "<html", "<?xml", "<head")):
        return "this is a web page, not data: what was downloaded is an error or sign-in page"
    return None


def kind_of(value: object) -> str:
    """What a JSON value is, in words."""
    kinds = ((str, "text"), (bool, "true or false"), ((int, float), "a number"), (list, "a list"), (dict, "an object"))
    names = (name for kind, name in kinds if isinstance(value, kind))
    return "null" if value is None else next(names, "something else")


def _check_file(file: Path) -> None:
    if not file.is_file():
        raise DataError("this is a folder, not a file" if file.is_dir() else "no such file", file=file)


def _parquet_rows(file: Path) -> Iterator[Row]:
    import pyarrow  # JSON can do without
    import pyarrow.parquet

    number = 0
    try:
        with pyarrow.parquet.ParquetFile(file) as table:
            for batch in table.iter_batches():
                for values in batch.to_pylist():
                    number += 1
                    yield Row(file, number, values)
    except (pyarrow.ArrowException, OSError) as error:
        raise DataError(f"this is not a Parquet file that can be read: {error}", file=file) from error
    if number == 0:
        raise DataError("the file has no rows", file=file)


def _read_text(file: Path) -> str:
    _check_file(file)
    try:
        content = file.read_bytes()
    except OSError as error:
        raise DataError(f"cannot be read: {error.strerror}", file=file) from None
    try:
        return content.decode("utf-8-sig")
    except UnicodeDecodeError as error:
        line = error.object.count(b"\n", 0, error.start) + 1
        raise DataError(f"this is not UTF-8 text (line {line}){_place_of(content, error.start)}", file=file) from None


def _is_json_lines(text: str, file: Path) -> bool:
    if file.suffix.lower() == ".jsonl":
        return True
    try:
        return isinstance(json.loads(text.strip().split("\n", 1)[0]), dict)
    except (ValueError, RecursionError):
        return False


def _list_rows(text: str, file: Path, decoder: json.JSONDecoder) -> Iterator[Row | DataError]:
    meant = True
    try:
        try:
            values = decoder.decode(text)
        except UnmeantError:
            values, meant = json.loads(text), False
    except json.JSONDecodeError as error:
        place = f"line {error.lineno}, column {error.colno}{_element_at(text, error.pos)}"
        raise DataError(f"invalid JSON in {place}: {error.msg}", file=file) from None
    except (ValueError, RecursionError):
        message = f"invalid JSON: nested too deeply, or a number too long{_element_at(text, len(text))}"
        raise DataError(message, file=file) from None
    if not isinstance(values, list):
        raise DataError(f"expected a list of rows, given {kind_of(values)}", file=file)
    if not values:
        raise DataError("the list is empty", file=file)
    if not meant:
        return (_line_row(file, number, row, decoder) for number, row in enumerate(_elements(text), 1))
    return (_row(file, number, value) for number, value in enumerate(values, 1))


def _elements(text: str) -> Iterator[str]:
    """The texts of the elements of a JSON list."""
    decoder, place = json.JSONDecoder(), _skip(text, text.index("[") + 1, "")
    while not text.startswith("]", place):
        start, (_, place) = place, decoder.raw_decode(text, place)
        yield text[start:place]
        place = _skip(text, place, ",")


def _line_rows(text: str, file: Path, decoder: json.JSONDecoder) -> Iterator[Row | DataError]:
    # Only \n ends a row: str.splitlines would also cut inside a text at U+2028 and the like.
    lines = ((number, line.strip()) for number, line in enumerate(text.split("\n"), 1))
    return (_line_row(file, number, line, decoder) for number, line in lines if line)


def _line_row(file: Path, number: int, line: str, decoder: json.JSONDecoder) -> Row | DataError:
    try:
        return _row(file, number, decoder.decode(line))
    except json.JSONDecodeError as error:
        reason = "there is more after the first value" if error.msg == "Extra data" else error.msg
        message = f"invalid JSON, column {error.colno}: {reason}; JSONL has one object on each line"
        return DataError(message, file=file, row=number)
    except UnmeantError as error:
        return DataError(error.message, file=file, row=number, key=error.key)
    except (ValueError, RecursionError):
        return DataError("invalid JSON: nested too deeply, or a number too long", file=file, row=number)


def _row(file: Path, number: int, value: object) -> Row | DataError:
    if not isinstance(value, dict):
        return DataError(f"expected an object with keys, given {kind_of(value)}", file=file, row=number)
    return Row(file, number, value)


def _place_of(content: bytes, position: int) -> str:
    """Which element of a JSON list a byte belongs to, for a message; nothing where the content is no list."""
    before = content[:position].decode("utf-8-sig", "replace")
    return _element_at(before + content[position:].decode("utf-8", "replace"), len(before))


def _element_at(text: str, position: int) -> str:
    decoder, place, number = json.JSONDecoder(), _skip(text, 0, ""), 0
    if not text.startswith("[", place):
        return ""
    place = _skip(text, place + 1, "")
    while place <= position and place < len(text):
        if text.startswith("]", place):
            return ""
        number += 1
        try:
            _, place = decoder.raw_decode(text, place)
        except (ValueError, RecursionError):
            break
        place = _skip(text, place, ",")
    return f", row {number}" if number else ""


def _skip(text: str, place: int, separators: str) -> int:
    while place < len(text) and text[place] in f" \t\r\n{separators}":
        place += 1
    return place


def _list(values: Mapping[str, Any]) -> str:
    return ", ".join(repr(key)[:40] for key in list(values)[:10]) or "no keys"
