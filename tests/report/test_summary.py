from __future__ import annotations

import pandas as pd
import pytest

from kdscope.report.cautions import cautions
from kdscope.report.summary import summary_sentences

from .builders import cell_row, empty_tables


def study(gains, *, seeds=None, failed=()):
    """One student, SFT and the methods of `gains`: {method: (gain, low, high, p_holm)}."""
    seeds = seeds or dict.fromkeys(gains, (0,))
    cells = [cell_row("s/sft", "student", "sft", student="s")]
    rows = []
    for method, result in gains.items():
        for seed in seeds[method]:
            cell = f"s/{method}/{seed}"
            state = "failed" if method in failed else "done"
            cells.append(cell_row(cell, "student", method, student="s", teacher="t", seed=seed, state=state))
            gain, low, high, p_holm = result[seed] if isinstance(result, list) else result
            rows.append(
                {"cell": cell, "control": "s/sft", "task": "pooled", "scoring": "robust", "items": 1200}
                | {"only_cell": 0, "only_control": 0, "gain": gain, "low": low, "high": high}
                | {"p_value": p_holm, "p_holm": p_holm, "method_of_test": "exact"}
            )
    return empty_tables(cells=pd.DataFrame(cells), gains=pd.DataFrame(rows))


def about(tables):
    [sentence] = [text for text in summary_sentences(tables, "robust") if text.startswith("s:")]
    return sentence


def test_gains_of_single_checkpoints_are_no_verdict():
    text = " ".join(summary_sentences(study({"seqkd": (0.127, 0.088, 0.165, 0.00001)}), "robust"))
    assert "s:" not in text
    assert "beat" not in text
    assert "12.7" not in text


CONTROL = cell_row("s/sft", "student", "sft", student="s")
DISTILLED = cell_row("s/jsd", "student", "jsd", student="s", teacher="t")
FAILED = {"state": "failed", "cause": "out of memory"}


@pytest.mark.parametrize(
    ("cells", "reason"),
    [
        ([DISTILLED], "trains no SFT control"),
        ([CONTROL | FAILED, DISTILLED], "SFT control failed"),
        ([CONTROL], "only the SFT control was trained"),
        ([CONTROL, DISTILLED | FAILED], "every distilled student failed"),
        ([CONTROL, DISTILLED], "no gain has been computed"),
        ([CONTROL, DISTILLED | {"distilled": False}], "left in its warm start"),
    ],
)
def test_says_why_there_is_no_gain(cells, reason):
    assert reason in about(empty_tables(cells=pd.DataFrame(cells)))


def test_no_cells_at_all():
    assert summary_sentences(empty_tables(), "robust") == ["The study has no cells, so there is nothing to report."]


def accuracy(cell, task, **values):
    row = {"cell": cell, "task": task, "scoring": "robust", "items": 100, "correct": 10, "accuracy": 0.1}
    rest = {"low": 0.06, "high": 0.17, "unparsed_rate": 0.0, "truncated_rate": 0.0, "chance": 0.25}
    return row | rest | {"below_chance": False} | values


def test_cautions_name_what_happened_and_nothing_else():
    cells = pd.DataFrame([CONTROL, DISTILLED, cell_row("s/gkd", "student", "gkd", student="s") | FAILED])
    rows = [
        accuracy("s/sft", "arc", unparsed_rate=0.2),
        accuracy("s/jsd", "arc", below_chance=True, unparsed_rate=0.5),
        accuracy("s/jsd", "gsm8k", items=300, unparsed_rate=0.1),
    ]
    found = cautions(empty_tables(cells=cells, accuracy=pd.DataFrame(rows)), "robust")
    assert len(found) == 3
    assert found[0].startswith("1 cell did not finish; what such a cell did not answer is missing")
    assert found[0].endswith(": s/gkd.")
    assert "s/jsd on arc (10.0%)" in found[1]
    assert found[2].startswith("Every model was trained once, with one seed:")
    rows[2]["unparsed_rate"] = 0.4
    found = cautions(empty_tables(cells=cells, accuracy=pd.DataFrame(rows)), "robust")
    assert found[2].endswith("for 1 model: s/jsd (42.5%).")


def test_cautions_are_about_the_scoring_that_counts():
    rows = pd.DataFrame([accuracy("s/sft", "arc", below_chance=True, unparsed_rate=0.9)])
    tables = empty_tables(cells=pd.DataFrame([CONTROL]), accuracy=rows)
    assert len(cautions(tables, "robust")) == 3
    assert len(cautions(tables, "published")) == 1, "that there is one seed is true under both"


