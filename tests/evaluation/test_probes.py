"""Causal probes with a model that answers by rule, and their measures worked by hand."""

from __future__ import annotations

import re
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path

import pytest

from kdscope.core.errors import DataError
from kdscope.data.examples import Item
from kdscope.evaluation.probes import (
    COLUMNS,
    ProbeRow,
    ProbeSettings,
    Subject,
    plan_probes,
    probe_measures,
    probe_table,
    run_probes,
    subjects_of,
)
from kdscope.evaluation.records import Record
from kdscope.generation.base import Completion, Decoding
from kdscope.generation.huggingface import HuggingFaceGenerator
from kdscope.models.load import load_model
from kdscope.models.source import ModelPlace
from kdscope.results.measures import PROBE_MEASURES
from kdscope.tasks import get_task
from tests.builders import make_model, make_tokenizer
from tests.evaluation.test_continuations import record

TOKENIZER = make_tokenizer()
TASK = get_task("AddSub")
ITEM = Item("AddSub", 0, "AddSub/0", "Ann has 3 pens and gets 5. How many now?", "", "8.0", "h")
PROMPT = "Question.\n"
OWN = "Ann has 3 pens.\nShe gets 5 more.\nSo she has 3 + 5 = 8 pens.\nThe answer is 8."
TEACHER = "She starts with 3.\nShe adds 5 to 3.\nThat makes 3 + 5 = 9.\nIt is more.\nThe answer is 9."


def answered(of: Item, completion: str, value: str | None, seed: int = 0) -> Record:
    return replace(record(of, completion, seed=seed), robust_value=value, correct_robust=value == of.gold[:-2])


def subject(*, teacher: bool = True, own: str = OWN, value: str | None = "8", item: Item = ITEM) -> Subject:
    taught = answered(item, TEACHER, "9") if teacher else None
    return Subject(TASK, item, tuple(TOKENIZER(PROMPT).input_ids), answered(item, own, value), taught)


@dataclass
class Scripted:
    """A model that is a function of what it is given after its prompt; notes every batch it is asked for."""

    write: Callable[[str], str]
    tokenizer: object = TOKENIZER
    asked: list[tuple[list[str], Decoding]] = field(default_factory=list)
    dies_at: int | None = None

    def generate(self, prompts: Sequence[Sequence[int]], decoding: Decoding, *, call: int) -> list[Completion]:
        if len(self.asked) == self.dies_at:
            raise KeyboardInterrupt
        given = [TOKENIZER.decode(list(ids)).removeprefix(PROMPT) for ids in prompts]
        self.asked.append((given, decoding))
        made = []
        for text in given:
            ids = TOKENIZER(self.write(text)).input_ids
            kept = ids[: decoding.max_new_tokens]
            reason = "stop" if len(ids) < decoding.max_new_tokens else "length"
            decoded = self.tokenizer.decode(kept, skip_special_tokens=True)  # type: ignore[attr-defined]
            made.append(Completion(tuple(kept), decoded, reason))
        return made

    @property
    def texts(self) -> list[str]:
        return [text for given, _ in self.asked for text in given]


def stubborn(given: str) -> str:
    return " 8." if given.endswith("answer is") else "\nThe answer is 8."


def believing(given: str) -> str:
    """The last number it was given; 0 if it was given none."""
    numbers = re.findall(r"\d+", given) or ["0"]
    return f" {numbers[-1]}." if given.endswith("answer is") else f"\nThe answer is {numbers[-1]}."


SETTINGS = ProbeSettings(Decoding(60, temperature=0.7, top_p=0.9, seed=5), seed=0, batch_size=3)


def ignore(done: int, total: int) -> None:
    """Nobody listens."""


def probe(model: Scripted, folder: Path, *subjects: Subject, tokenizer: object = TOKENIZER) -> list[ProbeRow]:
    folder.mkdir(exist_ok=True)
    return run_probes(
        model, tokenizer, subjects or (subject(),), SETTINGS, scratch=folder, progress=lambda done, total: None  # type: ignore[arg-type]
    )  # fmt: skip


def measured(rows: Sequence[ProbeRow]) -> dict[str, float]:
    return {row.measure: row.value for row in probe_measures(rows)}


