"""The words and sentences that mini problems are made of.

Words are common English, short, and mean one thing here. Fields of the sentences: `name` is the person asked about and
`they` that person's pronoun, `other` is somebody else; `things` are counted, `rest` are other things, `holders` hold
things; `n` and `m` are numbers.
"""

from __future__ import annotations

_WOMEN = ("Ann", "Cara", "Eva", "Gina", "Iris", "Kim", "Mia", "Olga", "Rosa", "Tina", "Vera")
_MEN = ("Ben", "Dan", "Finn", "Hugo", "Jack", "Leo", "Nick", "Paul", "Sam")

PEOPLE: tuple[tuple[str, str], ...] = tuple((name, "She" if name in _WOMEN else "He") for name in sorted(_WOMEN + _MEN))
"""Names, and how a sentence goes on about them."""

THINGS: tuple[str, ...] = (
    "apples", "books", "cards", "coins", "eggs", "pens", "shells", "stamps",
    "stones", "marbles", "flowers", "cookies", "pencils", "tickets", "buttons", "candles",
)  # fmt: skip
"""What is counted."""

CONTAINERS: tuple[str, ...] = ("boxes", "bags", "baskets", "jars", "bowls", "trays")
"""What holds an equal number of things each."""

STARTS: tuple[str, ...] = (
    "{name} has {n} {things}.",
    "{name} owns {n} {things}.",
    "{name} starts with {n} {things}.",
    "In the morning {name} counts {n} {things}.",
    "There are {n} {things} on the table of {name}.",
    "{name} brings {n} {things} to school.",
)
"""The quantity at the start: `n` things."""

GROUPS: tuple[str, ...] = (
    "{name} has {n} {holders} with {m} {things} in each.",
    "{name} fills {n} {holders}. Each one holds {m} {things}.",
    "There are {n} {holders} at the house of {name}, and each has {m} {things}.",
    "{name} buys {n} {holders} of {m} {things} each.",
)
"""A start by multiplication: `n` holders of `m` things each."""

GAINS: tuple[str, ...] = (
    "{they} buys {n} more.",
    "{they} finds {n} more {things}.",
    "{other} gives {name} {n} {things}.",
    "Then {name} gets {n} more {things}.",
    "Later {other} brings {n} more {things} for {name}.",
    "{they} wins {n} {things} in a game.",
)
"""`n` things come to the person."""

LOSSES: tuple[str, ...] = (
    "{they} loses {n} {things}.",
    "{they} gives {n} {things} to {other}.",
    "Then {name} sells {n} {things}.",
    "Later {other} takes {n} {things} away.",
    "{they} drops {n} {things} on the way.",
    "{name} hands {n} of the {things} to {other}.",
)
"""`n` things leave the person."""

QUESTIONS: tuple[str, ...] = (
    "How many {things} does {name} have now?",
    "How many {things} does {name} have in the end?",
    "What is the number of {things} that {name} has now?",
    "Find how many {things} {name} has after this.",
)
"""What is asked, always about the things of the start."""

ONE_SIDED: tuple[str, ...] = (
    "does {name} have {side} than {n} {things} now?",
    "has {name} got {side} than {n} {things} in the end?",
    "is the number of {things} that {name} has now {side} than {n}?",
    "is it true that {name} has {side} than {n} {things} after this?",
)
"""Whether it is more (or less: `side`) than `n`."""

EITHER: tuple[str, ...] = (
    "does {name} have more or less than {n} {things} now?",
    "has {name} got more or less than {n} {things} in the end?",
    "is the number of {things} that {name} has now more or less than {n}?",
    "compared with {n}, how many {things} does {name} have after this?",
)
"""Which of the two."""

ASIDES: tuple[str, ...] = (
    "{other} has {n} {things}.",
    "{other} owns {n} {rest}.",
    "There are {n} {rest} in the next room.",
    "{name} also has {n} {rest}.",
    "{other} is {n} years old.",
)
"""A number that changes nothing: other people, other things, ages."""
