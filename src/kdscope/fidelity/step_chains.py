"""Chains of equality in a text, ``16 - 3 = 13 - 4 = 9``, without prose and units."""

from __future__ import annotations

from collections.abc import Callable
from typing import NamedTuple

from kdscope.fidelity.step_tokens import (
    CURRENCIES,
    FILLERS,
    NUMERALS,
    STOPS,
    UNKNOWN,
    Number,
    Token,
    clause_tokens,
    is_unknown,
    mixed_number,
    share,
    tokenize,
    written_number,
)

Piece = Number | str
Segment = list[Piece]


class CalculatorMark(NamedTuple):
    """A calculator mark, ``<<48/2=24>>``: its own expression and result."""

    segments: list[Segment]


class Chain(NamedTuple):
    """The segments between equals signs, in order; `after_word`: a word directly precedes the first number."""

    links: list[Segment | CalculatorMark]
    after_word: bool


_AWAITING = frozenset("+-*/^~(")
_SIGNS = {"plus": "+", "minus": "-", "times": "*", "multiplied": "*", "divided": "/", "x": "*"}
_MOST_PIECES = 400
_MOST_UNIT_WORDS = 6
_MOST_SKIPPED_WORDS = 2


def find_chains(text: str) -> list[Chain]:
    """Every chain of at least one equals sign, or word for it, that the text states.

    >>> [chain.links for chain in find_chains("He has 3 bags x $2/bag = $6.")]
    [[[Number(written=3.0, decimals=0, percent=False), '*', Number(written=2.0, decimals=0, percent=False)], \
[Number(written=6.0, decimals=0, percent=False)]]]
    """
    reader = _Reader()
    for clause in tokenize(text):
        reader.read(clause)
    return reader.chains


