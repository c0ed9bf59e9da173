"""Charts as static SVG: nothing to load, nothing to run, sharp in print."""

from __future__ import annotations

import re

import altair as alt
import vl_convert

_CLIP = re.compile(r'(id="|url\(#)clip(\d+)')
_LABELLED = re.compile(r'<path aria-label="([^"]*)"([^>]*?)/>')
_ROOT = re.compile(r"<svg ([^>]*)>")


def render_svg(chart: alt.LayerChart, prefix: str, description: str) -> str:
    """One chart as an `<svg>` element, the same bytes on every call.

    Texts in the chart are escaped by the renderer. Every mark with a description gets a `<title>`, which browsers show
    on hover. The renderer numbers clip paths over the life of the process; here they are numbered within the chart
    and carry `prefix`, so that several charts can share a page.
    """
    version = ".".join(alt.SCHEMA_VERSION.lstrip("v").split(".")[:2])
    svg: str = vl_convert.vegalite_to_svg(chart.to_dict(), vl_version=version, allowed_base_urls=[])
    numbers: dict[str, int] = {}

    def renumber(match: re.Match[str]) -> str:
        return f"{match[1]}{prefix}-clip{numbers.setdefault(match[2], len(numbers))}"

    svg = _CLIP.sub(renumber, svg)
    svg = _LABELLED.sub(r"<path\2><title>\1</title></path>", svg)
    return _ROOT.sub(rf'<svg role="img" aria-label="{_escape(description)}" \1>', svg, count=1)


def _escape(text: str) -> str:
    """For the replacement part of a pattern as well as for an attribute."""
    escaped = text.replace("&", "&amp;").replace("<", "&lt;").replace(">", "&gt;").replace('"', "&quot;")
    return escaped.replace("\\", "\\\\")
