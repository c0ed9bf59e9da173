"""What data, models and files bring cannot command a terminal, whichever command prints it."""

from __future__ import annotations

import io
import json
import re
import subprocess
import sys
import tempfile
from collections.abc import Callable
from contextlib import redirect_stderr, redirect_stdout
from pathlib import Path
from unittest import mock

import pytest
import yaml
from hypothesis import HealthCheck, example, given, settings
from hypothesis import strategies as st
from rich.progress import Progress

from kdscope.cli import main
from kdscope.console import CleanConsole, RichEvents, shown
from kdscope.core.characters import HIDDEN
from kdscope.pipeline.stage import Stage
from kdscope.report.facts import save_facts
from kdscope.view.server import ViewServer
from tests.builders import make_hollow_model
from tests.report.builders import build_facts
from tests.view.runs import record, write_run

ODD = "\x1b]0;owned\x07\x1b[31m\x00\x7f\x9b1m\x85\u202e\u2028\ufeff\r"
TEXTS = st.text(st.sampled_from(ODD + "ab =:'\"\\{}[]#\n\t") | st.characters(codec="utf-8"), min_size=1, max_size=12)


def printed(*arguments: object) -> tuple[int, str]:
    """Exit code and all that `kdscope ARGUMENTS` prints."""
    out, errors = io.StringIO(), io.StringIO()
    with (
        mock.patch.object(sys, "argv", ["kdscope", *map(str, arguments)]),
        redirect_stdout(out),
        redirect_stderr(errors),
        pytest.raises(SystemExit) as stop,
    ):
        main()
    return int(stop.value.code or 0), out.getvalue() + errors.getvalue()


def table(folder: Path, text: str) -> list[list[object]]:
    names = [f'"{name}"'.replace(text, text.replace('"', '""')) for name in (f"x{text}", "gkd")]
    rows = "".join(f"{names[0]},{method},t,{value}\n" for method, value in (("sft", 40), ("gkd", 41)))
    (folder / "names.csv").write_text(f"student,method,task,value\n{rows}", encoding="utf-8")
    (folder / "columns.csv").write_text(f'{names[0]},"x{text[0]}"\n1,2\n'.replace('""""', '""'), encoding="utf-8")
    (folder / "numbers.csv").write_text(f"student,method,task,value\na,sft,t,{names[0]}\n", encoding="utf-8")
    calls: list[list[object]] = [["analyze", folder / f"{name}.csv"] for name in ("names", "columns", "numbers")]
    odd = [["report", "--table", folder / "names.csv", "--out", folder / "out"]] if HIDDEN.search(text) else []
    return [*calls, *odd]  # a page of other names takes seconds


def tasks(folder: Path, text: str) -> list[list[object]]:
    task = {"name": "own", "answer": "number", "test_items": 1, "description": text, text: text}
    (folder / "own.yaml").write_text(yaml.safe_dump(task))
    (folder / "python").mkdir(exist_ok=True)
    (folder / "python" / "mine.py").write_text(
        f"from kdscope.tasks import Task\nTASK = Task('mine', 'math', 'number', (), 0.0, 3, 'c', {text!r}, {text!r})\n"
    )
    return [
        ["tasks", "--tasks-dir", folder],
        ["tasks", "--tasks-dir", folder / "python"],
        ["data", "fetch", "own", "--tasks-dir", folder, "--data-dir", folder],
    ]


def data(folder: Path, text: str) -> list[list[object]]:
    (folder / "gsm8k").mkdir(exist_ok=True)
    rows = [{"instruction": text, "input": text, "output": text, "answer": text, text: 1}, {text: text}, text]
    (folder / "gsm8k" / "test.json").write_text(json.dumps(rows))
    (folder / "train.jsonl").write_text(f'{{"instruction": "a"}}\n{text}\n', encoding="utf-8")
    return [["data", "check", "--data-dir", folder, "--train", folder / "train.jsonl"]]


