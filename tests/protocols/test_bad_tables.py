"""Bad tables, from file to both protocols: each says exactly one thing, in words that are pinned here."""

from __future__ import annotations

import pytest

from kdscope.core.errors import DataError, StatisticsError
from kdscope.protocols.published import published_protocol
from kdscope.protocols.results_table import read_results_table
from kdscope.protocols.rigorous import rigorous_protocol
from kdscope.protocols.sentences import sentence

HEADER = "student,method,teacher,temperature,task,value"
ROWS = tuple(
    f"{student},{method},{'T-7B' * (method != 'sft')},{'1' * (method != 'sft')},{task},{base + gain}"
    for student, base in (("S-0.5B", 20), ("S-1B", 31), ("S-3B", 47))
    for method, gain in (("sft", 0), ("forward_kl", 3 + base % 4), ("gkd", 5 - base % 3))
    for task, base in (("x", base), ("y", base + base % 5))
)


def table(rows=ROWS, header=HEADER):
    return "\n".join([header, *rows]) + "\n"


def analysed(tmp_path, text):
    """Warnings of a table, and the rows of both protocols; the path is left out of what is said."""
    path = tmp_path / "results.csv"
    path.write_text(text, encoding="utf-8")
    try:
        found = read_results_table(path)
    except DataError as error:
        return str(error).replace(str(path), "FILE")
    return found.warnings, rigorous_protocol(found.table), published_protocol(found.table)


def fractions(row):
    *facts, value = row.split(",")
    return ",".join([*facts, f"{float(value) / 100:.2f}"])


def test_the_good_table_has_nothing_to_say(tmp_path):
    warnings, rigorous, published = analysed(tmp_path, table())
    assert warnings == ()
    assert {"H1-student", "H1", "H3"} <= set(rigorous["hypothesis"])
    assert {"H1", "H3"} <= set(published["hypothesis"])


ERRORS = {
    "no column of values": (
        table(header=HEADER.replace("value", "score")),
        "FILE: lacks the column value; it has student, method, teacher, temperature, task, score. A table of results "
        "has one row per model and task, with at least student, method, task, value",
    ),
    "two columns missing": (
        table(header=HEADER.replace("value", "score").replace("task", "benchmark")),
        "FILE: lacks the column task, value; it has student, method, teacher, temperature, benchmark, score. A table "
        "of results has one row per model and task, with at least student, method, task, value",
    ),
    "a cell twice": (
        table([*ROWS, ROWS[2]]),
        "FILE, row 20: the same cell as row 4 (T-7B, S-0.5B, forward_kl, 1.0, adapted, x, accuracy). Repeats need a "
        "column seed",
    ),
    "no control at all": (
        table([row for row in ROWS if ",sft," not in row]),
        "FILE: no row has the method sft: a gain is over the same student without a teacher",
    ),
    "a student without control": (
        table([row for row in ROWS if not row.startswith("S-1B,sft")]),
        "FILE, row 8: student: S-1B is distilled and has no sft row",
    ),
    "not a number": (
        table([*ROWS[:3], ROWS[3].rsplit(",", 1)[0] + ",nan", *ROWS[4:]]),
        "FILE, row 5: value: missing; leave out the rows of what was not measured",
    ),
    "an empty value": (
        table([*ROWS[:3], ROWS[3].rsplit(",", 1)[0] + ",", *ROWS[4:]]),
        "FILE, row 5: value: missing; leave out the rows of what was not measured",
    ),
    "percentages mixed with fractions": (
        table([*ROWS[:2], *map(fractions, ROWS[2:4]), *ROWS[4:]]),
        "FILE, row 4: value: percentages are mixed with fractions: no accuracy of this model is above 1, here 0.23, "
        "but row 17 has 59.0. Use one unit; if all are percentages, say so (unit percent)",
    ),
    "more than all": (
        table([*ROWS[:3], ROWS[3].rsplit(",", 1)[0] + ",123", *ROWS[4:]]),
        "FILE, row 5: value: 123.0 percent is not between 0 and 100 (metric accuracy)",
    ),
}


@pytest.mark.parametrize("name", ERRORS)
def test_one_error(tmp_path, name):
    text, message = ERRORS[name]
    assert analysed(tmp_path, text) == message


WARNINGS = {
    "one student": (
        table(ROWS[:6]),
        "all: S-0.5B is the only distilled student, so nothing can be said about other students, or about the size of "
        "students.",
    ),
    "fractions": (table(map(fractions, ROWS)), "accuracy: no value is above 1, so they are read as fractions."),
    "one value below a percent": (
        table([*ROWS[:3], ROWS[3].rsplit(",", 1)[0] + ",0.2", *ROWS[4:]]),
        "accuracy: 1 of 18 values are below 1 percent (row 5: 0.2); if they are meant as fractions, the conclusions "
        "are wrong.",
    ),
    "a task without control": (
        table([*ROWS, "S-1B,gkd,T-7B,1,z,50"]),
        "1 values have no sft value of their student and task and enter no gain (row 20: S-1B, z).",
    ),
    "an average that is none": (
        table([*ROWS, *(f"{row.rsplit(',', 2)[0]},Average,50" for row in ROWS[::2])]),
        "all: 9 of 9 models have an Average that is not the mean of their tasks, off by up to 30.00.",
    ),
}


@pytest.mark.parametrize("name", WARNINGS)
def test_one_warning_and_both_protocols_go_on(tmp_path, name):
    text, warning = WARNINGS[name]
    warnings, rigorous, published = analysed(tmp_path, text)
    assert warnings == (warning,)
    assert len(published)
    for row in rigorous.to_dict("records"):
        assert "nan" not in sentence(row)


def test_a_task_without_control_changes_nothing(tmp_path):
    _, rigorous, published = analysed(tmp_path, table())
    _, again, published_again = analysed(tmp_path, WARNINGS["a task without control"][0])
    for before, after in ((rigorous, again), (published, published_again)):
        rows = after["task"] == "Average"
        assert rows.sum() == (before["task"] == "Average").sum() > 5
        expected = before.loc[before["task"] == "Average", "p_value"].to_numpy()
        assert after.loc[rows, "p_value"].to_numpy() == pytest.approx(expected, nan_ok=True)


def test_no_student_on_all_tasks_is_an_error(tmp_path):
    text = table([row for row in ROWS if (row.startswith("S-1B")) == (",x," in row)])
    path = tmp_path / "results.csv"
    path.write_text(text, encoding="utf-8")
    with pytest.raises(StatisticsError) as caught:
        rigorous_protocol(read_results_table(path).table)
    assert str(caught.value) == (
        "all: no student has a gain on all of y, x, so that there is no average to draw conclusions on; leave out the "
        "tasks that some were not measured on, or give them a domain of their own"
    )


def test_fractions_say_the_same_as_percentages(tmp_path):
    _, rigorous, published = analysed(tmp_path, table())
    _, again, published_again = analysed(tmp_path, table(map(fractions, ROWS)))
    assert again["p_value"].to_numpy() == pytest.approx(rigorous["p_value"].to_numpy(), nan_ok=True)
    assert published_again["statistic"].to_numpy() == pytest.approx(published["statistic"].to_numpy(), nan_ok=True)


def test_one_student_has_no_test_over_students(tmp_path):
    _, rigorous, published = analysed(tmp_path, table(ROWS[:6]))
    over = rigorous[rigorous["unit"] == "students"]
    assert over["p_value"].isna().all()
    assert over["note"].str.contains("nothing can be said about students in general").any()
    assert published.loc[published["hypothesis"] == "H3", "p_value"].isna().all()
