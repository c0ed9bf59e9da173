"""Examples and items from files: what is read, what is refused, and how rows are split."""

import hashlib
import json
from collections import Counter

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from kdscope.core.errors import DataError
from kdscope.data.examples import (
    Example,
    as_items,
    as_prompts,
    read_examples,
    split_examples,
)
from kdscope.data.rows import read_rows
from kdscope.tasks import Task
from tests.builders import read_items


def _task(name, labels=(), answer_kind="number"):
    kind = "label" if labels else answer_kind
    return Task(name, "math", "letter" if labels[:1] == ("A",) else kind, labels, 0.0, 1, "", "", "")


NUMBERS = _task("sums")
LABELS = _task("truth", ("true", "false"))


def _row(index, **changes):
    return {"instruction": f"question {index}", "input": "", "output": f"answer {index}", "answer": "1"} | changes


@pytest.fixture
def write(tmp_path):
    def write_rows(rows, name="data.json"):
        path = tmp_path / name
        path.parent.mkdir(exist_ok=True)
        lines = "\n".join(json.dumps(row, ensure_ascii=False) for row in rows)
        path.write_text(lines if name.endswith("l") else json.dumps(rows, indent=1), encoding="utf-8")
        return path

    return write_rows


@pytest.mark.parametrize("name", ["data.json", "data.jsonl"])
def test_a_list_and_lines_read_alike(write, name):
    rows = [_row(1), _row(2, input="more", extra=[1, 2]), _row(3, output="a\u2028b\x85c\n\x0cd ünï 😀")]
    assert read_examples(write(rows, name)) == [
        Example(number, row["instruction"], row["input"], row["output"]) for number, row in enumerate(rows, 1)
    ]


def test_lines_in_a_file_called_json(tmp_path):
    (tmp_path / "data.json").write_text('{"instruction": "a", "output": "b"}\n{"instruction": "c", "output": "d"}\n')
    assert [example.output for example in read_examples(tmp_path / "data.json")] == ["b", "d"]


def test_rows_of_jsonl_are_lines(tmp_path):
    text = '\ufeff{"instruction": "a", "output": "b"}\r\n\r\n{"instruction": "c", "output": "d", "input": null}\r\n'
    (tmp_path / "data.jsonl").write_bytes(text.encode())
    assert read_examples(tmp_path / "data.jsonl") == [Example(1, "a", "", "b"), Example(3, "c", "", "d")]


def test_prompts_are_examples_whose_answers_are_not_looked_at(write):
    rows = [_row(1), _row(2, input="more", output=["no", "text"]), {"instruction": "third"}]
    assert as_prompts(read_rows(write(rows))) == [
        Example(1, "question 1", "", ""),
        Example(2, "question 2", "more", ""),
        Example(3, "third", "", ""),
    ]


def test_prompts_need_a_question(write):
    with pytest.raises(DataError, match=r"data.json, row 2: instruction: the key is missing"):
        as_prompts(read_rows(write([_row(1), {"output": "answer"}])))


def test_items_keep_their_place_and_their_content_hash(write, tmp_path):
    rows = [_row(0, answer="4.5"), _row(1, answer="-2", input="with more"), _row(0, answer="4.5"), _row(0, answer="5")]
    write(rows, "sums/test.json")
    items = read_items(NUMBERS, tmp_path)
    assert [(item.index, item.item_id, item.gold) for item in items] == [
        (0, "sums/0", "4.5"),
        (1, "sums/1", "-2"),
        (2, "sums/2", "4.5"),
        (3, "sums/3", "5"),
    ]
    assert items[0].content_hash == items[2].content_hash
    assert len({item.content_hash for item in items}) == 3
    assert items[1].content_hash == hashlib.sha256(b'["question 1","with more","-2"]').hexdigest()


def test_the_first_items_are_a_limit_and_the_rest_is_not_looked_at(write, tmp_path):
    write([_row(0), _row(1), {"broken": True}], "sums/test.json")
    assert [item.index for item in read_items(NUMBERS, tmp_path, limit=2)] == [0, 1]