def answers(folder: Path, text: str) -> list[list[object]]:
    row = {"item_id": text, "completion": f"{text} 12", "instruction": text, "gold": "12", "task": text, "model": text}
    (folder / "answers.jsonl").write_text(json.dumps(row) + "\n" + json.dumps({**row, text: text}) + "\n")
    file, known = folder / "answers.jsonl", folder / "known.jsonl"
    known.write_text(json.dumps({**row, "task": "gsm8k", "item_id": "gsm8k/0"}) + "\n")
    pairs = [["compare", one, *rest] for one in (file, known) for rest in ([one], ["--teacher", one])]
    return [["rescore", file, "--task", "gsm8k"], *pairs]


def study(folder: Path, text: str) -> list[list[object]]:
    values = {"name": text, text: text, "teachers": [{"name": text, "path": text}], "methods": [text, {text: text}]}
    file = folder / "study.yaml"
    file.write_text(yaml.safe_dump(values, allow_unicode=True))
    return [["plan", file], ["run", file], ["explain", file, "x"], ["plan", file, "--json"]]


def run(folder: Path, text: str) -> list[list[object]]:
    cell = f"a{text}/sft/s0"
    place = write_run(folder / "run", {"small/sft/s0": {"sums": [record(0)]}}, failed={cell: f"{text}: out of memory"})
    save_facts(build_facts(), place / "tables" / "facts.json")
    told = {"study": text, "scoring": "robust", "store": text, "models": {text: text, cell: None}}
    (place / "run.json").write_text(json.dumps(told))
    return [["export", place], ["export", place, "x"], ["export", place, "--all"], ["analyze", place], ["view", place]]


def model(folder: Path, text: str) -> list[list[object]]:
    if not (folder / "model").exists():
        make_hollow_model(folder / "model")
    (folder / "model" / "config.json").write_text(json.dumps({"model_type": text, "architectures": [text]}))
    options = ["--tasks", "mini-choose", "--limit", "1", "--store", folder / "store", "--out", folder / "out"]
    (folder / "train.jsonl").write_text(json.dumps({"instruction": text, text: text}) + "\n")
    distilled = ["--teacher", folder / "model", "--student", folder / "model", "--method", "gkd"]
    distilled += ["--data", folder / "train.jsonl", "--tasks", "mini-choose"]
    return [["evaluate", folder / "model", *options], ["distill", *distilled]]


