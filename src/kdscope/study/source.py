"""YAML files become plain values, and every value remembers the line it was written in.

The dialect is YAML 1.1 as PyYAML reads it, with the scalars of YAML 1.2's core schema: `3e-4` is a number, only `true`
and `false` are booleans (a task called `no` stays a name), and dates stay text.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import yaml

from kdscope.core.errors import StudyError
from kdscope.core.files import path_trouble, why_no_file

Location = tuple[str | int, ...]

MAX_VALUES = 50_000
MAX_FILE_BYTES = 2**20
MAX_PROBLEMS = 100
"""That are told at once: a file of nonsense has tens of thousands."""
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


def _is_text(value: str) -> bool:
    return not any("\ud800" <= character <= "\udfff" for character in value)


def _boolean(text: str) -> bool:
    return {"true": True, "false": False}[text.lower()]


def _number(text: str) -> float:
    return float(text.replace(".inf", "inf").replace(".nan", "nan")) if "n" in text else float(text)


_SCALARS: Mapping[str, Callable[[str], Any]] = {
    f"{YAML_TAG}null": lambda text: None,
    f"{YAML_TAG}bool": _boolean,
    f"{YAML_TAG}int": int,
    f"{YAML_TAG}float": lambda text: _number(text.lower()),
    f"{YAML_TAG}str": str,
}


@dataclass(frozen=True)
class Problem:
    """One thing that is wrong, and where: a location is the path of keys and indices to a value.

    Attributes:
        line: Where that is not the line of the value at the location.
    """

    location: Location
    message: str
    line: int | None = None


@dataclass(frozen=True)
class StudySource:
    """Where every value of a study was written."""

    file: Path
    lines: Mapping[Location, int] = field(default_factory=dict)

    def line(self, location: Location) -> int | None:
        """The line of this value, or of the nearest mapping or list around it."""
        location = self._as_written(location)
        for length in range(len(location), -1, -1):
            if (line := self.lines.get(location[:length])) is not None:
                return line
        return None

    def _as_written(self, location: Location) -> Location:
        """Without the index 0 of a value that stands alone where a list may."""
        written: Location = ()
        for part in location:
            if part != 0 or (*written, part) in self.lines:
                written = (*written, part)
        return written

    def error(self, problems: Sequence[Problem]) -> StudyError:
        """The first hundred problems as one error, one a line in file order; its line and key are the first one's."""
        ordered = sorted(problems, key=lambda problem: problem.line or self.line(problem.location) or 0)
        texts = [str(self._one(problem)) for problem in ordered[1:MAX_PROBLEMS]]
        more = [f"{self.file}: and {len(ordered) - MAX_PROBLEMS} problems more"] if len(ordered) > MAX_PROBLEMS else []
        return self._one(ordered[0], "".join(f"\n{text}" for text in texts + more))

    def _one(self, problem: Problem, rest: str = "") -> StudyError:
        line, key = problem.line or self.line(problem.location), key_text(self._as_written(problem.location))
        return StudyError(problem.message + rest, file=self.file, line=line, key=key)


@dataclass(frozen=True)
class Document:
    """A YAML file, read: its values, their lines, and what was wrong without making it unreadable."""

    values: dict[str, Any]
    source: StudySource
    problems: tuple[Problem, ...]


def key_text(location: Location) -> str:
    """A location as a person writes it.

    >>> key_text(("students", 1, "tuning", "rank"))
    'students[1].tuning.rank'
    """
    words = (part if isinstance(part, int) or part.isprintable() else repr(part) for part in location)
    return "".join(f"[{word}]" if isinstance(word, int) else f".{word}" for word in words).removeprefix(".")


def read_document(file: Path) -> Document:
    """Read a YAML file whose top level is a mapping.

    Raises:
        StudyError: The file cannot be read, is no YAML or no mapping.
    """
    return parse_document(read_text(file), file)


def parse_document(text: str, file: Path) -> Document:
    """The same for text at hand; `file` is what errors name."""
    with deep_nesting_refused(file):
        node = compose(text, file)
    if node is None:
        raise StudyError("the file is empty; a study is a mapping of 'key: value' lines", file=file)
    if not isinstance(node, yaml.MappingNode):
        line = node.start_mark.line + 1
        raise StudyError(
            "a study is a mapping of 'key: value' lines, not a list or a single value", file=file, line=line
        )
    builder = _Builder(file)
    with deep_nesting_refused(file):
        values = builder.build(node, (), node)
    return Document(values, StudySource(file, builder.lines), tuple(builder.problems))


