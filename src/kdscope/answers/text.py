"""Free text, which has no right answer: it is compared with references by ROUGE-L, elsewhere."""

from __future__ import annotations

from dataclasses import dataclass

from kdscope.answers.answer_format import AnswerFormat, Extraction, Rules
from kdscope.answers.completion import free_text


@dataclass(frozen=True)
class TextFormat(AnswerFormat):
    """The completion up to its end or the next prompt, by either rules; unparsed when nothing is left."""

    domain = "instruction"
    is_text = True

    def read_published(self, completion: str) -> Extraction:
        """The completion itself, as in the robust rules."""
        return self.read_robust(completion, "stop", "")

    def read_robust(self, completion: str, finish_reason: str, instruction: str) -> Extraction:
        """The completion itself."""
        answer = free_text(completion)
        truncated = finish_reason == "length" and not answer.ended
        return Extraction(answer.text or None, "text", "explicit" if answer.text else "unparsed", truncated)

    def matches(self, value: str, gold: str, rules: Rules) -> bool:
        """Never: a text is neither right nor wrong."""
        return False

    def gold_problem(self, gold: str) -> str | None:
        """A text has references instead."""
        return None
