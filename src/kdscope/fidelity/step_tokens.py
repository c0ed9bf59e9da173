"""Text of a worked solution cut into the tokens that equations are made of; everything else is a word or a break."""

from __future__ import annotations

import math
import re
from collections.abc import Iterator
from typing import NamedTuple

_CARDINALS = "two three four five six seven eight nine ten eleven twelve"
_ORDINALS = "third fourth fifth sixth seventh eighth ninth tenth"
NUMERALS = {word: number for number, word in enumerate(_CARDINALS.split(), 2)}
PARTS = {"half": 2, "quarter": 4} | {word: number for number, word in enumerate(_ORDINALS.split(), 3)}
_UNIT_LETTERS = frozenset("mghslkLCF")
_INDEXED = re.compile(r"[^\W\d_]_?\d+")
_SHARE = re.compile(r"(?:(\w+)[ -])?(\w+?)s?\s+of")
_MOST_DIGITS = 40
_SIGNS = str.maketrans(
    {
        "×": "*", "·": "*", "∙": "*", "⋅": "*", "∗": "*", "✕": "*", "✖": "*", "÷": "/", "∕": "/", "⁄": "/",
        "−": "-", "–": "-", "—": "-", "‐": "-", "‑": "-", "➕": "+", "＋": "+", "＝": "=", "≈": "=", "≃": "=", "≅": "=",
        "~": "=", "∼": "=", "％": "%", "²": "^2", "³": "^3", "½": " 1/2", "¼": " 1/4", "¾": " 3/4", "⅓": " 1/3",
        "⅔": " 2/3", "⅕": " 1/5", "⅛": " 1/8", "’": "'", "\u00a0": " ", "\u202f": " ", "\r": "\n", "�": " ",
    }
)  # fmt: skip
_LATEX = (
    (re.compile(r"\\\\(?![A-Za-z])"), "\n"),
    (re.compile(r"\\(?:text|mathrm|mathbf|textbf|boxed|mbox|operatorname)\s?\{([^{}]*)\}"), r" \1 "),
    (re.compile(r"\\[dt]?frac\s?(\d)(\d)"), r" ((\1)/(\2)) "),
    (re.compile(r"\\(?:times|cdot|ast)(?![A-Za-z])"), " * "),
    (re.compile(r"\\div(?![A-Za-z])"), " / "),
    (re.compile(r"\\(?:approx|simeq|equiv)(?![A-Za-z])"), " = "),
    (re.compile(r"\\(?:left|right|quad|qquad|displaystyle|[,;:! ()\[\]])"), " "),
    (re.compile(r"\\([%$#&])"), r"\1"),
)
_FRACTION = re.compile(r"\\[dt]?frac\s?\{([^{}]*)\}\s?\{([^{}]*)\}")
# What a number may start with, after a word that needs one behind it. Gaps are bounded to keep the scan linear.
_GAP = r"[^\S\n]{1,3}"
_GAP_OR_NONE = r"[^\S\n]{0,3}"
_NUMERALS = "|".join(f"[{word[0].upper()}{word[0]}]{word[1:]}" for word in NUMERALS)
_AHEAD = r"(?:\(?(?:[$€£₹]|Rs\.?)?[ ]?\.?\d|(?:" + _NUMERALS + r")\b)"
_PARTS = "|".join(f"[{word[0].upper()}{word[0]}]{word[1:]}" for word in PARTS)
_COUNTS = f"[Oo]ne|[Aa]|[Aa]n|{_NUMERALS}"
_SOFT = (
    r"(?:(?:which|that|this|it|and|so|we|you|they)" + _GAP + r")?"
    r"(?:(?:is|are) equal to|is|was|equals?(?: to)?|gives(?: us)?|makes|leaves|will be|would be|to get|get)"
)
_NEARLY = "about|approximately|around|roughly|only|exactly|nearly|just|a total of|the same as"
_SPECIAL = (
    rf"(?:{_COUNTS}|{_PARTS}|and|are|divided|equals?|gets?|gives|is|it|leaves|makes|minus|multiplied|percent|"
    r"plus|Rs|so|that|they|this|times|to|was|we|which|will|would|you|sq|cu|ft|in|hrs?|mins?|lbs?|oz|yds?|[ckm]?m|kg)s?"
)
_WORD = r"[^\W\d_][\w']*(?:[-/][^\W\d_][\w']*)*"
_PATTERNS = (
    ("skip", r"\n\s*(?=&?=)|[$€£¥₹¢°'\"`&_|]"),
    ("word", rf"(?!{_SPECIAL}\b)(?=[^\W\d_]{{2}}){_WORD}"),
    ("mark", r"<<[^<>\n]*>>"),
    ("break", r"<=|>=|=>|->|!=|[<>]|(?:\n\s*|\A)[-*+•]\s+"),
    ("line", r"\n\s*"),
    ("equals", r"=+"),
    ("ratio", r"\d+(?::\d+)+"),
    ("mixed", r"(?<![\d.,])\d{1,3}[ ](?:and[ ])?\d{1,3}/\d{1,3}(?![\d/.%,])"),
    ("number", r"(?:\d{1,3}(?:,\d{2,3}){0,8},\d{3}(?!\d)|\d+)(?:\.\d+)?(?:[ ]?%|[ ]percent\b)?|\.\d+(?:[ ]?%)?"),
    ("unit", r"(?<=[a-z])\^[23](?!\d)|(?<=\d)-[^\W\d_]{2,}(?:-[^\W\d_]+)*"),
    ("unit", r"(?:sq|cu)\.|(?:ft|in|hrs?|mins?|lbs?|oz|yds?|[ckm]?m|kg)\.(?=[ ]?[-+*/=x)])"),
    ("power", r"(?<=[\d)])\*\*(?=[\d(])|\^"),
    ("skip", r"\*\*+"),
    ("operator", rf"[-+*/]|[xX](?=[^\S\n]{{0,3}}(?:\(|{_AHEAD}))"),
    ("operator", rf"\b(?:plus|minus|times|multiplied{_GAP}by|divided{_GAP}by)(?={_GAP}{_AHEAD})"),
    ("soft", rf"(?:,[^\S\n]{{0,3}})?\b{_SOFT}(?={_GAP}(?:(?:{_NEARLY}){_GAP})?{_AHEAD})"),
    ("number", rf"\b(?:{_NUMERALS})(?={_GAP}(?:plus|minus|times|multiplied{_GAP}by|divided{_GAP}by)\b)"),
    ("share", rf"\b(?:(?:(?:{_COUNTS})[ -])?(?:{_PARTS})s?{_GAP}of)(?={_GAP}{_AHEAD})"),
    ("comment", r"\([ ]?[^\W\d_]['\w][^()\d=+*/\n]{0,60}\)"),
    ("open", r"[(\[{]"),
    ("close", r"[)\]}]"),
    ("word", rf"Rs\.|{_WORD}"),
    ("break", r"[\s\S]"),
)
_KINDS = ("", *(kind for kind, _ in _PATTERNS))
_TOKEN = re.compile(rf"[^\S\n]*(?:{'|'.join(f'({pattern})' for _, pattern in _PATTERNS)})")
_WAITING = frozenset(["equals", "operator", "power", "open"])
# Where a clause surely ends; elsewhere the tokens tell. A comma before "which is" joins, and so does a line break
# beside an operator or an equals sign.
_CLAUSE_END = re.compile(
    rf"[:;?!](?=\s)|\.(?<!Rs\.)(?<!sq\.)(?<!cu\.)(?=\s(?![-+*/=x)]))|,(?=\s(?!{_GAP_OR_NONE}{_SOFT}\b))"
    r"|\n\s{0,9}+\d{1,2}[.)]\s(?=[^\W\d_])|\n(?:(?<=[\w.:;,?!>)%]\n)|(?<=[\w.:;,?!>)%][ ]\n))\s{0,9}+(?!&?=)"
)
_EQUALITY = re.compile(rf"=|(?:is|was|to|equals?|us|gives|makes|leaves|be|get){_GAP}(?:(?:{_NEARLY}){_GAP})?{_AHEAD}")
_FIRST_NUMBER = re.compile(rf"\d|\b(?:{_NUMERALS})\b")
_NEAR = 12


