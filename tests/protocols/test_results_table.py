"""A person's own table: what is filled in, and one clear error or warning for each way it can be wrong."""

from __future__ import annotations

import math

import numpy as np
import pandas as pd
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from kdscope.core.errors import DataError
from kdscope.protocols.published import published_protocol
from kdscope.protocols.results_table import read_results_table, results_table
from kdscope.results.column_names import COLUMNS

GOOD = """student,method,teacher,temperature,task,value
small-1B,sft,,,gsm8k,20.5
big-3B,SFT,-,,gsm8k,40
small-1B,forward_kl,huge-8B,1,gsm8k,24
small-1B,forward_kl,huge-8B,2,gsm8k,26
big-3B,gkd,huge-8B,1,gsm8k,43.25
"""


def write(tmp_path, text, name="results.csv"):
    path = tmp_path / name
    path.write_text(text, encoding="utf-8")
    return path


def read(tmp_path, text, **options):
    return read_results_table(write(tmp_path, text), **options)


def refused(tmp_path, text, **options):
    with pytest.raises(DataError) as caught:
        read(tmp_path, text, **options)
    assert str(tmp_path / "results.csv") in str(caught.value)
    return caught.value


def replaced(old, new, count=1):
    assert old in GOOD
    return GOOD.replace(old, new, count)


def test_a_good_table(tmp_path):
    found = read(tmp_path, GOOD)
    assert found.warnings == ()
    assert list(found.table.columns) == list(COLUMNS)
    first, distilled = found.table.iloc[1].to_dict(), found.table.iloc[3].to_dict()
    assert math.isnan(first.pop("temperature"))
    assert first == {
        **{"study": "results", "domain": "all", "teacher": "", "student": "big-3B", "method": "sft", "family": ""},
        **{"teacher_condition": "", "seed": "", "task": "gsm8k", "metric": "accuracy", "value": 40.0},
    }
    assert distilled == {
        **{"study": "results", "domain": "all", "teacher": "huge-8B", "student": "small-1B", "method": "forward_kl"},
        **{"family": "SeqKD", "temperature": 2.0, "teacher_condition": "adapted", "seed": "", "task": "gsm8k"},
        **{"metric": "accuracy", "value": 26.0},
    }
    assert found.table["family"].tolist() == ["", "", "SeqKD", "SeqKD", "GKD"]


def test_it_can_be_analysed(tmp_path):
    rows = [f"s-{size}B,{how},t,{task},{size * 7 + shift}" for size in (1, 2, 3) for task in "ab"
            for shift, how in enumerate(("sft", "mine"))]  # fmt: skip
    rows += ["t,sft,,a,90", "t,sft,,b,80"]
    protocol = published_protocol(read(tmp_path, "student,method,teacher,task,value\n" + "\n".join(rows)).table)
    assert set(protocol["group"]) == {"all", "mine"}
    assert set(protocol["task"]) == {"a", "b", "Average"}
    assert set(protocol["hypothesis"]) == {"H1", "H1-anova", "H2", "H3", "H3.2"}


def test_columns_in_any_order_and_case_with_some_of_its_own(tmp_path):
    text = "Value, Task ,METHOD,Student,note\n30,Average,BaseModel,s,x\n40,AVERAGE,sft,s,y\n50,average,mine,s,z\n"
    table = read(tmp_path, text).table
    assert table["task"].tolist() == ["Average"] * 3
    assert table["method"].tolist() == ["base", "sft", "mine"]
    assert table["note"].tolist() == ["x", "y", "z"]
    assert table["value"].dtype == np.float64


@pytest.mark.parametrize("suffix", [".tsv", ".parquet"])
def test_other_kinds_of_file_hold_the_same_table(tmp_path, suffix):
    expected = read(tmp_path, GOOD).table
    path = tmp_path / f"results{suffix}"
    plain = pd.read_csv(tmp_path / "results.csv")
    plain.to_parquet(path) if suffix == ".parquet" else plain.to_csv(path, sep="\t", index=False)
    assert read_results_table(path).table.equals(expected)


