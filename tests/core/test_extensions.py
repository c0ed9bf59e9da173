"""A user's files: run where they are named, once for each content, and taken out again."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from kdscope.core.errors import StudyError
from kdscope.core.extensions import add_entry, load_extensions, load_planned, loaded_extensions, origin, origins
from kdscope.objectives import DIVERGENCES
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
        ("import sys\nsys.exit('no\\nnor yes')\n", "mine.py:2: fails with SystemExit: no$"),
        ("class Stop(BaseException): ...\nraise Stop('here')\n", "mine.py:2: fails with Stop: here$"),
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


def test_an_interrupt_passes_and_leaves_nothing(tmp_path: Path) -> None:
    path = write(tmp_path)
    path.write_text(path.read_text() + "raise KeyboardInterrupt\n", encoding="utf-8")
    with pytest.raises(KeyboardInterrupt):
        load_extensions([path])
    assert "mine" not in METHODS


def test_a_missing_file_is_named(tmp_path: Path) -> None:
    with pytest.raises(StudyError, match=r"gone\.py: no such file"):
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
        ("register_divergence('d', 'f')", "function is a function, not 'f'"),
        ("register_divergence('d', print, check=1)", "check is a function, not 1"),
        ("register_divergence(1, print)", "lower-case letters, digits and '_', not 1"),
        ("register_divergence('d', print, settings=['a'])", "settings is a mapping"),
        ("register_divergence('d', print, settings={1: 2.0})", "name of a setting .* not 1"),
        ("register_divergence('d', print, settings={'temperature': 2.0})", "cannot have a setting 'temperature'"),
        ("register_divergence('d', print, settings={'kd_weight': 2.0})", "cannot have a setting 'kd_weight'"),
        ("register_divergence('d', print, settings={'settings': 2.0})", "cannot have a setting 'settings'"),
        ("register_divergence('d', print, settings={'a': None})", "default of setting 'a' is a finite number"),
        ("register_divergence('d', print, settings={'a': float('nan')})", "default of setting 'a' is a finite number"),
        (
            "register_divergence('d', print, settings={'a': 1.0}, check=lambda: None)",
            "check of d fails for a=1.0 with TypeError",
        ),
        (
            "register_divergence('d', print, settings={'a': 0.0}, check=lambda a: 1 / a)",
            "check of d fails for a=0.0 with ZeroDivisionError",
        ),
        ("register_method(None, divergence='jsd')", "lower-case letters, digits and '_', not None"),
        ("register_method('m', divergence=['jsd'])", "divergence must be one of"),
        ("register_method('m', divergence='jsd', text='sampled')", "text must be one of reference, student"),
        ("register_method('m', divergence='jsd', label=1)", "label is text, not 1"),
        ("register_method('m', divergence='jsd', defaults={'name': 'n'})", "no setting 'name'"),
        ("register_method('m', divergence='jsd', defaults={'beta': 5.0})", "defaults: beta: expected at most 1"),
        ("register_method('m', divergence='jsd', defaults={'beta': 'x'})", "defaults: beta: expected a number"),
        ("register_method('m', divergence='jsd', defaults={'skew': 0.2})", "defaults: skew: 'skew' does not apply"),
        ("register_method('m', divergence='jsd', defaults={'kd_temperature': 0})", "defaults: kd_temperature: "),
        ("register_task('halves')", "a task is a kdscope.tasks.Task, not 'halves'"),
        ("register_backend('b', 'load')", "load is a function, not 'load'"),
        ("register_measure('m', 0.5)", "value is a function, not 0.5"),
        ("register_measure('m', print, unit='metres')", "unit must be one of percent, .*, not 'metres'"),
        ("register_measure('m', print, direction=2)", "direction must be one of -1, 0, 1, not 2"),
        ("register_measure('m', print, perfect='all')", "perfect is a finite number or None"),
        ("register_measure('m', print, label=None)", "label is text, not None"),
        ("register_figure('f', None, title='t')", "draw is a function, not None"),
        ("register_figure('f', print, title=1)", "title is text, not 1"),
    ],
)
def test_a_registration_that_cannot_be_is_told_with_its_line(tmp_path: Path, call: str, message: str) -> None:
    path = tmp_path / "mine.py"
    path.write_text(f"from kdscope.extend import *\n{call}\n", encoding="utf-8")
    with pytest.raises(StudyError, match=rf"mine\.py:2: fails with .*{message}"):
        load_extensions([path])
    assert not {"m", "d"} & (METHODS.keys() | DIVERGENCES.keys())
