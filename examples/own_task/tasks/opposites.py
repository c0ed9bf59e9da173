"""A multiple-choice task declared in Python: write this when YAML is not enough, for example to declare several."""

from pathlib import Path

from kdscope.tasks import FieldMapping, Task

TASK = Task(
    name="opposites",
    domain="commonsense",
    answer_kind="label",
    labels=("answer1", "answer2", "answer3"),
    chance=1 / 3,
    test_items=None,
    citation="this example",
    licence="CC0-1.0",
    description="which of three words means the opposite",
    file=Path("opposites.json"),
    fields=FieldMapping(
        "Please choose the correct answer to the question: Which word is the opposite of {word}?\n\n"
        "{@options}\n\nAnswer format: {@labels}",
        output="the correct answer is {@answer}",
        answer="{right}",
        options=("{words}",),
        answers=(("a", "answer1"), ("b", "answer2"), ("c", "answer3")),
    ),
)
