"""Every error a person is meant to read: what went wrong, where, and what to do about it.

Each class also inherits the standard type a caller of the library would expect to catch.
"""

from __future__ import annotations

from pathlib import Path

from kdscope.core.characters import plain

_NO_MEMORY = ("can't start new thread", "Resource temporarily unavailable", "Cannot allocate memory")


class KdscopeError(Exception):
    """Base of all errors raised on purpose; its text is complete without a traceback."""


class StudyError(KdscopeError, ValueError):
    """A study file asks for something that does not exist or cannot be."""

    def __init__(self, message: str, *, file: Path | str | None = None, line: int | None = None, key: str = "") -> None:
        self.file, self.line, self.key = file, line, key
        place = ":".join(str(part) for part in (file, line) if part is not None)
        super().__init__(": ".join(part for part in (place, key, message) if part))


class DataError(KdscopeError, ValueError):
    """A data file has a row that cannot be used."""

    def __init__(self, message: str, *, file: Path | str | None = None, row: int | None = None, key: str = "") -> None:
        self.file, self.row, self.key = file, row, key
        place = f"{file}" if row is None else f"{file}, row {row}"
        super().__init__(": ".join(part for part in (place if file is not None else "", key, message) if part))


class ModelError(KdscopeError, ValueError):
    """A model, tokenizer or adapter cannot be used as asked."""


class ModelFileError(ModelError):
    """A file of a model, tokenizer or adapter is not what it should be; no run can do anything about it."""


class ObjectiveError(KdscopeError, ValueError):
    """An objective was given shapes or settings it is not defined for."""


class StatisticsError(KdscopeError, ValueError):
    """A test or an interval is not defined for the numbers it was given."""


class StoreError(KdscopeError, RuntimeError):
    """The store cannot be read or written; what it already holds is untouched."""


class IdentityError(KdscopeError, TypeError):
    """A value without a stable identity was used as a stage parameter."""


class TrainingDivergedError(KdscopeError, ArithmeticError):
    """A loss or gradient became NaN or infinite; the cell stops, the study goes on."""


class MachineError(KdscopeError, RuntimeError):
    """The machine lacks something the request needs: memory, disk, a device, an optional package."""


def lacks_memory(error: BaseException) -> bool:
    """Whether a library failed for want of memory, or of a thread or process, which take memory too.

    >>> lacks_memory(MemoryError()), lacks_memory(RuntimeError("can't start new thread")), lacks_memory(ValueError("7"))
    (True, True, False)
    """
    return isinstance(error, MemoryError) or any(words in str(error) for words in _NO_MEMORY)


def first_line(error: BaseException) -> str:
    r"""What a library's error says, in one line: the first, with the next where that one only announces it.

    Hidden characters are shown by name: the text may come from a file that is anybody's.

    >>> first_line(ValueError("cannot load:\n  no \x1b[31m here\nmore"))
    'cannot load: no ⟨ESC⟩[31m here'
    """
    lines = str(error).strip().splitlines() or [type(error).__name__]
    return plain(" ".join(line.strip() for line in (lines[:2] if lines[0].endswith(":") else lines[:1])))