@pytest.mark.parametrize(
    ("written", "gold"), [(72, "72"), (0.5, "0.5"), ("576.0", "576.0"), (" 3/4 ", "3/4"), ("-1e3", "-1e3")]
)
def test_numbers_as_gold(write, tmp_path, written, gold):
    write([_row(0, answer=written)], "sums/test.json")
    assert read_items(NUMBERS, tmp_path)[0].gold == gold


@pytest.mark.parametrize("written", ["five", "nan", "inf", "1e999", "3/0", "1,200", True])
def test_what_is_no_number(write, tmp_path, written):
    write([_row(0), _row(1, answer=written)], "sums/test.json")
    with pytest.raises(DataError, match=r"row 2: answer: .* is not a number"):
        read_items(NUMBERS, tmp_path)


@pytest.mark.parametrize(("written", "gold"), [(True, "true"), (False, "false"), ("true", "true")])
def test_labels_as_gold(write, tmp_path, written, gold):
    write([_row(0, answer=written)], "truth/test.json")
    assert read_items(LABELS, tmp_path)[0].gold == gold


def test_a_gold_that_is_no_label(write, tmp_path):
    write([_row(0, answer="maybe")], "truth/test.json")
    with pytest.raises(DataError, match=r"row 1: answer: 'maybe' is not an answer of truth: true, false"):
        read_items(LABELS, tmp_path)


TEXT = _task("free", answer_kind="text")


@pytest.mark.parametrize(("output", "references"), [("one", ("one",)), (["one"], ("one",)), (["b", "a"], ("b", "a"))])
def test_text_items_keep_all_references_and_the_first_is_gold(write, tmp_path, output, references):
    write([_row(0, output=output), _row(0, output=references[:1])], "free/test.json")
    first, second = read_items(TEXT, tmp_path)
    assert (first.references, first.gold) == (references, references[0])
    assert (first.content_hash == second.content_hash) == (len(references) == 1)
    canonical = json.dumps(["question 0", "", list(references)], separators=(",", ":"))
    assert first.content_hash == hashlib.sha256(canonical.encode()).hexdigest()


def test_other_items_have_no_references(write, tmp_path):
    write([_row(0, output=["a", "b"])], "sums/test.json")
    assert read_items(NUMBERS, tmp_path)[0].references == ()


@pytest.mark.parametrize(
    ("output", "words"),
    [
        ([], r"output: the list is empty"),
        ("", r"output: the text is empty"),
        (["a", " "], r"output\[2\]: the text is empty"),
        (["a", 3], r"output\[2\]: expected text, given a number"),
        (None, r"output: expected text, given null"),
    ],
)
def test_references_that_are_none(write, tmp_path, output, words):
    write([_row(0), _row(1, output=output)], "free/test.json")
    with pytest.raises(DataError, match=rf"test.json, row 2: {words}"):
        read_items(TEXT, tmp_path)


TEXTS = st.lists(st.sampled_from("abcdefghijkl"), min_size=1, max_size=40)


def _examples(texts):
    return [Example(row, text, "", text) for row, text in enumerate(texts, 1)]


@given(TEXTS, st.integers(0, 10), st.integers(0, 2**31), st.integers(1, 40))
@settings(deadline=None)
def test_a_split_is_disjoint_in_rows_and_texts_and_loses_only_duplicates(texts, validation_items, seed, limit):
    examples = _examples(texts)
    arguments = {"limit": min(limit, len(texts)), "validation_items": validation_items, "seed": seed}
    try:
        split = split_examples(examples, **arguments)
    except DataError:
        assert arguments["limit"] <= validation_items or len(set(texts)) < len(texts)
        return
    assert split == split_examples(examples, **arguments)
    rows = [example.row for example in split.train]
    assert rows == sorted(rows)
    assert not set(rows) & {example.row for example in split.validation}
    assert not {example.output for example in split.train} & {example.output for example in split.validation}
    assert len(split.validation) == validation_items
    assert len(split.train) + len(split.validation) + split.duplicates_removed == arguments["limit"]