def test_a_table_in_memory():
    frame = pd.DataFrame({"student": ["s", "s"], "method": ["sft", "mine"], "task": "a", "value": [10, 20], "seed": 3})
    found = results_table(frame, file="grid")
    assert found.table["study"].tolist() == ["grid", "grid"]
    assert found.table["seed"].tolist() == ["3", "3"]
    with pytest.raises(DataError, match="grid, row 2: value: missing"):
        results_table(frame.assign(value=[10, None]), file="grid")


@given(st.lists(st.floats(0, 100), min_size=2, max_size=6).filter(lambda values: max(values) > 1))
@settings(deadline=None)
def test_values_come_back_to_the_last_bit(tmp_path_factory, values):
    rows = "".join(f"s,{how},t{i},{value!r}\n" for i, value in enumerate(values) for how in ("sft", "mine"))
    path = write(tmp_path_factory.mktemp("bits"), "student,method,task,value\n" + rows)
    assert read_results_table(path, unit="percent").table["value"].tolist() == [v for v in values for _ in "12"]


@pytest.mark.parametrize("name", ["value", "student", "method", "task"])
def test_a_missing_column(tmp_path, name):
    error = refused(tmp_path, replaced(f"{name}", "other"))
    assert f"lacks the column {name}; it has" in str(error)
    assert "one row per model and task" in str(error)


@pytest.mark.parametrize(
    ("old", "new", "row", "column", "message"),
    [
        ("gsm8k,24", "gsm8k,", 4, "value", "missing; leave out the rows"),
        ("gsm8k,24", "gsm8k,NaN", 4, "value", "missing; leave out the rows"),
        ("gsm8k,24", "gsm8k,inf", 4, "value", "inf is not finite"),
        ("gsm8k,24", "gsm8k,24%", 4, "value", "'24%' is not a number"),
        ("gsm8k,24", "gsm8k,124", 4, "value", "124.0 percent is not between 0 and 100"),
        ("gsm8k,24", "gsm8k,-2", 4, "value", "-2.0 percent is not between 0 and 100"),
        ("huge-8B,1,gsm8k,24", "huge-8B,hot,gsm8k,24", 4, "temperature", "'hot' is not a number"),
        ("huge-8B,1,gsm8k,24", "huge-8B,0,gsm8k,24", 4, "temperature", "0.0 is not above 0"),
        ("huge-8B,1,gsm8k,24", "huge-8B,inf,gsm8k,24", 4, "temperature", "inf is above 1000"),
        ("huge-8B,1,gsm8k,24", "huge-8B,1e30,gsm8k,24", 4, "temperature", "1e+30 is above 1000"),
        ("gsm8k,24", "gsm8k,2_4", 4, "value", "'2_4' is not a number"),
        ("big-3B,gkd", ",gkd", 6, "student", "missing"),
        ("big-3B,gkd", "big-3B, - ", 6, "method", "missing"),
        ("big-3B,gkd", "middle-2B,gkd", 6, "student", "middle-2B is distilled and has no sft row"),
        ("gsm8k,24", "gsm8k,24,extra", 4, "", "7 fields under a header of 6"),
    ],
)
def test_a_row_that_cannot_be_used(tmp_path, old, new, row, column, message):
    error = refused(tmp_path, replaced(old, new))
    assert (error.row, error.key) == (row, column)
    assert message in str(error)


WHOLE = "a whole number from 1 to 1,000,000,000"


@pytest.mark.parametrize(
    ("column", "written", "allowed"),
    [
        *[("items", written, WHOLE) for written in ("-5", "0", "1e30", "2.5", "inf", "many", "1,319")],
        *[("item_stderr", written, "a number from 0 to 100") for written in ("-0.1", "1e30", "inf", "1_0", "low")],
    ],
)
def test_numbers_beside_a_value_that_cannot_be_meant(tmp_path, column, written, allowed):
    header, *lines = GOOD.splitlines()
    told = [*(f"{line},500" for line in lines[:1]), f'{lines[1]},"{written}"', *(f"{line}," for line in lines[2:])]
    told = [line.replace(",500", ",1.5") if column == "item_stderr" else line for line in told]
    error = refused(tmp_path, "\n".join([f"{header},{column}", *told]))
    assert (error.row, error.key) == (3, column)
    assert f"expected {allowed}" in str(error)
    assert f"given {written!r}" in str(error)


