"""The eight commonsense tasks of the paper.

Two of the original hub datasets need a loading script, which current libraries refuse; mirrors without one stand in:
lighteval/piqa for ybisk/piqa and lighteval/siqa for allenai/social_i_qa.
"""

from __future__ import annotations

from kdscope.tasks.catalogue_files import CHOICE_OUTPUT, numbered, published_files
from kdscope.tasks.mapping import FieldMapping
from kdscope.tasks.sources import HubDataset
from kdscope.tasks.task import Task


def commonsense() -> tuple[Task, ...]:
    """The commonsense tasks, in the order of the paper's tables."""
    return (
        _hellaswag(),
        _boolq(),
        _social_i_qa(),
        _piqa(),
        # ARC items have 3, 4 or 5 options, so chance is the mean of 1 / options over the test items.
        _arc(
            "ARC-Easy",
            2376,
            (7 / 3 + 2365 / 4 + 4 / 5) / 2376,
            "school science questions, easy part; 3 to 5 options",
            ("6c0d30aaedaeca148df6bcd7aaacf7c31e6ad70f", "488a8e5e5bbbd7a630ebbfe07a1fd91b7d9d8c9b"),
        ),
        _arc(
            "ARC-Challenge",
            1172,
            (4 / 3 + 1165 / 4 + 3 / 5) / 1172,
            "school science questions, hard part; 3 to 5 options",
            ("9540685439144200b5a7e48dab9ca4655be2af09", "d7e080b04bff9fd16dd85455fb04481807a088d8"),
        ),
        _winogrande(),
        _openbookqa(),
    )


def _hellaswag() -> Task:
    fields = FieldMapping(
        "Please choose the correct ending to complete the given sentence: {activity_label}: {ctx}\n\n{@options}\n\n"
        "Answer format: {@labels}",
        output=CHOICE_OUTPUT,
        answer="{label}",
        options=("{endings}",),
        option="Ending{@number}: {@text}",
        label="ending{@number}",
        answers=_by_position("ending", 4, first=0),
    )
    return Task(
        "hellaswag",
        "commonsense",
        "label",
        numbered("ending", 4),
        1 / 4,
        10042,
        "Zellers et al. 2019, ACL, arXiv 1905.07830",
        "MIT",
        "which ending completes the passage",
        sources=(
            *published_files("hellaswag/test.json", "183c4920415f83ba4b793c4873a33e7e10bd1be5"),
            HubDataset("Rowan/hellaswag", None, "validation", fields),
        ),
        train_sources=(
            *published_files("hellaswag/train.json", "ca68dc85fc2a2f73c9b1b8b0823cc41a8f669718"),
            HubDataset("Rowan/hellaswag", None, "train", fields),
        ),
    )


def _boolq() -> Task:
    fields = FieldMapping(
        "Please answer the following question with true or false, question: {question:question}\n\n"
        "Answer format: true/false",
        output=CHOICE_OUTPUT,
        answer="{answer}",
    )
    return Task(
        "boolq",
        "commonsense",
        "label",
        ("true", "false"),
        1 / 2,
        3270,
        "Clark et al. 2019, NAACL, arXiv 1905.10044",
        "CC-BY-SA-3.0",
        "yes/no questions, here without their passage; 62.2% are true",
        sources=(
            *published_files("boolq/test.json", "6d7edb0a8e8a6566b546ccf0d98d24e48db3fdf3"),
            HubDataset("google/boolq", None, "validation", fields),
        ),
        train_sources=(
            *published_files("boolq/train.json", "87a7beee26b49f81c450641ef2ff84f55611321f"),
            HubDataset("google/boolq", None, "train", fields),
        ),
    )


def _social_i_qa() -> Task:
    fields = FieldMapping(
        "Please choose the correct answer to the question: {context} {question}\n\n{@options}\n\n"
        "Answer format: {@labels}",
        output=CHOICE_OUTPUT,
        answer="{label}",
        options=("{answerA}", "{answerB}", "{answerC}"),
        answers=_by_position("answer", 3),
    )
    return Task(
        "social_i_qa",
        "commonsense",
        "label",
        numbered("answer", 3),
        1 / 3,
        1954,
        "Sap et al. 2019, EMNLP, arXiv 1904.09728",
        "not stated",
        "what people feel, want or do next",
        ("siqa", "socialiqa"),
        sources=(
            *published_files("social_i_qa/test.json", "eadf221799ca394367b144c0f86ee0436db409d2"),
            HubDataset("lighteval/siqa", None, "validation", fields),
        ),
        train_sources=(
            *published_files("social_i_qa/train.json", "bd524129d80efdfabc8476bbedc4f41b400cfda0"),
            HubDataset("lighteval/siqa", None, "train", fields),
        ),
    )


