"""Readers of mini problems that share nothing with the generator but its vocabulary: they go by the English."""

from __future__ import annotations

import re
from dataclasses import dataclass, field

from kdscope.tasks.mini.problems import CONTAINERS, PEOPLE, THINGS

WOMEN = {"Ann", "Cara", "Eva", "Gina", "Iris", "Kim", "Mia", "Olga", "Rosa", "Tina", "Vera"}
MEN = {"Ben", "Dan", "Finn", "Hugo", "Jack", "Leo", "Nick", "Paul", "Sam"}
MEANT_BY = {"She": WOMEN, "He": MEN}
PERSON = "[A-Z][a-z]+"
SUBJECT = re.compile(f"(?:Then |Later |In the morning )?({PERSON})")
WHO, WHAT, N, M = f"(?P<who>{PERSON})", "(?P<what>[a-z]+)", r"(?P<n>\d+)", r"(?P<m>\d+)"
RULES = (
    ("start", f"(?:In the morning )?{WHO} (?:has|owns|starts with|counts|brings) {N} {WHAT}(?: to school)?"),
    ("start", f"There are {N} {WHAT} on the table of {WHO}"),
    ("groups", f"{WHO} (?:has|buys) {N} [a-z]+ (?:with|of) {M} {WHAT} (?:in )?each"),
    ("groups", f"{WHO} fills {N} [a-z]+. Each one holds {M} {WHAT}"),
    ("groups", f"There are {N} [a-z]+ at the house of {WHO}, and each has {M} {WHAT}"),
    ("gain", f"(?:Then )?{WHO} (?:buys|finds|gets|wins) {N}(?: more)?(?: {WHAT})?(?: in a game)?"),
    ("gain", f"{PERSON} gives {WHO} {N} {WHAT}"),
    ("gain", f"Later {PERSON} brings {N} more {WHAT} for {WHO}"),
    ("loss", f"(?:Then )?{WHO} (?:loses|drops|sells) {N} {WHAT}(?: on the way)?"),
    ("loss", f"{WHO} (?:gives|hands) {N} (?:of the )?{WHAT} to {PERSON}"),
    ("loss", f"Later {PERSON} takes {N} {WHAT} away"),
    ("aside", f"{PERSON} is {N} years old"),
    ("aside", f"There are {N} {WHAT} in the next room"),
    ("aside", f"{WHO} also has {N} {WHAT}"),
)
QUESTIONS = (
    f"How many {WHAT} does {WHO} have (?:now|in the end)\\?",
    f"What is the number of {WHAT} that {WHO} has now\\?",
    f"Find how many {WHAT} {WHO} has after this\\.",
)
WHICH_IS_TRUE = (
    f"does {WHO} have (?P<asked>more|less) than {N} {WHAT} now\\?",
    f"has {WHO} got (?P<asked>more|less) than {N} {WHAT} in the end\\?",
    f"is the number of {WHAT} that {WHO} has now (?P<asked>more|less) than {N}\\?",
    f"is it true that {WHO} has (?P<asked>more|less) than {N} {WHAT} after this\\?",
)
MORE_OR_LESS = (
    f"does {WHO} have more or less than {N} {WHAT} now\\?",
    f"has {WHO} got more or less than {N} {WHAT} in the end\\?",
    f"is the number of {WHAT} that {WHO} has now more or less than {N}\\?",
    f"compared with {N}, how many {WHAT} does {WHO} have after this\\?",
)


@dataclass
class Account:
    """What the asked person has while a story is told, the numbers that went into it, and those that did not."""

    who: str
    what: str
    subject: str = ""
    count: int = 0
    used: list[int] = field(default_factory=list)
    ignored: list[int] = field(default_factory=list)

    def hear(self, sentence: str) -> None:
        meaning, told = _only_match(RULES, sentence)
        numbers = [int(number) for number in re.findall(r"\d+", sentence)]
        who = self._meant_by(told.get("who"), sentence)
        opening = SUBJECT.match(sentence)
        self.subject = str(self._meant_by(opening and opening[1], sentence))
        if meaning == "start" and (who, told["what"]) != (self.who, self.what):
            meaning = "aside"
        if meaning == "aside":
            assert (who, told.get("what")) != (self.who, self.what), f"{sentence} is no aside"
            self.ignored += numbers
            return
        assert told.get("what") in (None, self.what), sentence
        assert who in (None, self.who), sentence
        assert bool(self.used) == (meaning in ("gain", "loss")), sentence
        self.used += numbers
        self.count = {
            "start": numbers[0],
            "groups": numbers[0] * numbers[-1],
            "gain": self.count + numbers[0],
            "loss": self.count - numbers[0],
        }[meaning]

    def _meant_by(self, who: str | None, sentence: str) -> str | None:
        """A pronoun means the subject of the sentence before."""
        if who not in MEANT_BY:
            return who
        assert self.subject in MEANT_BY[who], f"{sentence}: after a sentence about {self.subject or 'nobody'}"
        return self.subject