def test_numbers_beside_a_value_may_be_missing(tmp_path):
    header, first, *lines = GOOD.splitlines()
    found = read(tmp_path, "\n".join([f"{header},items,item_stderr", f"{first},1319,0.5", *(f"{n},-," for n in lines)]))
    assert found.table["items"].tolist()[:2] == ["1319", ""]


def test_a_condition_that_no_teacher_is_in(tmp_path):
    error = refused(tmp_path, GOOD.replace("temperature", "teacher_condition").replace(",1,", ",tuned,"))
    assert (error.row, error.key) == (4, "teacher_condition")
    assert "tuned is neither adapted nor base" in str(error)


def test_a_cell_twice(tmp_path):
    error = refused(tmp_path, replaced("huge-8B,2,", "huge-8B,1,"))
    assert error.row == 5
    assert "the same cell as row 4 (huge-8B, small-1B, forward_kl, 1.0, adapted, gsm8k, accuracy)" in str(error)
    assert "Repeats need a column seed" in str(error)


def test_repeats_with_a_seed_are_no_duplicates(tmp_path):
    lines = GOOD.splitlines()
    text = "\n".join([lines[0] + ",seed", *(f"{line},{seed}" for seed in (1, 2) for line in lines[1:])])
    assert len(read(tmp_path, text).table) == 10
    error = refused(tmp_path, text.replace("seed", "run"))
    assert "the columns run tell no cells apart" in str(error)


def test_a_control_has_no_teacher_so_two_are_duplicates(tmp_path):
    error = refused(tmp_path, GOOD + "small-1B,sft,huge-8B,,gsm8k,21\n")
    assert "the same cell as row 2" in str(error)


def test_no_control(tmp_path):
    error = refused(tmp_path, GOOD.replace("sft", "base").replace("SFT", "base"))
    assert "no row has the method sft" in str(error)


def test_nothing_distilled(tmp_path):
    assert "distilled student" in str(refused(tmp_path, "\n".join(GOOD.splitlines()[:3])))


@pytest.mark.parametrize(
    ("text", "message"),
    [("", "the file is empty"), ("\n \n", "the file is empty"), ("student,method,task,value\n", "no rows"),
     ("student,method,task,value,Task\ns,sft,a,1,a\n", "the column task more than once"),
     ('student,method,task,value\n"s,sft,a,1\n', "cannot be read")],
)  # fmt: skip
def test_a_file_without_a_table(tmp_path, text, message):
    assert message in str(refused(tmp_path, text))


def test_files_that_are_not_there_or_are_something_else(tmp_path):
    with pytest.raises(DataError, match=r"nowhere\.csv: cannot be read"):
        read_results_table(tmp_path / "nowhere.csv")
    with pytest.raises(DataError, match=r"not from '\.xlsx'"):
        read_results_table(tmp_path / "results.xlsx")
    (tmp_path / "latin.csv").write_bytes(b"student,method,task,value\nr\xe9sum\xe9,sft,a,1\n")
    with pytest.raises(DataError, match=r"latin\.csv: cannot be read"):
        read_results_table(tmp_path / "latin.csv")
    (tmp_path / "broken.parquet").write_bytes(b"nothing of the kind")
    with pytest.raises(DataError, match=r"broken\.parquet: cannot be read"):
        read_results_table(tmp_path / "broken.parquet")


def grid(values):
    """Students s and b, tasks x and y, SFT and one method: eight values."""
    cells = [f"{s},{m},{t}" for s in "sb" for m in ("sft", "mine") for t in "xy"]
    return "student,method,task,value\n" + "".join(f"{c},{v}\n" for c, v in zip(cells, values, strict=True))


