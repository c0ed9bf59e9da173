from __future__ import annotations

from urllib.parse import urlencode

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from kdscope.core.errors import DataError
from kdscope.view.state import DIFFERENCES, LIKENESS, OUTCOMES, PLACES, Column, State, read_state

NAMES = st.text(st.characters(exclude_categories=["Cs"]), min_size=1, max_size=12)
SEARCHES = NAMES.map(str.strip)
COLUMNS = st.lists(
    st.builds(Column, NAMES, st.sampled_from(OUTCOMES), st.sampled_from(LIKENESS)),
    max_size=4,
    unique_by=lambda c: c.cell,
).map(tuple)
STATES = st.builds(
    State,
    task=NAMES,
    columns=COLUMNS,
    scoring=st.sampled_from(["", "robust", "published"]),
    search=SEARCHES,
    place=st.sampled_from(PLACES),
    seed=st.none() | st.integers(-5, 2**31),
    page=st.none() | st.integers(1, 900),
    item=NAMES,
    run=st.none() | st.integers(0, 9),
    difference=st.sampled_from(DIFFERENCES),
    whole=st.booleans(),
)


@settings(deadline=None)
@given(STATES)
def test_an_address_says_all_of_a_state(state: State) -> None:
    assert read_state(state.address().removeprefix("/?")) == (state, [])


def test_a_form_takes_a_model_away_by_an_empty_one() -> None:
    models = [("a", "right", "any"), ("", "wrong", "same"), ("c", "any", "different"), ("a", "any", "any")]
    pairs = [pair for model in models for pair in zip(("cell", "is", "as"), model, strict=True)]
    query = urlencode([*pairs, ("q", "  "), ("item", "")])
    state, notes = read_state(query)
    assert state.columns == (Column("a", "right", "any"), Column("c", "any", "different"))
    assert (state.search, state.item, notes) == ("", "", [])


@pytest.mark.parametrize(
    ("query", "said"),
    [
        ("scoring=mine", "“scoring” is robust or published, not “mine”."),
        ("cell=a&is=great", "“is” is any, right"),
        ("page=two", "“page” is a whole number"),
        ("seed=%C2%B2", "“seed” is a whole number"),
        ("page=" + "9" * 5000, "“page” is a whole number"),
        ("cell=a&cell=b&cell=c&cell=d&cell=e", "5 models are asked for; these are the first 4."),
    ],
)
def test_what_is_not_understood_is_told(query: str, said: str) -> None:
    _, notes = read_state(query)
    assert [note for note in notes if said in note] == notes
    assert len(notes) == 1


def test_pages_start_at_one() -> None:
    assert read_state("page=-3")[0].page == 1
    assert read_state("page=0")[0].page == 1


def test_too_many_fields_are_no_address() -> None:
    with pytest.raises(DataError, match="the address cannot be read"):
        read_state("&".join(["cell=a"] * 500))
    assert read_state("q=%ff%ed%a0%80")[0].search.startswith("\ufffd")


def test_filters_can_be_dropped() -> None:
    state = State("t", (Column("a", "right"), Column("b", "any", "same")), search="x", seed=1, page=3, item="t/1")
    assert state.picks
    plain, _ = read_state(state.without_filters().removeprefix("/?"))
    assert plain == State("t", (Column("a"), Column("b")), item="t/1")
    assert not plain.picks
