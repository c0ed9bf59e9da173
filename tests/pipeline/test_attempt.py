"""What a stage leaves behind: nothing that a model could hide in."""

from __future__ import annotations

import gc
import weakref
from collections.abc import Iterator

import pytest

from kdscope.core.errors import ModelError
from kdscope.pipeline.attempt import collecting_new_garbage
from kdscope.pipeline.run import Resources


class Model:
    """In a reference cycle, as models are."""

    def __init__(self) -> None:
        self.itself = self


@pytest.fixture(autouse=True)
def no_collection_by_itself() -> Iterator[None]:
    gc.disable()
    yield
    gc.enable()


def test_what_is_left_is_freed() -> None:
    with collecting_new_garbage():
        left = weakref.ref(Model())
        assert left() is not None
    assert left() is None
    assert gc.get_freeze_count() == 0


def test_what_was_there_before_is_not_searched() -> None:
    left = weakref.ref(Model())
    with collecting_new_garbage():
        pass
    assert left() is not None


def allocate(left: list[weakref.ref[Model]]) -> None:
    model = Model()
    left.append(weakref.ref(model))
    raise MemoryError


def fail(left: list[weakref.ref[Model]]) -> None:
    model = Model()
    left.append(weakref.ref(model))
    try:
        allocate(left)
    except MemoryError as error:
        raise ModelError("too little memory") from error


def test_an_error_on_its_way_holds_no_model_nor_does_its_cause() -> None:
    left: list[weakref.ref[Model]] = []
    try:
        with collecting_new_garbage():
            fail(left)
    except ModelError as error:
        assert [model() for model in left] == [None, None]
        names = []
        step = error.__traceback__
        while step is not None:
            names.append(step.tb_frame.f_code.co_name)
            step = step.tb_next
        assert names[-1] == "fail"  # where it happened is still told
    assert len(left) == 2
    assert gc.get_freeze_count() == 0


def test_a_kept_model_that_is_let_go_is_freed_although_it_is_older_than_the_stage() -> None:
    resources = Resources()
    left = weakref.ref(resources.get("one", Model))
    with collecting_new_garbage():
        resources.get("two", Model)
    assert left() is None


def test_a_kept_model_stays_until_it_is_let_go() -> None:
    resources = Resources()
    with collecting_new_garbage():
        model = resources.get("one", Model)
    assert resources.get("one", Model) is model
    left = weakref.ref(model)
    del model
    with collecting_new_garbage():
        resources.clear()
    assert left() is None
