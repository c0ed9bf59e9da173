"""What a person sees of an evaluation."""

from __future__ import annotations

from pathlib import Path

from kdscope.evaluation.accuracy import accuracy_table
from kdscope.evaluation.leaderboard import leaderboard, write_leaderboard
from kdscope.results.markdown import padded_table
from kdscope.results.table import Table, plain_table
from tests.evaluation.by_hand import answered, essay_tasks, essays, marked

MODEL = {
    "gsm8k": marked("gsm8k", "1101"),
    "boolq": answered("boolq", [None] * 60, ["true"] * 60, finish_reason="length"),
    "essays": essays("essays", [[0.2], [0.4]]),
}


def texts(table: Table) -> list[tuple[str, ...]]:
    return [tuple(cell.shown for cell in row) for row in table.rows]


def test_one_line_a_task_and_scoring_averages_last() -> None:
    table = leaderboard(accuracy_table({"m": MODEL}, registry=essay_tasks()))
    names = [(row[0], row[2], row[3]) for row in texts(table)]
    assert names == [
        ("gsm8k", "robust", "accuracy"),
        ("gsm8k", "published", "accuracy"),
        ("boolq", "robust", "accuracy"),
        ("boolq", "published", "accuracy"),
        ("essays", "", "rouge_l"),
        ("average", "robust", "accuracy"),
        ("average", "published", "accuracy"),
        ("average (rouge_l)", "", "rouge_l"),
    ]
    assert table.headings[:2] == ("Task", "n")
    # 3 of 4: the error is that of a mean, sqrt(3/4 * 1/4 / 3); Wilson's limits by hand.
    assert texts(table)[0][4:] == ("0.7500", "±", "0.2500", "[0.3006, 0.9544]", "0.0%", "0.0%")
    assert texts(table)[2][4:] == ("0.0000 ▼", "±", "0.0000", "[0.0000, 0.0602]", "100.0%", "100.0%")
    assert texts(table)[5][4:8] == ("0.3750", "±", "–", "–")


def test_one_scoring_only() -> None:
    table = leaderboard(accuracy_table({"m": MODEL}, registry=essay_tasks()), scorings=("published",))
    assert [(row[0], row[2]) for row in texts(table)] == [
        ("gsm8k", "published"),
        ("boolq", "published"),
        ("essays", ""),
        ("average", "published"),
        ("average (rouge_l)", ""),
    ]


def test_several_models_are_named() -> None:
    one = {"gsm8k": marked("gsm8k", "10")}
    table = leaderboard(accuracy_table({"a": one, "b": one}), scorings=("robust",))
    assert table.headings[0] == "Model"
    assert [row[:2] for row in texts(table)] == [("a", "gsm8k"), ("a", "average"), ("b", "gsm8k"), ("b", "average")]
    assert {len(row) for row in table.rows} == {len(table.headings)}


def test_markdown(tmp_path: Path) -> None:
    file = tmp_path / "results.md"
    write_leaderboard(leaderboard(accuracy_table({"m": MODEL}, registry=essay_tasks())), file, "A model")
    text = file.read_text(encoding="utf-8").splitlines()
    assert text[0] == "# A model"
    body = [line for line in text if line.startswith("|")]
    assert len(body) == 2 + 8
    assert len({len(line) for line in body}) == 1
    assert text[-1].startswith("▼ below chance")
    write_leaderboard(leaderboard(accuracy_table({"m": {"gsm8k": MODEL["gsm8k"]}})), file)
    assert "▼" not in file.read_text(encoding="utf-8")


def test_cells_cannot_break_the_table() -> None:
    text = padded_table(plain_table(("a", "b"), [("x|y\nz", "\\")], {1}))
    assert text.splitlines()[2] == "| x\\|y z | \\\\ |".replace("\\\\ |", " \\\\ |")
    assert text.count("\n") == 3
