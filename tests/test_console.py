"""What a person or a program sees: honest times, plain lines without escape codes, JSON that parses."""

from __future__ import annotations

import io
import json
import re
from collections.abc import Sequence

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from rich.console import Console

from kdscope.console import Clock, JsonEvents, Pace, PlainEvents, RichEvents
from kdscope.pipeline.events import Events
from kdscope.pipeline.stage import Cost, Stage
from kdscope.results.formatting import duration

TRICKY = "cut [red]sft[/red] [/] :key: \\[x] 100% {task.id}"


def make_stages(seconds: Sequence[float | None], label: str = "stage") -> list[Stage]:
    return [
        Stage("toy", f"{label} {number}", 1, {"number": number}, {}, cost=Cost(seconds=estimate))
        for number, estimate in enumerate(seconds)
    ]


def play(events: Events, stages: Sequence[Stage]) -> None:
    """A run in which everything happens once."""
    first, second, third, fourth = stages
    events.plan(stages)
    events.started(first)
    events.progress(first, 1, 4, "steps", f"loss 2.5 {TRICKY}")
    events.progress(first, 2, None, "steps", "")
    events.finished(first, 61.0)
    events.warning(f"careful: {TRICKY}")
    events.waiting([second])
    events.reused(second)
    events.started(third)
    events.failed(third, f"study.yaml:3: {TRICKY}")
    events.blocked(fourth, [third])


# Durations


@given(st.floats(0, 1e7))
def test_durations_are_read_back_within_their_precision(seconds: float) -> None:
    text = duration(seconds)
    units = {"h": 3600, "min": 60, "s": 1}
    parts = re.findall(r"(\d+) (h|min|s)", text)
    assert " ".join(f"{number} {unit}" for number, unit in parts) == text
    precision = units[parts[-1][1]]
    assert abs(sum(int(number) * units[unit] for number, unit in parts) - seconds) <= precision
    assert all(int(number) < 60 for number, unit in parts if unit != "h")


# Time left

positive = st.floats(0.01, 1e4)


@settings(max_examples=50, deadline=None)
@given(
    st.lists(st.tuples(positive, positive), min_size=1, max_size=8),
    st.lists(st.tuples(st.floats(0.0, 5.0), st.floats(0.0, 1.5)), max_size=4),
    st.integers(1, 4),
)
def test_the_time_left_is_never_negative_and_ends_at_zero(
    runs: list[tuple[float, float]], reports: list[tuple[float, float]], processes: int
) -> None:
    clock, stages = Clock(), make_stages([estimate for estimate, _ in runs])
    clock.plan(stages)
    clock.processes = processes
    for stage, (_, taken) in zip(stages, runs, strict=True):
        before = clock.remaining()
        clock.started(stage)
        assert clock.remaining() >= before * (1 - 1e-9)  # to begin with something does not bring the end nearer
        for now, fraction in reports:
            clock.progress(stage, fraction, now)
            assert clock.remaining() >= 0
        clock.done(stage, taken)
    assert clock.remaining() == 0.0


@pytest.mark.parametrize("factor", [0.1, 1.0, 7.0])
def test_the_forecast_converges_to_what_stages_really_take(factor: float) -> None:
    clock, stages = Clock(), make_stages([100.0] * 30)
    clock.plan(stages)
    assert clock.remaining() == 3000.0
    for stage in stages[:20]:
        clock.done(stage, 100.0 * factor)
    assert clock.remaining() == pytest.approx(1000.0 * factor, rel=0.05)


def test_one_tiny_stage_does_not_swing_the_forecast() -> None:
    clock, stages = Clock(), make_stages([0.1, 1000.0])
    clock.plan(stages)
    clock.done(stages[0], 1.0)
    assert clock.remaining() < 1200.0


def test_the_running_stage_counts_by_its_own_pace_once_it_is_known() -> None:
    clock, stages = Clock(), make_stages([100.0, 50.0])
    clock.plan(stages)
    clock.started(stages[0])
    clock.progress(stages[0], 0.25, 10.0)
    assert clock.remaining() == pytest.approx(75.0 + 50.0)
    clock.progress(stages[0], 0.5, 210.0)  # a quarter in 200 seconds: the other half takes 400
    assert clock.remaining() == pytest.approx(400.0 + 50.0)


def test_a_running_stage_tells_its_own_time_left() -> None:
    clock, stages = Clock(), make_stages([100.0, 50.0])
    clock.plan(stages)
    assert clock.stage_left(stages[0]) is None
    clock.started(stages[0])
    clock.progress(stages[0], 0.0, 10.0)
    assert clock.stage_left(stages[0]) is None
    clock.progress(stages[0], 0.25, 60.0)  # a quarter in 50 s
    assert clock.stage_left(stages[0]) == pytest.approx(150.0)
    clock.done(stages[0], 200.0)
    assert clock.stage_left(stages[0]) is None


