"""The state of a page of the trace browser: read from its address's query, and written as one."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from types import MappingProxyType
from typing import Any
from urllib.parse import parse_qs, urlencode

from kdscope.core.errors import DataError
from kdscope.evaluation.records import SCORINGS

OUTCOME_WORDS: Mapping[str, str] = MappingProxyType(
    {
        "any": "any answer",
        "right": "right",
        "wrong": "wrong",
        "unparsed": "no answer found",
        "truncated": "cut at the token limit",
        "run_on": "went on to a new instruction",
    }
)
LIKENESS_WORDS: Mapping[str, str] = MappingProxyType(
    {
        "any": "like {} or not",
        "same": "same answer as {}",
        "different": "another answer than {}",
        "same_wrong": "same wrong answer as {}",
    }
)
TEXT_LIKENESS_WORDS: Mapping[str, str] = MappingProxyType(
    {"any": "like {} or not", "same": "same text as {}", "different": "another text than {}"}
)
DIFFERENCE_WORDS: Mapping[str, str] = MappingProxyType(
    {"marked": "marked", "full": "marked, with what is missing", "off": "not marked"}
)
FINISH_WORDS: Mapping[str, str] = MappingProxyType(
    {"stop": "ended by itself", "length": "cut at the token limit", "run_on": "went on to a new instruction"}
)
RULE_WORDS: Mapping[str, str] = MappingProxyType(
    {
        "marker": "stated as the answer",
        "boxed": "boxed, or after ####",
        "whole": "the whole text",
        "conclusion": "in a closing conclusion",
        "inferred": "inferred from the end of the text",
        "text": "the whole text",
    }
)
STATUS_WORDS: Mapping[str, str] = MappingProxyType(
    {
        "explicit": "explicit",
        "fallback": "a guess of the rules",
        "ambiguous": "several answers and no way to choose",
        "unparsed": "no rule found one",
    }
)


def how_found(rule: str, status: str) -> str:
    """Where the robust rules found an answer, or why they did not.

    >>> how_found("marker", "explicit"), how_found("none", "unparsed")
    ('stated as the answer (marker, explicit)', 'no rule found one (unparsed)')
    """
    if status in ("ambiguous", "unparsed"):
        return f"{STATUS_WORDS[status]} ({status})"
    return f"{RULE_WORDS.get(rule, rule)} ({rule}, {status})"


MOST_COLUMNS = 4
OUTCOMES = tuple(OUTCOME_WORDS)
"""What a model's answer may be."""
LIKENESS = tuple(LIKENESS_WORDS)
"""How it may compare with the reference's answer."""
DIFFERENCES = tuple(DIFFERENCE_WORDS)
"""Whether words that the reference does not have are marked, and whether its own are shown too."""
PLACES = ("anywhere", "completions", "prompts")
"""Where a search looks."""
_MOST_FIELDS = 100
_LONGEST_SEARCH = 500


@dataclass(frozen=True)
class Column:
    """One shown model, and which of its answers are wanted."""

    cell: str
    outcome: str = "any"
    likeness: str = "any"


