"""The words mini problems are made of. Each is common English, short, and means one thing here."""

from __future__ import annotations

PEOPLE: tuple[tuple[str, str], ...] = (
    ("Ann", "She"),
    ("Ben", "He"),
    ("Cara", "She"),
    ("Dan", "He"),
    ("Eva", "She"),
    ("Finn", "He"),
    ("Gina", "She"),
    ("Hugo", "He"),
    ("Iris", "She"),
    ("Jack", "He"),
    ("Kim", "She"),
    ("Leo", "He"),
    ("Mia", "She"),
    ("Nick", "He"),
    ("Olga", "She"),
    ("Paul", "He"),
    ("Rosa", "She"),
    ("Sam", "He"),
    ("Tina", "She"),
    ("Vera", "She"),
)
"""Names, and how a sentence goes on about them."""

THINGS: tuple[str, ...] = (
    "apples",
    "books",
    "cards",
    "coins",
    "eggs",
    "pens",
    "shells",
    "stamps",
    "stones",
    "marbles",
    "flowers",
    "cookies",
    "pencils",
    "tickets",
    "buttons",
    "candles",
)
"""What is counted."""

CONTAINERS: tuple[str, ...] = ("boxes", "bags", "baskets", "jars", "bowls", "trays")
"""What holds an equal number of things each."""