def test_processes_share_what_is_left() -> None:
    clock, stages = Clock(), make_stages([100.0, 60.0, 40.0])
    clock.plan(stages)
    clock.processes = 2
    assert clock.remaining() == 100.0
    for stage in stages[:2]:
        clock.started(stage)
        clock.progress(stage, 0.0, 0.0)
    assert clock.remaining() == 100.0
    clock.progress(stages[0], 0.1, 30.0)  # ten percent in 30 s: 270 s more, in which the other does all the rest
    assert clock.remaining() == pytest.approx(270.0)
    clock.progress(stages[0], 0.5, 31.0)
    assert clock.remaining() == pytest.approx((31.0 + 60.0 + 40.0) / 2)


def test_more_processes_than_stages_share_nothing_more() -> None:
    clock, stages = Clock(), make_stages([100.0, 60.0])
    clock.plan(stages)
    clock.processes = 8
    assert clock.remaining() == 80.0


def test_what_another_process_did_says_nothing_about_speed() -> None:
    clock, stages = Clock(), make_stages([100.0, 50.0])
    clock.plan(stages)
    clock.done(stages[0], None)
    assert clock.remaining() == 50.0
    assert not clock.expects(stages[0])


def test_a_second_plan_without_estimates_keeps_the_first() -> None:
    clock = Clock()
    clock.plan(make_stages([100.0, 50.0]))
    clock.plan(make_stages([None, None]))
    assert clock.remaining() == 150.0
    clock.plan(make_stages([None, None, None]))
    assert clock.remaining() == 151.0


def test_pace_is_the_time_one_share_of_the_work_takes() -> None:
    pace = Pace()
    assert pace.seconds_left() is None
    for now, fraction in ((100.0, 0.1), (110.0, 0.2), (120.0, 0.3)):
        pace.note(now, fraction)
    assert pace.seconds_left() == pytest.approx(70.0)
    pace.note(190.0, 1.0)
    assert pace.seconds_left() == 0.0
    pace.note(191.0, 1.2)
    assert pace.seconds_left() == 0.0


@pytest.mark.parametrize("burst", [[0.5], [0.1, 0.2, 0.3, 0.4, 0.5]])
def test_a_resumed_stage_is_not_thought_to_be_fast(burst: list[float]) -> None:
    """Half was there when it started; the other half runs at one percent a second."""
    pace = Pace()
    for number, fraction in enumerate(burst):
        pace.note(number * 0.01, fraction)
    assert pace.seconds_left() is None
    for second in range(1, 21):
        pace.note(len(burst) * 0.01 + second, 0.5 + 0.01 * second)
    assert pace.seconds_left() == pytest.approx(30.0, rel=0.1)


# Plain lines


def plain(quiet: bool = False) -> list[str]:
    stream = io.StringIO()
    play(PlainEvents(stream, quiet), make_stages([60.0, 30.0, 30.0, 30.0], f"run {TRICKY}"))
    return stream.getvalue().splitlines()


def test_plain_lines_say_what_happens() -> None:
    assert plain() == [
        f"[1/4] run {TRICKY} 0 (about 2 min 30 s left)",
        "      done in 1 min 01 s",
        f"warning: careful: {TRICKY}",
        f"waiting for another process: run {TRICKY} 1",
        f"[3/4] run {TRICKY} 2 (about 1 min 01 s left)",
        f"FAILED run {TRICKY} 2: study.yaml:3: {TRICKY}",
        f"skipped run {TRICKY} 3: needs run {TRICKY} 2",
    ]


def test_quiet_lines_are_warnings_and_failures() -> None:
    assert [line.split(":")[0].split()[0] for line in plain(quiet=True)] == ["warning", "FAILED"]


def test_stages_that_were_there_before_are_not_counted() -> None:
    stream = io.StringIO()
    events, (old, new) = PlainEvents(stream), make_stages([5.0, 5.0])
    events.reused(old)
    events.plan([new])
    events.started(new)
    assert stream.getvalue().startswith("[1/1] stage 1 ")


def two_at_once(events: Events, stages: Sequence[Stage]) -> None:
    """Two processes at work; one of them dies at the second stage, which then starts again."""
    first, second, third = stages
    events.plan(stages)
    events.working(2)
    events.started(first)
    events.started(second)
    events.progress(second, 1, 4, "steps", "")
    events.progress(first, 3, 4, "steps", "")
    events.working(1)
    events.started(second)
    events.working(2)
    events.finished(first, 61.0)
    events.started(third)
    events.finished(second, 5.0)


def test_plain_lines_of_two_stages_at_once_say_which_is_done() -> None:
    stream = io.StringIO()
    two_at_once(PlainEvents(stream), make_stages([60.0, 30.0, 30.0]))
    assert stream.getvalue().splitlines() == [
        "[1/3] stage 0 (about 1 min 00 s left)",
        "[2/3] stage 1 (about 1 min 00 s left)",
        "[2/3] stage 1 (about 1 min 15 s left)",
        "      done in 1 min 01 s: stage 0",
        "[3/3] stage 2 (about 30 s left)",
        "      done in 5 s: stage 1",
    ]


