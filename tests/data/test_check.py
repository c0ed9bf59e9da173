"""Every kind of damage is named with file, row and key; sound files, the real ones too, have no problems."""

import json
import re

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from kdscope.core.errors import DataError
from kdscope.data.check import MAX_PROBLEMS, check_file, check_folder
from kdscope.data.download import LOCK_NAME
from kdscope.data.examples import as_examples, as_items
from kdscope.data.rows import read_rows
from kdscope.tasks import Task, default_registry, get_task


def _task(name, labels=(), chance=0.0, answer_kind="number", **more):
    return Task(name, "math", answer_kind, labels, chance, more.pop("test_items", None), "", "", "", **more)


SUMS = _task("sums")
TRUTH = _task("truth", ("true", "false"), 0.5, "label")
LETTERS = _task("letters", tuple("ABC"), 1 / 3, "letter")
WORDS = _task("words", ("answer1", "answer2", "answer3", "answer4"), 1 / 4, "label")
FEWER = _task("fewer", WORDS.labels, 0.26, "label")
FREE = _task("free", answer_kind="text", aliases=("free-text",))


def _row(number=0, **changes):
    row = {"instruction": f"question {number}", "input": "", "output": f"response {number}", "answer": "1"} | changes
    return {key: value for key, value in row.items() if value is not ...}


def _choice(count, answer, number=0):
    listed = " ".join(f"answer{place}: thing" for place in range(1, count + 1))
    return _row(number, instruction=f"question {number}? {listed}", answer=answer)


@pytest.fixture
def write(tmp_path):
    def write_content(content, name="test.json"):
        file = tmp_path / name
        file.parent.mkdir(parents=True, exist_ok=True)
        if isinstance(content, list):
            content = json.dumps(content)
        file.write_bytes(content if isinstance(content, bytes) else content.encode())
        return file

    return write_content


def _raw(*rows):
    return "[" + ",\n".join(rows) + "]"


