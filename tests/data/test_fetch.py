"""Downloads from a server that breaks off, refuses, lies and resumes, on this machine."""

import hashlib
import subprocess
import threading
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

import pytest

from kdscope.core.errors import DataError
from kdscope.core.files import sha256_of, write_atomically
from kdscope.data.fetch import Download, fetch_file, git_blob_of
from kdscope.data.rows import write_rows

CONTENT = b'[{"instruction": "a", "output": "b"}]\n' * 20_000
BLOB = hashlib.sha1(b"blob %d\0" % len(CONTENT) + CONTENT).hexdigest()
SHA256 = hashlib.sha256(CONTENT).hexdigest()
POINTER = b"version https://git-lfs.github.com/spec/v1\noid sha256:4d7a\nsize 12345\n"


class Server(ThreadingHTTPServer):
    """Answers each request as the next of `script` says, the last one again and again."""

    daemon_threads = True

    def __init__(self, script, content=CONTENT):
        super().__init__(("127.0.0.1", 0), Handler)
        self.script, self.content, self.ranges = list(script), content, []

    @property
    def url(self):
        return f"http://127.0.0.1:{self.server_port}/data.json"


class Handler(BaseHTTPRequestHandler):
    def do_GET(self):
        server = self.server
        server.ranges.append(self.headers.get("Range"))
        behaviour = server.script.pop(0) if len(server.script) > 1 else server.script[0]
        getattr(self, behaviour.split(" ")[0])(*behaviour.split(" ")[1:])

    def _send(self, status, body, headers=(), length=None):
        self.send_response(status)
        for name, value in (*headers, ("Content-Length", len(body) if length is None else length)):
            self.send_header(name, str(value))
        self.end_headers()
        self.wfile.write(body)

    def plain(self):
        self._send(200, self.server.content)

    def unsized(self):
        self.send_response(200)
        self.end_headers()
        self.wfile.write(self.server.content)

    def ranged(self, length=None):
        content, wanted = self.server.content, self.headers.get("Range")
        if wanted is None:
            return self._send(200, content[: length and int(length)], length=len(content))
        start = int(wanted.removeprefix("bytes=").removesuffix("-"))
        if start >= len(content):
            return self._send(416, b"", [("Content-Range", f"bytes */{len(content)}")])
        body = content[start:][: length and int(length)]
        place = f"bytes {start}-{len(content) - 1}/{len(content)}"
        return self._send(206, body, [("Content-Range", place)], len(content) - start)

    def status(self, code, *wait):
        self._send(int(code), b"no", [("Retry-After", seconds) for seconds in wait])

    def away(self, *url):
        self._send(302, b"", [("Location", url[0])])

    def reset(self):
        self.connection.close()

    def log_message(self, *_):
        pass


@contextmanager
def serving(*script, content=CONTENT):
    with Server(script, content) as server:
        thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.01})
        thread.start()
        try:
            yield server
        finally:
            server.shutdown()
            thread.join()


@pytest.fixture
def pauses():
    return []


@pytest.fixture
def fetch(tmp_path, pauses):
    def fetch_from(server, git_blob=BLOB, sha256=SHA256, **options):
        download = Download(server.url, tmp_path / "deep" / "data.json", git_blob, sha256)
        return fetch_file(download, sleep=pauses.append, **options)

    return fetch_from


def _files(tmp_path):
    return sorted(path.name for path in tmp_path.rglob("*") if path.is_file())


@pytest.mark.parametrize("way", ["plain", "unsized", "ranged"])
def test_a_file_is_brought_verified_and_not_brought_again(fetch, tmp_path, way):
    told = []
    with serving(way) as server:
        first = fetch(server, progress=lambda *numbers: told.append(numbers))
        second = fetch(server)
    assert (first.downloaded, second.downloaded, len(server.ranges)) == (True, False, 1)
    assert (tmp_path / "deep" / "data.json").read_bytes() == CONTENT
    assert (first.size, first.sha256) == (second.size, second.sha256) == (len(CONTENT), SHA256)
    assert told[-1] == (len(CONTENT), None if way == "unsized" else len(CONTENT))
    assert [here for here, _ in told] == sorted({here for here, _ in told})
    assert _files(tmp_path) == ["data.json"]


def test_a_broken_download_goes_on_where_it_broke_off(fetch, tmp_path, pauses):
    with serving("ranged 300000", "ranged 200000", "ranged") as server:
        fetch(server)
    assert server.ranges == [None, "bytes=300000-", "bytes=500000-"]
    assert pauses == [1.0, 2.0]
    assert (tmp_path / "deep" / "data.json").read_bytes() == CONTENT


def test_a_server_that_knows_no_ranges_sends_all_again(fetch, tmp_path):
    with serving("ranged 300000", "plain") as server:
        fetch(server)
    assert server.ranges == [None, "bytes=300000-"]
    assert (tmp_path / "deep" / "data.json").read_bytes() == CONTENT


