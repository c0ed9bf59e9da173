"""Numbers as a reader sees them: percentages with one decimal, differences with a sign, and a dash for nothing."""

from __future__ import annotations

import math
from collections.abc import Sequence

from kdscope.results.measures import describe_measure

MISSING = "–"
_MINUS = "\u2212"


def is_missing(value: object) -> bool:
    """True for None, NaN and pandas' NA: everything a table uses for "not measured"."""
    if value is None or type(value).__name__ in ("NAType", "NaTType"):
        return True
    return isinstance(value, float) and math.isnan(value)


def fixed(value: float | None, decimals: int = 1) -> str:
    """A number with fixed decimals, a true minus sign and no negative zero.

    >>> fixed(-0.04), fixed(-2.25, 2), fixed(float("nan"))
    ('0.0', '−2.25', '–')
    """
    if value is None or is_missing(value):
        return MISSING
    text = f"{value:.{decimals}f}"
    return text.lstrip("-") if float(text) == 0 else text.replace("-", _MINUS)


def percent(share: float | None) -> str:
    """A share as a percentage without the sign.

    >>> percent(0.3119)
    '31.2'
    """
    return MISSING if share is None or is_missing(share) else fixed(100 * share)


def points(difference: float | None) -> str:
    """A difference of shares in percentage points, always signed unless it rounds to zero.

    >>> points(0.0123), points(-0.05), points(0.0001)
    ('+1.2', '−5.0', '0.0')
    """
    text = percent(difference)
    return f"+{text}" if difference is not None and difference > 0 and float(text) > 0 else text


def measured(measure: str, value: float | None) -> str:
    """A value of a measure of the catalogue on the measure's scale, with its decimals.

    >>> from kdscope.results.measures import AGREEMENT, BLEU
    >>> measured(AGREEMENT, 0.6144), measured(BLEU, 77.24), measured("forward_kl_teacher", 0.1075)
    ('61.4', '77.2', '0.107')
    """
    entry = describe_measure(measure)
    return MISSING if value is None or is_missing(value) else fixed(entry.factor * value, entry.decimals)


def with_interval(value: str, low: str, high: str) -> str:
    """A value and its interval; the value alone where the interval was not measured.

    >>> with_interval(percent(0.312), percent(0.271), percent(0.356))
    '31.2 [27.1, 35.6]'
    """
    return value if MISSING in (low, high) else f"{value} [{low}, {high}]"


def p_value(value: float | None) -> str:
    """A p-value as the sentences of the statistics have it: no zero before the point, two significant digits.

    >>> p_value(0.0312), p_value(0.00002), p_value(1.0), p_value(None)
    ('.031', '< .001', '1', '–')
    """
    return MISSING if value is None or is_missing(value) else format_p(float(value))


def format_p(p_value: float) -> str:
    """A p-value as papers print it.

    Example:
        >>> format_p(0.0312), format_p(0.00004), format_p(1.0)
        ('.031', '< .001', '1')
    """
    if p_value < 0.001:
        return "< .001"
    # What is above .05 is not to look like it.
    digits = 3 if 0.05 < p_value < 0.0505 else 2
    return f"{p_value:.{digits}g}".removeprefix("0") if p_value < 0.9995 else "1"


def count(value: int | None) -> str:
    """A whole number with thousands separators.

    >>> count(1319)
    '1,319'
    """
    return MISSING if value is None or is_missing(value) else f"{int(value):,}"


def span(values: Sequence[int]) -> str:
    """Whole numbers in increasing order as a range, one of them as itself.

    >>> span([300]), span([290, 295, 1300]), span([])
    ('300', '290 to 1,300', '–')
    """
    if len(values) < 2:
        return count(values[0]) if values else MISSING
    return f"{count(values[0])} to {count(values[-1])}"


def short_count(value: int | None) -> str:
    """A large whole number in thousands, millions or billions.

    >>> short_count(134_515_008), short_count(920), short_count(7_615_616_512)
    ('134.5 M', '920', '7.6 B')
    """
    if value is None or is_missing(value):
        return MISSING
    for size, unit in ((10**9, "B"), (10**6, "M"), (10**3, "k")):
        if value >= size:
            return f"{value / size:.1f} {unit}"
    return str(int(value))


def plural(number: int, noun: str, nouns: str = "") -> str:
    """A number with its noun.

    >>> plural(1, "cell"), plural(1200, "item"), plural(2, "loss", "losses")
    ('1 cell', '1,200 items', '2 losses')
    """
    return f"{number:,} {noun if number == 1 else nouns or noun + 's'}"


def decimals(value: float, digits: int = 4) -> str:
    """A number with so many decimals and a plain minus sign; a dash where there is none.

    >>> decimals(0.123456), decimals(float("nan"))
    ('0.1235', '–')
    """
    return MISSING if math.isnan(value) else f"{value:.{digits}f}"


def interval(low: float, high: float, digits: int = 4) -> str:
    """Two limits.

    >>> interval(0.1, 0.25)
    '[0.1000, 0.2500]'
    """
    return MISSING if math.isnan(low) or math.isnan(high) else f"[{low:.{digits}f}, {high:.{digits}f}]"


def probability(value: float) -> str:
    """A p-value, small ones by their size.

    >>> probability(0.04321), probability(0.0000123)
    ('0.0432', '1.2e-05')
    """
    if math.isnan(value):
        return MISSING
    return f"{value:.4f}" if value >= 0.001 or value == 0 else f"{value:.1e}"


def joined(parts: Sequence[str], most: int) -> str:
    """The first parts of an enumeration, and how many more there are.

    >>> joined(["a", "b", "c"], 2), joined(["a", "b"], 2)
    ('a; b; and 1 more', 'a; b')
    """
    return "; ".join([*parts[:most], *([f"and {len(parts) - most} more"] if len(parts) > most else [])])


def duration(seconds: float | None) -> str:
    """A duration as people say it.

    >>> duration(59.6), duration(75), duration(3700), duration(None)
    ('1 min 00 s', '1 min 15 s', '1 h 02 min', 'unknown')
    """
    if seconds is None:
        return "unknown"
    whole = round(seconds)
    if whole < 60:
        return f"{whole} s"
    if whole < 3600:
        return f"{whole // 60} min {whole % 60:02d} s"
    minutes = round(seconds / 60)
    return f"{minutes // 60} h {minutes % 60:02d} min"


def byte_size(count: float) -> str:
    """A number of bytes in the largest unit of a thousand that it has.

    >>> byte_size(920), byte_size(7_215_616)
    ('920 B', '7.2 MB')
    """
    for unit in ("B", "kB", "MB", "GB"):
        if count < 1000:
            return f"{count:.0f} {unit}" if unit in ("B", "kB") else f"{count:.1f} {unit}"
        count /= 1000
    return f"{count:.1f} TB"