GOOD = json.dumps(_row())
FILE_DAMAGE = [
    # name, content, what stands after the file
    ("test.json", GOOD.encode("utf-16"), ": this is not UTF-8 text (line 1)"),
    (
        "test.json",
        _raw(GOOD, GOOD.replace("question", "qu\xe9")).encode("latin-1"),
        ": this is not UTF-8 text (line 2), row 2",
    ),
    ("test.json", "", ": the file is empty"),
    ("test.json", "[]", ": the list is empty"),
    ("test.json", _raw(GOOD, GOOD)[:-20], ": invalid JSON in line 2, column 54, row 2: Unterminated string"),
    ("test.json", '{"rows":\n []}', ": expected a list of rows, given an object"),
    ("test.json", "version https://git-lfs.github.com/spec/v1\noid sha256:ab\nsize 7\n", ": this is a git-LFS pointer"),
    ("test.json", "\n<!DOCTYPE html>\n<html>404</html>", ": this is a web page, not data"),
    ("test.jsonl", "<html>404</html>", ": this is a web page, not data"),
]
ROW_DAMAGE = [
    (["x"], SUMS, "row 2: expected an object with keys, given a list"),
    (_row(instruction=...), SUMS, "row 2: instruction: the key is missing; the row has 'input', 'output', 'answer'"),
    (_row(instruction=" \n"), SUMS, "row 2: instruction: the text is empty"),
    (_row(instruction=7), SUMS, "row 2: instruction: expected text, given a number"),
    (_row(input=["x"]), SUMS, "row 2: input: expected text, given a list"),
    (_row(answer=...), SUMS, "row 2: answer: the key is missing"),
    (_row(answer=None), SUMS, "row 2: answer: expected text, given null"),
    (_row(answer=...), None, "row 2: answer: the key is missing"),
    (_row(answer="maybe"), TRUTH, "row 2: answer: 'maybe' is not an answer of truth: true, false"),
    (_row(answer="five"), SUMS, "row 2: answer: 'five' is not a number, and the answers of sums are"),
    (_row(answer=float("nan")), SUMS, "row 2: answer: NaN or Infinity is written"),
    (_row(answer=float("-inf")), None, "row 2: answer: NaN or Infinity is written"),
    (_row(system="Be brief."), SUMS, "row 2: system: an item is asked without a system prompt"),
    (_row(output=[]), FREE, "row 2: output: the list is empty, and one text at least is needed"),
    (_row(output=["a", ""]), FREE, "row 2: output[2]: the text is empty"),
    (_row(output=...), FREE, "row 2: output: the key is missing"),
    (_row(instruction="half \ud83d"), SUMS, "row 2: instruction: holds half of a surrogate pair"),
    (_row(output=["half \udc00"]), FREE, "row 2: output[1]: holds half of a surrogate pair"),
    (_row(instruction="a\x00b"), SUMS, "row 2: instruction: holds the control character U+0000"),
    (_row(output=["ok", "a\x1bb"]), FREE, "row 2: output[2]: holds the control character U+001B"),
    (
        _choice(3, "answer1"),
        WORDS,
        "row 2: instruction: the item lists 3 options (answer1, answer2, answer3), and words",
    ),
    (_choice(5, "answer1"), WORDS, "row 2: instruction: the item lists answer5, and words has answer1 to answer4"),
    (
        _choice(1, "answer1"),
        FEWER,
        "row 2: instruction: the item lists 1 option (answer1), and fewer has answer1 to an",
    ),
    (_choice(3, "answer4"), FEWER, "row 2: answer: 'answer4' is not among the 3 options that the item lists"),
    (_row(instruction="q", answer="answer1"), FEWER, "row 2: instruction: the item lists 0 options (none)"),
]
TRAINING_DAMAGE = [
    (_row(history=[["a", "b"]]), None, "row 2: history: holds earlier turns"),
    (_row(weight=0), None, "row 2: weight: expected 1, given 0"),
    (_row(system="a\x00"), None, "row 2: system: holds the control character U+0000"),
    (_row(output=...), None, "row 2: output: the key is missing"),
    (_row(output=""), None, "row 2: output: the text is empty"),
    (_row(output=["a"]), None, "row 2: output: expected text, given a list"),
    (_row(answer="five"), SUMS, "row 2: answer: 'five' is not a number"),
    (_choice(3, "answer4"), FEWER, "row 2: answer: 'answer4' is not among the 3 options"),
    ({"prompt": "a"}, None, "row 2: completion: the key is missing"),
    ({"messages": [{"role": "user", "content": "a"}]}, None, "row 2: messages: expected one assistant message"),
    ({"text": "a"}, None, "row 2: instruction: the key is missing; the row has 'text'"),
    ({"prompt": "a", "completion": "b", "messages": []}, None, "row 2: messages: the row mixes two forms"),
    ({"prompt": "a", "completion": "b\x07"}, None, "row 2: completion: holds the control character U+0007"),
]


def _good(task):
    if task is None or not task.labels:
        return _row(1)
    return _row(1, answer="true") if task is TRUTH else _choice(4, "answer4", 1)


@pytest.mark.parametrize(("name", "content", "words"), FILE_DAMAGE, ids=lambda value: str(value)[:40])
def test_a_file_that_cannot_be_read_at_all(write, name, content, words):
    file = write(content, name)
    check = check_file(file, "items", SUMS)
    assert (check.ok, check.problem_count, check.rows) == (False, 1, 0)
    assert check.problems[0].startswith(f"{file}{words}")


@pytest.mark.parametrize("kind", ["items", "training"])
def test_a_file_that_is_not_there(tmp_path, kind):
    assert check_file(tmp_path / "x.json", kind).problems == (f"{tmp_path / 'x.json'}: no such file",)
    assert check_file(tmp_path, kind).problems == (f"{tmp_path}: this is a folder, not a file",)


DAMAGE = [("items", *damage) for damage in ROW_DAMAGE] + [("training", *damage) for damage in TRAINING_DAMAGE]


@pytest.mark.parametrize(("kind", "row", "task", "words"), DAMAGE, ids=lambda value: str(value)[:60])
def test_damage_names_file_row_and_key_and_nothing_else(write, kind, row, task, words):
    good = _good(task)
    file = write([good, row, good, good])
    check = check_file(file, kind, task, check_options=True)
    assert check.problems[0].startswith(f"{file}, {words}")
    assert (check.problem_count, check.rows) == (1, 4)
    assert check_file(write([good, good]), kind, task, check_options=True).problems == ()