class _Builder:
    """Turns composed nodes into values; notes lines and problems on the way."""

    def __init__(self, file: Path) -> None:
        self.file = file
        self.lines: dict[Location, int] = {}
        self.problems: list[Problem] = []
        self._open: set[int] = set()
        self._count = 0

    def build(self, node: yaml.Node, at: Location, written: yaml.Node) -> Any:
        """The value of a node at a location; `written` is the node (a key, say) whose line is meant by it."""
        self.lines[at] = written.start_mark.line + 1
        with self._entered(node):
            if isinstance(node, yaml.MappingNode) and node.tag == f"{YAML_TAG}map":
                pairs = self._pairs(node, at).items()
                return {key: self.build(value, (*at, key), key_node) for key, (key_node, value) in pairs}
            if isinstance(node, yaml.SequenceNode) and node.tag == f"{YAML_TAG}seq":
                return [self.build(value, (*at, index), value) for index, value in enumerate(node.value)]
            return self._scalar(node, at)

    def _scalar(self, node: yaml.Node, at: Location) -> Any:
        tag = node.tag.replace(YAML_TAG, "!!")
        if not isinstance(node, yaml.ScalarNode) or node.tag not in _SCALARS:
            self._problem(at, f"the YAML tag {tag!r} is not used in studies")
        elif not _is_text(node.value):
            self._problem(at, "holds half of a surrogate pair, which is not text")
        else:
            try:
                return _SCALARS[node.tag](node.value)
            except (ValueError, KeyError):
                self._problem(at, f"{node.value[:40]!r} cannot be read as {tag}")
        return None

    def _pairs(self, node: yaml.MappingNode, at: Location) -> dict[str, tuple[yaml.Node, yaml.Node]]:
        """Keys and values, those of merged mappings (`<<`) first: keys written here win."""
        merged: dict[str, tuple[yaml.Node, yaml.Node]] = {}
        own: dict[str, tuple[yaml.Node, yaml.Node]] = {}
        for key_node, value_node in node.value:
            if key_node.tag == f"{YAML_TAG}merge":
                merged = {**self._merged(value_node, at), **merged}
            elif not isinstance(key_node, yaml.ScalarNode) or not _is_text(key_node.value):
                self._problem(at, "a key must be a word", key_node.start_mark.line + 1)
            elif key_node.value in own:
                first = own[key_node.value][0].start_mark.line + 1
                message = f"this key is given twice; the first is in line {first}"
                self._problem((*at, key_node.value), message, key_node.start_mark.line + 1)
            else:
                own[key_node.value] = (key_node, value_node)
        return {**merged, **own}

    def _merged(self, node: yaml.Node, at: Location) -> dict[str, tuple[yaml.Node, yaml.Node]]:
        with self._entered(node):
            if isinstance(node, yaml.MappingNode):
                return self._pairs(node, at)
            if isinstance(node, yaml.SequenceNode) and all(isinstance(part, yaml.MappingNode) for part in node.value):
                parts = [self._merged(part, at) for part in node.value]
                return {key: pair for part in reversed(parts) for key, pair in part.items()}
        self._problem(at, "'<<' merges a mapping or a list of mappings")
        return {}

    def _problem(self, at: Location, message: str, line: int | None = None) -> None:
        self.problems.append(Problem(at, message, line))

    @contextmanager
    def _entered(self, node: yaml.Node) -> Iterator[None]:
        line = node.start_mark.line + 1
        self._count += 1
        if self._count > MAX_VALUES:
            raise StudyError(
                f"with its aliases written out, this has more than {MAX_VALUES} values", file=self.file, line=line
            )
        if id(node) in self._open:
            raise StudyError("this anchor contains an alias of itself", file=self.file, line=line)
        self._open.add(id(node))
        try:
            yield
        finally:
            self._open.discard(id(node))


def read_text(file: Path) -> str:
    """The text of a study file.

    Raises:
        StudyError: There is none, or it is no UTF-8.
    """
    if (reason := path_trouble(file) or why_no_file(file)) is not None:
        raise StudyError(reason, file=file)
    try:
        with file.open("rb") as opened:
            data = opened.read(MAX_FILE_BYTES + 1)
    except OSError as error:
        raise StudyError(f"cannot be read: {error.strerror}", file=file) from None
    if len(data) > MAX_FILE_BYTES:
        size = file.stat().st_size
        raise StudyError(f"has {size} bytes; a study file has at most {MAX_FILE_BYTES}", file=file)
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
