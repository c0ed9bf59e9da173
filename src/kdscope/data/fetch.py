"""Download one file: resumed where it broke off, verified before it gets its name, and never downloaded twice."""

from __future__ import annotations

import hashlib
import time
import urllib.error
import urllib.request
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from http.client import HTTPException, HTTPMessage, HTTPResponse
from pathlib import Path
from typing import IO
from urllib.parse import urlsplit

from kdscope.core.errors import DataError
from kdscope.core.files import replace_file, sha256_of, sync
from kdscope.data.rows import foreign_content, writing

MAX_BYTES = 2 * 10**9
"""No data file is larger; a download that is stops."""
_CHUNK = 1 << 18
_TIMEOUT_S = 30.0
_PAUSES_S = (1.0, 2.0, 4.0)
_LONGEST_PAUSE_S = 60.0
_TRANSIENT_STATUS = frozenset({408, 425, 429, 500, 502, 503, 504})
_LOOPBACK = frozenset({"127.0.0.1", "::1", "localhost"})

Progress = Callable[[int, int | None], None]
"""Called with the bytes that are here so far, and the size of the file where the server told it."""


@dataclass(frozen=True, slots=True)
class Download:
    r"""What to download, and how to know it.

    Attributes:
        url: An https address; http is accepted for this very machine only.
        target: The file it becomes.
        git_blob: Its git blob id (SHA-1 of ``blob SIZE\0`` and the content), where known.
        sha256: SHA-256 of the content, where known.
    """

    url: str
    target: Path
    git_blob: str | None = None
    sha256: str | None = None

    @property
    def part(self) -> Path:
        """Where the content gathers until it is complete and verified."""
        return self.target.with_name(self.target.name + ".part")


@dataclass(frozen=True, slots=True)
class Fetched:
    """A file that is there and verified.

    Attributes:
        target: The file.
        size: In bytes.
        sha256: SHA-256 of its content.
        downloaded: False where it was there already.
    """

    target: Path
    size: int
    sha256: str
    downloaded: bool


class _TransientError(Exception):
    """Something that may work a moment later."""

    def __init__(self, cause: str, pause_s: float | None = None) -> None:
        super().__init__(cause)
        self.pause_s = pause_s


def fetch_file(
    download: Download,
    progress: Progress | None = None,
    *,
    max_bytes: int = MAX_BYTES,
    timeout_s: float = _TIMEOUT_S,
    sleep: Callable[[float], None] = time.sleep,
) -> Fetched:
    """Bring a file, unless it is there already.

    The content gathers in ``TARGET.part``. What an earlier attempt left there is kept if the content can be verified
    by an id. Transient failures are tried again after growing pauses.

    Args:
        download: What to bring, and the ids it must have.
        progress: Told how far it is.
        max_bytes: More than this is refused.
        timeout_s: How long the server may be silent.
        sleep: Waits between attempts.

    Raises:
        DataError: The address cannot be reached, what comes is not what was asked for (it is removed), the file
            exists with other content, or it cannot be written.
    """
    _check_address(download.url)
    if download.target.exists():
        return _present(download)
    with writing(download.target):
        download.target.parent.mkdir(parents=True, exist_ok=True)
        if not (download.git_blob or download.sha256):
            download.part.unlink(missing_ok=True)
    kept = download.part.exists()
    problem = _fill(download, progress, max_bytes, timeout_s, sleep)
    if problem is not None and kept:
        # What an earlier attempt left may be of something else: once more, from the beginning.
        download.part.unlink()
        problem = _fill(download, progress, max_bytes, timeout_s, sleep)
    if problem is not None:
        download.part.unlink()
        raise DataError(f"{download.url}: {problem}; what was downloaded has been removed", file=download.target)
    fetched = Fetched(download.target, download.part.stat().st_size, sha256_of(download.part), downloaded=True)
    with writing(download.target):
        sync(download.part)
        replace_file(download.part, download.target)
    return fetched


def git_blob_of(path: Path) -> str:
    r"""The id git gives a file's content: SHA-1 of ``blob SIZE\0`` and the content."""
    start = hashlib.sha1(b"blob %d\0" % path.stat().st_size, usedforsecurity=False)
    with path.open("rb") as file:
        return hashlib.file_digest(file, lambda: start).hexdigest()


def _present(download: Download) -> Fetched:
    target = download.target
    if not target.is_file():
        raise DataError("this is a folder, where a file is to be put", file=target)
    if (problem := _problem(download, target)) is not None:
        raise DataError(f"the file exists, but {problem}; move it away to have it downloaded anew", file=target)
    return Fetched(target, target.stat().st_size, sha256_of(target), downloaded=False)


def _problem(download: Download, path: Path) -> str | None:
    """What is wrong with a file, if anything.

    A git-LFS pointer comes first: it is what git itself holds, so it has the blob id one knows.
    """
    if path.stat().st_size == 0:
        return "the file is empty"
    with path.open("rb") as file:
        reason = foreign_content(file.read(1000).decode("utf-8", "replace"))
    if reason is not None:
        return reason
    checks = (("git blob id", download.git_blob, git_blob_of), ("SHA-256", download.sha256, sha256_of))
    for name, wanted, compute in checks:
        if wanted is not None and (found := compute(path)) != wanted.lower():
            return f"its {name} is {found} instead of {wanted}"
    return None