class _Reader:
    """One pass over the tokens, keeping the expression being read and the chain it is part of."""

    def __init__(self) -> None:
        self.chains: list[Chain] = []
        self._links: list[Segment | CalculatorMark] = []
        self._segment: Segment = []
        self._wants = True  # whether an operand must come next
        self._opens: list[int] = []
        self._before = "break"  # what stands before an empty segment: a break, a word, an equals sign or a close
        self._after_word = False
        self._units = 0
        self._skips = 0
        self._aside = -1  # where a parenthesis stands that multiplies, or interrupts if a word follows
        self._tight = False
        self._worded = False  # whether a word for equality, not a sign, stands before the segment

    def read(self, clause: list[Token]) -> None:
        for token in clause:
            _HANDLERS[token.kind](self, token)
        self._flush("break")

    # Operands

    def _number(self, token: Token) -> None:
        numeral = NUMERALS.get(token.text.lower())
        self._operand(Number(float(numeral)) if numeral else written_number(token.text))

    def _share(self, token: Token) -> None:
        """``half of`` is 1/2 times."""
        upper, lower = share(token.text)
        self._begin_operand()
        self._push("(", upper, "/", lower, ")", "*")
        self._skips = _MOST_SKIPPED_WORDS

    def _operand(self, number: Number) -> None:
        if not self._wants and self._segment[-1] is UNKNOWN and not self._units:
            self._push("*")
        self._begin_operand()
        self._push(number)

    def _begin_operand(self) -> None:
        """Two numbers with nothing but words between them, or words after an equals sign, begin something new."""
        if not self._wants:
            self._flush("word" if self._units else "break")
        elif self._links and not self._segment and self._before == "word":
            self._flush("word")
        if not self._segment and not self._links:
            self._after_word = self._before == "word"

    def _push(self, *pieces: Piece) -> None:
        self._segment += pieces
        self._wants = pieces[-1] in _AWAITING
        self._units = self._skips = 0
        if len(self._segment) > _MOST_PIECES:
            self._segment, self._opens, self._wants = [UNKNOWN], [], False

    # Operators and parentheses

    def _operator(self, token: Token) -> None:
        self._tight = token.glued
        sign = _SIGNS.get(token.text.split()[0].lower(), token.text) if token.text[0].isalpha() else token.text
        if not self._wants:
            if self._worded and len(self._segment) == 1:
                self._links = []  # "the 2 x 15 mm coin is 2 x 15 x 2 = 60": no result yet
            self._push(sign)
        elif not self._segment and self._before in ("word", "close"):
            self._push(UNKNOWN, sign)
        elif sign == "-":
            self._push("~")
        elif self._segment and sign != "+":
            self._push(UNKNOWN, sign)

    def _open(self, token: Token) -> None:
        if not self._segment:
            called = self._before == "close" or (self._before == "word" and token.glued)
            self._begin_operand()
            if called:
                self._push(UNKNOWN, "*")
        elif not self._wants:
            if self._units:
                self._flush("break")
            else:
                self._push("*")
                self._aside = -1 if token.glued else len(self._segment)
        self._opens.append(len(self._segment))
        self._push("(")

    def _close(self) -> None:
        if not self._opens:
            self._flush("close")
            return
        if self._wants:
            self._push(UNKNOWN)
        if self._opens:
            self._opens.pop()
            self._push(")")

    # Words

    def _unit(self, token: Token) -> None:
        """``20-minute``, ``sq.``, and the square of ``cm^2``: left out, unless it is an unknown's."""
        if token.text[0] == "^" and not self._units:
            self._operator(token._replace(text="^"))
            self._push(UNKNOWN)

    def _comment(self) -> None:
        if not self._segment:
            self._before = "word"
        elif self._wants:
            self._push(UNKNOWN)

    def _word(self, token: Token) -> None:
        word = token.text.lower()
        if word in CURRENCIES:
            return
        if not self._wants:
            self._word_behind(word, token)
        elif word in NUMERALS and (self._segment or self._before == "equals"):
            self._operand(Number(float(NUMERALS[word])))
        elif self._segment:
            self._word_for_operand(word, token)
        elif word in STOPS:
            self._flush("break")
        elif self._before != "equals" or word not in FILLERS:
            self._before = "word"

    def _word_behind(self, word: str, token: Token) -> None:
        """A unit, ``3 apples``; an unknown, ``3x``; ``1/2 of``; or prose that ends the expression."""
        if word == "of" and not self._units and self._is_share():
            self._push("*")
            self._skips = _MOST_SKIPPED_WORDS
        elif word in STOPS:
            self._flush("break")
        elif is_unknown(token.text, token.glued):
            self._push("*", UNKNOWN)
        else:
            self._units += 1
            if self._units > _MOST_UNIT_WORDS:
                self._flush("word")

    def _word_for_operand(self, word: str, token: Token) -> None:
        """After an operator: ``/hour`` is a unit, ``of the 36`` an article, anything else an unknown."""
        if self._segment[-1] == "(" and self._aside == len(self._segment) - 1:
            del self._segment[-2:], self._opens[-1]
            self._wants = False
            self._flush("break")
        elif word in FILLERS:
            return
        elif self._skips and not is_unknown(token.text, token.glued):
            self._skips -= 1
        elif self._segment[-1] == "/" and not is_unknown(token.text, token.glued):
            self._segment.pop()
            self._wants, self._units = False, 1
        else:
            self._push(UNKNOWN)

    def _is_share(self) -> bool:
        """Whether the expression ends in a percentage, a fraction or parentheses, which ``of`` multiplies."""
        last = self._segment[-1]
        if isinstance(last, str):
            return last == ")"
        return last.percent or 0 < last.written < 1 or self._segment[-2:-1] == ["/"]

    # Equality

    def _equals(self) -> None:
        if not self._segment and self._before == "equals":
            return
        self._cut_to_parenthesis()
        if self._wants:
            self._push(UNKNOWN)
        self._link(self._segment)

    def _soft(self, token: Token) -> None:
        """``is`` equals only behind an expression: not behind a share, ``1/4 is 15``, or a range, ``5-6 are 11``."""
        body = self._segment[self._opens[-1] + 1 :] if self._opens else self._segment
        if self._wants or len(body) < 3 or self._is_elliptic(body):
            self._flush("break")
        else:
            self._equals()
            self._worded = True

    def _is_elliptic(self, body: Segment) -> bool:
        if len(body) != 3 or not isinstance(body[0], Number) or not isinstance(body[2], Number):
            return False
        return body[0].written < body[2].written and (body[1] == "/" or (body[1] == "-" and self._tight))

    def _mark(self, token: Token) -> None:
        """A mark replaces the text's expression before it, which says the same."""
        inside = _Reader()
        inside.read(clause_tokens(token.text[2:-2]))
        links = inside.chains[0].links if len(inside.chains) == 1 else []
        if len(links) < 2 or len(links[0]) < 3:
            return
        self._cut_to_parenthesis()
        if (
            not self._segment
            and self._before == "equals"
            and self._links
            and not isinstance(self._links[-1], CalculatorMark)
        ):
            self._links.pop()
        self._link(CalculatorMark([link for link in links if not isinstance(link, CalculatorMark)]))

    def _link(self, link: Segment | CalculatorMark) -> None:
        self._links.append(link)
        self._segment, self._wants, self._opens = [], True, []
        self._before, self._units, self._worded = "equals", 0, False

    def _cut_to_parenthesis(self) -> None:
        """In ``5 bags (2 + 3 = 5)`` the chain is what the parenthesis holds."""
        if self._opens:
            self._segment = self._segment[self._opens[-1] + 1 :]
            self._wants = self._wants or not self._segment
            self._links, self._opens, self._after_word = [], [], False

    def _flush(self, before: str) -> None:
        if self._segment:
            if self._opens or self._wants:
                self._segment.extend(("+", UNKNOWN) if not self._wants else (UNKNOWN,))
            self._links.append(self._segment)
        if len(self._links) > 1:
            self.chains.append(Chain(self._links, self._after_word))
        self._links, self._segment, self._wants, self._opens = [], [], True, []
        self._before, self._units, self._after_word, self._worded = before, 0, False, False


_HANDLERS: dict[str, Callable[[_Reader, Token], None]] = {
    "break": lambda reader, _: reader._flush("break"),
    "mark": _Reader._mark,
    "equals": lambda reader, _: reader._equals(),
    "soft": _Reader._soft,
    "ratio": lambda reader, _: reader._operand(UNKNOWN),
    "unit": _Reader._unit,
    "mixed": lambda reader, token: reader._operand(mixed_number(token.text)),
    "number": _Reader._number,
    "operator": _Reader._operator,
    "power": lambda reader, token: reader._operator(token._replace(text="^")),
    "share": _Reader._share,
    "comment": lambda reader, _: reader._comment(),
    "open": _Reader._open,
    "close": lambda reader, _: reader._close(),
    "word": _Reader._word,
}
