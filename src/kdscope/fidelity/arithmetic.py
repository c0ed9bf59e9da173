"""Arithmetic as written: its value, a canonical text, and a key that forgets the order of sums and products."""

from __future__ import annotations

import math
import operator
from collections.abc import Callable, Iterator, Sequence
from typing import NamedTuple

from kdscope.fidelity.step_words import Number


class Expression(NamedTuple):
    """An expression and everything that is asked of it.

    Attributes:
        value: what it comes to; NaN where it is undefined or beyond floating point.
        text: canonical, ``12*(3+4)``: no spaces, no needless parentheses, numbers in their shortest form.
        key: the same for expressions that differ in the order or grouping of sums and of products only.
        operands: its numbers as written, in order.
        operators: its signs ``+ - * / ^`` in order.
    """

    value: float
    text: str
    key: str
    operands: tuple[float, ...]
    operators: tuple[str, ...]


class _Part(NamedTuple):
    """A subexpression: `terms` are its summands, or its factors, each with its sign ``-`` or ``/``."""

    value: float
    text: str
    level: int
    terms: tuple[str, ...]


_SUM, _PRODUCT, _NEGATION, _POWER, _ATOM = range(1, 6)
_LEVELS = {"+": _SUM, "-": _SUM, "*": _PRODUCT, "/": _PRODUCT, "~": _NEGATION, "^": _POWER}
_INVERSES = "-/"
_MOST_OPERANDS = 100


def read_expression(segment: Sequence[Number | str]) -> Expression | None:
    """The expression a segment of a chain is; None with an unknown, when malformed, or above 100 operands.

    Reads in one pass over two stacks (Dijkstra's shunting yard): products before sums, left to right; powers right to
    left.

    >>> half = read_expression([Number(1), "/", Number(2), "*", Number(36)])
    >>> half.text, half.key, half.value
    ('1/2*36', '/2*1*36', 18.0)
    """
    numbers = [piece for piece in segment if isinstance(piece, Number)]
    if not 0 < len(numbers) <= _MOST_OPERANDS or any(math.isnan(number.written) for number in numbers):
        return None
    if len(segment) == len(numbers) + 1 == 3:
        return _pair(numbers[0].value, str(segment[1]), numbers[1].value)
    part = _reduce(segment)
    if part is None:
        return None
    return Expression(
        part.value,
        part.text,
        _key(part),
        tuple(_signed(segment)),
        tuple(piece for piece in segment if isinstance(piece, str) and piece in "+-*/^"),
    )


def _signed(segment: Sequence[Number | str]) -> Iterator[float]:
    before: Number | str = "("
    for piece in segment:
        if isinstance(piece, Number):
            yield -piece.value if before == "~" else piece.value
        before = piece


def _pair(left: float, sign: str, right: float) -> Expression:
    """What `_reduce` gives for two numbers, as most equations have, at a fraction of its time."""
    first, second = number_text(left), number_text(right)
    value = _safely(_FUNCTIONS[sign], left, right)
    if sign == "^":
        key = f"({first})^({second})"
    else:
        terms = (first, sign + second if sign in _INVERSES else second)
        key = ("+" if sign in "+-" else "*").join(sorted(terms))
    return Expression(value, f"{first}{sign}{second}", key, (left, right), (sign,))


def number_text(value: float) -> str:
    """A number in its shortest form to 12 significant digits: ``4.8`` for 4.80, ``12`` for 12.0."""
    return f"{value:.12g}"


def _reduce(segment: Sequence[Number | str]) -> _Part | None:
    parts: list[_Part] = []
    pending: list[str] = []
    for piece in segment:
        if isinstance(piece, Number):
            parts.append(_atom(piece.value))
        elif piece == "(":
            pending.append(piece)
        elif piece == ")":
            while pending[-1] != "(":
                _apply(pending.pop(), parts)
            pending.pop()
        else:
            _apply_before(piece, pending, parts)
            pending.append(piece)
    while pending:
        _apply(pending.pop(), parts)
    return parts[0] if len(parts) == 1 else None


def _apply_before(sign: str, pending: list[str], parts: list[_Part]) -> None:
    """Apply what binds at least as tightly as `sign`; a sign before an operand and a power wait for their right."""
    level = _LEVELS[sign]
    while pending and pending[-1] != "(" and sign != "~":
        waiting = _LEVELS[pending[-1]]
        if waiting < level or (waiting == level == _POWER):
            return
        _apply(pending.pop(), parts)


def _apply(sign: str, parts: list[_Part]) -> None:
    right = parts.pop()
    if sign == "~":
        parts.append(_negated(right))
        return
    left = parts.pop()
    level = _LEVELS[sign]
    text = f"{_wrapped(left, level + (level == _POWER))}{sign}{_wrapped(right, level + (level != _POWER))}"
    parts.append(_Part(_safely(_FUNCTIONS[sign], left.value, right.value), text, level, _terms(sign, left, right)))


def _atom(value: float) -> _Part:
    text = number_text(value)
    return _Part(value, text, _ATOM, (text,))


def _negated(part: _Part) -> _Part:
    if part.level == _ATOM and not part.text.startswith("-"):
        return _atom(-part.value)
    return _Part(-part.value, f"-{_wrapped(part, _POWER)}", _NEGATION, (f"-({_key(part)})",))


def _wrapped(part: _Part, level: int) -> str:
    bare = part.level >= level and not (part.text.startswith("-") and level > _SUM)
    return part.text if bare else f"({part.text})"


def _terms(sign: str, left: _Part, right: _Part) -> tuple[str, ...]:
    level = _LEVELS[sign]
    if level == _POWER:
        return (f"({_key(left)})^({_key(right)})",)
    second = _summands(right, level)
    if sign in _INVERSES:
        second = tuple(term[1:] if term.startswith(sign) else sign + term for term in second)
    return _summands(left, level) + second


def _summands(part: _Part, level: int) -> tuple[str, ...]:
    if part.level == level or part.level == _ATOM:
        return part.terms
    return (f"({_key(part)})",)


def _key(part: _Part) -> str:
    return ("+" if part.level == _SUM else "*").join(sorted(part.terms))


def _power(base: float, exponent: float) -> float:
    result = base**exponent
    return result if isinstance(result, float) else math.nan


_FUNCTIONS: dict[str, Callable[[float, float], float]] = {
    "+": operator.add,
    "-": operator.sub,
    "*": operator.mul,
    "/": operator.truediv,
    "^": _power,
}


def _safely(function: Callable[[float, float], float], left: float, right: float) -> float:
    try:
        value = function(left, right)
    except (ArithmeticError, ValueError):
        return math.nan
    return value if math.isfinite(value) else math.nan
