"""The colours and shapes of everything that is drawn.

The hues are those of Okabe and Ito (2008, "Color Universal Design"), told apart with any kind of colour vision; yellow
is left out because it vanishes on white. `INK`, `MUTED` and `GRID` are names as much as colours: the page's style
sheet replaces them in dark mode.
"""

from collections.abc import Mapping
from types import MappingProxyType

INK, MUTED, GRID = "#1b1b1f", "#6b6b76", "#dcdce2"
BLUE, ORANGE, GREEN, VERMILION, SKY, PURPLE = "#0072b2", "#e69f00", "#009e73", "#d55e00", "#56b4e9", "#cc79a7"
SYMBOLS: Mapping[str, str] = MappingProxyType(
    {
        "circle": "M6 1.5a4.5 4.5 0 1 0 .01 0Z",
        "square": "M2 2H10V10H2Z",
        "diamond": "M6 .8L10.2 6L6 11.2L1.8 6Z",
        "cross": "M4.3 1H7.7V4.3H11V7.7H7.7V11H4.3V7.7H1V4.3H4.3Z",
        "triangle-up": "M6 1.5L11 10.5H1Z",
        "triangle-down": "M6 10.5L11 1.5H1Z",
        "triangle-left": "M1.5 6L10.5 1V11Z",
        "triangle-right": "M10.5 6L1.5 1V11Z",
    }
)
"""The shapes as paths in a box of 12 by 12, for legends."""
