"""The colours of everything that is drawn.

The hues are those of Okabe and Ito (2008, "Color Universal Design"), told apart with any kind of colour vision; yellow
is left out because it vanishes on white. `INK`, `MUTED` and `GRID` are names as much as colours: the page's style
sheet replaces them in dark mode.
"""

INK, MUTED, GRID = "#1b1b1f", "#6b6b76", "#dcdce2"
BLUE, ORANGE, GREEN, VERMILION, SKY, PURPLE = "#0072b2", "#e69f00", "#009e73", "#d55e00", "#56b4e9", "#cc79a7"