class Number(NamedTuple):
    """A written number: 60 for ``60%``, the decimals it is written with, and whether a percent sign follows."""

    written: float
    decimals: int = 0
    percent: bool = False

    @property
    def value(self) -> float:
        """The number it stands for: 0.6 for ``60%``."""
        return float(f"{self.written / 100:.12g}") if self.percent else self.written


def _word_set(text: str) -> frozenset[str]:
    return frozenset(text.split())


UNKNOWN = Number(math.nan)
CURRENCIES = _word_set("rs. rs usd inr eur")
# Left out between an operator and its number, and between an equals sign and the result.
FILLERS = _word_set(
    "the a an his her their its our your my another other additional remaining about approximately around roughly only "
    "exactly nearly just total of"
)
# No unit holds one of these: an expression ends before it.
STOPS = _word_set(
    "and so then therefore thus hence because since if but while whereas or as we she he they it i you is are was were "
    "be has have had will would could which that this who where when now let let's there here not plus minus"
)
_SHORT_UNITS = _word_set("cm mm km kg mg ml dl lb oz ft in yd hr am pm th st nd rd pc qt gb mb kb cc sq")


def written_number(text: str) -> Number:
    """A number in digits with thousands commas, decimals and percent sign; unknown above 40 digits: a stuck model.

    >>> written_number("1,200.50"), written_number("60%").value
    (Number(written=1200.5, decimals=2, percent=False), 0.6)
    """
    digits = text.replace(",", "")
    percent = not digits[-1].isdigit()
    if percent:
        digits = digits.rstrip("% percnt")
    whole, _, decimals = digits.partition(".")
    return UNKNOWN if len(whole) > _MOST_DIGITS else Number(float(digits), len(decimals), percent)


