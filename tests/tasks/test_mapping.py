from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from kdscope.core.errors import DataError
from kdscope.tasks import FieldMapping
from kdscope.tasks.mapping import FILTERS, render_pattern


def rendered(pattern: str, **columns: object) -> str:
    return render_pattern(pattern, columns, {})


@pytest.mark.parametrize(
    ("pattern", "columns", "expected"),
    [
        ("{a}-{b}", {"a": "x", "b": 2}, "x-2"),
        ("{{{a}}}", {"a": "x"}, "{x}"),
        ("{a}", {"a": True}, "true"),
        ("{a}", {"a": None}, ""),
        ("{a}", {"a": 1.5}, "1.5"),
        ("<{a?}>", {}, "<>"),
        ("<{a?}>", {"a": "x"}, "<x>"),
        ("{a.b}", {"a": {"b": "x"}}, "x"),
        ("{a.b}", {"a.b": "whole", "a": {"b": "x"}}, "whole"),
        ("{two words}", {"two words": "x"}, "x"),
        ("{a:strip}", {"a": " x\n"}, "x"),
        ("{a:sentence}", {"a": "It is so "}, "It is so."),
        ("{a:sentence}", {"a": "It is so."}, "It is so."),
        ("{a:question}", {"a": "is it so"}, "is it so?"),
        ("{a:float}", {"a": "1,234"}, "1234.0"),
        ("{a:float}", {"a": 7}, "7.0"),
        ("{a:final}", {"a": "2+2=<<2+2=4>>4\n#### 1,000"}, "1000"),
        ("{a:final|float}", {"a": "four\n#### 4"}, "4.0"),
        ("{a:worked}", {"a": "2 + 2 = <<2+2=4>>4\n#### 4"}, "2 + 2 = 4\nThe answer is 4."),
        ("{a:spaced}", {"a": "2(x)3"}, "2 (x) 3"),
    ],
)
def test_patterns(pattern: str, columns: dict[str, object], expected: str) -> None:
    assert rendered(pattern, **columns) == expected


def test_every_filter_is_tried_above() -> None:
    assert set(FILTERS) == {"strip", "sentence", "question", "float", "final", "worked", "spaced"}


@given(st.text(), st.text())
def test_data_is_inserted_literally(first: str, second: str) -> None:
    assert rendered("<{a}|{b}>", a=first, b=second) == f"<{first}|{second}>"


@pytest.mark.parametrize(
    ("pattern", "columns", "message"),
    [
        ("{b}", {"a": 1}, r"no column 'b' \(the row has 'a'\)"),
        ("{a.c}", {"a": {"b": 1}}, "no column 'a.c'"),
        ("{a.b}", {"a": [{"b": 1}, {}]}, "no column 'a.b'"),
        ("{a}", {"a": ["x"]}, "the column 'a' holds a list, not text"),
        ("{a?}", {"a": {"b": 1}}, "the column 'a' holds an object, not text"),
        ("{a:float}", {"a": "many"}, "'many' is not a number"),
        ("{a:worked}", {"a": "no mark"}, "has no '####'"),
    ],
)
def test_a_row_that_does_not_fit(pattern: str, columns: dict[str, object], message: str) -> None:
    with pytest.raises(DataError, match=message):
        rendered(pattern, **columns)


CHOICES = FieldMapping(
    "{q}\n{@options}\n{@labels}",
    output="it is {@answer}",
    answer="{key}",
    options=("{choices}",),
    option="({@letter}) {@text}",
    separator="; ",
    label="answer{@number}",
    answers=(("a", "answer1"), ("b", "answer2"), ("c", "answer3")),
)


@pytest.mark.parametrize("count", [1, 2, 3])
def test_options_and_labels_are_as_many_as_the_row_has(count: int) -> None:
    row = CHOICES.row({"q": "Which?", "choices": ["red", "green", "blue"][:count], "key": "a"})
    options = "; ".join(["(A) red", "(B) green", "(C) blue"][:count])
    labels = "/".join(["answer1", "answer2", "answer3"][:count])
    assert row == {
        "instruction": f"Which?\n{options}\n{labels}",
        "input": "",
        "output": "it is answer1",
        "answer": "answer1",
    }


def test_options_from_columns_of_their_own() -> None:
    fields = FieldMapping("{q} {@options}", options=("{yes}", "not {yes}"))
    assert fields.row({"q": "So?", "yes": "so"})["instruction"] == "So? Answer1: so Answer2: not so"


def test_several_references_stay_a_list() -> None:
    fields = FieldMapping("{q}", output="{refs}")
    assert fields.row({"q": "Say hello.", "refs": ["Hello", "Hi"]})["output"] == ["Hello", "Hi"]
    assert fields.row({"q": "Say hello.", "refs": "Hello"})["output"] == "Hello"
    assert FieldMapping("{q}", output="{refs?}").row({"q": "Say hello."})["output"] == ""


def test_options_text_that_looks_like_a_placeholder_stays() -> None:
    row = CHOICES.row({"q": "{@labels}", "choices": ["{q}", "{@letter}"], "key": "b"})
    assert row["instruction"] == "{@labels}\n(A) {q}; (B) {@letter}\nanswer1/answer2"


@pytest.mark.parametrize(
    ("columns", "message"),
    [
        ({"q": "?", "choices": ["x"], "key": "d"}, "answers: 'd' is none of 'a', 'b', 'c'"),
        ({"q": "?", "choices": "x", "key": "a"}, "options: one pattern alone must be a column that lists"),
        ({"q": "?", "choices": [], "key": "a"}, "options: one pattern alone must be a column that lists"),
        ({"q": "?", "choices": [["x"]], "key": "a"}, "the column 'choices' holds a list, not text"),
        ({"q": "?", "key": "a"}, "no column 'choices'"),
    ],
)
def test_a_choice_row_that_does_not_fit(columns: dict[str, object], message: str) -> None:
    with pytest.raises(DataError, match=message):
        CHOICES.row(columns)


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"instruction": ""}, "instruction: a row needs an instruction"),
        ({"instruction": "{a"}, "instruction: '{a' is no pattern"),
        ({"instruction": "a}"}, "instruction: 'a}' is no pattern"),
        ({"instruction": "{}"}, "instruction: a placeholder names a column"),
        ({"instruction": "{a!r}"}, "instruction: a placeholder names a column"),
        ({"output": "{a:upper}"}, r"output: unknown filter 'upper' \(known: strip, "),
        ({"output": "{@labels}"}, r"output: there is no computed value '@labels' \(known here: @answer\)"),
        ({"instruction": "{@options}"}, "instruction: there is no computed value '@options' .none can be used"),
        ({"options": ("{@text}",)}, "options: there is no computed value"),
        ({"answers": (("a", "x"), ("a", "y"))}, "answers: a value is given twice"),
    ],
)
def test_an_impossible_mapping(changes: dict[str, object], message: str) -> None:
    with pytest.raises(DataError, match=message):
        FieldMapping(**{"instruction": "{q}", **changes})  # type: ignore[arg-type]
