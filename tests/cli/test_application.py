"""What the commands share."""

from __future__ import annotations

import errno
import inspect
import os
from collections.abc import Iterator
from pathlib import Path
from typing import get_args

import pyarrow as pa
import pytest
import typer

from kdscope.cli import app
from kdscope.cli.application import one_of, options_named, options_of
from kdscope.core.errors import DataError, StudyError
from tests.cli.command import Call, call

Command = tuple[str, ...]
OTHERS: dict[Command, tuple[str, ...]] = {
    ("evaluate",): ("./nothing", "--tasks", "mini-choose"),
    ("compare",): ("./a", "./b"),
    ("analyze",): ("--published", "ramesh2025"),
    ("plan",): ("./study.yaml",),
    ("data", "mini"): ("./mini",),
    ("view",): ("./run",),
    ("distill",): ("-T", "kdscope:tiny-l", "-S", "kdscope:tiny-s", "-M", "gkd", "-D", "train.json"),
}
"""What a command needs beside an option."""


def _options(group: typer.Typer, at: Command = ()) -> Iterator[tuple[Command, str]]:
    """Every option that takes a number, with its command."""
    for inner in group.registered_groups:
        yield from _options(inner.typer_instance, (*at, str(inner.name)))
    for command in group.registered_commands:
        for parameter in inspect.signature(command.callback, eval_str=True).parameters.values():
            kind, *more = get_args(parameter.annotation)
            if {int, float} & {kind, *get_args(kind)}:
                names = (more[0].default, *more[0].param_decls)
                yield (*at, command.name or command.callback.__name__), next(n for n in names if n.startswith("--"))


NUMERIC = list(_options(app))


@pytest.fixture
def kdscope(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str], tmp_path: Path) -> Call:
    monkeypatch.chdir(tmp_path)
    (tmp_path / "train.json").write_text('[{"instruction": "1+1?", "output": "2"}]')

    def run(*arguments: object) -> tuple[int, str, str]:
        return call(monkeypatch, capsys, *arguments)

    return run


def test_an_option_of_few_values() -> None:
    assert one_of("--unit", "percent", ("auto", "percent", "fraction")) == "percent"
    with pytest.raises(DataError, match=r"^--unit is auto, percent or fraction, not 'points'$"):
        one_of("--unit", "points", ("auto", "percent", "fraction"))


def test_numeric_options_are_found() -> None:
    assert len(NUMERIC) >= 20
    assert {(("evaluate",), "--limit"), (("plan",), "--run-sd"), (("distill",), "--epochs")} <= set(NUMERIC)


@pytest.mark.parametrize(
    ("command", "option"), NUMERIC, ids=lambda part: part if isinstance(part, str) else "-".join(part)
)
def test_numbers_out_of_bounds_are_refused_by_every_numeric_option(
    kdscope: Call, command: Command, option: str
) -> None:
    for value in ("-1", "nan", "inf", "-inf", "1e22", "1" + 30 * "0", "true"):
        code, out, err = kdscope(*command, *OTHERS.get(command, ()), f"{option}={value}")
        assert (code, out) == (2, ""), value
        assert option in err, value
        assert "Traceback" not in err, value


def test_an_error_names_the_option_of_its_argument() -> None:
    with pytest.raises(StudyError, match=r"^--batch-size: expected more$"), options_named(options_of("batch_size")):
        raise StudyError("expected more", key="batch_size")
    with (
        pytest.raises(StudyError, match=r"^--seeds\[2\]: expected less$"),
        options_named({"decoding_seeds": "--seeds"}),
    ):
        raise StudyError("expected less", key="decoding_seeds[2]")
    with pytest.raises(StudyError, match=r"^study.yaml:3: seed: expected less$"), options_named(options_of("seed")):
        raise StudyError("expected less", file="study.yaml", line=3, key="seed")


PATHS: list[tuple[str, ...]] = [
    ("plan", "PATH"),
    ("plan", "study.yaml", "--extensions", "PATH"),
    ("plan", "study.yaml", "--pilot", "PATH"),
    ("explain", "PATH", "x"),
    ("run", "PATH"),
    ("compare", "PATH", "b"),
    ("compare", "a", "b", "--tasks-dir", "PATH"),
    ("rescore", "PATH"),
    ("view", "PATH", "--no-browser"),
    ("export", "PATH", "cell"),
    ("report", "PATH"),
    ("report", "--table", "PATH"),
    ("report", "--published", "ramesh2025", "--extensions", "PATH"),
    ("analyze", "PATH"),
    ("data", "check", "--data-dir", "PATH"),
    ("data", "check", "--tasks-dir", "PATH"),
    ("data", "mini", "PATH", "--train", "1", "--test", "1"),
    ("tasks", "--tasks-dir", "PATH"),
    ("evaluate", "PATH", "--tasks", "mini-choose"),
    ("distill", "-T", "PATH", "-S", "kdscope:tiny-s", "-M", "gkd", "-D", "train.json"),
    ("distill", "-T", "kdscope:tiny-l", "-S", "kdscope:tiny-s", "-M", "gkd", "-D", "PATH"),
]


@pytest.mark.parametrize("arguments", PATHS, ids=" ".join)
def test_a_path_that_cannot_be_read_is_exit_code_2_and_one_line(
    kdscope: Call, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, arguments: tuple[str, ...]
) -> None:
    monkeypatch.setenv("HF_HUB_OFFLINE", "1")
    (tmp_path / "study.yaml").write_text("name: demo\n")
    (tmp_path / "loop").symlink_to("loop")
    os.mkfifo(tmp_path / "pipe")
    for path in ("a" * 5000, "a/" * 3000, "./loop", "./pipe", "./study.yaml/below", "~no-such-person/x"):
        if (arguments[:2], path) == (("data", "mini"), "~no-such-person/x"):
            continue  # as every program does, it makes a folder of this name
        code, _, err = kdscope(*(path if word == "PATH" else word for word in arguments))
        assert code == 2, path
        assert err.startswith("error: "), path
        assert len(err.splitlines()) == 1, path


def test_a_full_disk_is_no_bad_input(kdscope: Call, monkeypatch: pytest.MonkeyPatch) -> None:
    def full(*_: object, **__: object) -> None:
        raise OSError(errno.ENOSPC, "No space left on device", "mini/train.json")

    monkeypatch.setattr(Path, "write_text", full)
    code, _, err = kdscope("data", "mini", "mini", "--train", "1", "--test", "1")
    assert (code, err) == (1, "error: 'mini/train.json': No space left on device\n")


@pytest.mark.parametrize(
    "error",
    [
        MemoryError(),
        RuntimeError("can't start new thread"),
        OSError(errno.EAGAIN, "Resource temporarily unavailable"),
        pa.lib.ArrowException("Unknown error: Failed to launch worker thread: Resource temporarily unavailable"),
    ],
)
def test_too_little_memory_is_one_line_and_exit_code_2(
    kdscope: Call, monkeypatch: pytest.MonkeyPatch, error: Exception
) -> None:
    def fail(*_: object, **__: object) -> None:
        raise error

    monkeypatch.setattr(Path, "write_text", fail)
    code, _, err = kdscope("data", "mini", "mini", "--train", "1", "--test", "1")
    assert code == 2
    assert err.startswith("error: too little memory (")
    assert err.endswith("; what was completed is kept\n")
    assert len(err.splitlines()) == 1