@pytest.mark.parametrize("inputs", [table, tasks, data, answers, study, run, model], ids=lambda make: make.__name__)
def test_no_control_character_of_a_file_reaches_the_terminal(
    inputs: Callable[[Path, str], list[list[object]]], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(ViewServer, "serve_forever", lambda self: None)
    monkeypatch.setattr("webbrowser.open", lambda _: None)
    monkeypatch.setattr("kdscope.cli.data.download_progress", mock.MagicMock())

    @settings(max_examples=3, deadline=None, database=None, suppress_health_check=list(HealthCheck))
    @example(ODD)
    @given(TEXTS)
    def check(text: str) -> None:
        with tempfile.TemporaryDirectory() as folder:
            for arguments in inputs(Path(folder), text):
                code, said = printed(*arguments)
                assert not HIDDEN.search(said), (arguments, said)
                assert "Traceback" not in said, said
                assert code in (0, 1, 2)

    check()


def test_a_name_in_a_table_with_a_control_character_is_refused_with_row_and_column(tmp_path: Path) -> None:
    for form, called in (("a\x1b[31m", "ESC (U+001B)"), ("a\u202eb", "U+202E"), ('"a\nb"', "LF (U+000A)")):
        text = f"student,method,task,value\nok,sft,t,40\nok,gkd,t,41\n{form},sft,t,40\n"
        (tmp_path / "t.csv").write_text(text, encoding="utf-8")
        row = 5 if "\n" in form else 4
        expected = f"error: {tmp_path}/t.csv, row {row}: student: holds the character {called}, which cannot be seen\n"
        assert printed("analyze", tmp_path / "t.csv") == (2, expected)


@pytest.mark.parametrize("key", ["labels", "aliases", "licence", "citation", "description"])
def test_a_task_with_a_control_character_is_refused_with_line_and_key(tmp_path: Path, key: str) -> None:
    values = {"answer": "letter", "labels": "[A, B]", "test_items": "3", key: '"x\\e[2J"'}
    (tmp_path / "own.yaml").write_text("name: own\n" + "".join(f"{name}: {value}\n" for name, value in values.items()))
    code, said = printed("tasks", "--tasks-dir", tmp_path)
    line = 2 + list(values).index(key)
    assert code == 2
    assert f"{tmp_path}/own.yaml:{line}: {key}: holds the character ESC (U+001B)" in said


def test_an_argument_with_a_control_character_is_refused() -> None:
    code, said = printed("plan", "a\x1b[31m.yaml")
    assert (code, said) == (2, "error: argument 2 holds a control character: a⟨ESC⟩[31m.yaml\n")


def test_prints_warnings_logs_and_tracebacks_are_cleaned() -> None:
    code = f"""
import logging, sys, warnings, kdscope.cli
def fail():
    warnings.warn({ODD!r})
    logging.error({ODD!r})
    print({ODD!r} + "\\r\\nnext")
    raise RuntimeError({ODD!r})
kdscope.cli.app = fail
kdscope.cli.main()
"""
    ended = subprocess.run([sys.executable, "-c", code], capture_output=True, check=False)
    said = (ended.stdout + ended.stderr).decode()
    assert ended.returncode == 1
    assert said.count("⟨ESC⟩]0;owned⟨BEL⟩") == 4
    assert said.splitlines()[-1].startswith("RuntimeError: ")
    assert not HIDDEN.search(said)


def test_what_the_encoding_of_the_terminal_lacks_is_told_by_number(monkeypatch: pytest.MonkeyPatch) -> None:
    ascii_only = io.TextIOWrapper(io.BytesIO(), encoding="ascii")
    with redirect_stdout(ascii_only), mock.patch.object(sys, "argv", ["kdscope", "x"]):
        monkeypatch.setattr("kdscope.cli.app", lambda: print("−1 ▼ \udcff"))
        main()
    ascii_only.seek(0)
    assert ascii_only.read() == "\\u22121 \\u25bc \\u27e8U+DCFF\\u27e9\n"


class Terminal(io.StringIO):
    def isatty(self) -> bool:
        return True


@pytest.mark.parametrize("printing", [False, True])
def test_labels_and_prints_during_bars_are_cleaned_and_bars_are_drawn(
    monkeypatch: pytest.MonkeyPatch, printing: bool
) -> None:
    monkeypatch.setenv("TERM", "xterm")
    monkeypatch.setattr(sys, "stderr", terminal := Terminal())
    with RichEvents(CleanConsole()) as events:
        stage = Stage("toy", ODD, 1, {}, {})
        events.plan([stage])
        events.started(stage)
        events.progress(stage, 1, 2, ODD, ODD)
        events.warning(ODD)
        if printing:
            print(ODD, file=sys.stderr)
        events.failed(stage, ODD)
    assert sys.stderr is terminal
    said = terminal.getvalue()
    assert "⟨ESC⟩]0;owned" in said
    own = re.compile(r"\x1b\[[0-9;?]*[A-Za-z]|\r")
    assert own.search(said)
    rest = own.sub("", said)
    assert not HIDDEN.search(rest), rest
    assert "\x1b[31m\x1b" not in said


def test_bars_of_downloads_are_cleaned(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sys, "stderr", terminal := Terminal())
    with shown(Progress(console=CleanConsole())) as bars:
        bars.add_task("\x1b]0;owned\x07", total=1)
    assert "⟨ESC⟩]0;" in terminal.getvalue()
    assert "\x1b]" not in terminal.getvalue()
    assert "\x07" not in terminal.getvalue()
