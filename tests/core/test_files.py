"""What is said of a path that is no file."""

from __future__ import annotations

import os
from pathlib import Path

from kdscope.core.files import path_trouble, why_no_file


def test_a_path_that_the_system_refuses_and_one_where_nothing_is(tmp_path: Path) -> None:
    (tmp_path / "loop").symlink_to("loop")
    assert path_trouble(tmp_path / ("a" * 5000)) == "cannot be read: File name too long"
    assert path_trouble(tmp_path / "loop") == "cannot be read: Too many levels of symbolic links"
    assert path_trouble(tmp_path / "a\0b") == "cannot be read: it holds the character U+0000"
    assert path_trouble(tmp_path) is None
    assert path_trouble(tmp_path / "gone" / "below") is None


def test_why_a_path_is_no_file(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    os.mkfifo(tmp_path / "pipe")
    found = {name: why_no_file(tmp_path / name) for name in ("file", "gone", "pipe", "")}
    assert found == {
        "file": None,
        "gone": "no such file",
        "pipe": "this is a device or a pipe, not a file",
        "": "this is a folder, not a file",
    }
    assert why_no_file(Path("/dev/zero")) == "this is a device or a pipe, not a file"
