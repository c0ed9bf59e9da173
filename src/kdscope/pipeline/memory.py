"""Memory that only the garbage collector gives back, without searching all that was ever imported.

A model that was trained sits in reference cycles, and a collection looks at every object: with torch, transformers
and pandas there are half a million, which takes a quarter of a second and is most of what a small stage costs.
"""

from __future__ import annotations

import gc
import traceback
from collections.abc import Iterator
from contextlib import contextmanager


@contextmanager
def collecting_new_garbage() -> Iterator[None]:
    """In the end collect what was made inside, also where an error is on its way: its frames forget their variables.

    What was there before is left out of every collection until then (but see `include_older_garbage`).
    """
    gc.freeze()
    try:
        yield
    except BaseException as error:
        _forget_variables(error)
        raise
    finally:
        gc.collect()
        gc.unfreeze()


def include_older_garbage() -> None:
    """Have the collection at the end look at everything: something older was let go."""
    gc.unfreeze()


def _forget_variables(error: BaseException | None) -> None:
    while error is not None:
        traceback.clear_frames(error.__traceback__)
        error = error.__cause__ or error.__context__
