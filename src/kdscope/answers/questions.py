"""The numbers that a question gives and the unit it asks for: an answer is told from other numbers by them."""

from __future__ import annotations

import re
from dataclasses import dataclass
from fractions import Fraction

from kdscope.answers.quantities import Quantity, find_quantities
from kdscope.answers.spelled import spelled_numbers
from kdscope.answers.statements import sentences

_CHOICES = re.compile(r"\banswer choices\s{0,3}:", re.IGNORECASE)
_COUNTED = re.compile(r"\bhow many\s+((?:[\w'-]+\s*){1,8})", re.IGNORECASE)
_PHRASE_END = re.compile(
    r"\b(?:do|does|did|is|are|am|was|were|be|been|will|would|can|could|should|shall|must|may|might|has|have|had|need|in"
    r"|on|at|for|to|from|if|that|which|who|there|it|he|she|they|we|you|i|left|remain|per|after|each|every|until|before"
    r"|when|while|than|with|without|by|over|during|between|within|altogether)\b"
)
_MONEY = re.compile(
    r"\b(?:how much|what|find|calculate|determine)\b.*"
    r"\b(?:money|dollars?|costs?|pay|paid|spend|spent|earn|earned|profit|price|charge|worth|bill|revenue|owe)\b|\bdollars\b",
    re.IGNORECASE | re.DOTALL,
)
_ASKED_MAGNITUDE = re.compile(
    r"\bhow many (hundred|thousand|million|billion)s?\b|\bin (hundred|thousand|million|billion)s\b", re.IGNORECASE
)
_PERCENT = re.compile(r"\bper ?cent|\bpercentage\b|%", re.IGNORECASE)
_FILLERS = frozenset({"more", "fewer", "less", "total", "other", "additional", "of", "and", "or", "the", "a", "an"})
_LONGEST_QUESTION = 20_000
_LONGEST_SENTENCE = 1_000


@dataclass(frozen=True, slots=True)
class Question:
    """What is known about a question.

    Attributes:
        given: The numbers it mentions, in digits or words.
        units: Stems of the nouns it counts ("how many green apples": ``apple``), ``$`` for money, ``%`` for a share.
        words: Stems of the words of its last question.
    """

    given: frozenset[Fraction] = frozenset()
    units: frozenset[str] = frozenset()
    words: frozenset[str] = frozenset()

    def asks_for(self, quantity: Quantity, text: str) -> bool:
        """Whether the number at `quantity` in `text` carries a unit asked for."""
        before, after = text[max(0, quantity.start - 3) : quantity.start], text[quantity.end : quantity.end + 60]
        money = re.search(r"[$£€]-?\Z", before) or re.match(r"\s*(?:dollars?|euros?)\b", after, re.I)
        share = re.match(r"\s*(?:%|percent\b|per cent\b)", after, re.I)
        if ("$" in self.units and money) or ("%" in self.units and share):
            return True
        words = re.match(r"[\s-]*((?:[a-zA-Z'/-]+\s?){0,3})", after)
        phrase = _PHRASE_END.split(words[1].lower(), maxsplit=1)[0] if words else ""
        return any(_stem(word) in self.units for word in phrase.split())

    def shared_words(self, text: str) -> int:
        """How many words of the question a text repeats."""
        return len(self.words & _stems(text))


def parse_question(instruction: str) -> Question:
    """The numbers an instruction gives and the units its last question asks for; its answer options are left out.

    >>> sorted(parse_question("Sam has 3 nets. How many more fish do the two men need?").units)
    ['fish']
    """
    text = _CHOICES.split(instruction[-_LONGEST_QUESTION:], maxsplit=1)[0]
    asked = _last_question(text)
    return Question(mentioned_numbers(text), _units(asked), _stems(asked))


def without_asked_magnitude(instruction: str, completion: str) -> tuple[str, str]:
    """Both texts without the word that a question such as "how many millions" asks in: "5 million" answers it with 5.

    >>> without_asked_magnitude("What is the population, in millions?", "It is 5 million, 5000 thousand.")
    ('What is the population, in millions?', 'It is 5, 5000 thousand.')
    """
    found = _ASKED_MAGNITUDE.search(instruction) and _ASKED_MAGNITUDE.search(_last_question(instruction))
    if not found:
        return instruction, completion
    word = re.compile(rf"(?<=[\w)}}$])[\s-]{{1,3}}{found[1] or found[2]}\b", re.IGNORECASE)
    return word.sub("", instruction), word.sub("", completion)


def mentioned_numbers(text: str) -> frozenset[Fraction]:
    """Every number a text mentions, in digits or in words."""
    return frozenset(number.value for number in [*find_quantities(text), *spelled_numbers(text)])


def _last_question(text: str) -> str:
    parts = [part for _, part in sentences(text)]
    asked = next((part for part in reversed(parts) if "?" in part), parts[-1] if parts else "")
    return asked[-_LONGEST_SENTENCE:]


def _units(asked: str) -> frozenset[str]:
    counted = _COUNTED.findall(asked)
    if counted:
        return _counted_nouns(counted[-1])
    return frozenset(({"$"} if _MONEY.search(asked) else set()) | ({"%"} if _PERCENT.search(asked) else set()))


def _counted_nouns(words: str) -> frozenset[str]:
    """The nouns of ``dozens of eggs are left``: the last word before a verb and those before ``of`` and ``and``."""
    phrase = _PHRASE_END.split(words.lower(), maxsplit=1)[0].split()
    ends = [position for position, word in enumerate(phrase) if word in ("of", "and", "or")] + [len(phrase)]
    nouns = {_stem(phrase[end - 1]) for end in ends if end > 0 and phrase[end - 1] not in _FILLERS}
    return frozenset(nouns | ({"$"} if nouns & {"dollar", "euro"} else set()))


def _stems(text: str) -> frozenset[str]:
    """Stems of the longer words, which tell clauses apart."""
    return frozenset(_stem(word) for word in re.findall(r"[a-z']{4,}", text.lower()))


def _stem(word: str) -> str:
    word = word.strip("'-/").removesuffix("'s")
    if word.endswith("ies"):
        return word[:-3] + "y"
    if word.endswith(("ses", "xes", "ches", "shes", "oes")):
        return word[:-2]
    return word.removesuffix("s")
