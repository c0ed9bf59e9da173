"""Figures as the page has them: panels drawn one after the other, each of them once, and the files of the whole."""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field

from altair import LayerChart
from markupsafe import Markup, escape

from kdscope.report.downloads import Download, csv_file, file_stem, pdf_file, svg_file, whole_figure
from kdscope.report.panels import Figure
from kdscope.report.style import SYMBOLS, LegendEntry
from kdscope.report.svg import render_svg

_SVG_WIDTH = re.compile(r'width="([\d.]+)"')
_FRAME, _TAGS = 4_000, 200
"""Bytes around a figure's panels, and around one panel: more than there are."""


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
        common: Panels of all tasks together that the page shows.
        single: Those of single tasks.
        packed: The files as SVG and CSV.
        pdf: The file as PDF.
    """

    figure: Figure
    study: str
    common: list[ShownPanel] = field(default_factory=list)
    single: list[ShownPanel] = field(default_factory=list)
    packed: tuple[Download, ...] = ()
    pdf: tuple[Download, ...] = ()

    _waiting: Iterator[ShownPanel] = field(init=False)
    _next: ShownPanel | None = field(init=False, default=None)

    def __post_init__(self) -> None:
        self._waiting = self._drawn(self.figure.panels)

    def draw(self, room: int) -> int:
        """Draws further panels as far as there is room, which is told in bytes; gives back what they take."""
        used = 0 if self.common else _FRAME
        while (panel := self._next or next(self._waiting, None)) is not None:
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
        used = sum(len(file.link) + _TAGS for file in files)
        if used > room:
            return 0
        self.packed = files
        return used

    def print_pdf(self, room: int) -> int:
        """Makes the file as PDF if there is room; gives back what it takes."""
        file = pdf_file(self._whole, self._stem)
        used = len(file.link) + _TAGS
        if used > room:
            return 0
        self.pdf = (file,)
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
    def missing(self) -> int:
        """How many panels are left out, those of single tasks aside."""
        return len(self.figure.panels) - len(self.common)

    @property
    def files(self) -> tuple[Download, ...]:
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

    def _drawn(self, panels: Mapping[str, LayerChart], task: str = "", place: str = "") -> Iterator[ShownPanel]:
        for number, (label, chart) in enumerate(panels.items()):
            told = f"{label}, {task}" if task else label
            svg = render_svg(chart, f"{self.figure.key}-{place}{number}", f"{self.figure.title}: {told}")
            width = _SVG_WIDTH.search(svg)
            student = self.figure.students.get(label, "")
            yield ShownPanel(Markup(svg), student, task, float(width[1]) if width else 0.0)  # noqa: S704 - escaped there
