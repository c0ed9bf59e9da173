"""YAML text: the dialect of studies, and what a person reads when a file is not even that.

The dialect is YAML 1.1 as PyYAML reads it, with the scalars of YAML 1.2's core schema: `3e-4` is a number, only `true`
and `false` are booleans (a task called `no` stays a name), and dates stay text.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import yaml

from kdscope.core.errors import StudyError

MAX_FILE_BYTES = 2**20
YAML_TAG = "tag:yaml.org,2002:"
INT_PATTERN = re.compile(r"^[-+]?[0-9]+$")
FLOAT_PATTERN = re.compile(
    r"^(?:[-+]?(?:\.[0-9]+|[0-9]+(?:\.[0-9]*)?)(?:[eE][-+]?[0-9]+)?|[-+]?\.(?:inf|Inf|INF)|\.(?:nan|NaN|NAN))$"
)


class _CoreLoader(yaml.SafeLoader):
    """PyYAML's safe loader with other rules for plain scalars; only its composer is used."""

    yaml_implicit_resolvers = {}  # noqa: RUF012 (PyYAML's own way to say: none inherited)


_CoreLoader.add_implicit_resolver(
    f"{YAML_TAG}bool", re.compile(r"^(?:true|True|TRUE|false|False|FALSE)$"), list("tTfF")
)
_CoreLoader.add_implicit_resolver(f"{YAML_TAG}null", re.compile(r"^(?:~|null|Null|NULL|)$"), ["~", "n", "N", ""])
_CoreLoader.add_implicit_resolver(f"{YAML_TAG}int", INT_PATTERN, list("-+0123456789"))
_CoreLoader.add_implicit_resolver(f"{YAML_TAG}float", FLOAT_PATTERN, list("-+0123456789."))
_CoreLoader.add_implicit_resolver(f"{YAML_TAG}merge", re.compile(r"^<<$"), ["<"])


def read_text(file: Path) -> str:
    """The text of a study file.

    Raises:
        StudyError: There is none, or it is no UTF-8.
    """
    if file.is_dir():
        raise StudyError("this is a folder, not a study file", file=file)
    if not file.is_file():
        raise StudyError("no such file", file=file)
    try:
        data = file.read_bytes()
    except OSError as error:
        raise StudyError(f"cannot be read: {error.strerror}", file=file) from None
    if len(data) > MAX_FILE_BYTES:
        raise StudyError(f"has {len(data)} bytes; a study file has at most {MAX_FILE_BYTES}", file=file)
    try:
        return data.decode("utf-8-sig")
    except UnicodeDecodeError as error:
        line = data.count(b"\n", 0, error.start) + 1
        raise StudyError("this is not UTF-8 text; save the file as UTF-8", file=file, line=line) from None


def compose(text: str, file: Path) -> yaml.Node | None:
    """The nodes of a YAML text, with their places; None for a text without content.

    Raises:
        StudyError: It is no YAML, or more than one document.
    """
    loader: _CoreLoader | None = None
    try:
        loader = _CoreLoader(text)
        return loader.get_single_node()
    except yaml.MarkedYAMLError as error:
        raise _syntax_error(error, file) from None
    except yaml.reader.ReaderError as error:
        # Its position counts from the start of the text, which is checked whole before anything is parsed.
        line = text.count("\n", 0, error.position) + 1
        raise StudyError(
            f"holds the control character U+{ord(text[error.position]):04X}", file=file, line=line
        ) from None
    except (ValueError, OverflowError):  # PyYAML hands escapes such as "\UFFFFFFFF" to chr() unchecked
        at_line = loader.line + 1 if loader else None
        raise StudyError("not valid YAML: an escape sequence that is no character", file=file, line=at_line) from None
    finally:
        if loader is not None:
            loader.dispose()


def _syntax_error(error: yaml.MarkedYAMLError, file: Path) -> StudyError:
    mark = error.problem_mark or error.context_mark
    what = error.problem or "cannot be understood"
    if "'\\t'" in what:
        what = "a tab where only spaces may stand; indent with spaces"
    elif error.context:
        what = f"{what}, {error.context}"
        if error.context_mark is not None and mark is not None and error.context_mark.line != mark.line:
            what += f" that starts in line {error.context_mark.line + 1}"
    return StudyError(f"not valid YAML: {what}", file=file, line=None if mark is None else mark.line + 1)


@contextmanager
def deep_nesting_refused(file: Path) -> Iterator[None]:
    """Running out of stack on a hostile file is an error of the file."""
    try:
        yield
    except RecursionError:
        raise StudyError("is nested too deeply to be a study", file=file) from None