def test_fractions_are_put_in_percent(tmp_path):
    found = read(tmp_path, grid([0.57, 0.1, 0.28, 0.3, 0, 1, 0.29, 0.07]))
    assert found.table["value"].tolist() == [57.0, 10.0, 28.0, 30.0, 0.0, 100.0, 29.0, 7.0]
    assert found.warnings == ("accuracy: no value is above 1, so they are read as fractions.",)


def test_the_unit_can_be_said(tmp_path):
    tiny = grid([0.5, 0.1, 0.9, 0.3, 0.2, 1, 0.4, 0.7])
    assert read(tmp_path, tiny, unit="percent").table["value"].max() == 1.0
    assert read(tmp_path, tiny, unit="fraction").warnings == ()
    assert read(tmp_path, tiny, unit="fraction").table["value"].max() == 100.0
    assert "5700.0 percent" in str(refused(tmp_path, grid([57, 1, 1, 1, 1, 1, 1, 1]), unit="fraction"))


@pytest.mark.parametrize(
    ("values", "row", "what"),
    [
        ([50, 60, 0.53, 0.61, 40, 50, 41, 52], 4, "of this model"),
        ([0.5, 60, 0.53, 61, 0.4, 50, 0.41, 52], 2, "of this task"),
    ],
)
def test_percentages_mixed_with_fractions(tmp_path, values, row, what):
    error = refused(tmp_path, grid(values))
    assert error.row == row
    assert "percentages are mixed with fractions" in str(error)
    assert what in str(error)
    assert len(read(tmp_path, grid(values), unit="percent").table) == 8


def test_a_model_that_failed_everywhere_is_no_mixture(tmp_path):
    assert read(tmp_path, grid([50, 60, 0, 0, 40, 50, 41, 52])).warnings == ()


def test_a_single_small_value_is_doubted(tmp_path):
    (warning,) = read(tmp_path, grid([50, 60, 0.53, 61, 40, 50, 41, 52])).warnings
    assert "1 of 8 values are below 1 percent (row 4: 0.53)" in warning


def test_each_metric_has_a_unit_of_its_own(tmp_path):
    lines = grid([50, 60, 53, 61, 40, 50, 41, 52]).splitlines()
    extra = ["s,mine,x,0.8,agreement", "s,mine,x,3.7,perplexity", "s,mine,x,-0.1,fidelity"]
    text = "\n".join([lines[0] + ",metric", *(line + "," for line in lines[1:]), *extra])
    found = read(tmp_path, text)
    assert found.table["value"].tolist()[-3:] == [80.0, 3.7, -10.0]
    assert [warning.split(":")[0] for warning in found.warnings] == ["agreement", "fidelity"]


def test_one_student(tmp_path):
    (warning,) = read(tmp_path, "\n".join(line for line in GOOD.splitlines() if "big" not in line)).warnings
    assert "small-1B is the only distilled student" in warning


def test_a_task_without_control(tmp_path):
    (warning,) = read(tmp_path, GOOD + "big-3B,gkd,huge-8B,1,SVAMP,60\n").warnings
    assert "1 values have no sft value of their student and task and enter no gain (row 7: big-3B, SVAMP)" in warning


def test_an_average_that_is_none(tmp_path):
    rows = [f"s{i},{m},{t},{v}" for i in (1, 2) for m in ("sft", "mine") for t, v in (("a", 10), ("b", 30))]
    right = [f"s{i},{m},Average,20.04" for i in (1, 2) for m in ("sft", "mine")]
    text = "student,method,task,value\n" + "\n".join([*rows, *right])
    assert read(tmp_path, text).warnings == ()
    (warning,) = read(tmp_path, text.replace("s2,mine,Average,20.04", "s2,mine,Average,27")).warnings
    assert "1 of 4 models have an Average that is not the mean of their tasks, off by up to 7.00" in warning
