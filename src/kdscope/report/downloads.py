"""Figures and their numbers as files inside the page: the whole figure as SVG and PDF, its rows as CSV."""

from __future__ import annotations

import base64
import gzip
import re
from collections.abc import Sequence
from dataclasses import dataclass

import vl_convert
from markupsafe import escape

from kdscope.report.panels import Figure
from kdscope.report.style import FONT, SYMBOLS, LegendEntry
from kdscope.results.palette import INK

_ROOT = re.compile(r'<svg [^>]*?width="([\d.]+)" height="([\d.]+)"[^>]*>(.*)</svg>', re.DOTALL)
_PAGE_ONLY = re.compile(r' (?:class|data-[a-z]+)="[^"]*"')
_NOT_IN_NAMES = re.compile(r"[^A-Za-z0-9._-]+")
_WIDTH, _MARGIN, _GAP = 1120, 14, 20
_LETTER = 6.2
"""Widest mean width of a letter of a legend, to place the next entry."""


@dataclass(frozen=True)
class Download:
    """A file that the page holds: its name, what it is, the link that holds it, and whether that is compressed.

    The page's script unpacks compressed ones; without it the link gives them as they are, with `.gz` after their names.
    """

    name: str
    kind: str
    link: str
    packed: bool = False


def file_stem(study: str, key: str) -> str:
    """The name of a figure's files without their ending.

    >>> file_stem("a/b: ü", "gains")
    'a-b-gains'
    """
    own = _NOT_IN_NAMES.sub("-", study).strip("-.")[:60]
    return f"{own}-{key}" if own else key


def svg_file(whole: str, stem: str) -> Download:
    """The whole figure as SVG, compressed."""
    return Download(f"{stem}.svg", "SVG", _packed(whole.encode("utf-8", "xmlcharrefreplace")), packed=True)


def pdf_file(whole: str, stem: str) -> Download:
    """The whole figure as PDF, which is compressed in itself."""
    return Download(f"{stem}.pdf", "PDF", _link("application/pdf", to_pdf(whole)))


def csv_file(figure: Figure, stem: str) -> tuple[Download, ...]:
    """The rows of a figure, compressed; nothing where it has none."""
    if not len(figure.data):
        return ()
    table = figure.data.to_csv(index=False, lineterminator="\n")
    return (Download(f"{stem}.csv", "CSV", _packed(table.encode("utf-8", "replace")), packed=True),)


def to_pdf(svg: str) -> bytes:
    """The drawing as PDF, the same bytes on every call.

    The renderer orders the fonts and the transparencies of a file by chance, so there is one font and no transparency.
    """
    plain = re.sub(r' (?:opacity="[^"]*"|font-weight="(?:bold|600)")', "", svg)
    pdf: bytes = vl_convert.svg_to_pdf(plain)
    return pdf


def whole_figure(figure: Figure, panels: Sequence[str]) -> str:
    """Title, legend and all panels as one SVG, side by side as far as they fit."""
    title = f'<text x="{_MARGIN}" y="{_MARGIN + 14}" font-size="16" fill="{INK}">{escape(figure.title)}</text>'
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
            f"{escape(entry.label)}</text></g>"
        )
        x += width
    return "".join(parts), y + 26 if entries else top


def _packed(content: bytes) -> str:
    # Without the time of day, the same content is the same bytes.
    return _link("application/gzip", gzip.compress(content, 9, mtime=0))


def _link(kind: str, content: bytes) -> str:
    return f"data:{kind};base64,{base64.b64encode(content).decode()}"
