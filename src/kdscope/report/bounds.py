"""How much text a page tells at most, whatever a study brings: lists and their entries are cut, and say so."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from itertools import islice

from kdscope.report.answer import Answer
from kdscope.report.conclusions import Conclusions
from kdscope.report.facts import PageFacts
from kdscope.report.verdicts import Estimate, SettingRow, StudentTable
from kdscope.results.table import Table

_CUT = " … (cut)"


@dataclass(frozen=True)
class Bounds:
    """The most that is told.

    Attributes:
        rows: Of a table; None for all of them.
        entries: Of a list.
        letters: Of an entry of a list, and of a name in a table.
        stages: Of the list of stages.
        document: Letters of the study's own text.
        choices: Whether the page offers a choice of students, methods and tasks.
    """

    rows: int | None = None
    entries: int = 300
    letters: int = 2_000
    stages: int = 2_000
    document: int = 60_000
    choices: bool = True

    def cut(self, text: str, most: int | None = None) -> str:
        """The text, or its beginning.

        >>> Bounds(letters=5).cut("seven letters")
        'seven … (cut)'
        """
        most = self.letters if most is None else most
        return text if len(text) <= most else text[:most].rstrip() + _CUT

    def listed(self, parts: Sequence[str]) -> list[str]:
        """The entries of a list, the last of them telling how many are left out.

        >>> Bounds(entries=2).listed(["a", "b", "c", "d"])
        ['a', 'b', 'and 2 more']
        """
        more = [f"and {len(parts) - self.entries:,} more"] if len(parts) > self.entries else []
        return [*(self.cut(part) for part in parts[: self.entries]), *more]

    def pairs(self, pairs: Iterable[tuple[str, str]], most: int | None = None) -> list[tuple[str, str]]:
        """Names and what belongs to them, likewise."""
        pairs, most = list(pairs), self.entries if most is None else most
        more = [("…", f"and {len(pairs) - most:,} more")] if len(pairs) > most else []
        return [*((self.cut(str(name)), self.cut(str(value))) for name, value in pairs[:most]), *more]

    def facts(self, facts: PageFacts) -> PageFacts:
        """The facts as the page tells them; failures are told with those of the cells."""
        return replace(
            facts,
            name=self.cut(facts.name, 300),
            description=self.cut(facts.description, 5 * self.letters),
            study_yaml=self.cut(facts.study_yaml, self.document),
            hardware=self.cut(facts.hardware),
            seeds=tuple(islice(facts.seeds, self.entries)),
            warnings=self.listed(facts.warnings),
            versions=self._mapping(facts.versions),
            data_facts=self._mapping(facts.data_facts),
            stages=dict(self.pairs(facts.stages.items(), self.stages)),
        )

    def _mapping(self, values: Mapping[str, str]) -> dict[str, str]:
        return dict(self.pairs(values.items()))

    def conclusions(self, groups: Sequence[Conclusions]) -> list[Conclusions]:
        """Groups of sentences."""
        return [replace(group, sentences=tuple(self.listed(group.sentences))) for group in groups]

    def answer(self, answer: Answer) -> Answer:
        """The answer, which has few words, but they may be long."""
        return Answer(self.cut(answer.headline), tuple(self.cut(sentence) for sentence in answer.sentences))

    def students(self, tables: Sequence[StudentTable]) -> list[StudentTable]:
        """The first of the students, and of each the first of its settings."""
        return [
            replace(
                table,
                student=self.cut(table.student),
                domain=self.cut(table.domain),
                rows=tuple(self._setting(row) for row in table.rows[: self.entries]),
            )
            for table in tables[: self.entries]
        ]

    def _setting(self, row: SettingRow) -> SettingRow:
        def cut(estimate: Estimate) -> Estimate:
            return replace(estimate, note=self.cut(estimate.note))

        return replace(row, name=self.cut(row.name), gain=cut(row.gain), fidelity=cut(row.fidelity))

    def table(self, table: Table) -> Table:
        """The first rows of a table, and where the others are."""
        if self.rows is None or len(table.rows) <= self.rows:
            return table
        if not self.rows:
            empty = f"Left out of this page: all rows are in {table.source}.csv."
            return replace(table, rows=(), columns=(), empty=empty)
        told = f"Here are the first {self.rows:,} of {len(table.rows):,} rows; all of them:"
        return replace(table, rows=table.rows[: self.rows], notes=(*table.notes, told))


WIDEST, NARROWEST = Bounds(), Bounds(0, entries=20, letters=300, stages=20, document=3_000, choices=False)
BOUNDS = (WIDEST, *(Bounds(rows) for rows in (400, 200, 100, 50, 20)), NARROWEST)
"""From all rows of tables to none; the last one keeps any page below half a megabyte before it has a figure."""
