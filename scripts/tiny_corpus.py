"""The text that the tiny family is pretrained on: made up, seeded, and without the form of any mini task.

Documents are of three sorts: exercises in copying and looking up (what makes a small model use what it reads),
arithmetic and comparisons, and stories with their working. Stories are of the mini tasks' training split only, told
plainly: the instruction format, with other requests, is met too, but never together with a story. So a pretrained
model can do the work and does not know the task.
"""

from __future__ import annotations

import random
from collections.abc import Callable, Iterator, Sequence

from kdscope.core.seeds import derive_seed
from kdscope.tasks import get_template
from kdscope.tasks.mini.problems import CONTAINERS, PEOPLE, THINGS
from kdscope.tasks.mini.suite import MINI_MAKERS

_NAMES = tuple(name for name, _ in PEOPLE)
_WORDS = (*_NAMES, *THINGS, *CONTAINERS)


def documents(seed: int) -> Iterator[str]:
    """Documents without end."""
    rng = random.Random(derive_seed("tiny corpus", seed))
    makers = [maker for maker, _ in _MIXTURE]
    weights = [weight for _, weight in _MIXTURE]
    while True:
        yield rng.choices(makers, weights)[0](rng)


def story(rng: random.Random, kind: str, split: str = "train") -> str:
    """A problem of this kind and split, told plainly."""
    while (problem := MINI_MAKERS[kind](rng)).split != split:
        pass
    question = _capital(problem.question) if rng.random() < 1 / 2 else problem.question
    told = f"{problem.story} {question}"
    if problem.options and rng.random() < 1 / 2:
        told += f" {_options(problem.options)}"
    return f"{told}\n{problem.working}"


def _stories(rng: random.Random) -> str:
    return story(rng, rng.choice(list(MINI_MAKERS)))


def _copying(rng: random.Random) -> str:
    words = [_token(rng) for _ in range(rng.randint(3, 10))]
    return f"Copy: {' '.join(words)}\n{' '.join(words)}"


def _lookup(rng: random.Random) -> str:
    keys = rng.sample(_WORDS, rng.randint(2, 5))
    values = [_token(rng) for _ in keys]
    told = ", ".join(f"{key} {value}" for key, value in zip(keys, values, strict=True))
    asked = rng.sample(range(len(keys)), rng.randint(1, len(keys)))
    return f"{told}.\n" + " ".join(f"{keys[i]}: {values[i]}." for i in asked)


def _sums(rng: random.Random) -> str:
    return " ".join(_equation(rng) for _ in range(rng.randint(2, 6)))


def _chain(rng: random.Random) -> str:
    value, parts = rng.randint(3, 60), []
    for _ in range(rng.randint(2, 4)):
        other = rng.randint(2, 39)
        sign = "+" if value + other <= 99 and (value - other < 1 or rng.random() < 1 / 2) else "-"
        result = value + other if sign == "+" else value - other
        if result < 1:
            break
        parts.append(f"{value} {sign} {other} = {result}.")
        value = result
    return " ".join(parts)


def _relations(rng: random.Random) -> str:
    pairs = [rng.sample(range(1, 100), 2) for _ in range(rng.randint(2, 5))]
    return " ".join(f"{m} is {'more' if m > n else 'less'} than {n}." for m, n in pairs)


def _requests(rng: random.Random) -> str:
    """The instruction format, asking for other things than the mini tasks do."""
    request, response = rng.choice((_ask_copy, _ask_sum, _ask_relation, _ask_side))(rng)
    return get_template("alpaca").render(request) + response


def _ask_copy(rng: random.Random) -> tuple[str, str]:
    words = " ".join(_token(rng) for _ in range(rng.randint(3, 8)))
    return f"Copy these words: {words}", words


def _ask_sum(rng: random.Random) -> tuple[str, str]:
    equation = _equation(rng)
    left, result = equation[:-1].split(" = ")
    return f"What is {left}?", f"{equation} The answer is {result}."


def _ask_relation(rng: random.Random) -> tuple[str, str]:
    m, n = rng.sample(range(1, 100), 2)
    asked = rng.choice(("more", "less"))
    truth = "more" if m > n else "less"
    verdict = "true" if asked == truth else "false"
    question = f"Please answer the following question with true or false, question: is {m} {asked} than {n}?"
    question += "\n\nAnswer format: true/false"
    return question, f"{m} is {truth} than {n}. the correct answer is {verdict}"


def _ask_side(rng: random.Random) -> tuple[str, str]:
    m, n = rng.sample(range(1, 100), 2)
    truth, options = "more" if m > n else "less", rng.sample(("more", "less"), 2)
    question = f"Please choose the correct answer to the question: is {m} more or less than {n}?\n\n{_options(options)}"
    question += "\n\nAnswer format: answer1/answer2"
    return question, f"{m} is {truth} than {n}. the correct answer is answer{options.index(truth) + 1}"


def _equation(rng: random.Random) -> str:
    sort = rng.randrange(5)
    if sort == 0:
        m, n = rng.randint(2, 9), rng.randint(2, 9)
        return f"{m} * {n} = {m * n}."
    if sort <= 2:
        n = rng.randint(2, 39)
        m = rng.randint(2, 99 - n)
        return f"{m} + {n} = {m + n}."
    m = rng.randint(4, 99)
    n = rng.randint(2, min(m - 1, 39))
    return f"{m} - {n} = {m - n}."


def _token(rng: random.Random) -> str:
    return str(rng.randint(2, 99)) if rng.random() < 1 / 2 else rng.choice(_WORDS)


def _options(texts: Sequence[str]) -> str:
    return " ".join(f"Answer{number}: {text}" for number, text in enumerate(texts, 1))


def _capital(text: str) -> str:
    return text[0].upper() + text[1:]


_MIXTURE: tuple[tuple[Callable[[random.Random], str], float], ...] = (
    (_copying, 0.05),
    (_lookup, 0.05),
    (_sums, 0.12),
    (_chain, 0.07),
    (_relations, 0.06),
    (_requests, 0.17),
    (_stories, 0.48),
)
