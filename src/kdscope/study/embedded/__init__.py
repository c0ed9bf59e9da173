"""Studies and models that come with kdscope: they need no file, no download and no account."""

from __future__ import annotations

from dataclasses import dataclass
from importlib.resources import files
from pathlib import Path

from kdscope.core.errors import StudyError
from kdscope.study.source import read_document

QUICKSTART = "quickstart"
EMBEDDED = "kdscope:"
"""What a path begins with that means a model which comes with kdscope."""


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
    return [_read(path) for path in sorted(Path(__file__).parent.glob("*.yaml"))]


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


def embedded_model(name: str) -> Path:
    """The folder of a model of the tiny family, which comes with kdscope.

    Raises:
        ValueError: There is none of that name.
    """
    known = {folder.name: folder for folder in embedded_models()}
    if name not in known:
        raise ValueError(f"no model '{name}' comes with kdscope (known: {', '.join(known)})")
    return known[name]


def embedded_models() -> list[Path]:
    """The folders of the models that come with kdscope, by name."""
    family = Path(str(files("kdscope") / "models" / "tiny"))
    return sorted(config.parent for config in family.glob("*/config.json"))
