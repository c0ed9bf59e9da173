"""Jinja environment of the report's templates, shared by page, cards and index: undefined names are errors."""

from __future__ import annotations

from typing import Any

from jinja2 import Environment, PackageLoader, StrictUndefined

from kdscope.core.characters import plain


def templates(*, escape: bool = True) -> Environment:
    """The environment that templates are rendered in.

    Args:
        escape: Whether values become HTML text; a Markdown template escapes each of its values by a filter instead.
    """
    return Environment(
        loader=PackageLoader("kdscope.report"),
        autoescape=escape,  # noqa: S701 - off for Markdown only
        undefined=StrictUndefined,
        finalize=_shown if escape else None,
        trim_blocks=True,
        lstrip_blocks=True,
    )


def _shown(value: Any) -> Any:
    """What a template is given, its hidden characters shown; markup is our own, of texts that were shown before."""
    return plain(value) if type(value) is str else value
