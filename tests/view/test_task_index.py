from __future__ import annotations

import random
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from kdscope.core.errors import DataError
from kdscope.evaluation.records import Record, answer_of, is_correct, run_record_schema
from kdscope.view.state import LIKENESS, OUTCOMES, Column
from kdscope.view.task_index import NONE, Selection, TaskIndex, offered_likeness, offered_outcomes, read_task_index
from tests.view.runs import KD, SFT, TEACHER, record, write_run


def _index(folder: Path, answers: dict[str, list[Record]], task: str = "sums") -> TaskIndex:
    write_run(folder, {cell: {task: rows} for cell, rows in answers.items()})
    return read_task_index(folder / "records" / f"{task}.parquet")


def test_units_are_items_and_seeds_wherever_their_rows_are(tmp_path: Path) -> None:
    index = _index(
        tmp_path / "run",
        {
            TEACHER: [record(5, decoding_seed=0), record(2, decoding_seed=0)],
            SFT: [record(2, decoding_seed=s) for s in (1, 0)] + [record(5, decoding_seed=s) for s in (0, 1)],
        },
    )
    assert index.items == ("sums/5", "sums/5", "sums/2", "sums/2")
    assert index.seeds.tolist() == [0, 1, 0, 1]
    assert index.rows_of(TEACHER).tolist() == [0, NONE, 1, NONE]
    assert index.rows_of(SFT).tolist() == [4, 5, 3, 2]
    assert index.rows_of("nobody").tolist() == [NONE] * 4
    assert (index.find("sums/2"), index.find("sums/2", 1), index.find("sums/9")) == (2, 3, None)


def test_numbers_are_the_same_by_value_and_words_by_spelling(tmp_path: Path) -> None:
    numbers = _index(tmp_path / "a", {TEACHER: [record(0, "7.0")], SFT: [record(0, "7")], KD: [record(0, None)]})
    same = numbers.answers["robust"]
    assert same[0] == same[1] != NONE
    assert same[2] == NONE
    letters = {TEACHER: [record(0, "1.0", gold="A")], SFT: [record(0, "1", gold="A")]}
    words = _index(tmp_path / "b", letters).answers["robust"]
    assert words[0] != words[1]


def test_two_records_of_one_answer_are_refused(tmp_path: Path) -> None:
    with pytest.raises(DataError, match=r"row 1: teacher/big has two records of sums/4 with decoding seed 0"):
        _index(tmp_path / "run", {TEACHER: [record(4), record(4)]})


def test_free_text_is_known_by_its_score(tmp_path: Path) -> None:
    index = _index(tmp_path / "run", {TEACHER: [record(0, "a text", gold="x", rouge_l=0.5)]})
    assert index.text
    assert offered_outcomes(index) == ["any", "unparsed", "truncated"]
    assert offered_likeness(index) == ["any", "same", "different"]


def test_records_of_before_there_was_free_text(tmp_path: Path) -> None:
    write_run(tmp_path / "run", {TEACHER: {"sums": [record(0)]}})
    file = tmp_path / "run" / "records" / "sums.parquet"
    pq.write_table(pq.ParquetFile(file).read().drop_columns(["rouge_l"]), file)
    assert not read_task_index(file).text


def test_a_file_without_rows_is_told(tmp_path: Path) -> None:
    pq.write_table(run_record_schema().empty_table(), tmp_path / "sums.parquet")
    with pytest.raises(DataError, match="no records in this file"):
        read_task_index(tmp_path / "sums.parquet")


def _random_answers(rng: random.Random) -> dict[str, list[Record]]:
    def one(item: int) -> Record:
        value = rng.choice([None, "1", "1.0", "2", "3"])
        right = value in ("1", "1.0")
        cut = rng.random() < 0.2
        reason = "length" if cut else rng.choice(["stop", "run_on"])
        return record(item, value, truncated=cut, finish_reason=reason, correct_robust=right, correct_published=right)

    return {cell: [one(item) for item in range(60) if rng.random() < 0.9] for cell in (TEACHER, SFT, KD)}


def _passes(own: Record | None, other: Record | None, column: Column, scoring: str) -> bool:
    """What a filter on one model means, record by record."""

    def number(r: Record) -> float | None:
        value = answer_of(r, scoring)
        return None if value is None else float(value)

    if column.outcome != "any":
        if own is None:
            return False
        holds = {
            "right": is_correct(own, scoring),
            "wrong": not is_correct(own, scoring),
            "unparsed": answer_of(own, scoring) is None,
            "truncated": own.truncated,
            "run_on": own.finish_reason == "run_on",
        }
        if not holds[column.outcome]:
            return False
    if column.likeness == "any":
        return True
    if own is None or other is None:
        return False
    same = number(own) is not None and number(own) == number(other)
    wrong = not is_correct(own, scoring) and not is_correct(other, scoring)
    return {"same": same, "different": not same, "same_wrong": same and wrong}[column.likeness]


@pytest.mark.parametrize("seed", range(12))
def test_every_filter_and_every_count_is_what_its_words_say(tmp_path: Path, seed: int) -> None:
    rng = random.Random(seed)
    answers = _random_answers(rng)
    index = _index(tmp_path / "run", answers)
    by_item = {cell: {r.item_id: r for r in rows} for cell, rows in answers.items()}
    scoring = rng.choice(["robust", "published"])
    columns = [Column(cell, rng.choice(OUTCOMES), rng.choice(LIKENESS)) for cell in (TEACHER, SFT, KD)]
    columns[0] = Column(TEACHER, columns[0].outcome)
    others = np.array([rng.random() < 0.9 for _ in index.items])

    def expected(wanted: list[Column]) -> list[int]:
        def passes(item: str) -> bool:
            teacher = by_item[TEACHER].get(item)
            return all(_passes(by_item[c.cell].get(item), teacher, c, scoring) for c in wanted)

        return [unit for unit, item in enumerate(index.items) if others[unit] and passes(item)]

    selection = Selection(index, columns, scoring, 0, others)
    assert selection.units.tolist() == expected(columns)
    for place, column in enumerate(columns):
        for name, count in selection.outcome_counts(place).items():
            changed = [*columns[:place], Column(column.cell, name, column.likeness), *columns[place + 1 :]]
            assert count == len(expected(changed)), (place, name)
    for name, count in selection.likeness_counts(1).items():
        assert count == len(expected([columns[0], Column(SFT, columns[1].outcome, name), columns[2]])), name
    for pattern in selection.patterns():
        ways = [
            Column(c.cell, "right" if r else "wrong", c.likeness) for c, r in zip(columns, pattern.right, strict=True)
        ]
        assert pattern.count == len(expected(ways))


def test_the_schema_of_a_file_may_have_dictionaries(tmp_path: Path) -> None:
    """pandas and other programs write repeated texts as categories."""
    write_run(tmp_path / "run", {TEACHER: {"sums": [record(0), record(1, None)]}})
    file = tmp_path / "run" / "records" / "sums.parquet"
    table = pq.ParquetFile(file).read()
    for name in ("cell", "robust_value", "finish_reason"):
        place = table.column_names.index(name)
        table = table.set_column(place, name, table[name].dictionary_encode())
    assert pa.types.is_dictionary(table["cell"].type)
    pq.write_table(table, file)
    index = read_task_index(file)
    assert index.cells == (TEACHER,)
    assert (index.answers["robust"] == NONE).tolist() == [False, True]
