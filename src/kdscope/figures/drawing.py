"""Figures as the page has them: panels drawn one after the other, each once, and the files that they can be saved as.

A whole figure is offered as SVG and PDF, and its rows as CSV, all as links that hold their content.
"""

from __future__ import annotations

import base64
import gzip
import re
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field

from altair.typing import ChartType
from markupsafe import Markup, escape

from kdscope.core.characters import plain
from kdscope.core.errors import DataError
from kdscope.figures.panels import Figure
from kdscope.figures.renderer import Renderer
from kdscope.figures.style import FONT, LegendEntry
from kdscope.figures.svg import render_svg
from kdscope.results.csv_cells import csv_text
from kdscope.results.methods import INK, SYMBOLS

MOST_PANELS = 100
"""Panels of a figure that a page has at most, single tasks aside: each takes some 50 ms to draw."""
_SVG_WIDTH = re.compile(r'width="([\d.]+)"')
_FRAME, _TAGS = 4_000, 200
"""Bytes around a figure's panels, and around one panel: more than there are."""
_ROOT = re.compile(r'<svg [^>]*?width="([\d.]+)" height="([\d.]+)"[^>]*>(.*)</svg>', re.DOTALL)
_PAGE_ONLY = re.compile(r' (?:class|data-[a-z]+)="[^"]*"')
_NOT_IN_NAMES = re.compile(r"[^A-Za-z0-9._-]+")
_WIDTH, _MARGIN, _GAP = 1120, 14, 20
_LETTER = 6.2
"""Widest mean width of a letter of a legend, to place the next entry."""


@dataclass(frozen=True)
class FileLink:
    """A file that the page holds: its name, what it is, the link that holds it, and whether that is compressed.

    The page's script unpacks compressed ones; without it the link gives them as they are, with `.gz` after their names.
    """

    name: str
    kind: str
    link: str
    packed: bool = False


@dataclass(frozen=True)
class ShownPanel:
    """A drawn panel: the student it is about and the task it is of, empty for neither, and its width in pixels."""

    svg: Markup
    student: str
    task: str
    width: float

    @property
    def size(self) -> int:
        """Bytes that it takes in a page, or a few more."""
        return _TAGS + sum(
            len(text.encode("utf-8", "replace")) for text in (self.svg, escape(self.student + self.task))
        )


@dataclass
class ShownFigure:
    """A figure with those panels that have been drawn for the page, and the files that it can be had as.

    Attributes:
        figure: What is to be drawn.
        study: Name of the study, for those of files.
        renderer: Draws them.
        common: Panels of all tasks together that the page shows.
        single: Those of single tasks.
        packed: The files as SVG and CSV.
        pdf: The file as PDF.
    """

    figure: Figure
    study: str
    renderer: Renderer
    common: list[ShownPanel] = field(default_factory=list)
    single: list[ShownPanel] = field(default_factory=list)
    packed: tuple[FileLink, ...] = ()
    pdf: tuple[FileLink, ...] = ()

    _waiting: Iterator[ShownPanel] = field(init=False)
    _next: ShownPanel | None = field(init=False, default=None)

    def __post_init__(self) -> None:
        self._waiting = self._drawn(self.figure.panels)

    def draw(self, room: int) -> int:
        """Draws further panels as far as there is room, which is told in bytes; gives back what they take."""
        used = 0 if self.common else _FRAME
        while self.waiting and (panel := self._next or next(self._waiting, None)) is not None:
            if used + panel.size > room:
                self._next = panel
                break
            self.common.append(panel)
            used, self._next = used + panel.size, None
        return used if self.common else 0

    def draw_single_tasks(self, room: int) -> int:
        """Draws the panels of single tasks if there is room for all of them; gives back what they take."""
        panels: list[ShownPanel] = []
        used = 0
        for number, (task, variants) in enumerate(self.figure.variants.items()):
            for panel in self._drawn(variants, task, f"{number}-"):
                used += panel.size
                if used > room:
                    return 0
                panels.append(panel)
        self.single = panels
        return used

    def pack(self, room: int) -> int:
        """Makes the files as SVG and CSV if there is room; gives back what they take."""
        files = (svg_file(self._whole, self._stem), *csv_file(self.figure, self._stem))
        self.packed, used = _with_room(files, room)
        return used

    def print_pdf(self, room: int) -> int:
        """Makes the file as PDF if there is room; gives back what it takes."""
        self.pdf, used = _with_room((pdf_file(self._whole, self._stem, self.renderer),), room)
        return used

    @property
    def _whole(self) -> str:
        return whole_figure(self.figure, [str(panel.svg) for panel in self.common])

    @property
    def _stem(self) -> str:
        return file_stem(self.study, self.figure.key)

    @property
    def panels(self) -> list[ShownPanel]:
        """All of them, those of single tasks last."""
        return [*self.common, *self.single]

    @property
    def waiting(self) -> bool:
        """Whether there are panels that it could still draw for the page."""
        return len(self.common) < min(len(self.figure.panels), MOST_PANELS)

    @property
    def missing(self) -> int:
        """How many panels are left out, those of single tasks aside."""
        return len(self.figure.panels) - len(self.common)

    @property
    def files(self) -> tuple[FileLink, ...]:
        """In the order in which they are offered."""
        return (*self.packed[:1], *self.pdf, *self.packed[1:])

    @property
    def legend(self) -> list[tuple[LegendEntry, str]]:
        """Entries with the path of their mark."""
        return [(entry, SYMBOLS[entry.shape]) for entry in self.figure.legend]

    @property
    def follows_tasks(self) -> bool:
        """Whether it shows something else when a task is chosen."""
        return bool(self.single) or any("data-task" in panel.svg for panel in self.common)

    def _drawn(self, panels: Mapping[str, ChartType], task: str = "", place: str = "") -> Iterator[ShownPanel]:
        for number, (label, chart) in enumerate(panels.items()):
            told = f"{label}, {task}" if task else label
            prefix = f"{self.figure.key}-{place}{number}"
            try:
                svg = render_svg(chart, prefix, f"{self.figure.title}: {told}", self.renderer)
            except DataError as error:
                raise DataError(f"figure '{self.figure.key}' cannot be drawn: {error}") from error
            width = _SVG_WIDTH.search(svg)
            student = self.figure.students.get(label, "")
            yield ShownPanel(Markup(svg), student, task, float(width[1]) if width else 0.0)  # noqa: S704 - escaped there


