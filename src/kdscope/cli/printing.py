"""Printing of the commands' results: tables for people, JSON for programs."""

from __future__ import annotations

import json
import math
import shlex
from collections.abc import Callable, Iterator
from contextlib import contextmanager, nullcontext
from dataclasses import asdict
from typing import TYPE_CHECKING, Any

from kdscope.results.formatting import byte_size, duration
from kdscope.results.table import plain_table, terminal_text

if TYPE_CHECKING:
    from collections.abc import Collection, Sequence

    from kdscope.api import DataCheck, StudyResult
    from kdscope.data.contamination import Tally
    from kdscope.pipeline.plan import PlannedStage
    from kdscope.statistics.planning import PlannedComparison


def run_events(quiet: bool, as_json: bool) -> Any:
    """A listener for a run, as a context."""
    from kdscope.console import CleanConsole, JsonEvents, PlainEvents, RichEvents

    console = CleanConsole()
    if as_json:
        return nullcontext(JsonEvents())
    if quiet or not console.is_terminal:
        return nullcontext(PlainEvents(quiet=quiet))
    return RichEvents(console)


def print_embedded(as_json: bool) -> None:
    """The studies that come with kdscope."""
    from kdscope.study.embedded import embedded_studies

    found = embedded_studies()
    if as_json:
        print(json.dumps([{"name": s.name, "summary": s.summary, "path": str(s.path)} for s in found], indent=1))
        return
    print_table(["study", "what it shows"], [[s.name, s.summary] for s in found], right=set())
    print("\nRun one: kdscope run --preset NAME. Read it, or make it yours: kdscope run --preset NAME --show > my.yaml")


def print_result(result: StudyResult, as_json: bool, *, quiet: bool = False) -> None:
    """What became of a run: its stages, a row for each model, the primary question, and where the rest is."""
    counts = {name: len(getattr(result.run, name)) for name in ("executed", "reused", "failed", "blocked")}
    places = {
        name: str(path) if path else None for name, path in (("report", result.report), ("tables", result.tables))
    }
    if as_json:
        print(json.dumps({"event": "result", **counts, **places, **_summary_json(result)}))
        return
    print(", ".join(f"{number} stages {name}" for name, number in counts.items() if number or name == "executed"))
    for stage in result.run.failed:
        print(f"failed: {stage.label}: {result.run.messages[stage.identity]}")
    _print_summary(result, quiet=quiet)
    print(f"report: {result.report or 'none, because it or the analysis failed'}")
    print(f"tables: {result.tables or 'none, because the analysis failed'}")
    if result.records is not None and not quiet:
        print(f"read what models wrote: kdscope view {shlex.quote(str(result.records.parent))}")


def _print_summary(result: StudyResult, *, quiet: bool) -> None:
    from kdscope.report.run_summary import run_answers, run_table

    if (tables := result.load_tables()) is None:
        return
    if not quiet:
        print()
        print(terminal_text(run_table(tables, result.scoring)))
        print()
    for answer in run_answers(tables):
        print(f"- {answer}")
    if not quiet:
        print()


def _summary_json(result: StudyResult) -> dict[str, Any]:
    from kdscope.report.run_summary import run_answers, run_numbers

    if (tables := result.load_tables()) is None:
        return {}
    return {"models": run_numbers(tables, result.scoring), "answers": run_answers(tables)}


def print_plan(planned: list[PlannedStage]) -> None:
    """Every stage, then the sum."""
    from kdscope.pipeline.plan import total_cost

    rows = []
    for item in planned:
        cost = item.stage.cost
        flops = f"{cost.flops:.1e}" if cost.flops else "unknown"
        numbers = [f"{cost.tokens:,}", flops, byte_size(cost.disk_bytes)] if cost.tokens else [""] * 3
        time = duration(cost.seconds) if item.state in ("will run", "damaged") else ""
        signal = str(item.stage.context.get("signal", ""))
        rows.append([item.state, item.stage.kind, item.stage.label, signal, *numbers, time])
    headings = ["state", "stage", "what", "teacher's signal", "tokens", "FLOPs", "disk", "time"]
    print_table(headings, rows, right={4, 5, 6, 7})
    total = total_cost(planned)
    running = sum(item.state in ("will run", "damaged") for item in planned)
    print(
        f"\n{running} of {len(planned)} stages will run: about {total.tokens:,} tokens, {total.flops:.1e} FLOPs, "
        f"{byte_size(total.disk_bytes)} on disk, {duration(total.seconds)}"
    )


