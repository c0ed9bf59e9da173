"""Causal probes of reasoning: answers once a trace is cut short, wrong, or another model's; and their measures.

The first two are probes of Lanham et al. 2023 (arXiv 2307.13702); the third asks whether a student can go on from its
teacher's reasoning. A model that reasons after the fact gives the same answer whatever happens to its trace.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from functools import partial
from pathlib import Path
from typing import Any, Literal, Protocol

import numpy as np
import pandas as pd

from kdscope.data.batches import Tokenizer
from kdscope.data.examples import Item
from kdscope.evaluation.continuations import ANSWER_CUE, answer_to, first_answers
from kdscope.evaluation.probe_texts import (
    add_mistake,
    area_over_curve,
    reasoning_in,
    split_trace,
    trace_of,
    truncate,
    with_cue,
)
from kdscope.evaluation.records import Record
from kdscope.generation.base import Completion, Decoding, Generator, generate_all
from kdscope.results.measures import POOLED, PROBE_MEASURES
from kdscope.statistics.means import estimate_mean
from kdscope.tasks import Task

ProbeName = Literal["early_answer", "mistake", "no_mistake", "finish_own", "finish_teacher"]

# Whether an answer is asked for at once, the prompt, and the text given after it.
_Question = tuple[bool, tuple[int, ...], str]

EARLY_FRACTIONS = (0.0, 0.25, 0.5, 0.75, 1.0)
FINISH_FRACTIONS = (0.25, 0.5, 0.75)
COLUMNS = ("task", "measure", "value", "low", "high", "items")


class Decodes(Tokenizer, Protocol):
    """A tokenizer that also makes texts of token ids."""

    def decode(self, token_ids: Sequence[int], *, skip_special_tokens: bool) -> str:
        """The text of token ids."""
        ...


@dataclass(frozen=True)
class Subject:
    """A model's answer to an item, and its teacher's.

    Attributes:
        task: The task, not of free text.
        item: The item.
        prompt_ids: Token ids of the prompt.
        own: What the model answered.
        teacher: What its teacher answered; None for a model that is probed by itself.
    """

    task: Task
    item: Item
    prompt_ids: tuple[int, ...]
    own: Record
    teacher: Record | None = None


@dataclass(frozen=True)
class Probe:
    """A beginning of an answer that the model is given.

    Attributes:
        subject: Whose.
        name: Which probe it is of.
        fraction: Of the sentences of the trace it begins, how many it holds.
        sentences: Of that trace, uncut.
        given: The text.
        cued: Whether an answer is asked for at once; otherwise the model goes on as it likes.
    """

    subject: Subject
    name: ProbeName
    fraction: float
    sentences: int
    given: str
    cued: bool = False


@dataclass(frozen=True)
class ProbeRow:
    """Answer of a model under a probe.

    Attributes:
        task: Task name.
        item_id: Stable id of the item.
        probe: early_answer (its own trace, cut, and asked at once), mistake (its own trace up to a step with a wrong
            number, and on), no_mistake (the same without the mistake, the control), finish_own and finish_teacher (on
            from its own or its teacher's reasoning, cut before it states the answer).
        fraction: Of the sentences of the trace, how many were given: as asked for, whole ones only (early_answer,
            finish), or as it fell out (mistake).
        sentences: Of that trace, or that reasoning.
        value: The answer, by the robust rules; None if there is none.
        correct: Whether it is right.
        final: The answer the model gave before, unprobed.
        same_as_final: Whether `value` is that; None where there was none.
        teacher_final: The teacher's answer.
        same_as_teacher: Whether `value` is that; None where there is none.
    """

    task: str
    item_id: str
    probe: str
    fraction: float
    sentences: int
    value: str | None
    correct: bool
    final: str | None
    same_as_final: bool | None
    teacher_final: str | None
    same_as_teacher: bool | None


@dataclass(frozen=True)
class ProbeSettings:
    """Decoding settings of probes.

    Attributes:
        decoding: How the model goes on; always greedily, whatever its temperature.
        seed: Decides where mistakes are.
        batch_size: Most prompts generated together.
        answer_tokens: Most tokens of an answer that is asked for at once.
        batch_tokens: As of `generate_all`.
    """

    decoding: Decoding
    seed: int
    batch_size: int
    answer_tokens: int = 16
    batch_tokens: int | None = None

    def of(self, *, cued: bool) -> Decoding:
        """Greedy decoding of an answer, or of all the rest."""
        greedy = replace(self.decoding, temperature=0.0, top_p=1.0, seed=0)
        return replace(greedy, max_new_tokens=self.answer_tokens) if cued else greedy


def subjects_of(
    task: Task,
    items: Sequence[Item],
    prompts: Sequence[Sequence[int]],
    own: Sequence[Record],
    teacher: Sequence[Record] | None = None,
) -> list[Subject]:
    """Items of one task and what was answered to them; of several decoding seeds the lowest counts.

    Args:
        task: The task, not of free text.
        items: Some or all of it.
        prompts: Token ids of each item's prompt.
        own: What the model answered.
        teacher: What its teacher answered, if that is to be looked at.

    Raises:
        DataError: An item was not answered.
    """
    answers, taught = first_answers(own), None if teacher is None else first_answers(teacher)
    return [
        Subject(
            task,
            item,
            tuple(prompt),
            answer_to(item, answers, "model"),
            None if taught is None else answer_to(item, taught, "teacher"),
        )
        for item, prompt in zip(items, prompts, strict=True)
    ]


def plan_probes(subject: Subject, seed: int) -> list[Probe]:
    """The probes of an item; the same for the same seed. No mistake is put into a trace without a numeric step."""
    trace = trace_of(subject.own.completion)
    probes = _cut(subject, "early_answer", trace, EARLY_FRACTIONS)
    mistake = add_mistake(trace, subject.item.item_id, seed)
    if mistake is not None:
        share = (mistake.step + 1) / mistake.sentences
        probes.append(Probe(subject, "mistake", share, mistake.sentences, mistake.wrong))
        probes.append(Probe(subject, "no_mistake", share, mistake.sentences, mistake.right))
    if subject.teacher is not None:
        probes += _cut(subject, "finish_own", reasoning_in(trace), FINISH_FRACTIONS)
        probes += _cut(subject, "finish_teacher", reasoning_in(trace_of(subject.teacher.completion)), FINISH_FRACTIONS)
    return probes


def run_probes(
    generator: Generator,
    tokenizer: Decodes,
    subjects: Iterable[Subject],
    settings: ProbeSettings,
    *,
    scratch: Path,
    progress: Callable[[int, int], None],
) -> list[ProbeRow]:
    """All probes of all items; what is asked twice is generated once.

    Args:
        generator: The model that is probed.
        tokenizer: Its tokenizer.
        subjects: Items and what was answered to them.
        settings: How probes are answered.
        scratch: Folder that survives a kill, for this very call (see `generate_all`).
        progress: Called with (generations done, generations in all).

    Returns:
        Rows in the order of the items and of their probes.
    """
    probes = [probe for subject in subjects for probe in plan_probes(subject, settings.seed)]
    given = {text: list(tokenizer(text, add_special_tokens=False).input_ids) for text in {p.given for p in probes}}
    questions_of_all = dict.fromkeys(map(_question, probes))
    written: dict[_Question, Completion] = {}
    for cued, folder in ((True, "answers"), (False, "continuations")):
        questions, already = [question for question in questions_of_all if question[0] == cued], len(written)
        (scratch / folder).mkdir(exist_ok=True)
        completions = generate_all(
            generator,
            [[*prompt, *given[text]] for _, prompt, text in questions],
            settings.of(cued=cued),
            batch_size=settings.batch_size,
            batch_tokens=settings.batch_tokens,
            scratch=scratch / folder,
            progress=partial(_report, progress, already, len(questions_of_all)),
        )
        written |= zip(questions, completions, strict=True)
    return [_read(probe, written[_question(probe)], given[probe.given], tokenizer) for probe in probes]


def _question(probe: Probe) -> _Question:
    """The input of the model; probes with the same one share a generation."""
    return probe.cued, probe.subject.prompt_ids, probe.given


def _report(progress: Callable[[int, int], None], already: int, total: int, done: int, _: int) -> None:
    progress(already + done, total)


def _cut(subject: Subject, name: ProbeName, trace: str, fractions: Sequence[float]) -> list[Probe]:
    """A trace cut to each of the fractions; only early answers are asked for at once."""
    sentences, cued = len(split_trace(trace)), name == "early_answer"
    cuts = [truncate(trace, fraction) for fraction in fractions]
    return [
        Probe(subject, name, fraction, sentences, with_cue(cut) if cued else cut, cued)
        for fraction, cut in zip(fractions, cuts, strict=True)
    ]


def _gap(tokenizer: Decodes, given: Sequence[int], completion: Completion) -> str:
    """The blank between what was given and what followed: some tokenizers lose one that opens a text."""
    if not given or not completion.text or completion.text[0].isspace():
        return ""
    before = tokenizer.decode(given, skip_special_tokens=True)
    together = tokenizer.decode([*given, completion.token_ids[0]], skip_special_tokens=True)
    return " " if together.startswith(f"{before} ") else ""


def _read(probe: Probe, completion: Completion, given: Sequence[int], tokenizer: Decodes) -> ProbeRow:
    """The answer in what the model was given and wrote; where it was asked for one, only from there on."""
    subject, task = probe.subject, probe.subject.task
    text = (ANSWER_CUE if probe.cued else probe.given) + _gap(tokenizer, given, completion) + completion.text
    instruction, final = subject.item.instruction, subject.own.robust_value
    value = task.extract(text, finish_reason=completion.finish_reason, instruction=instruction).value
    teacher = None if subject.teacher is None else subject.teacher.robust_value
    return ProbeRow(
        task=task.name,
        item_id=subject.item.item_id,
        probe=probe.name,
        fraction=probe.fraction,
        sentences=probe.sentences,
        value=value,
        correct=task.is_correct(value, subject.item.gold),
        final=final,
        same_as_final=None if final is None else task.is_correct(value, final),
        teacher_final=teacher,
        same_as_teacher=None if teacher is None else task.is_correct(value, teacher),
    )


@dataclass(frozen=True)
class ProbeMeasure:
    """One measure on one item; its mean over items is the measure of a model.

    Attributes:
        task: Task name.
        item_id: Stable id of the item.
        measure: One of `PROBE_MEASURES`, or one of the finish measures of a single cut, such as
            ``finish_own_accuracy_25`` at 25%.
        value: In [0, 1].
    """

    task: str
    item_id: str
    measure: str
    value: float


def probe_measures(rows: Iterable[ProbeRow]) -> list[ProbeMeasure]:
    """The measures of every item for which they are defined, in the order of the items.

    Agreement with an answer that could not be read is not defined; an answer under a probe that cannot be read agrees
    with none.
    """
    items: dict[tuple[str, str], dict[str, list[ProbeRow]]] = {}
    for row in rows:
        items.setdefault((row.task, row.item_id), {}).setdefault(row.probe, []).append(row)
    return [
        ProbeMeasure(*item, measure, value) for item, probes in items.items() for measure, value in _measures(probes)
    ]


def _measures(probes: Mapping[str, Sequence[ProbeRow]]) -> Iterator[tuple[str, float]]:
    early = sorted(probes.get("early_answer", ()), key=lambda row: row.fraction)
    same = _known(row.same_as_final for row in early)
    if same:
        yield "early_answer_area", area_over_curve([row.fraction for row in early], same)
    for probe in ("mistake", "no_mistake"):
        for agreed in _known(row.same_as_final for row in probes.get(probe, ())):
            yield f"{probe}_changed", 1.0 - agreed
    for probe in ("finish_own", "finish_teacher"):
        cuts = probes.get(probe, ())
        yield from _with_mean(f"{probe}_accuracy", cuts, _known(row.correct for row in cuts))
        yield from _with_mean(f"{probe}_agreement", cuts, _known(row.same_as_teacher for row in cuts))


def _known(values: Iterable[bool | None]) -> list[float]:
    """The values as numbers; those of one item and probe are all known, or none is."""
    return [float(value) for value in values if value is not None]


def _with_mean(name: str, cuts: Sequence[ProbeRow], values: Sequence[float]) -> Iterator[tuple[str, float]]:
    if values:
        yield name, sum(values) / len(values)
        yield from ((f"{name}_{100 * row.fraction:g}", value) for row, value in zip(cuts, values, strict=True))


def probe_table(rows: Iterable[ProbeRow]) -> pd.DataFrame:
    """Means over items with 95% t intervals, cut to [0, 1]; the measures are those of `PROBE_MEASURES`."""
    found: dict[tuple[str, str], list[ProbeMeasure]] = {}
    for one in probe_measures(rows):
        if one.measure in PROBE_MEASURES:
            for task in (one.task, POOLED):
                found.setdefault((task, one.measure), []).append(one)
    tasks = {task for task, _ in found} - {POOLED}
    table = [_row(task, measure, own) for (task, measure), own in found.items() if task != POOLED or len(tasks) > 1]
    return pd.DataFrame(table, columns=list(COLUMNS))


def _row(task: str, measure: str, items: list[ProbeMeasure]) -> dict[str, Any]:
    mean = estimate_mean([item.value for item in items], [item.item_id for item in items])
    low, high = (float(np.clip(limit, 0, 1)) for limit in (mean.low, mean.high))
    return dict(zip(COLUMNS, (task, measure, mean.mean, low, high, len(items)), strict=True))
