"""Tables for a terminal, and plain text for everything else."""

from __future__ import annotations

from collections.abc import Sequence
from statistics import median

from rich.console import Console
from rich.table import Table

from results import Ratio

_COLUMNS = {
    "examples_per_second": "speed",
    "generated_tokens_per_second": "generation",
    "peak_memory_gib": "memory",
    "seconds": "time",
}


def show_table(title: str, columns: Sequence[str], rows: Sequence[Sequence[str]]) -> None:
    """Print a table; the first column is text, the others are numbers."""
    console = Console()
    if not console.is_terminal:
        print(plain_table(title, columns, rows), flush=True)
        return
    table = Table(title=title, title_justify="left")
    for number, column in enumerate(columns):
        table.add_column(column, justify="right" if number else "left", overflow="fold")
    for row in rows:
        table.add_row(*row)
    console.print(table)


def plain_table(title: str, columns: Sequence[str], rows: Sequence[Sequence[str]]) -> str:
    """The same in plain text.

    >>> print(plain_table("Speed", ["arm", "examples/s"], [["sft", "7.70"], ["live", "4.80"]]))
    Speed
    arm   examples/s
    sft         7.70
    live        4.80
    """
    widths = [max(map(len, column)) for column in zip(columns, *rows, strict=True)]
    return "\n".join([title, *(_aligned(row, widths) for row in (columns, *rows))])


def _aligned(row: Sequence[str], widths: Sequence[int]) -> str:
    first, *others = (cell.rjust(width) for cell, width in zip(row, widths, strict=True))
    return "  ".join([first.strip().ljust(widths[0]), *others]).rstrip()


def show_ratios(compared: Sequence[Ratio]) -> None:
    """Print how arms compare, a line a pair: of each quantity the median over the rounds, and the extremes."""
    quantities = [name for name in _COLUMNS if any(one.quantity == name for one in compared)]
    found = {(one.arm, one.against, one.quantity): one.values for one in compared}
    rows = [
        [arm, against, *(_spread(found.get((arm, against, quantity), ())) for quantity in quantities)]
        for arm, against in dict.fromkeys((one.arm, one.against) for one in compared)
    ]
    columns = ["arm", "against", *(_COLUMNS[quantity] for quantity in quantities)]
    if rows:
        show_table("Ratios within a round: median (least, most)", columns, rows)


def number(value: float | None, digits: int = 2) -> str:
    """A number, or a dash where there is none.

    >>> number(3.14159), number(None), number(1234.5, 0)
    ('3.14', '-', '1,234')
    """
    return "-" if value is None else f"{value:,.{digits}f}"


def _spread(values: Sequence[float]) -> str:
    if not values:
        return "-"
    return f"{median(values):.2f}x ({min(values):.2f}, {max(values):.2f})"