def mixed_number(text: str) -> Number:
    """``2 1/2``; unknown unless its fraction is a proper one.

    >>> mixed_number("2 1/2").value
    2.5
    """
    whole, upper, lower = (int(digits) for digits in re.findall(r"\d+", text))
    return Number(whole + upper / lower, 12) if 0 < upper < lower else UNKNOWN


def share(text: str) -> tuple[Number, Number]:
    """Numerator and denominator of ``two thirds of``.

    >>> [number.value for number in share("two thirds of")]
    [2.0, 3.0]
    """
    match = _SHARE.fullmatch(text.lower())
    count, part = match.groups("one") if match else ("one", "half")
    return Number(float(NUMERALS.get(count, 1))), Number(float(PARTS[part]))


def is_unknown(word: str, glued: bool) -> bool:
    """Whether a word behind a number or an operator is a quantity without a value, ``3x``, not a unit, ``3 kg``.

    Args:
        word: the word as written.
        glued: whether it touches what stands before it.
    """
    if word[1:2] in ("", "/") or (word[1] == "-" and len(word) == 3):  # x, x/y and x-y; not m/s, t-shirts
        return word[0] not in _UNIT_LETTERS and (glued or word not in "aA")
    if len(word) == 2 and glued and not word[1].isdigit():
        return word.lower() not in _SHORT_UNITS
    return "π" in word or _INDEXED.fullmatch(word) is not None


class Token(NamedTuple):
    """A piece of text: its kind, its text, and whether it touches the token before."""

    kind: str
    text: str
    glued: bool


def tokenize(text: str) -> Iterator[list[Token]]:
    """The tokens of every clause of a text that states an equality; spaces and currency signs are left out.

    LaTeX and Unicode signs are read as ASCII. A line ends with a break, except where an equals sign or an operator
    waits for what follows.
    """
    text, start = _plain(text), 0
    for boundary in _CLAUSE_END.finditer(text):
        if _EQUALITY.search(text, start, boundary.start()):
            yield clause_tokens(_without_prose(text[start : boundary.start()]))
        start = boundary.end()
    if _EQUALITY.search(text, start):
        yield clause_tokens(_without_prose(text[start:]))


def _without_prose(clause: str) -> str:
    """A clause from the last words before its first number: those further off cannot matter."""
    first = _FIRST_NUMBER.search(clause)
    if not first:
        return ""
    return clause[clause.rfind(" ", 0, max(0, first.start() - _NEAR)) + 1 :]


def clause_tokens(clause: str) -> list[Token]:
    """The tokens of a text without LaTeX and Unicode signs."""
    tokens = []
    end, before = -1, "break"
    for match in _TOKEN.finditer(clause):
        place = match.lastindex or 1
        kind = _KINDS[place]
        if kind == "line":
            kind = "skip" if before in _WAITING else "break"
        if kind != "skip":
            start, stop = match.span(place)
            tokens.append(Token(kind, clause[start:stop], start == end))
            before = kind
        end = match.end()
    return tokens


def _plain(text: str) -> str:
    if not text.isascii():
        text = text.translate(_SIGNS)
    elif "~" in text or "\r" in text:
        text = text.replace("~", "=").replace("\r", "\n")
    return _without_latex(text) if "\\" in text else text


def _without_latex(text: str) -> str:
    for pattern, replacement in _LATEX:
        text = pattern.sub(replacement, text)
    for _ in range(3):  # fractions within fractions, and no deeper
        text = _FRACTION.sub(r" ((\1)/(\2)) ", text)
    return text
