"""Jinja environment of the report's templates, shared by page, cards and index: undefined names are errors."""

from __future__ import annotations

from jinja2 import Environment, PackageLoader, StrictUndefined


def templates(*, escape: bool = True) -> Environment:
    """The environment that templates are rendered in.

    Args:
        escape: Whether values become HTML text; a Markdown template escapes each of its values by a filter instead.
    """
    return Environment(
        loader=PackageLoader("kdscope.report"),
        autoescape=escape,  # noqa: S701 - off for Markdown only
        undefined=StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
    )
