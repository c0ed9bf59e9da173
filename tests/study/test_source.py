"""The YAML dialect and its line numbers, against the json module and examples counted by hand."""

import json
import tracemalloc
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from kdscope.core.errors import StudyError
from kdscope.study.source import Problem, key_text, parse_document, read_text

FILE = Path("study.yaml")
PRINTABLE = st.text(st.characters(min_codepoint=32, max_codepoint=0x2FF, exclude_categories=["Cc", "Cf"]), max_size=20)
VALUES = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False, allow_infinity=False) | PRINTABLE,
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(PRINTABLE, inner, max_size=4),
    max_leaves=12,
)


@given(st.dictionaries(PRINTABLE, VALUES, max_size=4))
@settings(max_examples=150, deadline=None)
def test_json_is_yaml(values):
    document = parse_document(json.dumps(values, ensure_ascii=False), FILE)
    assert document.problems == ()
    assert document.values == values


@pytest.mark.parametrize(
    ("text", "value"),
    [
        ("3e-4", 3e-4),
        ("1e-9", 1e-9),
        ("-1.5E+3", -1500.0),
        (".5", 0.5),
        ("5.", 5.0),
        (".inf", float("inf")),
        ("-.INF", float("-inf")),
        ("012", 12),
        ("-7", -7),
        ("no", "no"),
        ("yes", "yes"),
        ("on", "on"),
        ("OFF", "OFF"),
        ("true", True),
        ("FALSE", False),
        ("~", None),
        ("null", None),
        ("2024-01-02", "2024-01-02"),
        ("1:30", "1:30"),
        ("1_000", "1_000"),
        ("0x10", "0x10"),
        ("1.2.3", "1.2.3"),
        ("e5", "e5"),
        ("'3e-4'", "3e-4"),
        ('"true"', "true"),
        ("!!str 12", "12"),
    ],
)
def test_plain_scalars(text, value):
    read = parse_document(f"key: {text}\n", FILE).values["key"]
    assert (type(read), read) == (type(value), value)


def test_every_value_knows_its_line():
    text = "# a comment\na:\n  b: 1\n\n  c:\n  - x\n  - y: 2\n    z: 3\nd: {e: 4,\n  f: 5}\n"
    source = parse_document(text, FILE).source
    expected = {
        ("a",): 2,
        ("a", "b"): 3,
        ("a", "c"): 5,
        ("a", "c", 0): 6,
        ("a", "c", 1): 7,
        ("a", "c", 1, "z"): 8,
        ("d", "e"): 9,
        ("d", "f"): 10,
    }
    assert {location: source.line(location) for location in expected} == expected
    assert source.line(("a", "c", 1, "not there", 0)) == 7


def test_anchors_and_merge_keys():
    text = "base: &base {x: 1, y: 2}\nmore: &more {y: 3, z: 4}\none: {<<: *base, x: 9}\ntwo:\n  <<: [*base, *more]\n"
    values = parse_document(text, FILE).values
    assert values["one"] == {"x": 9, "y": 2}
    assert values["two"] == {"x": 1, "y": 2, "z": 4}


def test_two_uses_of_an_anchor_do_not_share_a_value():
    values = parse_document("a: &a {x: 1}\nb: *a\n", FILE).values
    values["a"]["x"] = 2
    assert values["b"] == {"x": 1}


def _bomb(template: str) -> str:
    lines = ["a0: &a0 {x: 1}"]
    return "\n".join(lines + [template.format(this=level, last=level - 1) for level in range(1, 40)])


@pytest.mark.parametrize(
    "template", ["a{this}: &a{this} [*a{last}, *a{last}]", "a{this}: &a{this} {{<<: [*a{last}, *a{last}]}}"]
)
def test_alias_bombs_are_refused(template):
    with pytest.raises(StudyError, match="with its aliases written out, this has more than 50000 values"):
        parse_document(_bomb(template), FILE)


def test_a_file_of_100_megabytes_is_refused_before_it_is_read(tmp_path):
    with (tmp_path / "study.yaml").open("wb") as file:
        file.truncate(100_000_000)
    tracemalloc.start()
    with pytest.raises(StudyError, match=r"study\.yaml: has 100000000 bytes; a study file has at most 1048576"):
        read_text(tmp_path / "study.yaml")
    assert tracemalloc.get_traced_memory()[1] < 5_000_000
    tracemalloc.stop()


def test_of_2000_keys_given_twice_a_hundred_are_told():
    document = parse_document("a: 1\n" * 2001, FILE)
    lines = str(document.source.error(document.problems)).splitlines()
    assert lines[0] == "study.yaml:2: a: this key is given twice; the first is in line 1"
    assert (len(lines), lines[-1]) == (101, "study.yaml: and 1900 problems more")


@pytest.mark.parametrize("text", ["a: &a [*a]", "a: &a {b: *a}", "a: &a {<<: *a}"])
def test_an_alias_of_itself_is_refused(text):
    with pytest.raises(StudyError, match="alias of itself"):
        parse_document(text, FILE)


@pytest.mark.parametrize(
    "text", ["a: " + "[" * 5000, "a: " + "[" * 5000 + "]" * 5000, "- " * 3000, "? " * 3000, "a: " + "[" * 100_000]
)
def test_deep_nesting_is_refused(text):
    with pytest.raises(StudyError, match="nested too deeply"):
        parse_document(text, FILE)


@pytest.mark.parametrize(
    ("text", "line", "words"),
    [
        ("a: 1\nb: 2\na: 3\n", 3, "first is in line 1"),
        ("a: 1\nb: !!python/object/apply:os.system ['true']\n", 2, "tag"),
        ("a: 1\nb: !!binary aGk=\n", 2, "tag"),
        ("a: !!int seven\n", 1, "cannot be read as"),
        (f"a: 1\nb: {'9' * 5000}\n", 2, "cannot be read as"),
        ("a: 1\n[b, c]: 2\n", 2, "a key must be a word"),
        ('a: "\\ud800"\n', 1, "surrogate"),
        ("a: 1\n<<: 3\n", 1, "merges a mapping"),
    ],
)
def test_problems_that_leave_the_rest_readable(text, line, words):
    document = parse_document(text, FILE)
    (problem,) = document.problems
    assert words in problem.message
    assert document.source.error([problem]).line == line


@given(st.text(max_size=60))
@settings(max_examples=200, deadline=None)
def test_any_text_is_values_or_an_error(text):
    try:
        read = parse_document(text, FILE).values
    except StudyError as error:
        read = str(error)
    assert isinstance(read, dict) or read.startswith("study.yaml")


def test_errors_come_in_file_order_and_the_first_gives_its_place():
    source = parse_document("a: 1\nb:\n  c: 2\nd: 3\n", FILE).source
    error = source.error([Problem(("d",), "third"), Problem(("b", "c"), "second"), Problem(("a",), "first")])
    assert str(error).splitlines() == ["study.yaml:1: a: first", "study.yaml:3: b.c: second", "study.yaml:4: d: third"]
    assert (error.file, error.line, error.key) == (FILE, 1, "a")


def test_control_characters_in_a_key_do_not_reach_the_terminal():
    assert "\x1b" not in key_text(("a", "\x1b[31m"))
