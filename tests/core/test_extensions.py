"""A user's files: run where they are named, once for each content, and taken out again."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from kdscope.core.errors import StudyError
from kdscope.core.extensions import add_entry, load_extensions, load_planned, loaded_extensions, origin, origins
from kdscope.results.methods import METHODS

METHOD = """
from kdscope.extend import register_method
register_method({name!r}, divergence="forward_kl", label={label!r})
"""


@pytest.fixture(autouse=True)
def unloaded() -> Iterator[None]:
    yield
    load_extensions([])


def write(folder: Path, name: str = "mine", label: str = "mine", file: str = "mine.py") -> Path:
    path = folder / file
    path.write_text(METHOD.format(name=name, label=label), encoding="utf-8")
    return path


def test_loading_adds_a_method_and_unloading_removes_it(tmp_path: Path) -> None:
    (extension,) = load_extensions([write(tmp_path)])
    assert METHODS["mine"].sentence == "mine"
    assert origin("method", "mine") == extension.sha256
    assert origins(("method", "mine"), ("method", "sft"), ("divergence", "forward_kl")) == [extension.sha256]
    assert loaded_extensions() == {str(tmp_path / "mine.py"): extension.sha256}
    load_extensions([])
    assert "mine" not in METHODS
    assert origin("method", "mine") is None


def test_a_file_runs_once_for_each_content(tmp_path: Path) -> None:
    path = write(tmp_path)
    load_extensions([path])
    first = METHODS["mine"]
    load_extensions([path])
    assert METHODS["mine"] is first
    write(tmp_path, label="renamed")
    load_extensions([path])
    assert METHODS["mine"].sentence == "renamed"


def test_only_what_is_named_is_loaded(tmp_path: Path) -> None:
    first, second = write(tmp_path), write(tmp_path, "other", file="other.py")
    load_extensions([first, second])
    load_extensions([second])
    assert ("mine" in METHODS, "other" in METHODS) == (False, True)


@pytest.mark.parametrize("name", ["forward_kl", "sft", "base"])
def test_the_name_of_a_built_in_method_is_taken(tmp_path: Path, name: str) -> None:
    path = write(tmp_path, name)
    with pytest.raises(StudyError, match=f"mine.py:3: fails with ValueError: there is already a method named '{name}'"):
        load_extensions([path])


def test_two_files_that_register_one_name_are_refused_and_leave_nothing(tmp_path: Path) -> None:
    first, second = write(tmp_path), write(tmp_path, file="second.py")
    with pytest.raises(StudyError, match=r"second\.py:3: .* already a method named 'mine'"):
        load_extensions([first, second])
    assert list(loaded_extensions()) == [str(first)]


@pytest.mark.parametrize(
    ("code", "message"),
    [
        ("x = 1\n1 / 0\n", "mine.py:2: fails with ZeroDivisionError: division by zero"),
        ("import sys\n\nsys.exit('no')\n", "mine.py:3: fails with SystemExit: no"),
        ("x = (\n", "mine.py:1: not valid Python"),
        ("def f():\n    raise KeyError('k')\n\nf()\n", "mine.py:2: fails with KeyError"),
        ("import a_module_that_is_not_there\n", "mine.py:1: fails with ModuleNotFoundError"),
    ],
)
def test_a_file_that_fails_is_an_error_with_its_line(tmp_path: Path, code: str, message: str) -> None:
    path = tmp_path / "mine.py"
    path.write_text(code, encoding="utf-8")
    with pytest.raises(StudyError, match=message):
        load_extensions([path])
    assert not loaded_extensions()


def test_what_a_failing_file_registered_is_taken_out(tmp_path: Path) -> None:
    path = write(tmp_path)
    path.write_text(path.read_text() + "raise RuntimeError('late')\n", encoding="utf-8")
    with pytest.raises(StudyError, match="RuntimeError: late"):
        load_extensions([path])
    assert "mine" not in METHODS


def test_a_missing_file_is_named(tmp_path: Path) -> None:
    with pytest.raises(StudyError, match=r"gone\.py: no such extension"):
        load_extensions([tmp_path / "gone.py"])


def test_a_planned_extension_is_loaded_at_the_content_it_was_planned_at(tmp_path: Path) -> None:
    load_extensions([write(tmp_path)])
    planned = loaded_extensions()
    load_extensions([])
    load_planned(planned)
    assert "mine" in METHODS
    load_extensions([])
    write(tmp_path, label="edited")
    with pytest.raises(StudyError, match="has changed since the study was planned"):
        load_planned(planned)


def test_a_loaded_extension_that_was_edited_since_still_runs_as_planned(tmp_path: Path) -> None:
    load_extensions([write(tmp_path)])
    planned = loaded_extensions()
    write(tmp_path, label="edited")
    load_planned(planned)
    assert METHODS["mine"].sentence == "mine"


def test_registering_outside_an_extension_is_refused() -> None:
    with pytest.raises(StudyError, match="method 'mine' is registered outside an extension"):
        add_entry("method", "mine", lambda: None, lambda: None)


@pytest.mark.parametrize(
    ("call", "message"),
    [
        ("register_method('My KD', divergence='jsd')", "lower-case letters"),
        ("register_method('m', divergence='kl')", "divergence must be one of forward_kl"),
        ("register_method('m', divergence='jsd', text='teacher')", "reference answers"),
        ("register_method('m', divergence='jsd', colour='red')", "#rrggbb"),
        ("register_method('m', divergence='jsd', shape='star')", "shape must be one of circle"),
        ("register_backend('vllm', print)", "already a .*backend.* 'vllm'"),
        ("register_measure('bleu', print)", "already a measure named 'bleu'"),
        ("register_figure('cost', print, title='t')", "already a figure named 'cost'"),
        ("register_method('m', divergence='jsd', defaults={'tau': 2})", "no setting 'tau'"),
        ("register_divergence('jsd', print)", "already a divergence named 'jsd'"),
    ],
)
def test_a_registration_that_cannot_be_is_told_with_its_line(tmp_path: Path, call: str, message: str) -> None:
    path = tmp_path / "mine.py"
    path.write_text(f"from kdscope.extend import *\n{call}\n", encoding="utf-8")
    with pytest.raises(StudyError, match=rf"mine\.py:2: fails with .*{message}"):
        load_extensions([path])
