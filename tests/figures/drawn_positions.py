"""Reads a drawn panel as its reader does: every mark's place, against the numbers printed along the axes."""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any
from xml.etree import ElementTree

import altair as alt

from tests.figures.renderer import render_svg

Element = ElementTree.Element
_TRANSLATE = re.compile(r"translate\((-?[\d.]+)[, ](-?[\d.]+)\)")
_POINT = re.compile(r"[ML](-?[\d.]+(?:e-?\d+)?),(-?[\d.]+(?:e-?\d+)?)")
_BOX = re.compile(r"M(-?[\d.]+),(-?[\d.]+)h(-?[\d.]+)v(-?[\d.]+)")
_SUFFIX = {"k": 1e3, "M": 1e6}
_BASELINE = 4.0
"""Pixels that the foot of a number beside the vertical axis lies below its tick."""
_TEXT_OFFSET = 4.0


@dataclass(frozen=True)
class Axis:
    """Where numbers (or names) stand along one axis, in pixels."""

    numbers: Mapping[float, float]
    names: Mapping[str, float]

    def at(self, value: float) -> float:
        """By the two numbers furthest apart."""
        (low, start), (high, end) = min(self.numbers.items()), max(self.numbers.items())
        return start + (value - low) / (high - low) * (end - start)


def size_of(root: Element) -> tuple[float, float]:
    """Width and height of a drawing."""
    return float(root.attrib["width"]), float(root.attrib["height"])


def font_sizes(root: Element) -> list[float]:
    """Of every text in a drawing, in its own pixels."""
    return [
        float(text.attrib["font-size"].removesuffix("px")) for text in root.iter("{http://www.w3.org/2000/svg}text")
    ]


def drawn(chart: alt.LayerChart) -> Element:
    """The panel as the page has it."""
    return ElementTree.fromstring(render_svg(chart, "p", "panel"))


def misplaced(chart: alt.LayerChart) -> tuple[int, list[str]]:
    """How many places were compared, and those that are not where their numbers are."""
    spec, root = chart.to_dict(), drawn(chart)
    placed = list(_placed(root, (0.0, 0.0)))
    axes = _axes(placed)
    compared, wrong = 0, []
    for number, layer in enumerate(spec["layer"]):
        rows = _rows(spec, layer)
        marks = [(mark, at) for mark, at in placed if mark.get("layer") == str(number)]
        for channel, expected, found in _pairs(layer, rows, marks, axes):
            compared += 1
            if abs(expected - found) > 0.7:
                wrong.append(f"layer {number} {channel}: {found:.2f} instead of {expected:.2f}")
    return compared, wrong


def _placed(
    element: Element, at: tuple[float, float], layer: str = ""
) -> Iterator[tuple[Element, tuple[float, float]]]:
    """Every element with where its own coordinates begin; marks get the number of their layer."""
    moved = _TRANSLATE.match(element.get("transform", ""))
    here = (at[0] + float(moved[1]), at[1] + float(moved[2])) if moved else at
    found = re.search(r"layer_(\d+)_(?:layer_\d+_)?(?:marks|pathgroup)", element.get("class", ""))
    layer = found[1] if found else layer
    if layer and element.tag.endswith(("path", "line", "text", "rect")):
        element.set("layer", layer)
    yield element, here
    for child in element:
        yield from _placed(child, here, layer)


def _axes(placed: Sequence[tuple[Element, tuple[float, float]]]) -> dict[str, Axis]:
    numbers: dict[str, dict[float, float]] = {"x": {}, "y": {}}
    names: dict[str, dict[str, float]] = {"x": {}, "y": {}}
    where = {id(element): at for element, at in placed}
    for group in (group for group, _ in placed if "axis-label" in group.get("class", "")):
        texts = [text for text in group if text.get("opacity") != "0"]
        lefts = {where[id(text)][0] for text in texts}
        ends = all(text.get("text-anchor") == "end" for text in texts)
        side = "y" if ends and len(lefts) == 1 else "x"
        for text in texts:
            x, y = where[id(text)]
            place = y - _BASELINE if side == "y" else x
            told = "".join(text.itertext())
            names[side][told] = place
            value = _number(told)
            if value is not None:
                numbers[side][value] = place
    return {side: Axis(numbers[side], names[side]) for side in ("x", "y")}