# JSON lines


def test_json_lines_parse_and_tell_everything() -> None:
    stream = io.StringIO()
    stages = make_stages([60.0, 30.0, 30.0, 30.0], f"run {TRICKY}\u2028\n")
    play(JsonEvents(stream), stages)
    told = [json.loads(line) for line in stream.getvalue().split("\n")[:-1]]
    assert [one["event"] for one in told] == [
        *("plan", "started", "progress", "progress", "finished", "warning", "waiting", "reused", "started"),
        *("failed", "blocked"),
    ]
    labels = [stage.label for stage in stages]
    assert told[0]["stages"] == labels
    about_first = {"kind": "toy", "label": labels[0], "identity": stages[0].identity}
    assert told[1] == {"event": "started"} | about_first
    expected = {"event": "progress", "done": 1, "total": 4, "unit": "steps", "note": f"loss 2.5 {TRICKY}"}
    assert told[2] == expected | about_first
    assert told[3]["total"] is None
    assert told[4]["seconds"] == 61.0
    assert told[5]["message"] == f"careful: {TRICKY}"
    assert told[6]["stages"] == [labels[1]]
    assert told[9]["message"] == f"study.yaml:3: {TRICKY}"
    assert told[10]["missing"] == [labels[2]]


# A terminal


def on_terminal(stages: Sequence[Stage]) -> tuple[str, RichEvents]:
    stream = io.StringIO()
    console = Console(file=stream, force_terminal=True, width=200, color_system="standard", legacy_windows=False)
    with RichEvents(console) as events:
        play(events, stages)
        events.bars.refresh()
    return stream.getvalue(), events


def test_a_terminal_shows_labels_as_they_are() -> None:
    shown, events = on_terminal(make_stages([60.0, 30.0, 30.0, 30.0], f"run {TRICKY}"))
    text = re.sub(r"\x1b\[[0-9;?]*[A-Za-z]", "", shown)
    for line in (
        f"done run {TRICKY} 0 1 min 01 s",
        f"warning careful: {TRICKY}",
        f"failed run {TRICKY} 2: study.yaml:3: {TRICKY}",
        f"skipped run {TRICKY} 3: needs run {TRICKY} 2",
    ):
        assert line in text
    assert "stage 3/4, about" in text
    assert [task.description for task in events.bars.tasks] == ["study"]
    assert (events.bars.tasks[0].completed, events.bars.tasks[0].total) == (3, 4)


def test_a_terminal_shows_the_running_stage() -> None:
    stages = make_stages([60.0, 30.0])
    stream = io.StringIO()
    events = RichEvents(Console(file=stream, force_terminal=True, width=200, legacy_windows=False))
    with events:
        events.plan(stages)
        events.started(stages[0])
        events.progress(stages[0], 15, 60, "steps", f"loss 1.5 {TRICKY}")
        events.bars.refresh()
        step = events.bars.tasks[1]
        assert (step.description, step.completed, step.total) == ("stage 0", 15, 60)
        assert step.fields["note"] == f"15/60 steps  loss 1.5 {TRICKY}"
        assert events.bars.tasks[0].fields["note"] == "stage 1/2, about 1 min 15 s left"
    assert f"15/60 steps  loss 1.5 {TRICKY}" in re.sub(r"\x1b\[[0-9;?]*[A-Za-z]", "", stream.getvalue())


def test_a_terminal_shows_every_running_stage() -> None:
    events = RichEvents(Console(file=io.StringIO(), force_terminal=True, width=200, legacy_windows=False))
    stages = make_stages([60.0, 30.0, 30.0])
    two_at_once(events, stages)
    run, running = events.bars.tasks
    assert (run.completed, run.total, run.fields["note"]) == (
        2,
        3,
        "stage 3/3, about 23 s left",
    )  # 30 s, but so far they were quick
    assert running.description == "stage 2"
    events.progress(stages[0], 4, 4, "steps", "late")
    events.failed(stages[2], "no")
    assert [task.description for task in events.bars.tasks] == ["study"]
    assert run.completed == 3


def test_bars_of_stages_that_run_at_once_move_on_their_own() -> None:
    events = RichEvents(Console(file=io.StringIO(), force_terminal=True, width=200, legacy_windows=False))
    stages = make_stages([60.0, 30.0])
    events.plan(stages)
    events.working(2)
    for stage in stages:
        events.started(stage)
    events.progress(stages[1], 20, 40, "items", "")
    events.progress(stages[0], 1, 10, "steps", "loss 2")
    bars = [(task.description, task.completed, task.total) for task in events.bars.tasks]
    assert bars == [("study", 0, 2), ("stage 0", 1, 10), ("stage 1", 20, 40)]
    assert events.bars.tasks[0].fields["note"] == "stage 2/2, about 54 s left"
