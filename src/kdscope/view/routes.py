"""Requests and responses of the trace browser, without a socket."""

from __future__ import annotations

import sys
import traceback
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from urllib.parse import urlsplit

from kdscope.core.errors import KdscopeError
from kdscope.view.index import RunIndex
from kdscope.view.page import Pages
from kdscope.view.state import read_state

SECURITY_HEADERS: Mapping[str, str] = {
    "Content-Security-Policy": (
        "default-src 'none'; script-src 'self'; style-src 'self'; img-src 'self'; form-action 'self'; "
        "base-uri 'none'; frame-ancestors 'none'"
    ),
    "Cache-Control": "no-store",
    "X-Content-Type-Options": "nosniff",
    "Referrer-Policy": "no-referrer",
    "Cross-Origin-Opener-Policy": "same-origin",
    "Cross-Origin-Resource-Policy": "same-origin",
    "X-Frame-Options": "DENY",
}
"""With every response: a page loads nothing but our own two files, and no other site can read or frame it."""

_HOSTS = ("127.0.0.1", "localhost")
_FILES = {
    "/view.css": ("view.css", "text/css; charset=utf-8"),
    "/view.js": ("view.js", "text/javascript; charset=utf-8"),
    "/icon.svg": ("icon.svg", "image/svg+xml"),
}
_HTML = "text/html; charset=utf-8"


@dataclass(frozen=True)
class Response:
    """Status, headers and body."""

    status: int
    body: bytes
    headers: Mapping[str, str] = field(default_factory=dict)


class Viewer:
    """Answers requests about one run. Nothing is ever written."""

    def __init__(self, folder: Path) -> None:
        """Open the run.

        Raises:
            DataError: The folder is not that of a run that can be shown.
        """
        self._pages = Pages(RunIndex(folder))

    def respond(self, method: str, target: str, host: str | None) -> Response:
        """The response to a request.

        Args:
            method: GET, or HEAD, whose body the server leaves out; all others are refused.
            target: Path and query.
            host: The request's Host header. Any name but this machine's own is refused: another site may have its
                name resolve to this machine, and would read the pages as its own.
        """
        if _host_name(host) not in _HOSTS:
            return self._told(403, "Not here", "This page is shown on localhost only.")
        if method not in ("GET", "HEAD"):
            return self._told(405, "Only reading", "Pages can be read, and nothing else.", Allow="GET, HEAD")
        path, _, query = target.partition("?")
        if path in _FILES:
            name, kind = _FILES[path]
            return _response(200, self._pages.file(name), kind)
        if path != "/":
            return self._told(404, "No such page", "There is one page, at /.")
        return self._page(query)

    def refuse(self, status: int, message: str) -> Response:
        """The response to what is not even a request."""
        return self._told(status, "Not understood", message)

    def _page(self, query: str) -> Response:
        try:
            state, notes = read_state(query)
            return _response(200, self._pages.page(state, notes), _HTML)
        except KdscopeError as error:
            return self._told(404, "This cannot be shown", str(error))
        except Exception as error:  # one page that fails must not take the others with it
            traceback.print_exc(file=sys.stderr)
            return self._told(500, "This page failed", f"{type(error).__name__}: {error}")

    def _told(self, status: int, title: str, message: str, **headers: str) -> Response:
        return _response(status, self._pages.problem(title, message), _HTML, **headers)


def _response(status: int, text: str, kind: str, **headers: str) -> Response:
    # What is no text at all, a lone surrogate, was made visible before; nothing may stop the page here.
    body = text.encode("utf-8", "replace")
    return Response(
        status, body, {"Content-Type": kind, "Content-Length": str(len(body)), **SECURITY_HEADERS, **headers}
    )


def _host_name(host: str | None) -> str | None:
    try:
        return urlsplit(f"//{host}").hostname if host else None
    except ValueError:
        return None