def _fill(
    download: Download, progress: Progress | None, max_bytes: int, timeout_s: float, sleep: Callable[[float], None]
) -> str | None:
    """Fill the part file, trying again where that may help, and say what is wrong with its content."""
    for pause_s in (*_PAUSES_S, None):
        try:
            _attempt(download, progress, max_bytes, timeout_s)
            break
        except _TransientError as error:
            if pause_s is None:
                raise _unreachable(download, str(error), f"after {len(_PAUSES_S) + 1} attempts") from None
            sleep(min(max(pause_s, error.pause_s or 0.0), _LONGEST_PAUSE_S))
    return _problem(download, download.part)


def _attempt(download: Download, progress: Progress | None, max_bytes: int, timeout_s: float) -> None:
    with writing(download.target):
        start = download.part.stat().st_size if download.part.exists() else 0
    request = urllib.request.Request(download.url, headers=_headers(start))  # noqa: S310 (the scheme is checked)
    try:
        with _opener(download.url).open(request, timeout=timeout_s) as response:
            _receive(response, download, start, progress, max_bytes)
    except urllib.error.HTTPError as error:
        with error:
            _refused(download, error, start)
    except urllib.error.URLError as error:
        if "CERTIFICATE" in str(error.reason).upper():
            raise _unreachable(download, str(error.reason), "the server's certificate is not trusted") from None
        raise _TransientError(_cause(error.reason)) from None
    except (HTTPException, OSError) as error:
        raise _TransientError(_cause(error)) from None


def _headers(start: int) -> dict[str, str]:
    headers = {"User-Agent": "kdscope", "Accept-Encoding": "identity"}
    return headers | ({"Range": f"bytes={start}-"} if start else {})


def _refused(download: Download, error: urllib.error.HTTPError, start: int) -> None:
    """Deal with an answer that says no; returning means that what is here already is all there is."""
    if error.code == 416 and start:
        if error.headers.get("Content-Range") == f"bytes */{start}":
            return
        download.part.unlink()
        raise _TransientError("the server has fewer bytes than were kept of an earlier attempt")
    cause = f"HTTP {error.code} {error.reason}"
    if error.code in _TRANSIENT_STATUS:
        wait = error.headers.get("Retry-After", "")
        raise _TransientError(cause, float(wait) if wait.isdecimal() else None)
    raise _unreachable(download, cause, "the server refuses")


def _receive(response: HTTPResponse, download: Download, start: int, progress: Progress | None, max_bytes: int) -> None:
    content_range = response.headers.get("Content-Range", "")
    resumes = response.status == 206 and content_range.startswith(f"bytes {start}-")
    received = start if resumes else 0
    length = response.headers.get("Content-Length", "")
    total = received + int(length) if length.isdecimal() else None
    with _part_file(download, append=resumes) as file:
        while chunk := _within(received, total, max_bytes, download) and response.read(_CHUNK):
            with writing(download.target):
                file.write(chunk)
            received += len(chunk)
            if progress is not None:
                progress(received, total)
    if total is not None and received < total:
        raise _TransientError(f"the connection broke off after {received} of {total} bytes")


@contextmanager
def _part_file(download: Download, *, append: bool) -> Iterator[IO[bytes]]:
    with writing(download.target):
        file = download.part.open("ab" if append else "wb")
    try:
        yield file
    finally:
        with writing(download.target):
            file.close()


def _within(received: int, total: int | None, max_bytes: int, download: Download) -> bool:
    if max(received, total or 0) > max_bytes:
        download.part.unlink(missing_ok=True)
        size = f"{total} bytes" if total else f"more than {max_bytes} bytes"
        raise DataError(f"{download.url} has {size}, and at most {max_bytes} are accepted", file=download.target)
    return True


def _unreachable(download: Download, cause: str, circumstance: str) -> DataError:
    message = f"{download.url} cannot be downloaded: {cause} ({circumstance})"
    return DataError(f"{message}; a file put here by hand is verified and used", file=download.target)


def _cause(reason: object) -> str:
    if isinstance(reason, TimeoutError):
        return "no answer in time"
    return (isinstance(reason, OSError) and reason.strerror) or str(reason) or type(reason).__name__


def _check_address(url: str) -> None:
    parts = urlsplit(url)
    if parts.scheme != "https" and not (parts.scheme == "http" and parts.hostname in _LOOPBACK):
        raise DataError(f"{url}: only https addresses are downloaded")


class _CheckedRedirects(urllib.request.HTTPRedirectHandler):
    """Follows a redirect only to where a download may go in the first place."""

    def redirect_request(
        self, req: urllib.request.Request, fp: IO[bytes], code: int, msg: str, headers: HTTPMessage, newurl: str
    ) -> urllib.request.Request | None:
        """The request that follows, if its address is one to download from."""
        _check_address(newurl)
        return super().redirect_request(req, fp, code, msg, headers, newurl)


def _opener(url: str) -> urllib.request.OpenerDirector:
    # A proxy is for reaching others; this machine is reached directly.
    direct = [urllib.request.ProxyHandler({})] if urlsplit(url).hostname in _LOOPBACK else []
    return urllib.request.build_opener(_CheckedRedirects, *direct)