def _piqa() -> Task:
    fields = FieldMapping(
        "Please choose the correct solution to the question: {goal}\n\n{@options}\n\nAnswer format: {@labels}",
        output=CHOICE_OUTPUT,
        answer="{label}",
        options=("{sol1}", "{sol2}"),
        option="Solution{@number}: {@text}",
        separator="\n\n",
        label="solution{@number}",
        answers=_by_position("solution", 2, first=0),
    )
    return Task(
        "piqa",
        "commonsense",
        "label",
        numbered("solution", 2),
        1 / 2,
        1838,
        "Bisk et al. 2020, AAAI, arXiv 1911.11641",
        "AFL-3.0",
        "which of two ways reaches a physical goal",
        sources=(
            *published_files("piqa/test.json", "f7a1c260692ef31796d4763cb6334f316a754fed"),
            HubDataset("lighteval/piqa", "plain_text", "validation", fields),
        ),
        train_sources=(
            *published_files("piqa/train.json", "44326ba946f8bd645bfa7a189e619d29b5bc17e5"),
            HubDataset("lighteval/piqa", "plain_text", "train", fields),
        ),
    )


def _arc(name: str, test_items: int, chance: float, description: str, blobs: tuple[str, str]) -> Task:
    fields = _science_fields("question", (*_by_letter(5), *_by_position("answer", 5)))
    return Task(
        name,
        "commonsense",
        "label",
        numbered("answer", 5),
        chance,
        test_items,
        "Clark et al. 2018, arXiv 1803.05457",
        "CC-BY-SA-4.0",
        description,
        (f"arc-{name[4].lower()}",),
        sources=(
            *published_files(f"{name}/test.json", blobs[0]),
            HubDataset("allenai/ai2_arc", name, "test", fields),
        ),
        train_sources=(
            *published_files(f"{name}/train.json", blobs[1]),
            HubDataset("allenai/ai2_arc", name, "train", fields),
        ),
    )


def _winogrande() -> Task:
    fields = FieldMapping(
        "Please choose the correct answer to fill in the blank to complete the given sentence: {sentence}\n\n"
        "{@options} Answer format: {@labels}",
        output=CHOICE_OUTPUT,
        answer="{answer}",
        options=("{option1}", "{option2}"),
        option="Option{@number}: {@text}",
        label="option{@number}",
        answers=_by_position("option", 2),
    )
    return Task(
        "winogrande",
        "commonsense",
        "label",
        numbered("option", 2),
        1 / 2,
        1267,
        "Sakaguchi et al. 2020, AAAI, arXiv 1907.10641",
        "CC-BY",
        "which of two names fills the blank",
        ("wg", "wino"),
        sources=(
            *published_files("winogrande/test.json", "21257263593dd4d00546e1918c88ca0f357b08ad"),
            HubDataset("allenai/winogrande", "winogrande_xl", "validation", fields),
        ),
        train_sources=(
            *published_files("winogrande/train.json", "0b56375ac6b4464fa97abfb72812f15c772ba305"),
            HubDataset("allenai/winogrande", "winogrande_xl", "train", fields),
        ),
    )


def _openbookqa() -> Task:
    fields = _science_fields("question_stem", _by_letter(4))
    return Task(
        "openbookqa",
        "commonsense",
        "label",
        numbered("answer", 4),
        1 / 4,
        500,
        "Mihaylov et al. 2018, EMNLP, arXiv 1809.02789",
        "Apache-2.0",
        "elementary science questions that need a common fact",
        ("obqa",),
        sources=(
            *published_files("openbookqa/test.json", "a6e69676104bcb77237388c3b5a3f0dcbb81d1e2"),
            HubDataset("allenai/openbookqa", "main", "test", fields),
        ),
        train_sources=(
            *published_files("openbookqa/train.json", "75bcd5eb9f5e77a3796c05e6bb38f169d19563fc"),
            HubDataset("allenai/openbookqa", "main", "train", fields),
        ),
    )


def _science_fields(question: str, answers: tuple[tuple[str, str], ...]) -> FieldMapping:
    return FieldMapping(
        f"Please choose the correct answer to the question: {{{question}}}\n\n{{@options}}\n\n"
        "Answer format: {@labels}",
        output=CHOICE_OUTPUT,
        answer="{answerKey}",
        options=("{choices.text}",),
        answers=answers,
    )


def _by_position(stem: str, count: int, first: int = 1) -> tuple[tuple[str, str], ...]:
    return tuple((str(first + index), label) for index, label in enumerate(numbered(stem, count)))


def _by_letter(count: int) -> tuple[tuple[str, str], ...]:
    return tuple(zip("ABCDE"[:count], numbered("answer", count), strict=True))
