"""One process that draws for all tests of a run, and the functions that need it as tests call them."""

from __future__ import annotations

import atexit
from functools import cache
from typing import Any

from kdscope.figures import drawing, svg
from kdscope.figures.renderer import Renderer


@cache
def shared_renderer() -> Renderer:
    renderer = Renderer()
    atexit.register(renderer.close)
    return renderer


def render_svg(chart: Any, prefix: str, description: str) -> str:
    return svg.render_svg(chart, prefix, description, shared_renderer())


def to_pdf(drawn: str) -> bytes:
    return drawing.to_pdf(drawn, shared_renderer())


def pdf_file(whole: str, stem: str) -> drawing.FileLink:
    return drawing.pdf_file(whole, stem, shared_renderer())
