"""A small table of texts, ready to print or to write as Markdown."""

from __future__ import annotations

import math
from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class TextTable:
    """A table to read.

    Attributes:
        headings: One text for each column.
        rows: The cells, as many in each row as there are headings.
        numeric: Which columns hold numbers, to be aligned right.
    """

    headings: tuple[str, ...]
    rows: tuple[tuple[str, ...], ...]
    numeric: tuple[bool, ...]

    def markdown(self) -> str:
        r"""The table in Markdown (GitHub's), columns padded so that it also reads as plain text.

        >>> print(TextTable(("task", "n"), (("a|b", "7"),), (False, True)).markdown())
        | task |   n |
        | :--- | --: |
        | a\|b |   7 |
        <BLANKLINE>
        """
        cells = [[_escaped(cell) for cell in row] for row in (self.headings, *self.rows)]
        widths = [max(3, *(len(row[i]) for row in cells)) for i in range(len(self.headings))]
        rule = [
            "-" * (width - 1) + ":" if right else ":" + "-" * (width - 1)
            for width, right in zip(widths, self.numeric, strict=True)
        ]
        lines = [self._line(cells[0], widths), "| " + " | ".join(rule) + " |"]
        return "\n".join([*lines, *(self._line(row, widths) for row in cells[1:]), ""])

    def _line(self, cells: list[str], widths: list[int]) -> str:
        padded = [
            cell.rjust(width) if right else cell.ljust(width)
            for cell, width, right in zip(cells, widths, self.numeric, strict=True)
        ]
        return "| " + " | ".join(padded) + " |"


def decimals(value: float, digits: int = 4) -> str:
    """A number with so many decimals; a dash where there is none.

    >>> decimals(0.123456), decimals(float("nan"))
    ('0.1235', '–')
    """
    return "–" if math.isnan(value) else f"{value:.{digits}f}"


def interval(low: float, high: float, digits: int = 4) -> str:
    """Two limits.

    >>> interval(0.1, 0.25)
    '[0.1000, 0.2500]'
    """
    return "–" if math.isnan(low) or math.isnan(high) else f"[{low:.{digits}f}, {high:.{digits}f}]"


def probability(value: float) -> str:
    """A p-value, small ones by their size.

    >>> probability(0.04321), probability(0.0000123)
    ('0.0432', '1.2e-05')
    """
    if math.isnan(value):
        return "–"
    return f"{value:.4f}" if value >= 0.001 or value == 0 else f"{value:.1e}"


def _escaped(cell: str) -> str:
    return cell.replace("\\", "\\\\").replace("|", "\\|").replace("\n", " ")
