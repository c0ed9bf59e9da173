"""The trace browser's local server: a request becomes a response, on this machine only."""

from __future__ import annotations

import errno
import sys
import threading
import traceback
import webbrowser
from collections.abc import Callable, Mapping
from contextlib import suppress
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

from kdscope.core.errors import KdscopeError, MachineError
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


ADDRESS = "127.0.0.1"
USUAL_PORT = 8471
MOST_CONNECTIONS = 32
"""Served at once, each by a thread; a browser opens six."""
_IN_USE = (errno.EADDRINUSE, errno.EACCES)


class ViewServer(ThreadingHTTPServer):
    """Serves one run."""

    daemon_threads = True
    block_on_close = False

    def __init__(self, viewer: Viewer, port: int) -> None:
        self.viewer = viewer
        self._free = threading.BoundedSemaphore(MOST_CONNECTIONS)
        super().__init__((ADDRESS, port), _Handler)

    @property
    def url(self) -> str:
        """Where the pages are."""
        return f"http://{ADDRESS}:{self.server_port}/"

    def process_request(self, request: Any, client_address: Any) -> None:
        """Serve a connection in a thread of its own; one too many is closed, as those that say nothing soon are."""
        if not self._free.acquire(timeout=0.1):
            self.shutdown_request(request)
            return
        try:
            super().process_request(request, client_address)
        except BaseException:  # no thread could be started, which would have made room
            self._free.release()
            raise

    def process_request_thread(self, request: Any, client_address: Any) -> None:
        """What the thread does, which then makes room for another."""
        try:
            super().process_request_thread(request, client_address)
        finally:
            self._free.release()

    def handle_error(self, request: Any, client_address: Any) -> None:
        """A browser that goes away early is no error."""
        if not isinstance(sys.exception(), (ConnectionError, TimeoutError)):
            super().handle_error(request, client_address)


def view_run(
    run: Path, port: int | None = None, open_browser: bool = True, *, say: Callable[[str], None] = print
) -> None:
    """Show what the models of a run wrote, until Ctrl-C. Nothing is written, and only this machine can look.

    Args:
        run: The folder of a run, runs/NAME.
        port: Which port; None for 8471, or a free one where that is taken.
        open_browser: Open the page in the browser.
        say: Told the page's address.

    Raises:
        DataError: The folder is not that of a run that can be shown, or its records are damaged.
        MachineError: The port is taken.
    """
    server = make_server(Path(run), port)
    with server, suppress(KeyboardInterrupt):
        say(f"{server.url}  (Ctrl-C ends it)")
        if open_browser:
            webbrowser.open(server.url)
        server.serve_forever()


def make_server(folder: Path, port: int | None = None) -> ViewServer:
    """A server for a run; `serve_forever` starts it.

    Args:
        folder: The folder of the run.
        port: Which port; None for the usual one, or a free one where that is taken.

    Raises:
        DataError: The run cannot be shown.
        MachineError: The port is taken.
    """
    viewer = Viewer(folder)
    if port is not None:
        return _server(viewer, port)
    try:
        return _server(viewer, USUAL_PORT)
    except MachineError:
        return _server(viewer, 0)


def _server(viewer: Viewer, port: int) -> ViewServer:
    try:
        return ViewServer(viewer, port)
    except OSError as error:
        if error.errno not in _IN_USE:
            raise MachineError(f"cannot listen on {ADDRESS}:{port}: {error.strerror or error}") from error
        raise MachineError(
            f"port {port} is taken or not allowed ({error.strerror}); give another with --port, or none for a free one"
        ) from error
    except OverflowError as error:
        raise MachineError(f"there is no port {port}: ports are 0 to 65535") from error


class _Handler(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"
    default_request_version = "HTTP/1.0"  # no answer without headers
    server_version = "kdscope"
    sys_version = ""
    timeout = 15  # seconds without a byte until a connection is closed
    wbufsize = -1  # headers and body in one packet
    server: ViewServer

    def do_GET(self) -> None:
        self._send(self.server.viewer.respond(self.command, self.path, self.headers.get("Host")))

    do_HEAD = do_POST = do_PUT = do_DELETE = do_PATCH = do_OPTIONS = do_GET  # noqa: N815

    def send_error(self, code: int, message: str | None = None, explain: str | None = None) -> None:
        """What http.server itself refuses looks like every other page."""
        self.close_connection = True
        self._send(self.server.viewer.refuse(code, message or "This request cannot be understood."))

    def log_message(self, format: str, *arguments: Any) -> None:  # noqa: A002 - the name that http.server has
        """Nobody needs a line for every request."""

    def _send(self, response: Response) -> None:
        if self.command not in ("GET", "HEAD"):
            self.close_connection = True  # whatever follows the headers is not read
        self.send_response(response.status)
        for name, value in response.headers.items():
            self.send_header(name, value)
        if self.close_connection:
            self.send_header("Connection", "close")
        self.end_headers()
        if self.command != "HEAD":
            self.wfile.write(response.body)