def _number(text: str) -> float | None:
    factor = _SUFFIX.get(text[-1:], 1.0)
    bare = text[:-1] if factor != 1.0 else text
    try:
        return factor * float(bare.replace("\u2212", "-").replace(",", ""))
    except ValueError:
        return None


def _rows(spec: Mapping[str, Any], layer: Mapping[str, Any]) -> list[dict[str, Any]]:
    data = layer.get("data", spec.get("data"))
    return list(data["values"] if "values" in data else spec["datasets"][data["name"]])


def _pairs(
    layer: Mapping[str, Any], rows: Sequence[Mapping[str, Any]], marks: Sequence[Any], axes: Mapping[str, Axis]
) -> Iterator[tuple[str, float, float]]:
    """Channel, where the number is on the axis, and where the mark is."""
    kind, encoding = layer["mark"]["type"], layer["encoding"]
    if kind == "line":
        yield from _of_lines(encoding, rows, marks, axes)
        return
    if kind == "bar":
        yield from _of_bars(encoding, rows, marks, axes)
        return
    assert len(marks) == len(rows), f"{len(marks)} marks of {kind} for {len(rows)} rows"
    for row, (mark, (x, y)) in zip(rows, marks, strict=True):
        found = {"x": x, "y": y, "x2": x + float(mark.get("x2", 0)), "y2": y + float(mark.get("y2", 0))}
        if kind == "text":
            found["x"] -= _TEXT_OFFSET if layer["mark"].get("dx") else 0.0
        for channel in ("x", "y", "x2", "y2"):
            expected = _expected(encoding, channel, row, axes[channel[0]])
            offset = _TEXT_OFFSET if kind == "text" and channel == "y" else 0.0
            if expected is not None and kind != "rect":
                yield channel, expected + offset, found[channel]


def _expected(encoding: Mapping[str, Any], channel: str, row: Mapping[str, Any], axis: Axis) -> float | None:
    told = encoding.get(channel)
    if not told or "field" not in told or f"{channel}Offset" in encoding:
        return None
    if told.get("type") == "nominal":
        return axis.names[str(row[told["field"]])]
    return axis.at(row[told["field"]]) if len(axis.numbers) > 1 else None


def _of_lines(
    encoding: Mapping[str, Any], rows: Sequence[Mapping[str, Any]], marks: Sequence[Any], axes: Mapping[str, Axis]
) -> Iterator[tuple[str, float, float]]:
    parts: dict[Any, list[Mapping[str, Any]]] = {}
    for row in rows:
        parts.setdefault(row[encoding["detail"]["field"]], []).append(row)
    assert len(parts) == len(marks)
    x, y = encoding["x"]["field"], encoding["y"]["field"]
    for own, (mark, (left, top)) in zip(parts.values(), marks, strict=True):
        points = [(left + float(a), top + float(b)) for a, b in _POINT.findall(mark.attrib["d"])]
        expected = sorted((axes["x"].at(row[x]), axes["y"].at(row[y])) for row in own)
        assert len(points) == len(expected)
        for (across, up), (found_across, found_up) in zip(expected, sorted(points), strict=True):
            yield "x", across, found_across
            yield "y", up, found_up


def _of_bars(
    encoding: Mapping[str, Any], rows: Sequence[Mapping[str, Any]], marks: Sequence[Any], axes: Mapping[str, Axis]
) -> Iterator[tuple[str, float, float]]:
    """A bar reaches from where the ones before it in its row end to its own number."""
    x, y, reached = encoding["x"]["field"], encoding["y"]["field"], dict[str, float]()
    order = encoding.get("order", {}).get("field")
    ends = {}
    for row in sorted(rows, key=lambda one: one[order] if order else 0):
        start = reached.get(row[y], 0.0)
        reached[row[y]] = start + row[x] if order else 0.0
        ends[id(row)] = (axes["x"].at(start), axes["x"].at(start + row[x]))
    boxes = []
    for mark, (left, _) in marks:
        box = _BOX.match(mark.attrib["d"])
        assert box is not None
        boxes.append((left + float(box[1]), left + float(box[1]) + float(box[3])))
    assert len(boxes) == len(rows)
    for (start, end), (left, right) in zip(sorted(ends.values()), sorted(boxes), strict=True):
        yield "x", start, left
        yield "x2", end, right