def retell(story: str, question: str) -> Account:
    """Follows a word problem sentence by sentence."""
    _, asked = _only_match([("", form) for form in QUESTIONS], question)
    return follow(story, asked["who"], asked["what"])


def follow(story: str, who: str, what: str) -> Account:
    """What somebody has of something when all is told."""
    account = Account(who, what)
    for sentence in re.split(r"(?<=\.) (?!Each one)", story):
        account.hear(sentence.removesuffix("."))
    return account


def split_question(text: str) -> tuple[str, str]:
    """A text's last sentence, and all before it."""
    story, question = re.split(r"(?<=\.) (?=[^.?]+[.?]$)", text)
    return story, question


def equations(output: str) -> list[tuple[int, str, int, int]]:
    """Every ``a op b = c``."""
    return [
        (int(a), sign, int(b), int(c)) for a, sign, b, c in re.findall(r"(\d+) ([-+*]) (\d+) = (\d+)(?=\.)", output)
    ]


@dataclass(frozen=True)
class Comparison:
    """What somebody has in the end, the number that is compared with, and the question's words."""

    account: Account
    bound: int
    question: str

    @property
    def relation(self) -> str:
        assert self.account.count != self.bound
        return "more" if self.account.count > self.bound else "less"


@dataclass(frozen=True)
class Claim(Comparison):
    """A comparison that is asked about by one of its sides."""

    asked: str

    @property
    def answer(self) -> str:
        return "true" if self.asked == self.relation else "false"


@dataclass(frozen=True)
class Choice(Comparison):
    """A comparison whose sides are the numbered options."""

    options: dict[str, str]

    @property
    def answer(self) -> str:
        (right,) = (label for label, word in self.options.items() if word == self.relation)
        return right


def read_claim(instruction: str) -> Claim:
    """A problem of mini-compare."""
    asking, labels = instruction.split("\n\n")
    assert labels == "Answer format: true/false"
    opening = "Please answer the following question with true or false, question: "
    told, asked = _compared(asking, opening, WHICH_IS_TRUE)
    return Claim(told.account, told.bound, told.question, asked["asked"])


def read_choice(instruction: str) -> Choice:
    """A problem of mini-choose."""
    asking, options, labels = instruction.split("\n\n")
    assert labels == "Answer format: answer1/answer2"
    told, _ = _compared(asking, "Please choose the correct answer to the question: ", MORE_OR_LESS)
    words = re.fullmatch(r"Answer1: (\w+) Answer2: (\w+)", options)
    assert words, options
    return Choice(told.account, told.bound, told.question, {"answer1": words[1], "answer2": words[2]})


def _compared(asking: str, opening: str, forms: tuple[str, ...]) -> tuple[Comparison, dict[str, str]]:
    assert asking.startswith(opening), asking
    story, question = split_question(asking.removeprefix(opening))
    _, asked = _only_match([("", form) for form in forms], question)
    return Comparison(follow(story, asked["who"], asked["what"]), int(asked["n"]), question), asked


def wording(text: str) -> str:
    """A text without its names, numbers and nouns."""
    names = [name for name, _ in PEOPLE]
    nouns = "|".join((*names, *THINGS, *CONTAINERS, r"\d+"))
    return re.sub(r"\b(She|He)\b", "They", re.sub(rf"\b({nouns})\b", "_", text))


def _only_match(rules: list[tuple[str, str]] | tuple[tuple[str, str], ...], text: str) -> tuple[str, dict[str, str]]:
    matches = [(meaning, match) for meaning, form in rules if (match := re.fullmatch(form, text))]
    assert len(matches) == 1, f"{len(matches)} ways to read {text!r}"
    return matches[0][0], {name: value for name, value in matches[0][1].groupdict().items() if value is not None}
