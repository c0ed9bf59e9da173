"""Generated word problems with worked solutions: a quantity, what happens to it, and for choices a number near it.

Every intermediate result is a whole number from 1 to 99. Words are common English, short, and mean one thing here.
Fields of the sentences: `name` is the person asked about and `they` that person's pronoun, `other` is somebody else;
`things` are counted, `rest` are other things, `holders` hold things; `n` and `m` are numbers.
"""

from __future__ import annotations

import random
from collections.abc import Callable
from dataclasses import dataclass
from typing import Literal

from kdscope.core.seeds import derive_seed

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


MiniSplit = Literal["train", "test"]
_TEST_SHARE_PERCENT = 20
_LARGEST = 99
"""No number of a problem is larger."""
_LARGEST_CHANGE = 39
# Before the first and before every later step of the working.
_OPENINGS = (("", ""), ("First ", "Then "), ("{name}: ", ""))
_OPENINGS_ALONE = (("", ""), ("{name}: ", ""))
_FURTHEST = 20
"""The number is at most so far from the result."""


@dataclass(frozen=True, slots=True)
class MiniProblem:
    """One generated problem.

    Attributes:
        story: What is told, as sentences.
        question: What is asked, as one sentence.
        working: The steps to the answer, as sentences; the answer itself is not named yet.
        answer: The answer, as the task's files write it.
        options: The texts to choose from, for choices.
        key: The calculation, the same for every kind of problem, whatever is told around it and in whatever order its
            first two numbers come.
    """

    story: str
    question: str
    working: str
    answer: str
    key: tuple[object, ...]
    options: tuple[str, ...] = ()

    @property
    def split(self) -> MiniSplit:
        """Decided by the key alone, so that no key of a training problem returns in a test problem."""
        return "test" if derive_seed("mini split", *self.key) % 100 < _TEST_SHARE_PERCENT else "train"


Maker = Callable[[random.Random], MiniProblem]
"""Draws a problem; everything in it is decided by the generator it is given."""


@dataclass(frozen=True, slots=True)
class _Change:
    """What is done to a quantity: `sign` is +, - or *."""

    sign: str
    operand: int

    def apply(self, value: int) -> int:
        return {"+": value + self.operand, "-": value - self.operand, "*": value * self.operand}[self.sign]


@dataclass(frozen=True, slots=True)
class _Story:
    """A story about quantities: its words, its text, its working, the last result, and the calculation as a key."""

    words: dict[str, str]
    story: str
    working: str
    result: int
    key: tuple[object, ...]


@dataclass(frozen=True, slots=True)
class _Compared:
    """A story, a number near its result, and on which side of that the result is."""

    told: _Story
    bound: int
    relation: Literal["more", "less"]

    @property
    def working(self) -> str:
        return f"{self.told.working} {self.told.result} is {self.relation} than {self.bound}."


def count(rng: random.Random, *, steps: int, aside: bool = False) -> MiniProblem:
    """How many things somebody then has, after so many additions, subtractions or multiplications.

    Args:
        rng: Decides everything.
        steps: Number of operations, one after the other.
        aside: Whether the story has a number that has nothing to do with the answer.
    """
    told = _tell(rng, steps, aside=aside)
    question = rng.choice(QUESTIONS).format(**told.words)
    return MiniProblem(told.story, question, told.working, str(told.result), told.key)


def compare(rng: random.Random) -> MiniProblem:
    """Whether somebody then has more, or less, than a number: true or false."""
    compared = _compared(rng)
    asked = rng.choice(("more", "less"))
    question = rng.choice(ONE_SIDED).format(**compared.told.words, n=compared.bound, side=asked)
    answer = "true" if asked == compared.relation else "false"
    return MiniProblem(compared.told.story, question, compared.working, answer, compared.told.key)


def choose(rng: random.Random) -> MiniProblem:
    """Which of the two it is: the options are the words, in either order."""
    compared = _compared(rng)
    options = tuple(rng.sample(("more", "less"), 2))
    question = rng.choice(EITHER).format(**compared.told.words, n=compared.bound)
    answer = f"answer{options.index(compared.relation) + 1}"
    return MiniProblem(compared.told.story, question, compared.working, answer, compared.told.key, options)


