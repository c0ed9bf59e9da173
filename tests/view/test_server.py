"""The real server, over loopback."""

from __future__ import annotations

import socket
import threading
import time
from collections.abc import Iterator
from http.client import HTTPConnection
from pathlib import Path

import pytest

from kdscope.core.errors import DataError, MachineError
from kdscope.view import server as room
from kdscope.view.server import SECURITY_HEADERS, ViewServer, make_server
from tests.view.runs import school


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return school(tmp_path_factory.mktemp("server") / "run", items=60)


@pytest.fixture
def server(folder: Path) -> Iterator[ViewServer]:
    made = make_server(folder, 0)
    thread = threading.Thread(target=made.serve_forever, args=(0.01,))
    thread.start()
    yield made
    made.shutdown()
    thread.join()
    made.server_close()


def test_it_is_there_for_this_machine_only(server: ViewServer) -> None:
    assert server.server_address[0] == "127.0.0.1"
    assert server.url == f"http://127.0.0.1:{server.server_port}/"


def test_pages_over_one_connection(server: ViewServer) -> None:
    connection = HTTPConnection("127.0.0.1", server.server_port, timeout=20)
    for _ in range(3):
        connection.request("GET", "/?task=sums")
        response = connection.getresponse()
        body = response.read()
        assert (response.status, response.getheader("Content-Type")) == (200, "text/html; charset=utf-8")
        assert b"Question 0 about pens?" in body
        assert not response.will_close
        assert {name: response.getheader(name) for name in SECURITY_HEADERS} == dict(SECURITY_HEADERS)
    connection.request("HEAD", "/?task=sums")
    response = connection.getresponse()
    assert int(response.getheader("Content-Length") or 0) == len(body)
    assert response.read() == b""
    connection.close()


def _raw(server: ViewServer, request: bytes) -> bytes:
    with socket.create_connection(("127.0.0.1", server.server_port), timeout=20) as connection:
        connection.sendall(request)
        connection.shutdown(socket.SHUT_WR)
        answer = b""
        while part := connection.recv(65536):
            answer += part
    return answer


@pytest.mark.parametrize(
    ("request_", "status"),
    [
        (b"POST / HTTP/1.1\r\nHost: localhost\r\nContent-Length: 3\r\n\r\nabc", b"405"),
        (b"BREW / HTTP/1.1\r\nHost: localhost\r\n\r\n", b"501"),
        (b"GET / HTTP/1.1\r\nHost: evil.example\r\n\r\n", b"403"),
        (b"GET / HTTP/1.1\r\n\r\n", b"403"),
        (b"nonsense\r\n\r\n", b"400"),
        (b"GET /" + b"a" * 70_000 + b" HTTP/1.1\r\nHost: localhost\r\n\r\n", b"414"),
        (b"GET /../../etc/passwd HTTP/1.1\r\nHost: localhost\r\n\r\n", b"404"),
        (b"GET http://evil.example/ HTTP/1.1\r\nHost: localhost\r\n\r\n", b"404"),
    ],
)
def test_what_is_refused_is_as_locked_down(server: ViewServer, request_: bytes, status: bytes) -> None:
    answer = _raw(server, request_)
    assert b" %s " % status in answer.split(b"\r\n")[0]
    assert b"Content-Security-Policy: default-src 'none'" in answer
    assert b"Question" not in answer
    assert b"root:" not in answer


def test_a_browser_that_leaves_is_no_error(server: ViewServer, capsys: pytest.CaptureFixture[str]) -> None:
    for _ in range(3):
        connection = socket.create_connection(("127.0.0.1", server.server_port))
        connection.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, b"\x01\x00\x00\x00\x00\x00\x00\x00")
        connection.sendall(b"GET / HTTP/1.1\r\nHost: localhost\r\n\r\n" * 50)
        connection.close()
    assert b" 200 " in _raw(server, b"GET / HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n\r\n")
    assert "Traceback" not in capsys.readouterr().err


def test_many_at_once(server: ViewServer) -> None:
    answers: list[bytes] = []
    request = b"GET /?task=sums&q=item+%d HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n\r\n"
    threads = [threading.Thread(target=lambda n=n: answers.append(_raw(server, request % n))) for n in range(12)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert [b" 200 " in answer.split(b"\r\n")[0] for answer in answers] == [True] * 12


def test_half_open_connections_are_bounded_and_do_not_shut_others_out(
    folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(room, "MOST_CONNECTIONS", 4)
    monkeypatch.setattr(room._Handler, "timeout", 1.0)
    with make_server(folder, 0) as server:
        threading.Thread(target=server.serve_forever, daemon=True).start()
        before = threading.active_count()
        silent = [socket.create_connection((room.ADDRESS, server.server_port)) for _ in range(20)]
        time.sleep(0.5)
        assert threading.active_count() - before <= 4
        time.sleep(2.5)  # those that said nothing are gone by now
        assert b" 200 " in _raw(server, b"GET / HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n\r\n")
        for connection in silent:
            connection.close()
        server.shutdown()


def test_nothing_is_written(folder: Path, server: ViewServer) -> None:
    def looked() -> dict[Path, tuple[int, bytes]]:
        files = [path for path in folder.parent.rglob("*") if path.is_file()]
        return {path: (path.stat().st_mtime_ns, path.read_bytes()) for path in files}

    before = looked()
    for target in (b"/?task=sums&q=pens&whole=1", b"/?task=letters", b"/view.js"):
        _raw(server, b"GET %s HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n\r\n" % target)
    assert looked() == before


def test_a_taken_port_is_told_and_the_usual_one_gives_way(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    with make_server(folder, 0) as first:
        with pytest.raises(MachineError, match=rf"port {first.server_port} is taken"):
            make_server(folder, first.server_port)
        monkeypatch.setattr(room, "USUAL_PORT", first.server_port)
        with make_server(folder) as second:
            assert second.server_port not in (0, first.server_port)
    with make_server(folder) as third:
        assert third.server_port == first.server_port
    with pytest.raises(MachineError, match="there is no port 70000"):
        make_server(folder, 70_000)


def test_no_run_no_server(tmp_path: Path) -> None:
    with pytest.raises(DataError, match="there is no such folder"):
        make_server(tmp_path / "absent")