def test_several_options_that_are_not_in_the_tasks_order_of_letters(write):
    rows = [_row(number, instruction=f"{number}? (A) x (B) y (C) z", answer="C") for number in range(3)]
    file = write([*rows, _row(instruction="? (A) x (C) z", answer="A"), _row(instruction="(A)(B)(C)(D)", answer="A")])
    assert check_file(file, "items", LETTERS, check_options=True).problems == (
        f"{file}, row 4: instruction: the item lists 2 options (A, C), and letters has A to C",
        f"{file}, row 5: instruction: the item lists D, and letters has A to C",
    )


def test_items_without_lists_of_options_have_no_such_problems(write):
    file = write([_row(number, answer="answer2") for number in range(3)] + [_choice(3, "answer1")])
    assert check_file(file, "items", WORDS, check_options=True).ok
    assert check_file(write([_choice(2, "answer4")]), "items", WORDS).ok


@pytest.mark.parametrize(
    ("row", "key"),
    [
        ('{"instruction": "a", "answer": 1, "instruction": "b", "answer": 2}', "instruction"),
        ('{"instruction": "a", "answer": 1, "more": [{"x": {"y": 1, "y": 1}}]}', "y"),
    ],
)
def test_keys_given_twice(write, row, key):
    file = write(_raw(GOOD, row))
    expected = f"{file}, row 2: {key}: the key is given twice, and only one of its values can count"
    assert check_file(file, "items", SUMS).problems == (expected,)
    with pytest.raises(DataError, match=re.escape(expected)):
        read_rows(file)


def test_lines_of_two_objects_and_broken_lines_are_told_beside_the_others(write):
    file = write(f'{GOOD}\n{GOOD} {GOOD}\n\n{GOOD[:-1]}\n{{"instruction": ""}}\n{GOOD}\n', "train.jsonl")
    check = check_file(file, "training")
    assert [problem.removeprefix(f"{file}, ").split(";")[0] for problem in check.problems] == [
        f"row 2: invalid JSON, column {len(GOOD) + 2}: there is more after the first value",
        f"row 4: invalid JSON, column {len(GOOD)}: Expecting ',' delimiter",
        "row 5: instruction: the text is empty",
        "row 5: output: the key is missing",
    ]
    assert check.rows == 5


def test_every_problem_of_a_row_is_told_and_rows_stay_in_order(write):
    file = write([_choice(4, "answer1"), _choice(3, "answer4", 1) | {"input": 3}, _choice(4, "x", 2)])
    check = check_file(file, "items", WORDS, check_options=True)
    assert [re.match(r".*(row \d): (\w+)", problem).groups() for problem in check.problems] == [
        ("row 2", "input"),
        ("row 2", "instruction"),
        ("row 2", "answer"),
        ("row 3", "answer"),
    ]


def test_only_the_first_problems_are_told_and_all_are_counted(write):
    check = check_file(write([_row(number, answer="x") for number in range(50)]), "items", SUMS)
    assert (len(check.problems), check.problem_count) == (MAX_PROBLEMS, 50)
    assert ", row 20: " in check.problems[-1]


def test_notes_and_warnings_are_no_problems(write):
    rows = [_row(0), _row(1), _row(0, output="another"), _row(0, answer="2"), _row(2, input="a\x85b\x92c\x0c\v\t")]
    task = _task("sums", test_items=6)
    check = check_file(write("\ufeff" + json.dumps(rows)), "items", task)
    assert check.ok
    assert check.warnings[0] == "5 rows, and 6 items were published"
    assert check.warnings[1].startswith("1 rows hold characters between U+0080 and U+009F")
    assert "row 5" in check.warnings[1]
    assert check.notes == (
        "1 of 5 rows repeat an earlier one",
        "the file begins with a byte order mark, which is skipped",
    )


@pytest.mark.parametrize(
    ("name", "kind", "counted", "warned"),
    [
        ("test.json", "items", None, 1),
        ("dev.jsonl", "items", None, 0),
        ("test.json", "training", None, 0),
        ("mine.json", "items", True, 1),
        ("test.json", "items", False, 0),
    ],
)
def test_published_numbers_are_those_of_whole_tests(write, name, kind, counted, warned):
    file = write(GOOD + "\n", name) if name.endswith("l") else write([_row()], name)
    check = check_file(file, kind, _task("sums", test_items=6), count_items=counted)
    assert len(check.warnings) == warned
    assert check_file(file, kind, _task("sums", test_items=1), count_items=counted).warnings == ()


