"""The built-in tasks: the 14 of the paper, then the generated ones.

The paper's tasks go by the folder names of the LLM-Adapters data (Hu et al. 2023, arXiv 2304.01933).
"""

from __future__ import annotations

from kdscope.tasks.mini.catalogue import mini_tasks
from kdscope.tasks.registry import Task, TaskRegistry


def default_registry() -> TaskRegistry:
    """The 14 tasks of Ramesh et al. 2025 (arXiv 2505.15442), mathematics first, then the six generated mini tasks.

    >>> sum(not task.generated for task in default_registry()), len(default_registry())
    (14, 20)
    """
    return TaskRegistry((*_mathematics(), *_commonsense(), *mini_tasks()))


def get_task(name: str) -> Task:
    """The built-in task called `name`, in any case, common short names included.

    Raises:
        DataError: No built-in task has that name.

    >>> get_task("siqa").name
    'social_i_qa'
    """
    return default_registry().get(name)


def list_tasks() -> tuple[Task, ...]:
    """The built-in tasks: those of the paper, mathematics first, then the generated ones."""
    return default_registry().tasks


def _mathematics() -> tuple[Task, ...]:
    return (
        _number_task(
            "gsm8k", 1319, "Cobbe et al. 2021, arXiv 2110.14168", "MIT", "grade-school word problems of 2 to 8 steps"
        ),
        _number_task(
            "SVAMP",
            1000,
            "Patel, Bhattamishra, Goyal 2021, NAACL, arXiv 2103.07191",
            "MIT",
            "one-step word problems varied so that shallow cues mislead",
        ),
        _number_task(
            "MultiArith",
            600,
            "Roy, Roth 2015, EMNLP, arXiv 1608.01413",
            "not stated",
            "word problems of several steps; some items occur twice",
        ),
        _number_task(
            "AddSub",
            395,
            "Hosseini et al. 2014, EMNLP, ACL D14-1058",
            "not stated",
            "addition and subtraction word problems; many answers are not integers",
        ),
        Task(
            "AQuA",
            "math",
            "letter",
            ("A", "B", "C", "D", "E"),
            1 / 5,
            254,
            "Ling et al. 2017, ACL, arXiv 1705.04146",
            "Apache-2.0",
            "algebra questions with five choices",
            ("aqua-rat",),
        ),
        _number_task(
            "SingleEq",
            508,
            "Koncel-Kedziorski et al. 2015, TACL 3, ACL Q15-1042",
            "not stated",
            "word problems of a single equation; many answers are not integers",
        ),
    )


def _commonsense() -> tuple[Task, ...]:
    arc = "Clark et al. 2018, arXiv 1803.05457"
    # ARC items have 3, 4 or 5 options, so chance is the mean of 1 / options over the test items.
    easy_chance = (7 / 3 + 2365 / 4 + 4 / 5) / 2376
    challenge_chance = (4 / 3 + 1165 / 4 + 3 / 5) / 1172
    return (
        Task(
            "hellaswag",
            "commonsense",
            "label",
            _numbered("ending", 4),
            1 / 4,
            10042,
            "Zellers et al. 2019, ACL, arXiv 1905.07830",
            "MIT",
            "which ending completes the passage",
        ),
        Task(
            "boolq",
            "commonsense",
            "label",
            ("true", "false"),
            1 / 2,
            3270,
            "Clark et al. 2019, NAACL, arXiv 1905.10044",
            "CC-BY-SA-3.0",
            "yes/no questions, here without their passage; 62.2% are true",
        ),
        Task(
            "social_i_qa",
            "commonsense",
            "label",
            _numbered("answer", 3),
            1 / 3,
            1954,
            "Sap et al. 2019, EMNLP, arXiv 1904.09728",
            "not stated",
            "what people feel, want or do next",
            ("siqa", "socialiqa"),
        ),
        Task(
            "piqa",
            "commonsense",
            "label",
            _numbered("solution", 2),
            1 / 2,
            1838,
            "Bisk et al. 2020, AAAI, arXiv 1911.11641",
            "AFL-3.0",
            "which of two ways reaches a physical goal",
        ),
        Task(
            "ARC-Easy",
            "commonsense",
            "label",
            _numbered("answer", 5),
            easy_chance,
            2376,
            arc,
            "CC-BY-SA-4.0",
            "school science questions, easy part; 3 to 5 options",
            ("arc-e",),
        ),
        Task(
            "ARC-Challenge",
            "commonsense",
            "label",
            _numbered("answer", 5),
            challenge_chance,
            1172,
            arc,
            "CC-BY-SA-4.0",
            "school science questions, hard part; 3 to 5 options",
            ("arc-c",),
        ),
        Task(
            "winogrande",
            "commonsense",
            "label",
            _numbered("option", 2),
            1 / 2,
            1267,
            "Sakaguchi et al. 2020, AAAI, arXiv 1907.10641",
            "CC-BY",
            "which of two names fills the blank",
            ("wg", "wino"),
        ),
        Task(
            "openbookqa",
            "commonsense",
            "label",
            _numbered("answer", 4),
            1 / 4,
            500,
            "Mihaylov et al. 2018, EMNLP, arXiv 1809.02789",
            "Apache-2.0",
            "elementary science questions that need a common fact",
            ("obqa",),
        ),
    )


def _number_task(name: str, test_items: int, citation: str, licence: str, description: str) -> Task:
    return Task(name, "math", "number", (), 0.0, test_items, citation, licence, description)


def _numbered(stem: str, count: int) -> tuple[str, ...]:
    return tuple(f"{stem}{number}" for number in range(1, count + 1))
