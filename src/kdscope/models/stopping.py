"""Where a completion ends that would go on with a text of its own, such as the next instruction.

The text of a row is what counts, not its tokens: a stop text may be spread over several tokens, and a token may hold
more than its end. Of the occurrences in a text, the one that ends first counts (of several that end together the
longest), so that it makes no difference how the text was cut into tokens.
"""

from __future__ import annotations

from bisect import bisect_left
from collections.abc import Callable, Sequence
from typing import Any

import torch
from torch import Tensor
from transformers import StoppingCriteria

# What stands for the bytes of a character that is not complete yet.
_INCOMPLETE = "\ufffd"


def first_stop(text: str, stop_texts: Sequence[str]) -> int | None:
    r"""Where the first stop text begins; None if there is none.

    >>> first_stop("7.\n\n### Instruction:", ["### Inst", "Instruction"]), first_stop("7.", ["###"])
    (4, None)
    """
    found = ((text.find(stop), stop) for stop in stop_texts)
    ends = [(start + len(stop), start) for start, stop in found if start >= 0]
    return min(ends)[1] if ends else None


class StopTexts:
    """The stop texts of a generation, and the tokenizer that makes texts of rows.

    Args:
        texts: None of them empty.
        decode: The text of token ids, as a completion has it.
    """

    def __init__(self, texts: Sequence[str], decode: Callable[[Sequence[int]], str]) -> None:
        self.texts, self.decode = tuple(texts), decode
        self._endings: dict[int, bool] = {}

    def reached(self, row: Sequence[int]) -> bool:
        """Whether a row contains a stop text, given that it did not before its last token.

        Few tokens can be the last of a stop text; only behind such a one the row is decoded.
        """
        return self._may_end(row[-1]) and self._in(row)

    def cut(self, row: Sequence[int], text: str) -> tuple[Sequence[int], str] | None:
        """The tokens up to the one that completes the first stop text, and the text before it; None without one."""
        start = first_stop(text, self.texts)
        if start is None:
            return None
        # Longer beginnings of a row contain all that shorter ones do.
        length = bisect_left(range(1, len(row)), True, key=lambda n: self._in(row[:n])) + 1
        return row[:length], text[:start]

    def _in(self, row: Sequence[int]) -> bool:
        return first_stop(self.decode(row), self.texts) is not None

    def _may_end(self, token: int) -> bool:
        known = self._endings.get(token)
        if known is None:
            known = self._endings[token] = self._ends_some(self.decode([token]))
        return known

    def _ends_some(self, piece: str) -> bool:
        """Whether a stop text can end within a token, whose text alone may lack or have a blank in front."""
        if _INCOMPLETE in piece:
            return True
        forms = {piece, " " + piece, piece.lstrip()}
        return any(_ends_within(stop, form) for stop in self.texts for form in forms)


class StopRows(StoppingCriteria):  # type: ignore[misc]
    """Stop texts for transformers' `generate`: rows that reached one are finished.

    Args:
        stop_texts: Of the generation.
        width: Tokens of the padded prompts, which are not looked at.
    """

    def __init__(self, stop_texts: StopTexts, width: int) -> None:
        self._stop_texts, self._width = stop_texts, width
        self._finished: set[int] = set()

    def __call__(self, input_ids: Tensor, scores: Any, **more: Any) -> Tensor:
        """Whether each row is finished, [B]."""
        rows = input_ids[:, self._width :].tolist()
        self._finished |= {n for n, row in enumerate(rows) if n not in self._finished and self._stop_texts.reached(row)}
        return torch.tensor([n in self._finished for n in range(len(rows))], device=input_ids.device)


def _ends_within(stop: str, piece: str) -> bool:
    return stop in piece or any(piece.startswith(stop[start:]) for start in range(1, len(stop)))