def test_repeated_training_rows_differ_in_their_response(write):
    chat = {"messages": [{"role": "user", "content": "a"}, {"role": "assistant", "content": "b"}]}
    check = check_file(write([_row(0), _row(0, output="another"), chat, chat, _row(0)]), "training")
    assert check.notes == ("2 of 5 rows repeat an earlier one",)


def test_a_files_own_columns_are_converted_first(write):
    file = write('{"q": "a", "a": "1"}\n{"q": "a", "b": "1"}\n', "mine.jsonl")

    def convert(columns):
        if "a" not in columns:
            raise DataError("no such column", key="a")
        return {"instruction": columns["q"], "answer": columns["a"]}

    check = check_file(file, "items", SUMS, convert=convert)
    assert check.problems == (f"{file}, row 2: a: no such column",)


@given(st.recursive(st.none() | st.booleans() | st.floats() | st.text(), lambda inner: st.lists(inner, max_size=3)))
@settings(deadline=None)
def test_whatever_stands_in_a_row_is_a_problem_or_none_but_no_crash(tmp_path_factory, value):
    keys = ("instruction", "input", "output", "answer", "prompt", "completion", "messages")
    rows = [_row() | {key: value} for key in keys] + [{key: value} for key in keys] + [value]
    file = tmp_path_factory.getbasetemp() / "any.json"
    file.write_text(json.dumps(rows))
    for kind in ("items", "training"):
        for task in (None, SUMS, WORDS, FREE):
            check = check_file(file, kind, task, check_options=True)
            assert check.rows == len(rows)
            assert check.problem_count >= 1


VALUES = st.sampled_from(
    ["a", "", "1", "answer2", 1, 0.5, True, None, ["a", "b"], [], ["a", 1], "\ud83d", {"x": 1}, "\x07"]
)
SIDE = dict.fromkeys(("history", "tools", "tool_calls", "thinking", "weight", "train", "name"), VALUES)
CHATS = st.lists(
    st.fixed_dictionaries({"role": st.sampled_from(["user", "assistant", "system"]), "content": VALUES}, optional=SIDE)
)
ROWS = st.fixed_dictionaries(
    {},
    optional=dict.fromkeys(("instruction", "input", "output", "answer", "completion", "system", "label"), VALUES)
    | SIDE
    | {"prompt": VALUES | CHATS, "messages": CHATS},
)


@given(ROWS, st.sampled_from([SUMS, WORDS, FREE]))
@settings(deadline=None)
def test_a_row_has_no_problems_exactly_when_it_can_be_used(tmp_path_factory, row, task):
    file = tmp_path_factory.getbasetemp() / "row.json"
    file.write_text(json.dumps([row]))
    uses = {"items": lambda rows: as_items(task, rows), "training": as_examples}
    for kind, use in uses.items():
        try:
            use(read_rows(file))
            usable = True
        except DataError:
            usable = False
        assert check_file(file, kind, task if kind == "items" else None).ok == usable


@pytest.fixture
def folder(write, tmp_path):
    write([_row()], "data/sums/test.json")
    write([_row()], "data/tasks/truth/test.json")
    write([_row(answer=...)], "data/tasks/truth/train.json")
    write([_row(answer="B")], "data/tasks/letters/test.json")
    write([_row()], "data/mystery/test.json")
    write(json.dumps(_row(output=["a", "b"])), "data/instruct/free_text/valid.jsonl")
    write(json.dumps(_row(output=["a", "b"])), "data/instruct/unknown/other.jsonl")
    write(json.dumps(_row()), "data/free/train.jsonl")
    write([_row(), {"x": 1}], "data/own/mine.json")
    write("index\n", "data/outputs/model/sums.jsonl")
    write("a,b\n", "data/published/table.csv")
    write("notes", "data/sums/README")
    write("notes", "data/README.md")
    write("{}", f"data/{LOCK_NAME}")
    write("x", "data/.hidden/test.json")
    return tmp_path / "data"


