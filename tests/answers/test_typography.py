from __future__ import annotations

import sys
import unicodedata

import pytest

from kdscope.answers.typography import plain_markup, plain_typography


@pytest.mark.parametrize(
    ("text", "plain"),
    [
        ("１２．５％", "12.5%"),
        ("１，２３４", "1,234"),
        ("（Ｂ）", "(B)"),
        ("答案是12。", "答案是12. "),
        ("١٢٫٥", "12.5"),
        ("१२", "12"),
        ("⅝ or 2⅔", "5/8 or 2 2/3"),
        ("-½", "-1/2"),
        ("10⁴ and 10⁻³", "10^4 and 10^-3"),
        ("﹣7 – 3", "-7 - 3"),
        ("1\u202f234", "1234"),
    ],
)
def test_other_characters_for_the_same(text: str, plain: str) -> None:
    assert plain_typography(text) == plain


def test_every_decimal_digit_of_unicode_is_an_arabic_one() -> None:
    digits = [chr(code) for code in range(sys.maxunicode + 1) if unicodedata.category(chr(code)) == "Nd"]
    assert len(digits) > 600
    assert plain_typography("".join(digits)) == "".join(str(unicodedata.decimal(digit)) for digit in digits)


@pytest.mark.parametrize(
    ("text", "plain"),
    [
        (r"-\frac{1}{2}", "-1/2"),
        (r"2\frac{1}{2}", "2 1/2"),
        (r"\frac12", "1/2"),
        (r"\displaystyle\frac{1}{2}", "1/2"),
        (r"1.5 \text{ million}", "1.5   million"),
        (r"\mathbf{\text{12}}", "12"),
        (r"10^{6}", "10^6"),
        (r"3.\overline{3}", "30/9"),
        (r"0.1\overline{6}", "15/90"),
        ("0.(3)", "3/9"),
        ("***B*** and *C* and __D__", "B and C and D"),
        ("2 * 3 * 4 and 2**3 and a_b_c", "2 * 3 * 4 and 2**3 and a_b_c"),
        ("~~15~~ 12", "12"),
        ("<b>12</b> and <B>", "12 and <B>"),
        ("12[1]. 13 [2].", "12. 13."),
        ("is [26]", "is [26]"),
        ("> 26", "26"),
    ],
)
def test_markup_is_taken_off(text: str, plain: str) -> None:
    assert plain_markup(text) == plain
