"""Studies that come with kdscope: they need no file, no download and no account."""

from __future__ import annotations

from dataclasses import dataclass
from importlib.resources import files
from pathlib import Path

from kdscope.core.errors import StudyError
from kdscope.study.source import read_document

QUICKSTART = "quickstart"


@dataclass(frozen=True)
class EmbeddedStudy:
    """One of them.

    Attributes:
        name: What it is called.
        path: Its YAML file.
        summary: The first comment line of the file: what it shows, and how long that takes.
    """

    name: str
    path: Path
    summary: str


def embedded_studies() -> list[EmbeddedStudy]:
    """All of them, by the order their files ask for."""
    folder = Path(str(files("kdscope") / "study" / "embedded"))
    return [_read(path) for path in sorted(folder.glob("*.yaml"))]


def embedded_study(name: str) -> EmbeddedStudy:
    """The one of this name.

    Raises:
        StudyError: There is none.
    """
    known = {study.name: study for study in embedded_studies()}
    if name not in known:
        raise StudyError(f"no study '{name}' comes with kdscope (known: {', '.join(known)})")
    return known[name]


def _read(path: Path) -> EmbeddedStudy:
    first = path.read_text(encoding="utf-8").split("\n", 1)[0]
    return EmbeddedStudy(str(read_document(path).values["name"]), path, first.removeprefix("#").strip())