def test_several_seeds_are_not_one_run():
    cells = pd.DataFrame([CONTROL, CONTROL | {"cell": "s/sft/s1", "seed": 1}])
    (text,) = cautions(empty_tables(cells=cells), "robust")
    assert "(2 seeds)" in text


def test_long_lists_are_cut_with_their_count():
    cells = pd.DataFrame([cell_row(f"c{n}", "student", "sft", student="s") | FAILED for n in range(9)])
    text, _ = cautions(empty_tables(cells=cells), "robust")
    assert text.endswith("c0; c1; c2; c3; c4; and 4 more.")


def test_unknown_numbers_of_items_are_not_told_as_none():
    rows = pd.DataFrame([accuracy("s/sft", "arc"), accuracy("s/sft", "gsm8k", items=300)])
    cells = pd.DataFrame([CONTROL])
    known = summary_sentences(empty_tables(cells=cells, accuracy=rows), "robust")[0]
    assert "Each model answered up to 400 items from 2 tasks;" in known
    for partly in (rows.assign(items=pd.NA), rows.assign(items=[100, pd.NA])):
        unknown = summary_sentences(empty_tables(cells=cells, accuracy=partly), "robust")[0]
        assert "The models answered 2 tasks, of how many items is not known;" in unknown


def test_tasks_that_went_opposite_ways_are_told_first():
    tables = study({"seqkd": (0.05, 0.02, 0.08, 0.01), "jsd": (0.1, 0.05, 0.15, 0.01)})
    own = tables.gains.assign(task="pooled")
    parts = [own]
    for task, shift in (("up", 0.6), ("down", -0.5), ("level", 0.0)):
        part = own.assign(task=task, gain=shift, low=shift - 0.1, high=shift + 0.1)
        parts.append(part[(part["cell"] == "s/seqkd/0") | (task != "down")])
    mixed = empty_tables(cells=tables.cells, gains=pd.concat(parts))
    assert cautions(mixed, "robust")[0] == (
        "s, seqkd: tasks went opposite ways, from −50.0 points on down to +60.0 on up: their mean describes "
        "neither (pointwise item-level intervals of single checkpoints)."
    )
    unclear = mixed.gains.assign(high=mixed.gains["high"].clip(lower=0.01))
    assert "opposite" not in " ".join(cautions(empty_tables(cells=tables.cells, gains=unclear), "robust"))


def test_at_most_three_students_are_named_the_widest_apart_first():
    tables = study({f"m{number}": (0.0, -0.1, 0.1, 0.9) for number in range(5)})
    parts = []
    for number, (_, row) in enumerate(tables.gains.iterrows()):
        for task, gain in (("up", 0.2 + number / 100), ("down", -0.2)):
            parts.append(row.to_dict() | {"task": task, "gain": gain, "low": gain - 0.1, "high": gain + 0.1})
    told = cautions(empty_tables(cells=tables.cells, gains=pd.DataFrame(parts)), "robust")[0]
    assert told == (
        "s, m4: tasks went opposite ways, from −20.0 points on down to +24.0 on up; s, m3: likewise, from −20.0 points "
        "on down to +23.0 on up; s, m2: likewise, from −20.0 points on down to +22.0 on up; and 2 more: their mean "
        "describes neither (pointwise item-level intervals of single checkpoints)."
    )


def test_students_below_their_own_untrained_model_are_told():
    others = [cell_row(f"{s}/base", "base", "base", student=s) for s in ("s", "u")]
    cells = pd.DataFrame([CONTROL, DISTILLED, DISTILLED | {"cell": "s/gkd", "method": "gkd"}, *others])
    shares = {"s/sft": 0.3, "s/jsd": 0.47, "s/gkd": 0.8, "s/base": 0.7, "u/base": 0.9}
    rows = pd.DataFrame([accuracy(cell, "average", accuracy=share) for cell, share in shares.items()])
    expected = "s, jsd: below the untrained model (47.0% against 70.0%)."
    assert cautions(empty_tables(cells=cells, accuracy=rows), "robust")[0] == expected
    assert cautions(empty_tables(cells=cells, accuracy=rows.assign(task="arc")), "robust")[0] == expected
    alone = rows[rows["cell"] != "s/base"]
    assert "untrained" not in " ".join(cautions(empty_tables(cells=cells, accuracy=alone), "robust"))
