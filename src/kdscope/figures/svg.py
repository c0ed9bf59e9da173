"""Charts as static SVG: nothing to load, nothing to run, sharp in print."""

from __future__ import annotations

import re
from collections.abc import Mapping
from types import MappingProxyType
from xml.etree import ElementTree

import altair as alt
from altair.typing import ChartType

from kdscope.core.characters import plain
from kdscope.figures.panels import taken_apart
from kdscope.figures.renderer import Renderer
from kdscope.figures.style import FONT

_SVG = "{http://www.w3.org/2000/svg}"
_CLIP = re.compile(r"clip\d+")
_LONG_NUMBER = re.compile(r"(\d+\.\d{2})\d+")
_FRAME = re.compile(r"M0,0h([\d.]+)v([\d.]+)h-[\d.]+Z")
_NOISE = ("role", "aria-label", "aria-roledescription", "aria-hidden", "pointer-events")
_PLACES = ("d", "transform", "x2", "y2")
_DEFAULTS: Mapping[str, str] = MappingProxyType({"opacity": "1", "stroke-width": "1", "font-family": FONT})


def render_svg(chart: ChartType, prefix: str, description: str, renderer: Renderer) -> str:
    """One chart as an `<svg>` element, the same bytes on every call.

    Texts in the chart are escaped, and their hidden characters shown. Every mark with a description gets a `<title>`,
    which browsers show on hover, and `data-` attributes of what it is about (see `panels.described`), from which the
    names of rows and columns take theirs. The renderer numbers clip paths over the life of the process; here they are
    numbered within the chart and carry `prefix`, so that several charts can share a page.

    Raises:
        DataError: The chart cannot be drawn.
        MachineError: The renderer has died, or takes too long.
    """
    version = ".".join(alt.SCHEMA_VERSION.lstrip("v").split(".")[:2])
    root = ElementTree.fromstring(renderer.svg(chart.to_dict(validate=False), version))  # noqa: S314 - written by the renderer just now
    _tag_marks(root)
    _tag_frame(root)
    _tag_names(root)
    _clean(root)
    _number_clips(root, prefix)
    root.set("font-family", FONT)
    root.set("role", "img")
    root.set("aria-label", plain(description))
    return _written(root)


def _written(root: ElementTree.Element) -> str:
    """Inside a page no element needs the namespace; on its own the root does."""
    for element in root.iter():
        element.tag = element.tag.removeprefix(_SVG)
    root.set("xmlns", "http://www.w3.org/2000/svg")
    return ElementTree.tostring(root, encoding="unicode")


def _tag_marks(root: ElementTree.Element) -> None:
    """Lines and intervals are hidden with their marks, but only the marks have words."""
    lines = [line for group in root.iter() if "mark-line" in group.get("class", "") for line in group]
    for element in root.iter():
        if (found := taken_apart(element.get("aria-label", ""))) is None:
            continue
        words, about = found
        del element.attrib["aria-label"]
        element.set("class", "mark")
        for name, value in about.items():
            element.set(f"data-{name}", value)
        if element.tag == f"{_SVG}path" and element not in lines:
            ElementTree.SubElement(element, f"{_SVG}title").text = words


def _tag_frame(root: ElementTree.Element) -> None:
    """Panels of rows or columns tell how far apart those are, and which lines run along all of them."""
    frame = next((_FRAME.fullmatch(e.get("d", "")) for e in root.iter() if e.get("class") == "background"), None)
    if frame is None:
        return
    for key, name, size, end in (("data-row", "step", frame[2], "y2"), ("data-column", "pace", frame[1], "x2")):
        places = {mark.get(key) for mark in root.iter() if mark.get(key) is not None}
        if not places:
            continue
        root.set(f"data-{name}", str(float(size) / len(places)))
        for line in root.iter(f"{_SVG}line"):
            if line.get(end, "").lstrip("-") == size:
                line.set("class", f"along-{name}")
    for axis in root.iter(f"{_SVG}g"):
        if "role-axis" in axis.get("class", "") and f",{float(frame[2]) + 0.5:g})" in axis[0].get("transform", ""):
            axis.set("class", "below")


def _tag_names(root: ElementTree.Element) -> None:
    """The names along an axis of rows (or columns) belong to them."""
    marks = [element for element in root.iter() if element.get("class") == "mark"]
    for axis, key, facet in (("Y-axis", "data-row", "data-method"), ("X-axis", "data-column", "data-task")):
        about = {mark.get(key): mark.get(facet) for mark in marks if mark.get(key) is not None}
        if not about:
            continue
        groups = [group for group in root.iter(f"{_SVG}g") if group.get("aria-label", "").startswith(axis)]
        labels = [g for group in groups for g in group.iter() if "role-axis-label" in g.get("class", "")]
        for place, text in enumerate(text for group in labels for text in group):
            text.set(key, str(place))
            if about.get(str(place)) is not None:
                text.set(facet, str(about[str(place)]))


def _clean(root: ElementTree.Element) -> None:
    """Leaves out what changes nothing: empty boxes, roles inside a picture, defaults, digits below a hundredth."""
    for parent in list(root.iter()):
        for child in list(parent):
            if child.get("display") == "none" or child.get("class") == "background":
                parent.remove(child)
    for element in root.iter():
        kept = {name: value for name, value in element.attrib.items() if (name, value) not in _DEFAULTS.items()}
        element.attrib = {
            name: _LONG_NUMBER.sub(r"\1", value) if name in _PLACES else value
            for name, value in kept.items()
            if name not in _NOISE
        }


def _number_clips(root: ElementTree.Element, prefix: str) -> None:
    numbers: dict[str, int] = {}

    def renumber(match: re.Match[str]) -> str:
        return f"{prefix}-clip{numbers.setdefault(match[0], len(numbers))}"

    for element in root.iter():
        for name in ("id", "clip-path"):
            if name in element.attrib:
                element.set(name, _CLIP.sub(renumber, element.attrib[name]))
