"""Facts of a page beside its tables (study, machine, failures), and the JSON file from which it is written again."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import MISSING, asdict, dataclass, field, fields
from pathlib import Path
from types import MappingProxyType
from typing import Any

from kdscope.core.errors import DataError
from kdscope.core.strict_json import strict_loads


@dataclass(frozen=True)
class PageFacts:
    """What the page tells beside the tables: the study, where it ran, and what went wrong.

    `description` may hold several paragraphs (see `page.paragraphs`); `scoring` is the scoring that the conclusions
    use; `failures` are (label, cause); `data_facts` and `versions` are shown as they are given;
    `contaminated_items_excluded` tells whether the tables leave contaminated items out; `stages` has the identity of
    every stage the page rests on, by its name; `audited` tells whether training sets were searched for evaluation items
    at all.
    """

    name: str
    description: str
    study_yaml: str
    versions: Mapping[str, str]
    hardware: str
    seeds: Sequence[int]
    warnings: Sequence[str]
    failures: Sequence[tuple[str, str]]
    data_facts: Mapping[str, str]
    scoring: str = "robust"
    contaminated_items_excluded: bool = False
    stages: Mapping[str, str] = field(default_factory=dict)
    audited: bool = True


def save_facts(facts: PageFacts, file: Path) -> None:
    """Writes the facts as JSON; the same facts always give the same bytes."""
    file.parent.mkdir(parents=True, exist_ok=True)
    text = json.dumps(asdict(facts), indent=2, ensure_ascii=False)
    file.write_text(text + "\n", encoding="utf-8", errors="surrogatepass", newline="\n")


def load_facts(file: Path) -> PageFacts:
    """Reads what `save_facts` wrote; fields that were not there when it was written have their defaults.

    Raises:
        DataError: the file is missing, is not JSON, or does not hold the facts of a page.
    """
    try:
        values = strict_loads(file.read_text(encoding="utf-8", errors="surrogatepass"))
    except FileNotFoundError:
        raise DataError("this file is missing; it is written beside the tables of a run", file=file) from None
    except (OSError, ValueError, RecursionError) as error:
        raise DataError(f"not readable JSON ({error})", file=file) from error
    return PageFacts(**_checked(values, file))


def _checked(values: Any, file: Path) -> dict[str, Any]:
    if not isinstance(values, dict):
        raise DataError("not the facts of a page", file=file)
    known = {one.name: one for one in fields(PageFacts)}
    for name in values:
        if name not in known:
            raise DataError("a page has no such fact", file=file, key=name)
    for name, one in known.items():
        if name not in values and one.default is MISSING and one.default_factory is MISSING:
            raise DataError("this fact is missing", file=file, key=name)
        if name in values:
            values[name] = _as_given(values[name], name, file)
    return values


_KINDS: Mapping[str, type] = MappingProxyType(
    {
        **dict.fromkeys(("seeds", "warnings", "failures"), list),
        **dict.fromkeys(("versions", "data_facts", "stages"), dict),
        "contaminated_items_excluded": bool,
        "audited": bool,
    }
)


def _as_given(value: Any, name: str, file: Path) -> Any:
    """JSON has no tuples; everything else comes back as it was."""
    kind: type[Any] = _KINDS.get(name, str)
    pairs: list[Any] = value if name == "failures" and isinstance(value, list) else []
    if not isinstance(value, kind) or any(not isinstance(pair, list) or len(pair) != 2 for pair in pairs):
        raise DataError("this fact is not of its kind", file=file, key=name)
    if name != "failures":
        return value
    return [(str(label), str(cause)) for label, cause in pairs]