@dataclass(frozen=True)
class State:
    """What a page shows.

    Attributes:
        task: The task; empty for the run's first.
        columns: The models side by side; none for the default ones.
        scoring: Which answers count; empty for the run's own scoring.
        search: Text to be found, whatever the case.
        place: Where it is looked for.
        seed: Only answers with this decoding seed.
        page: Page of the list, from 1; None for the one with the item.
        item: Id of the item; empty for the first of the page.
        run: Decoding seed of the shown answer, where an item has several.
        difference: How words that differ are shown.
        whole: Long texts are not folded.
    """

    task: str = ""
    columns: tuple[Column, ...] = ()
    scoring: str = ""
    search: str = ""
    place: str = "anywhere"
    seed: int | None = None
    page: int | None = None
    item: str = ""
    run: int | None = None
    difference: str = "marked"
    whole: bool = False

    @property
    def picks(self) -> bool:
        """Whether the answers themselves decide which items are listed."""
        return bool(self.search) or any((c.outcome, c.likeness) != ("any", "any") for c in self.columns)

    def address(self, **changes: Any) -> str:
        """The page's address, with some values changed."""
        state = replace(self, **changes)
        fields = [("task", state.task)]
        for column in state.columns:
            fields += [("cell", column.cell), ("is", column.outcome), ("as", column.likeness)]
        fields.append(("scoring", state.scoring))
        for name, value, usual in (
            ("q", state.search, ""),
            ("in", state.place, "anywhere"),
            ("seed", state.seed, None),
            ("page", state.page, None),
            ("item", state.item, ""),
            ("run", state.run, None),
            ("diff", state.difference, "marked"),
            ("whole", int(state.whole), 0),
        ):
            if value != usual:
                fields.append((name, str(value)))
        if not any(state.columns) or all((c.outcome, c.likeness) == ("any", "any") for c in state.columns):
            fields = [(name, value) for name, value in fields if name not in ("is", "as")]
        return "/?" + urlencode([(name, value) for name, value in fields if value], errors="replace")

    def without_filters(self, **changes: Any) -> str:
        """The address of the same models and item, nothing filtered."""
        columns = tuple(Column(column.cell) for column in self.columns)
        return self.address(**{"columns": columns, "search": "", "seed": None, "page": None} | changes)


def read_state(query: str) -> tuple[State, list[str]]:
    """The state of a query, and what in it was not understood.

    Raises:
        DataError: The query has so many fields that no page wrote it.
    """
    try:
        values = parse_qs(query, keep_blank_values=True, max_num_fields=_MOST_FIELDS, errors="replace")
    except ValueError as error:
        raise DataError(f"the address cannot be read: {error}") from error
    notes: list[str] = []
    state = State(
        task=_one(values, "task"),
        columns=_columns(values, notes),
        scoring=_choice(values, "scoring", SCORINGS, notes, usual=""),
        search=_one(values, "q").strip()[:_LONGEST_SEARCH],
        place=_choice(values, "in", PLACES, notes),
        seed=_number(values, "seed", notes, lowest=None),
        page=_number(values, "page", notes, lowest=1),
        item=_one(values, "item"),
        run=_number(values, "run", notes, lowest=None),
        difference=_choice(values, "diff", DIFFERENCES, notes),
        whole=_one(values, "whole") == "1",
    )
    return state, notes


def _columns(values: Mapping[str, Sequence[str]], notes: list[str]) -> tuple[Column, ...]:
    """A form sends cell, is and as for every model in turn; an empty cell is a model taken away."""
    found: dict[str, Column] = {}
    for place, cell in enumerate(values.get("cell", ())):
        own = {name: values.get(name, [])[place : place + 1] for name in ("is", "as")}
        if cell and cell not in found:
            found[cell] = Column(cell, _choice(own, "is", OUTCOMES, notes), _choice(own, "as", LIKENESS, notes))
    if len(found) > MOST_COLUMNS:
        notes.append(f"{len(found)} models are asked for; these are the first {MOST_COLUMNS}.")
    return tuple(found.values())[:MOST_COLUMNS]


def _one(values: Mapping[str, Sequence[str]], name: str) -> str:
    return next(iter(values.get(name, ())), "")


def _choice(
    values: Mapping[str, Sequence[str]], name: str, known: Sequence[str], notes: list[str], usual: str | None = None
) -> str:
    usual = known[0] if usual is None else usual
    value = _one(values, name)
    if value and value not in known:
        notes.append(f"“{name}” is {', '.join(known[:-1])} or {known[-1]}, not “{value[:40]}”.")
    return value if value in known else usual


def _number(values: Mapping[str, Sequence[str]], name: str, notes: list[str], *, lowest: int | None) -> int | None:
    value = _one(values, name)
    if not value:
        return None
    digits = value.removeprefix("-")
    if not (digits.isascii() and digits.isdigit() and len(digits) < 16):
        notes.append(f"“{name}” is a whole number, not “{value[:40]}”.")
        return None
    return int(value) if lowest is None else max(lowest, int(value))