def _with_room(files: tuple[FileLink, ...], room: int) -> tuple[tuple[FileLink, ...], int]:
    """The files and the bytes that they take in a page; none where there is no room for all of them."""
    used = sum(len(file.link) + _TAGS for file in files)
    return (files, used) if used <= room else ((), 0)


def file_stem(study: str, key: str) -> str:
    """The name of a figure's files without their ending.

    >>> file_stem("a/b: ü", "gains")
    'a-b-gains'
    """
    own = _NOT_IN_NAMES.sub("-", study).strip("-.")[:60]
    return f"{own}-{key}" if own else key


def svg_file(whole: str, stem: str) -> FileLink:
    """The whole figure as SVG, compressed."""
    return FileLink(f"{stem}.svg", "SVG", _packed(whole.encode("utf-8", "xmlcharrefreplace")), packed=True)


def pdf_file(whole: str, stem: str, renderer: Renderer) -> FileLink:
    """The whole figure as PDF, which is compressed in itself."""
    return FileLink(f"{stem}.pdf", "PDF", _link("application/pdf", to_pdf(whole, renderer)))


def csv_file(figure: Figure, stem: str) -> tuple[FileLink, ...]:
    """The rows of a figure, compressed; nothing where it has none."""
    if not len(figure.data):
        return ()
    table = csv_text(figure.data).encode("utf-8", "replace")
    return (FileLink(f"{stem}.csv", "CSV", _packed(table), packed=True),)


def to_pdf(svg: str, renderer: Renderer) -> bytes:
    """The drawing as PDF, the same bytes on every call.

    The renderer orders the fonts and the transparencies of a file by chance, so there is one font and no transparency.
    """
    plain = re.sub(r' (?:opacity="[^"]*"|font-weight="(?:bold|600)")', "", svg)
    return renderer.pdf(plain)


def whole_figure(figure: Figure, panels: Sequence[str]) -> str:
    """Title, legend and all panels as one SVG, side by side as far as they fit."""
    title = f'<text x="{_MARGIN}" y="{_MARGIN + 14}" font-size="16" fill="{INK}">{escape(plain(figure.title))}</text>'
    legend, top = _legend(figure.legend, _MARGIN + 30)
    parts, widest = [title, legend], 480.0
    x, y, tallest = float(_MARGIN), top, 0.0
    for panel in panels:
        found = _ROOT.match(panel)
        if found is None:
            continue
        width, height = float(found[1]), float(found[2])
        if x > _MARGIN and x + width > _WIDTH:
            x, y, tallest = float(_MARGIN), y + tallest + _GAP, 0.0
        parts.append(f'<g transform="translate({x:g},{y:g})">{_PAGE_ONLY.sub("", found[3])}</g>')
        x, tallest = x + width + _GAP, max(tallest, height)
        widest = max(widest, x - _GAP)
    width, height = widest + _MARGIN, y + tallest + _MARGIN
    size = f'width="{width:g}" height="{height:g}" viewBox="0 0 {width:g} {height:g}"'
    return f'<svg xmlns="http://www.w3.org/2000/svg" {size} font-family="{FONT}">{"".join(parts)}</svg>'


def _legend(entries: Sequence[LegendEntry], top: float) -> tuple[str, float]:
    """The legend, and where the panels begin."""
    parts, x, y = [], float(_MARGIN), top
    for entry in entries:
        width = 18 + _LETTER * len(entry.label) + 18
        if x > _MARGIN and x + width > _WIDTH:
            x, y = float(_MARGIN), y + 18
        fill = entry.colour if entry.filled else "none"
        parts.append(
            f'<g transform="translate({x:g},{y:g})"><path d="{SYMBOLS[entry.shape]}" stroke="{entry.colour}" '
            f'fill="{fill}" stroke-width="1.6"/><text x="18" y="10" font-size="11.5" fill="{INK}">'
            f"{escape(plain(entry.label))}</text></g>"
        )
        x += width
    return "".join(parts), y + 26 if entries else top


def _packed(content: bytes) -> str:
    # Without the time of day, the same content is the same bytes.
    return _link("application/gzip", gzip.compress(content, 9, mtime=0))


def _link(kind: str, content: bytes) -> str:
    return f"data:{kind};base64,{base64.b64encode(content).decode()}"