def test_everything_is_used_without_limit_or_validation():
    examples = _examples("abcab")
    split = split_examples(examples, limit=None, validation_items=0, seed=3)
    assert (split.train, split.validation, split.duplicates_removed) == (tuple(examples), (), 0)


def test_a_smaller_limit_is_a_part_and_has_the_same_validation():
    examples = _examples([str(number) for number in range(50)])
    small = split_examples(examples, limit=20, validation_items=5, seed=1)
    big = split_examples(examples, limit=40, validation_items=5, seed=1)
    assert small.validation == big.validation
    assert set(small.train) < set(big.train)


def test_seeds_draw_different_rows_and_every_row_gets_its_turn():
    examples = _examples([str(number) for number in range(10)])
    drawn = Counter(
        example.row
        for seed in range(300)
        for example in split_examples(examples, limit=10, validation_items=2, seed=seed).validation
    )
    # 300 draws of 2 in 10: 60 each; five standard deviations of a binomial (300, 0.2) are 35.
    assert set(drawn) == set(range(1, 11))
    assert all(abs(count - 60) < 35 for count in drawn.values())


@pytest.mark.parametrize(
    ("limit", "validation_items", "key"),
    [(7, 1, "limit"), (3, 3, "validation_items"), (None, 6, "validation_items"), (None, 9, "validation_items")],
)
def test_too_few_rows(limit, validation_items, key):
    with pytest.raises(DataError) as caught:
        split_examples(_examples("abcdef"), limit=limit, validation_items=validation_items, seed=0)
    assert caught.value.key == key


def test_validation_that_leaves_only_its_own_duplicates():
    with pytest.raises(DataError, match="leave none to train on"):
        split_examples(_examples("aaaa"), limit=None, validation_items=1, seed=0)


REAL_LABELS = {
    "boolq": ("true", "false"),
    "AQuA": tuple("ABCDE"),
    "piqa": ("solution1", "solution2"),
    "ARC-Easy": tuple(f"answer{number}" for number in range(1, 6)),
    "gsm8k": (),
    "AddSub": (),
    "SVAMP": (),
    "MultiArith": (),
    "SingleEq": (),
}


@pytest.mark.parametrize(("name", "count"), [("gsm8k", 1319), ("AddSub", 395), ("SVAMP", 1000), ("MultiArith", 600)])
def test_real_mathematics(shared_data, name, count):
    items = read_items(_task(name), shared_data / "tasks")
    assert len(items) == count
    assert all(float(item.gold) == pytest.approx(float(item.gold)) for item in items)


@pytest.mark.parametrize(("name", "count"), [("boolq", 3270), ("AQuA", 254), ("piqa", 1838), ("ARC-Easy", 2376)])
def test_real_choices(shared_data, name, count):
    items = read_items(_task(name, REAL_LABELS[name]), shared_data / "tasks")
    assert len(items) == count
    assert {item.gold for item in items} == set(REAL_LABELS[name])


def test_multiarith_has_its_known_duplicates(shared_data):
    items = read_items(_task("MultiArith"), shared_data / "tasks")
    assert len({item.content_hash for item in items}) < len(items)


def test_real_instructions(shared_data):
    items = as_items(TEXT, read_rows(shared_data / "instruct" / "sni" / "valid.jsonl"))
    assert len(items) == 1694
    assert max(len(item.references) for item in items) > 1


def test_real_training_sets(shared_data):
    assert len(read_examples(shared_data / "tasks" / "gsm8k" / "train.json")) == 7473
    assert len(read_examples(shared_data / "instruct" / "dolly" / "valid.jsonl")) == 500
    with pytest.raises(DataError, match="expected text, given a list"):
        read_examples(shared_data / "instruct" / "sni" / "valid.jsonl")