def test_a_folder_is_checked_by_its_layout(folder):
    own = folder / "own" / "mine.json"
    check = check_folder(folder, [SUMS, TRUTH, LETTERS, FREE], training=[own, folder / "free" / "train.jsonl"])
    assert [(file.file.relative_to(folder).as_posix(), file.kind, file.task, file.ok) for file in check.files] == [
        ("free/train.jsonl", "training", "free", True),
        ("instruct/free_text/valid.jsonl", "items", "free", True),
        ("instruct/unknown/other.jsonl", "items", None, True),
        ("mystery/test.json", "items", None, True),
        ("sums/test.json", "items", "sums", True),
        ("tasks/letters/test.json", "items", "letters", True),
        ("tasks/truth/test.json", "items", "truth", False),
        ("tasks/truth/train.json", "training", "truth", True),
        ("own/mine.json", "training", None, False),
    ]
    assert not check.ok
    left = [path.relative_to(folder).as_posix() for path in check.not_checked]
    assert left == ["README.md", "outputs", "published", "sums/README"]


def test_a_folder_of_sound_files_is_ok(folder):
    (folder / "tasks" / "truth" / "test.json").unlink()
    assert check_folder(folder, [SUMS, TRUTH, LETTERS, FREE]).ok


def test_a_folder_without_data_is_not_passed(tmp_path):
    with pytest.raises(DataError, match="no such folder"):
        check_folder(tmp_path / "nowhere")
    (tmp_path / "outputs").mkdir()
    with pytest.raises(DataError, match="there are no data files"):
        check_folder(tmp_path, [SUMS])


def test_all_real_files_pass(shared_data):
    check = check_folder(shared_data, default_registry(), check_options=True)
    assert [problem for file in check.files for problem in file.problems] == []
    by_name = {file.file.relative_to(shared_data).as_posix(): file for file in check.files}
    assert len(by_name) == len([*shared_data.glob("tasks/*/*.json"), *shared_data.glob("instruct/*/*.jsonl")])
    assert all(file.task for file in check.files)
    assert by_name["tasks/MultiArith/test.json"].notes == ("20 of 600 rows repeat an earlier one",)
    assert [file.task for file in check.files if file.warnings] == ["hellaswag"]
    assert {"outputs", "published"} <= {path.name for path in check.not_checked}


def test_real_files_with_planted_damage_fail_where_it_was_planted(shared_data, tmp_path):
    rows = json.loads((shared_data / "tasks" / "ARC-Easy" / "test.json").read_text(encoding="utf-8"))
    rows[10]["answer"] = "answer5"
    rows[20]["instruction"] = rows[20]["instruction"].replace("Answer2:", "Answer 2")
    (tmp_path / "test.json").write_text(json.dumps(rows))
    check = check_file(tmp_path / "test.json", "items", get_task("arc-e"), check_options=True)
    assert [int(re.search(r"row (\d+)", problem)[1]) for problem in check.problems][:2] == [11, 21]


def test_keys_that_are_not_read_are_named_and_counted(write):
    talk = [{"role": "user", "content": "a", "name": "Ada"}, {"role": "assistant", "content": "b"}]
    rows = [_row(0, id=1, topic="x"), _row(1, id=2, topic=" "), {"messages": talk, "id": 3}]
    (note,) = check_file(write(rows), "training").notes
    assert note == ("keys that are not read, and how many rows have them: 'id' 3, 'topic' 1, 'messages: name' 1")


@pytest.mark.parametrize("key", ["instruction", "messages", "history", "system", "more"])
@pytest.mark.parametrize("depth", [300, 700, 950, 5000])
@pytest.mark.parametrize("brackets", ['{"a": |}', "[|]"])
def test_nesting_of_any_depth_is_a_problem_or_none_but_no_crash(write, key, depth, brackets):
    left, right = brackets.split("|")
    deep = left * depth + "1" + right * depth
    row = json.dumps({**_row(), key: "DEEP"}).replace('"DEEP"', deep)
    for kind, read in (("items", as_items), ("training", None)):
        file = write(_raw(GOOD, row))
        check = check_file(file, kind, SUMS)
        unread = key == "more" or (key == "messages" and kind == "items")
        assert check.ok == (unread and check.rows == 2), check.problems
        try:
            rows = read_rows(file)
            assert len(read(SUMS, rows) if read else as_examples(rows)) == 2
        except DataError:
            assert not check.ok
        else:
            assert check.ok


def test_a_training_file_that_is_a_link_to_itself_is_a_problem_of_that_file(tmp_path):
    (tmp_path / "loop").symlink_to("loop")
    found = check_folder(tmp_path, (SUMS,), training=(tmp_path / "loop",))
    assert [str(problem) for problem in found.files[0].problems] == [f"{tmp_path / 'loop'}: no such file"]