def _tell(rng: random.Random, steps: int, *, aside: bool = False) -> _Story:
    """Draw a story of so many operations, with a number that is not needed if asked."""
    start, changes = _draw_quantities(rng, steps)
    words = _draw_words(rng)
    sentences = _story(rng, words, start, changes)
    if aside:
        told = rng.choice(ASIDES).format(**words, n=rng.randint(2, 40))
        sentences.insert(_place_of_aside(rng, sentences, words["things"]), told)
    working, result = _work(rng, words["name"], start, changes)
    story = _named_first(sentences, words["name"], words["they"])
    return _Story(words, story, working, result, _key(start, changes))


def _key(start: int, changes: list[_Change]) -> tuple[object, ...]:
    """The calculation, whatever is told around it and in whatever order its first two numbers come."""
    first, *later = changes
    numbers = (start, first.operand) if first.sign == "-" else tuple(sorted((start, first.operand)))
    return ("calculation", first.sign, *numbers, *((change.sign, change.operand) for change in later))


def _draw_quantities(rng: random.Random, steps: int) -> tuple[int, list[_Change]]:
    """A start and changes that keep every result within bounds; a third begins with a multiplication."""
    grouped = rng.random() < 1 / 3
    value = start = rng.randint(2, 9) if grouped else rng.randint(3, 60)
    changes = [_Change("*", rng.randint(2, 9))] if grouped else []
    if grouped:
        value = changes[0].apply(value)
    while len(changes) < steps:
        change = _draw_change(rng, value)
        value = change.apply(value)
        changes.append(change)
    return start, changes


def _draw_change(rng: random.Random, value: int) -> _Change:
    may_lose, may_gain = value >= 4, value <= _LARGEST - 2
    if may_lose and (not may_gain or rng.random() < 1 / 2):
        return _Change("-", rng.randint(2, min(value - 1, _LARGEST_CHANGE)))
    return _Change("+", rng.randint(2, min(_LARGEST - value, _LARGEST_CHANGE)))


def _draw_words(rng: random.Random) -> dict[str, str]:
    """The fields of the sentences that are no numbers."""
    (name, they), (other, _) = rng.sample(PEOPLE, 2)
    things, rest = rng.sample(THINGS, 2)
    holders = rng.choice(CONTAINERS)
    return {"name": name, "they": they, "other": other, "things": things, "rest": rest, "holders": holders}


def _story(rng: random.Random, words: dict[str, str], start: int, changes: list[_Change]) -> list[str]:
    grouped = changes[0].sign == "*"
    opening = rng.choice(GROUPS if grouped else STARTS)
    sentences = [opening.format(**words, n=start, m=changes[0].operand)]
    for change in changes[1:] if grouped else changes:
        form = rng.choice(GAINS if change.sign == "+" else LOSSES)
        sentences.append(form.format(**words, n=change.operand))
    return sentences


def _place_of_aside(rng: random.Random, sentences: list[str], things: str) -> int:
    """Anywhere but before a sentence that would then seem to speak of the aside ("buys 5 more")."""
    inner = [number for number in range(1, len(sentences)) if things in sentences[number]]
    return rng.choice([0, *inner, len(sentences)])


def _named_first(sentences: list[str], name: str, they: str) -> str:
    """The story; a pronoun only follows a sentence whose subject it means."""
    told: list[str] = []
    for sentence in sentences:
        if sentence.startswith(f"{they} ") and not (told and _is_about(told[-1], name, they)):
            sentence = f"{name}{sentence.removeprefix(they)}"
        told.append(sentence)
    return " ".join(told)


def _is_about(sentence: str, name: str, they: str) -> bool:
    return sentence.startswith((f"{name} ", f"{they} "))


def _work(rng: random.Random, name: str, start: int, changes: list[_Change]) -> tuple[str, int]:
    """The steps as equations, and the last result."""
    first, later = rng.choice(_OPENINGS if len(changes) > 1 else _OPENINGS_ALONE)
    value, lines = start, []
    for number, change in enumerate(changes):
        result = change.apply(value)
        opening = later if number else first.format(name=name)
        lines.append(f"{opening}{value} {change.sign} {change.operand} = {result}.")
        value = result
    return " ".join(lines), value


def _compared(rng: random.Random) -> _Compared:
    """The result lies on either side with the same chance, but where there is no room on one of them."""
    told = _tell(rng, 1)
    below, above = told.result - 1, _LARGEST - told.result
    is_more = rng.random() < 1 / 2 if below and above else bool(below)
    distance = rng.randint(1, min(_FURTHEST, below if is_more else above))
    bound = told.result - distance if is_more else told.result + distance
    return _Compared(told, bound, "more" if is_more else "less")