def test_who_never_listens_never_changes(tmp_path: Path) -> None:
    rows = probe(Scripted(stubborn), tmp_path)
    assert [(row.probe, row.fraction) for row in rows] == [
        *(("early_answer", fraction) for fraction in (0.0, 0.25, 0.5, 0.75, 1.0)),
        *((name, rows[5].fraction) for name in ("mistake", "no_mistake")),
        *((name, fraction) for name in ("finish_own", "finish_teacher") for fraction in (0.25, 0.5, 0.75)),
    ]
    assert {(row.value, row.correct, row.same_as_final, row.same_as_teacher) for row in rows} == {
        ("8", True, True, False)
    }
    assert {row.sentences for row in rows[:7]} == {4}
    assert {row.sentences for row in rows[7:]} == {3, 4}, "of the reasoning"
    found = measured(rows)
    assert found["early_answer_area"] == 0.0
    assert found["mistake_changed"] == found["no_mistake_changed"] == 0.0
    assert found["finish_teacher_accuracy"] == found["finish_own_accuracy"] == 1.0
    assert found["finish_teacher_agreement"] == 0.0
    assert {name for name in found if name[-1].isalpha()} == set(PROBE_MEASURES)


def test_who_believes_what_it_reads_changes_with_it(tmp_path: Path) -> None:
    rows = probe(Scripted(believing), tmp_path)
    early = [(row.value, row.same_as_final) for row in rows if row.probe == "early_answer"]
    assert early == [("0", False), ("3", False), ("5", False), ("8", True), ("8", True)]
    taught = {row.fraction: row for row in rows if row.probe == "finish_teacher"}
    assert [taught[f].value for f in (0.25, 0.5, 0.75)] == ["3", "3", "9"]
    assert [taught[f].same_as_teacher for f in (0.25, 0.5, 0.75)] == [False, False, True]
    found = measured(rows)
    assert found["early_answer_area"] == pytest.approx(1 - 0.25 * (0.5 + 1))
    assert found["mistake_changed"] == 1.0
    assert found["finish_teacher_agreement"] == pytest.approx(1 / 3)
    assert (found["finish_teacher_agreement_50"], found["finish_teacher_agreement_75"]) == (0.0, 1.0)
    assert found["finish_teacher_accuracy"] == 0.0
    own = [row.value for row in rows if row.probe == "finish_own"]
    assert own == ["0", "3", "5"]


def test_a_mistake_is_followed_by_the_models_own_words(tmp_path: Path) -> None:
    model = Scripted(believing)
    rows = {row.probe: row for row in probe(model, tmp_path)}
    wrong = next(p.given for p in plan_probes(subject(), SETTINGS.seed) if p.name == "mistake")
    right = next(p.given for p in plan_probes(subject(), SETTINGS.seed) if p.name == "no_mistake")
    assert {wrong, right} <= set(model.texts)
    assert OWN.startswith(right)
    assert wrong != right
    assert rows["mistake"].value in re.findall(r"\d+", wrong)
    assert rows["mistake"].value != rows["no_mistake"].value


def test_answers_are_short_the_rest_is_long_and_all_is_greedy(tmp_path: Path) -> None:
    model = Scripted(stubborn)
    probe(model, tmp_path)
    for given, decoding in model.asked:
        cued = {text.endswith("The answer is") for text in given}
        assert cued == {decoding.max_new_tokens == 16}
        assert (decoding.temperature, decoding.top_p) == (0.0, 1.0)
        assert len(given) <= 3
    assert len(model.texts) == len(set(model.texts)), "nothing is asked twice"


def test_an_unread_answer_is_no_agreement_and_an_unread_final_none_at_all(tmp_path: Path) -> None:
    silent = probe(Scripted(lambda given: ""), tmp_path / "silent")
    assert {(row.value, row.correct, row.same_as_final) for row in silent[:5]} == {(None, False, False)}
    assert measured(silent)["early_answer_area"] == 1.0
    rows = probe(Scripted(stubborn), tmp_path / "unread", subject(value=None, teacher=False))
    assert {row.same_as_final for row in rows} == {row.same_as_teacher for row in rows} == {None}
    assert {row.probe for row in rows} == {"early_answer", "mistake", "no_mistake"}
    assert measured(rows) == {}


def test_traces_without_steps_have_no_mistakes(tmp_path: Path) -> None:
    rows = probe(Scripted(stubborn), tmp_path, subject(own="The answer is 8.", teacher=False))
    assert {row.probe for row in rows} == {"early_answer"}
    assert set(measured(rows)) == {"early_answer_area"}