def test_an_earlier_attempt_is_taken_up(fetch, tmp_path, pauses):
    (tmp_path / "deep").mkdir()
    (tmp_path / "deep" / "data.json.part").write_bytes(CONTENT[:1234])
    with serving("ranged") as server:
        fetch(server)
    assert (server.ranges, pauses) == (["bytes=1234-"], [])


def test_an_earlier_attempt_that_was_complete(fetch, tmp_path):
    (tmp_path / "deep").mkdir()
    (tmp_path / "deep" / "data.json.part").write_bytes(CONTENT)
    with serving("ranged") as server:
        fetch(server)
    assert (tmp_path / "deep" / "data.json").read_bytes() == CONTENT


@pytest.mark.parametrize("left", [b"something else", b"x" * (len(CONTENT) + 5)])
def test_an_earlier_attempt_at_something_else_is_discarded(fetch, tmp_path, left):
    (tmp_path / "deep").mkdir()
    (tmp_path / "deep" / "data.json.part").write_bytes(left)
    with serving("ranged") as server:
        fetch(server)
    assert server.ranges == [f"bytes={len(left)}-", None]
    assert (tmp_path / "deep" / "data.json").read_bytes() == CONTENT


def test_what_cannot_be_verified_is_not_resumed(fetch, tmp_path):
    (tmp_path / "deep").mkdir()
    (tmp_path / "deep" / "data.json.part").write_bytes(b"other")
    with serving("ranged") as server:
        fetch(server, None, None)
    assert server.ranges == [None]


@pytest.mark.parametrize(
    ("script", "expected"),
    [(["status 503", "status 500", "reset", "plain"], [1.0, 2.0, 4.0]), (["status 429 9", "plain"], [9.0])],
)
def test_passing_trouble_is_waited_out(fetch, pauses, script, expected):
    with serving(*script) as server:
        assert fetch(server).downloaded
    assert pauses == expected


def test_a_server_may_not_make_one_wait_for_ever(fetch, pauses):
    with serving("status 503 86400", "plain") as server:
        fetch(server)
    assert pauses == [60.0]


@pytest.mark.parametrize(
    ("behaviour", "words", "requests"),
    [
        ("status 404", "HTTP 404 Not Found (the server refuses)", 1),
        ("status 403", "HTTP 403 Forbidden", 1),
        ("status 503", "HTTP 503 Service Unavailable (after 4 attempts)", 4),
        ("ranged 1", "the connection broke off after 4 of 760000 bytes (after 4 attempts)", 4),
    ],
)
def test_what_cannot_be_had_is_explained(fetch, tmp_path, behaviour, words, requests):
    with serving(behaviour) as server, pytest.raises(DataError) as caught:
        fetch(server)
    message = str(caught.value)
    assert message.startswith(f"{tmp_path / 'deep' / 'data.json'}: {server.url} cannot be downloaded: {words}")
    assert "a file put here by hand is verified and used" in message
    assert len(server.ranges) == requests
    assert not (tmp_path / "deep" / "data.json").exists()


def test_no_network_names_address_and_cause(tmp_path, pauses):
    with serving("plain") as server:
        url = server.url
    with pytest.raises(DataError) as caught:
        fetch_file(Download(url, tmp_path / "data.json"), sleep=pauses.append)
    assert f"{url} cannot be downloaded: Connection refused (after 4 attempts)" in str(caught.value)


def test_a_silent_server_is_given_up(tmp_path, pauses):
    with ThreadingHTTPServer(("127.0.0.1", 0), Handler) as silent:
        url = f"http://127.0.0.1:{silent.server_port}/x"
        with pytest.raises(DataError, match="no answer in time"):
            fetch_file(Download(url, tmp_path / "data.json"), timeout_s=0.05, sleep=pauses.append)


@pytest.mark.parametrize(
    ("git_blob", "sha256", "words"),
    [
        ("0" * 40, None, f"its git blob id is {BLOB} instead of {'0' * 40}"),
        (None, "1" * 64, f"its SHA-256 is {SHA256} instead of {'1' * 64}"),
        (BLOB, "1" * 64, f"its SHA-256 is {SHA256} instead of {'1' * 64}"),
    ],
)
def test_other_content_is_refused_and_removed(fetch, tmp_path, git_blob, sha256, words):
    with serving("plain") as server, pytest.raises(DataError) as caught:
        fetch(server, git_blob, sha256)
    assert words in str(caught.value)
    assert "has been removed" in str(caught.value)
    assert _files(tmp_path) == []


