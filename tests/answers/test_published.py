"""The published rules against what the harness they come from recorded for its own outputs."""

from __future__ import annotations

import pytest

from kdscope.tasks import get_task, list_tasks

WITHOUT_OUTPUTS = {"hellaswag"}
PUBLISHED = [
    task.name
    for task in list_tasks()
    if not task.generated and task.answer_kind != "text" and task.name not in WITHOUT_OUTPUTS
]


@pytest.mark.parametrize("name", PUBLISHED)
def test_every_recorded_prediction_is_reproduced(name: str, real_data) -> None:
    task = get_task(name)
    rows = [row for row, _, _ in real_data.outputs(name)]
    values = [task.extract(row["output"], "published").value for row in rows]
    # The harness writes "" where it finds no choice and "inf" where it finds no number.
    nothing = "inf" if task.answer_kind == "number" else ""
    differing = [
        row["index"] for row, value in zip(rows, values, strict=True) if (value or nothing) != row["prediction"]
    ]
    assert len(rows) >= task.test_items
    assert differing == []


@pytest.mark.parametrize(
    ("name", "completion", "value"),
    [
        ("gsm8k", "1,234 then 5.", "5.0"),
        ("gsm8k", "10-3", "-3.0"),
        ("gsm8k", "songs on her mp3 player", "3.0"),
        ("gsm8k", "none", None),
        ("gsm8k", "9" * 400, None),
        ("gsm8k", "It is 7. ### Response: 8", "7.0"),
        ("AQuA", "  Distance", "D"),
        ("AQuA", "the answer is e", None),
        ("boolq", "untrue", "true"),
        ("boolq", "True", None),
        ("piqa", "Solution1/solution2", "solution2"),
        ("openbookqa", "answer5 or answer2", "answer5"),
        ("social_i_qa", "answer4", "answer4"),
        ("hellaswag", "ending5 ending4", "ending4"),
        ("winogrande", "option12", "option1"),
        ("dolly", " A poem.</s>", "A poem."),
        ("dolly", " \n", None),
    ],
)
def test_the_rules_as_written(name: str, completion: str, value: str | None) -> None:
    extraction = get_task(name).extract(completion, "published")
    assert extraction.value == value
    assert (extraction.status == "unparsed") == (value is None)
