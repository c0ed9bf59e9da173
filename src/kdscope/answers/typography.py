"""The same answer in plain characters: other digits, dashes and fractions, LaTeX dressing, emphasis."""

from __future__ import annotations

import re
import unicodedata

_SPACED_THOUSANDS = re.compile(r"(?<=\d)[\u00a0\u2009\u202f\u2007](?=\d{3}(?!\d))")
_VULGAR_FRACTIONS = "¼½¾⅐⅑⅒⅓⅔⅕⅖⅗⅘⅙⅚⅛⅜⅝⅞"
_SUPERSCRIPTS = "⁰¹²³⁴⁵⁶⁷⁸⁹⁻⁺"
_TYPOGRAPHY = str.maketrans(
    {
        **{chr(code): chr(code - 0xFEE0) for code in range(0xFF01, 0xFF5F)},  # full-width letters, digits and signs
        **{fraction: unicodedata.normalize("NFKC", fraction).replace("\u2044", "/") for fraction in _VULGAR_FRACTIONS},
        **dict(zip(_SUPERSCRIPTS, "0123456789-+", strict=True)),
        **dict.fromkeys("\u2212\u2010\u2011\u2012\u2013\u2014\ufe63\uff0d", "-"),
        **dict.fromkeys("\u00a0\u2009\u202f\u2007\u3000", " "),
        **dict.fromkeys("\u2018\u2019", "'"),
        **dict.fromkeys("\u201c\u201d", '"'),
        **dict.fromkeys("\uff0c\u3001", ", "),
        "\u2044": "/",
        "\u3002": ". ",
        "\u066a": "%",
        "\u066b": ".",
        "\u066c": ",",
        "\r": "\n",
    }
)
_WIDE_COMMA = re.compile(r"(?<=\d)\uff0c(?=\d)")
_MIXED_NUMBER = re.compile(rf"(?<=\d)(?=[{_VULGAR_FRACTIONS}])")
_RAISED = re.compile(rf"(?<=[\w)])(?=[{_SUPERSCRIPTS}])(?<![{_SUPERSCRIPTS}])")
_OTHER_DIGIT = re.compile(r"(?![0-9])\d")

_PART = r"(?:\{([^{}]{1,40})\}|(\d))"
_LATEX_FRACTION = re.compile(rf"([A-Za-z\d]?)\s{{0,3}}\\[cdt]?frac\s{{0,3}}{_PART}\s{{0,3}}{_PART}")
_LATEX_FONT = re.compile(r"\\(?:text|math|mbox|bold|emph|underline)[a-z]{0,12}\s{0,3}\{([^{}]{0,200})\}")
_REPEATING = re.compile(r"(\d{1,30})\.(\d{0,30})(?:\\(?:overline|bar|dot)\s?\{?|(?=\(\d+\)(?!\w))\()(\d{1,30})[})]?")
_LATEX_SPACE = re.compile(r"\\[,;!: ]|\\(?:left|right|displaystyle|quad)\b|\\[hv]space\*?\{[^{}]{0,20}\}")
_LATEX_SIGNS = {"{,}": ",", "\\$": "$", "\\%": "%", "\\times": "*", "\\cdot": "*", "\\div": "/"}
_LATEX_POWER = re.compile(r"\^\s?\{([-+]?\d{1,4})\}")
_LATEX_CURRENCY = re.compile(r"\\(?:pounds|euro|textdollar|textsterling|texteuro)\b\s?")

# Bold, but not the power operator of 2**3.
_BOLD = re.compile(r"(?<!\d)\*{2,3}|\*{2,3}(?!\d)")
_EMPHASIS = re.compile(
    r"(?<![\w*])\*(?=[^\s*])([^*\n]{1,200})\*(?![\w*])|(?<!\w)(__?)(?=[^\s_])([^_\n]{1,200})\2(?!\w)"
)
_STRUCK = re.compile(r"~~[^~\n]{1,200}~~|<(del|strike)>[^<>]{0,200}</\1>")
_FORMATTED = re.compile(r"<(b|i|u|em|strong|code|mark|span|p)>([^<>]{0,400})</\1>")
_QUOTE = re.compile(r"^> ?", re.MULTILINE)
_FOOTNOTE = re.compile(r"(?<=[\w.%$])\[\^?\d{1,2}\]|(?<=\d) \[\d{1,2}\](?=[.,;]|\s{0,3}\Z)")


def plain_typography(text: str) -> str:
    """Plain digits, minus signs, quotes, spaces and fractions; raised digits as powers.

    >>> plain_typography("−3 or 2½"), plain_typography("１２ = ١٢"), plain_typography("10⁴")
    ('-3 or 2 1/2', '12 = 12', '10^4')
    """
    if not text.isascii():
        text = _MIXED_NUMBER.sub(" ", _RAISED.sub("^", _SPACED_THOUSANDS.sub("", _WIDE_COMMA.sub(",", text))))
        text = _OTHER_DIGIT.sub(lambda digit: str(unicodedata.decimal(digit[0])), text.translate(_TYPOGRAPHY))
    return text.replace("\r", "\n")


def plain_markup(text: str) -> str:
    r"""The text with plain typography, and without LaTeX dressing, emphasis, footnote marks and what is struck out.

    >>> plain_markup(r"$-\frac{1}{2}$ is **not** ~~1~~ $2\frac12$ or $3.\overline{3}$[1]")
    '$-1/2$ is not  $2 1/2$ or $30/9$'
    """
    text = plain_typography(text)
    if "\\" in text or "{" in text:
        text = _plain_latex(text)
    text = _REPEATING.sub(_repeating_fraction, text)
    if "*" in text or "_" in text:
        text = _EMPHASIS.sub(lambda match: match[1] or match[3], _BOLD.sub("", text))
    if "~" in text or "</" in text:
        text = _FORMATTED.sub(r"\2", _STRUCK.sub("", text))
    return _FOOTNOTE.sub("", _QUOTE.sub("", text) if ">" in text else text).strip()


def _plain_latex(text: str) -> str:
    text = _LATEX_FRACTION.sub(_written_fraction, _LATEX_FONT.sub(r" \1", _LATEX_FONT.sub(r" \1", text)))
    text = _LATEX_CURRENCY.sub("$", text)
    for sign, plain in _LATEX_SIGNS.items():
        text = text.replace(sign, plain)
    return _LATEX_POWER.sub(r"^\1", _LATEX_SPACE.sub("", text))


def _written_fraction(match: re.Match[str]) -> str:
    whole = f"{match[1]} " if match[1] else ""
    return f"{whole}{match[2] or match[3]}/{match[4] or match[5]}"


def _repeating_fraction(match: re.Match[str]) -> str:
    """3.1666..., of which the 6 repeats, as 285/90."""
    whole, fixed, repeated = match.groups()
    numerator = int(whole + fixed + repeated) - int(whole + fixed)
    return f"{numerator}/{'9' * len(repeated)}{'0' * len(fixed)}"
