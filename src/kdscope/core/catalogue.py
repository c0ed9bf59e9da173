"""Named entries of one kind, such as methods or measures: the built-in ones, then what extensions of a user add."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from typing import Generic, Protocol, TypeVar


class Named(Protocol):
    """Anything with a name."""

    @property
    def name(self) -> str:
        """Unique within its catalogue."""
        ...


Entry = TypeVar("Entry", bound=Named)


class Catalogue(Mapping[str, Entry], Generic[Entry]):
    """Entries by name, in the order in which they are shown.

    Example:
        >>> from types import SimpleNamespace
        >>> shapes = Catalogue("shape", [SimpleNamespace(name="circle"), SimpleNamespace(name="square")])
        >>> shapes.add(SimpleNamespace(name="star"))
        >>> list(shapes)
        ['circle', 'square', 'star']
        >>> shapes.add(SimpleNamespace(name="circle"))
        Traceback (most recent call last):
        ValueError: there is already a shape named 'circle'
    """

    def __init__(self, kind: str, entries: Iterable[Entry] = ()) -> None:
        self.kind = kind
        self._entries: dict[str, Entry] = {}
        for entry in entries:
            self.add(entry)

    def __getitem__(self, name: str) -> Entry:
        return self._entries[name]

    def __iter__(self) -> Iterator[str]:
        return iter(self._entries)

    def __len__(self) -> int:
        return len(self._entries)

    def add(self, entry: Entry) -> None:
        """Append an entry.

        Raises:
            ValueError: The name is taken.
        """
        if entry.name in self._entries:
            raise ValueError(f"there is already a {self.kind} named '{entry.name}'")
        self._entries[entry.name] = entry

    def remove(self, name: str) -> None:
        """Take out an entry that was added."""
        del self._entries[name]
