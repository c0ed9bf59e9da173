"""The equations a worked solution states: arithmetic and its stated result, right or wrong."""

from __future__ import annotations

import math
import operator
from collections.abc import Callable, Iterator, Sequence
from typing import NamedTuple

from kdscope.fidelity.step_chains import CalculatorMark, Chain, Segment, find_chains
from kdscope.fidelity.step_tokens import UNKNOWN, Number

_SUM, _PRODUCT, _NEGATION, _POWER, _ATOM = range(1, 6)
_LEVELS = {"+": _SUM, "-": _SUM, "*": _PRODUCT, "/": _PRODUCT, "~": _NEGATION, "^": _POWER}
_INVERSES = "-/"
_MOST_OPERANDS = 100


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


class Equation(NamedTuple):
    """One step of arithmetic as a text states it.

    Attributes:
        expression: the left side in canonical form, ``12*(3+4)``.
        operands: its numbers in order; percentages as fractions of 1.
        operators: its operators ``+ - * / ^`` in order.
        result: the stated result.
        computed: what the left side comes to; NaN where undefined.
        holds: whether the stated result is right, to the last decimal it is stated with.
        key: equal for equations that differ in the order or grouping of sums and of products only.
    """

    expression: str
    operands: tuple[float, ...]
    operators: tuple[str, ...]
    result: float
    computed: float
    holds: bool
    key: str

    def __str__(self) -> str:
        return f"{self.expression}={number_text(self.result)}"


class _Link(NamedTuple):
    """A link of a chain, read: a bare number, an expression, a calculator mark's equations, or unknown (all empty)."""

    number: Number | None = None
    expression: Expression | None = None
    mark: tuple[Equation, ...] = ()
    lead: Number | None = None


def parse_equations(text: str) -> list[Equation]:
    """Every equation of a text, in order: an expression with at least one operator over numbers, and its result.

    What counts: ``a op b = c`` with any of ``= ≈ is equals gives ...``, units, currency and comments in between left
    out; ``c = a op b``; words for operators, ``12% of 50`` and ``half of 50``; calculator marks ``<<a+b=c>>``, which
    stand for the expression before them. An equation repeated within a chain counts once. Expressions with unknowns,
    and those whose result is not stated, do not count.

    The result of an expression is the next bare number of its chain, ``2*3 + 4 = 6 + 4 = 10``; where the next link is
    an expression too, ``16 - 3 = 13 - 4 = 9``, it is the number that link begins with if that is right, or nearer to
    the value of a single operation. A fraction that ends a chain is a result, ``24/36 = 2/3``.

    Never raises; time linear in the length of the text.

    >>> [str(equation) for equation in parse_equations("He ate 16 - 3 = 13 - 4 = 9 eggs, and 12% of $5,000 = $601.")]
    ['16-3=13', '13-4=9', '0.12*5000=601']
    """
    return [equation for chain in find_chains(text) for equation in _stated(chain)]


def _stated(chain: Chain) -> list[Equation]:
    links = [_read(link) for link in chain.links]
    found: list[tuple[Equation, ...]] = []
    final = fraction = _ending_fraction(chain, links)
    for place in range(len(links) - 1, -1, -1):
        link = links[place]
        found.append(link.mark)
        if link.number is not None:
            final = link.number
        elif link.mark:
            final = Number(link.mark[0].result, 12)
        elif link.expression is not None and (fraction is None or place < len(links) - 1):
            result = _result(link.expression, links[place + 1].lead if place + 1 < len(links) else None, final)
            result = result or _result_before(chain, links, place)
            found[-1] = (_equation(link.expression, result),) if result else ()
    first: dict[str, Equation] = {}
    for equation in (equation for equations in reversed(found) for equation in equations):
        first.setdefault(equation.key, equation)
    return list(first.values())


def _read(link: Segment | CalculatorMark) -> _Link:
    if isinstance(link, CalculatorMark):
        return _Link(mark=tuple(_stated(Chain(list(link.segments), False))), lead=_lead(link.segments[0]))
    number = _bare(link)
    if number is not None:
        return _Link(number=number)
    return _Link(expression=read_expression(link), lead=_lead(link))


def _bare(segment: Segment) -> Number | None:
    """The number a segment is, if it is one, signs and parentheses aside."""
    last = segment[-1]
    if len(segment) == 1 and isinstance(last, Number):
        return last if last is not UNKNOWN else None
    pieces = [piece for piece in segment if piece not in ("(", ")", "~")]
    if len(pieces) != 1 or pieces[0] is UNKNOWN or not isinstance(pieces[0], Number):
        return None
    sign = -1 if segment.count("~") % 2 else 1
    return pieces[0]._replace(written=sign * pieces[0].written)


def _lead(segment: Segment) -> Number | None:
    first = segment[0]
    return first if isinstance(first, Number) and first is not UNKNOWN else None


def _ending_fraction(chain: Chain, links: list[_Link]) -> Number | None:
    """The result of ``24/36 = 2/3``: a fraction of two whole numbers that ends a chain of expressions."""
    last = chain.links[-1]
    if isinstance(last, CalculatorMark) or links[-2].number is not None or len(last) != 3 or last[1] != "/":
        return None
    value = links[-1].expression.value if links[-1].expression else math.nan
    return None if math.isnan(value) else Number(value, 12)


def _result(expression: Expression, lead: Number | None, final: Number | None) -> Number | None:
    if lead is None or final is lead:
        return final
    if final is None:
        return lead if _holds(expression.value, lead) else None
    if len(expression.operators) > 1:
        return lead if _holds(expression.value, lead) else final
    nearer = abs(_stated_value(lead, expression.value) - expression.value) < abs(
        _stated_value(final, expression.value) - expression.value
    )
    return lead if nearer else final


def _result_before(chain: Chain, links: list[_Link], place: int) -> Number | None:
    """The number before ``= 3 + 4``, unless words before it say that it counts something: ``on day 2 = 3 + 4``."""
    if place == 0 or (place == 1 and chain.after_word):
        return None
    before = links[place - 1]
    return Number(before.mark[-1].result, 12) if before.mark else before.number


def _equation(expression: Expression, number: Number) -> Equation:
    result = _stated_value(number, expression.value)
    return Equation(
        expression=expression.text,
        operands=expression.operands,
        operators=expression.operators,
        result=result,
        computed=expression.value,
        holds=_holds(expression.value, number),
        key=f"{expression.key}={number_text(result)}",
    )


def _stated_value(number: Number, computed: float) -> float:
    """A result's value; ``40%`` is 40 where the arithmetic is in percentage points, ``20 / 50 * 100 = 40%``."""
    if not number.percent:
        return number.written
    return min(number.value, number.written, key=lambda value: abs(value - computed))


def _holds(computed: float, number: Number) -> bool:
    stated = _stated_value(number, computed)
    decimals = number.decimals + 2 * (number.percent and stated != number.written)
    rounding = 10.0**-decimals * (1 - 1e-9) if decimals else 0.0
    return abs(computed - stated) <= max(rounding, 1e-6 * abs(computed), 1e-9)