def print_comparisons(comparisons: Sequence[PlannedComparison]) -> None:
    """The minimum detectable gain of every comparison."""
    if not comparisons:
        print("\nNo gain can be computed: that takes the method sft, and another one beside it.")
        return
    first = comparisons[0]
    runs = "between two checkpoints" if first.seeds == 1 else f"with {first.seeds} seeds"
    varied = "" if first.seeds == 1 else f", and runs of one setting vary with an SD of {first.run_sd:.1f} points"
    print(
        f"\nMinimum detectable gain over SFT ({first.power:.0%} power) {runs}, if two models differ on "
        f"{first.discordance:.0%} of the items{varied}:"
    )
    rows = [
        [
            found.name,
            f"{found.items:,}",
            f"{found.comparisons}" if found.comparisons > 1 else "",
            "none" if math.isnan(found.detectable) else f"{found.detectable:.1f} points",
        ]
        for found in comparisons
    ]
    print_table(["who, on what", "distinct items", "adjusted for", "minimum gain"], rows, right={1, 2, 3})
    if first.seeds == 1:
        print(
            "One seed says nothing of a method, only of these checkpoints. A claim about a method needs three seeds at "
            "least, better five."
        )
    elif first.seeds < 5:
        print("Five seeds give a claim about a method; with fewer its interval is wide.")


def comparisons_json(comparisons: Sequence[PlannedComparison]) -> list[dict[str, Any]]:
    """The same for programs; null where there is none."""
    told = [asdict(found) for found in comparisons]
    numbers = ("detectable", "run_sd")
    return [row | {name: None if math.isnan(row[name]) else row[name] for name in numbers} for row in told]


def planned_json(item: PlannedStage) -> dict[str, Any]:
    """A planned stage for programs."""
    stage = item.stage
    return {
        "state": item.state,
        "kind": stage.kind,
        "label": stage.label,
        "identity": stage.identity,
        "problem": item.problem,
        "signal": stage.context.get("signal"),
        **vars(stage.cost),
    }


def print_table(headings: Sequence[str], rows: Sequence[Sequence[str]], right: Collection[int]) -> None:
    """Columns of text; those in `right` end flush."""
    print(terminal_text(plain_table(headings, rows, right)))


def print_data_check(found: DataCheck) -> None:
    """Every file and its problems, then what training sets hold of the tasks."""
    folder = found.folder.folder
    rows = []
    for file in found.folder.files:
        place = file.file.relative_to(folder) if file.file.is_relative_to(folder) else file.file
        state = "ok" if file.ok else f"{file.problem_count:,} problems"
        rows.append([str(place), file.kind, file.task or "", f"{file.rows:,}", state, "; ".join(file.notes)])
    print_table(["file", "as", "task", "rows", "state", "notes"], rows, right={3})
    for file in found.folder.files:
        for problem in file.problems:
            print(f"problem: {problem}")
        if file.problem_count > len(file.problems):
            print(f"         and {file.problem_count - len(file.problems):,} more in {file.file}")
        for warning in file.warnings:
            print(f"warning: {file.file}: {warning}")
    if found.folder.not_checked:
        print(f"not checked, as it is no data by its place: {', '.join(map(str, found.folder.not_checked))}")
    _print_tallies(found.tallies)


def _print_tallies(tallies: Sequence[Tally]) -> None:
    touching = [tally for tally in tallies if tally.exact + tally.near + tally.some]
    if not tallies:
        return
    print("\nEvaluation items in the training sets (word for word, by half of their 8-grams of words, by any):")
    if not touching:
        print("none")
        return
    headings = ["training set", "task", "items", "same question", "near", "some", "for example"]
    rows = [
        [
            tally.training_set,
            tally.task,
            *(f"{count:,}" for count in (tally.items, tally.exact, tally.near, tally.some)),
            "; ".join(f"{item} in row {row}" for item, row in tally.examples),
        ]
        for tally in touching
    ]
    print_table(headings, rows, right={2, 3, 4, 5})
    from kdscope.data.contamination import describe_contamination

    for sentence in describe_contamination(tallies):
        print(f"warning: {sentence}")


@contextmanager
def download_progress(*, quiet: bool) -> Iterator[Callable[[str, int, int | None], None] | None]:
    """A bar for each file that is being brought, with its speed and the time left, where a person looks."""
    from rich.progress import BarColumn, DownloadColumn, Progress, TextColumn, TimeRemainingColumn, TransferSpeedColumn

    from kdscope.console import CleanConsole, shown

    console = CleanConsole()
    if quiet or not console.is_terminal:
        yield None
        return
    name = TextColumn("{task.description}", markup=False)
    columns = (name, BarColumn(), DownloadColumn(), TransferSpeedColumn(), TimeRemainingColumn())
    with shown(Progress(*columns, console=console, transient=True)) as progress:
        bars: dict[str, Any] = {}

        def tell(file: str, here: int, total: int | None) -> None:
            if file not in bars:
                bars[file] = progress.add_task(file, total=total)
            progress.update(bars[file], completed=here, total=total)

        yield tell