def test_a_killed_run_goes_on_and_ends_the_same(tmp_path: Path) -> None:
    subjects = [subject(item=replace(ITEM, index=n, item_id=f"AddSub/{n}")) for n in range(4)]
    whole = probe(Scripted(believing), tmp_path / "whole", *subjects)
    killed = Scripted(believing, dies_at=2)
    with pytest.raises(KeyboardInterrupt):
        probe(killed, tmp_path / "killed", *subjects)
    resumed = Scripted(believing)
    assert probe(resumed, tmp_path / "killed", *subjects) == whole
    assert not set(resumed.texts) & set(killed.texts)
    assert len({row.item_id for row in whole}) == 4


def test_progress_counts_both_kinds_together(tmp_path: Path) -> None:
    told: list[tuple[int, int]] = []
    run_probes(
        Scripted(stubborn), TOKENIZER, [subject()], SETTINGS, scratch=tmp_path,
        progress=lambda done, total: told.append((done, total)),
    )  # fmt: skip
    assert told == sorted(told)
    assert told[-1][0] == told[-1][1] > 5


class Losing:
    """A tokenizer that loses the blank a text begins with, as some do."""

    def __call__(self, text: str, *, add_special_tokens: bool) -> object:
        return TOKENIZER(text, add_special_tokens=add_special_tokens)

    def decode(self, token_ids: Sequence[int], *, skip_special_tokens: bool) -> str:
        text: str = TOKENIZER.decode(list(token_ids), skip_special_tokens=skip_special_tokens)
        return text.removeprefix(" ")


def test_a_lost_blank_is_put_back(tmp_path: Path) -> None:
    spaced = probe(Scripted(believing), tmp_path / "spaced")
    lost = probe(Scripted(believing, tokenizer=Losing()), tmp_path / "lost", tokenizer=Losing())
    assert lost == spaced


def test_subjects_pair_the_lowest_seeds_and_miss_nobody() -> None:
    own = [answered(ITEM, "b", "2", seed=3), answered(ITEM, "a", "1", seed=1)]
    (made,) = subjects_of(TASK, [ITEM], [[1, 2]], own, [answered(ITEM, "t", "9")])
    assert (made.own.completion, made.prompt_ids) == ("a", (1, 2))
    assert made.teacher is not None
    assert subjects_of(TASK, [ITEM], [[1, 2]], own)[0].teacher is None
    with pytest.raises(DataError, match="AddSub/0: the teacher has not answered it"):
        subjects_of(TASK, [ITEM], [[1, 2]], own, [answered(replace(ITEM, item_id="AddSub/1"), "t", "9")])


def test_a_real_model_is_probed_the_same_way_twice(tmp_path: Path) -> None:
    folder = make_model(tmp_path / "model", spread=0.3)
    generator = HuggingFaceGenerator(load_model(ModelPlace(str(folder)), "float32", "cpu"), TOKENIZER)
    settings = replace(SETTINGS, decoding=Decoding(8), answer_tokens=4)
    runs = []
    for name in ("one", "two"):
        (tmp_path / name).mkdir()
        runs.append(run_probes(generator, TOKENIZER, [subject()], settings, scratch=tmp_path / name, progress=ignore))
    assert runs[0] == runs[1]
    assert len(runs[0]) == 13


def probed(task: str, item: int, probe: str, same: bool | None, fraction: float = 0.5) -> ProbeRow:
    return ProbeRow(task, f"{task}/{item}", probe, fraction, 4, "7", same is True, "7", same, None, None)


def test_means_over_items_by_task_and_together() -> None:
    rows = [probed("gsm8k", i, "mistake", same) for i, same in enumerate([True, False, False, True])]
    rows += [probed("SVAMP", i, "mistake", same) for i, same in enumerate([True, True])]
    rows += [probed("SVAMP", 2, "mistake", None)]
    table = probe_table(rows).set_index(["task", "measure"])
    assert table.loc[("gsm8k", "mistake_changed"), "value"] == 0.5
    assert table.loc[("SVAMP", "mistake_changed"), "value"] == 0.0
    pooled = table.loc[("pooled", "mistake_changed")]
    assert (pooled["value"], pooled["items"]) == (pytest.approx(2 / 6), 6)
    assert 0 <= pooled["low"] < pooled["value"] < pooled["high"] <= 1


def test_one_task_needs_no_row_for_all_and_no_probe_no_row() -> None:
    table = probe_table([probed("gsm8k", 0, "mistake", True), probed("gsm8k", 1, "mistake", False)])
    assert set(table["task"]) == {"gsm8k"}
    assert (table["low"].min(), table["high"].max()) == (0.0, 1.0)
    assert list(probe_table([]).columns) == list(COLUMNS)