@pytest.mark.parametrize(
    ("content", "words"),
    [
        (POINTER, "this is a git-LFS pointer to 12345 bytes (sha256:4d7a)"),
        (b"<!DOCTYPE html>\n<html>Sign in</html>", "this is a web page, not data"),
        (b"", "the file is empty"),
    ],
)
def test_what_is_no_data_is_refused_even_with_the_right_id(fetch, tmp_path, content, words):
    blob = hashlib.sha1(b"blob %d\0" % len(content) + content).hexdigest()
    with serving("plain", content=content) as server, pytest.raises(DataError, match="has been removed") as caught:
        fetch(server, blob, None)
    assert words in str(caught.value)
    assert _files(tmp_path) == []


def test_a_file_that_is_there_with_other_content_stays(fetch, tmp_path):
    target = tmp_path / "deep" / "data.json"
    target.parent.mkdir()
    target.write_bytes(b"mine")
    with serving("plain") as server, pytest.raises(DataError) as caught:
        fetch(server)
    assert f"the file exists, but its git blob id is {git_blob_of(target)} instead of {BLOB}" in str(caught.value)
    assert (target.read_bytes(), server.ranges) == (b"mine", [])


@pytest.mark.parametrize("way", ["plain", "unsized"])
def test_too_much_is_refused(fetch, tmp_path, way):
    with serving(way) as server, pytest.raises(DataError, match=r"at most 1000 are accepted"):
        fetch(server, max_bytes=1000)
    assert _files(tmp_path) == []


@pytest.mark.parametrize("url", ["http://example.org/x", "ftp://127.0.0.1/x", "file:///etc/passwd", "data:,x", "x"])
def test_only_safe_addresses(tmp_path, url):
    with pytest.raises(DataError, match="only https addresses"):
        fetch_file(Download(url, tmp_path / "x"))


def test_a_redirect_is_followed_but_not_out_of_safety(fetch):
    with serving("plain") as there:
        with serving(f"away {there.url}") as here:
            assert fetch(here).downloaded
        with (
            serving("away http://example.org/x") as here,
            pytest.raises(DataError, match=r"org/x: only https"),
        ):
            fetch_file(Download(here.url, fetch(there).target.with_name("other")))


def test_a_disk_that_refuses(tmp_path):
    (tmp_path / "file").write_text("in the way")
    with serving("plain") as server, pytest.raises(DataError, match="cannot be written"):
        fetch_file(Download(server.url, tmp_path / "file" / "data.json"))


@pytest.mark.parametrize("content", [b"", b"a", CONTENT])
def test_ids_are_those_of_git_and_sha256sum(tmp_path, content):
    file = tmp_path / "x"
    file.write_bytes(content)
    assert sha256_of(file) == hashlib.sha256(content).hexdigest()
    try:
        run = subprocess.run(["git", "hash-object", file], capture_output=True, text=True, check=True)
    except FileNotFoundError:
        assert git_blob_of(file) == hashlib.sha1(b"blob %d\0" % len(content) + content).hexdigest()
    else:
        assert git_blob_of(file) == run.stdout.strip()


def test_published_files_have_their_published_ids(shared_data):
    lines = (shared_data / "source_blobs.tsv").read_text().splitlines()[1:]
    ids = {path: blob for repository, _, path, blob in (line.split("\t") for line in lines) if "LLM-Ad" in repository}
    verified = 0
    for path, blob in ids.items():
        file = shared_data / path.replace("dataset/", "tasks/")
        if file.is_file() and "hellaswag" not in path:
            verified += git_blob_of(file) == blob
    assert verified >= 15


def test_a_file_is_written_whole_or_not_at_all(tmp_path):
    file = tmp_path / "deep" / "file.txt"
    write_atomically(file, "one")
    write_atomically(file, "two\n")
    assert (file.read_bytes(), _files(tmp_path)) == (b"two\n", ["file.txt"])
    with pytest.raises(UnicodeEncodeError):
        write_atomically(file, "\ud83d")
    assert (file.read_bytes(), _files(tmp_path)) == (b"two\n", ["file.txt"])


def test_rows_are_written_once_and_never_over_others(tmp_path):
    file = tmp_path / "rows.json"
    digest = write_rows(file, [{"instruction": "ünï", "output": ["a", "b"]}])
    assert digest == sha256_of(file)
    assert write_rows(file, [{"instruction": "ünï", "output": ["a", "b"]}], digest) == digest
    with pytest.raises(DataError, match="exists with other content"):
        write_rows(file, [{"instruction": "other"}])
    with pytest.raises(DataError, match=r"the rows' SHA-256 is .* instead of 00"):
        write_rows(tmp_path / "new.json", [{"instruction": "other"}], "00")
    assert _files(tmp_path) == ["rows.json"]


@pytest.mark.parametrize("rows", [[], [{"x": float("nan")}], [{"x": {1}}], [{"x": "\ud83d"}]])
def test_rows_that_cannot_be_written(tmp_path, rows):
    with pytest.raises(DataError, match=r"no rows|cannot be written as JSON"):
        write_rows(tmp_path / "rows.json", rows)
    assert _files(tmp_path) == []
