"""What a reader must know, from tables small enough to be read."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pandas as pd

from kdscope.report.cautions import cautions, never_distilled
from kdscope.results.tables import ReportTables
from tests.report.builders import empty_tables, taught_row

MISSING = np.nan


def trained(**losses: list[float]) -> ReportTables:
    """Cells of five steps, the first two of which are a warm start; validated where a loss is told."""
    cells = pd.DataFrame([taught_row(cell, "reverse_kl", student="tiny") for cell in losses])
    steps = [
        {"cell": cell, "step": place + 1, "divergence": MISSING if place < 2 else 0.3, "validation_loss": loss}
        for cell, own in losses.items()
        for place, loss in enumerate(own)
    ]
    other = dict.fromkeys(("tokens", "loss", "cross_entropy", "learning_rate", "gradient_norm"), MISSING)
    return empty_tables(cells=cells, training=pd.DataFrame(steps).assign(**other))


def test_the_best_checkpoint_of_a_warm_start_was_never_distilled() -> None:
    tables = trained(
        before=[MISSING, 0.5, MISSING, MISSING, 0.6],
        after=[MISSING, 0.5, MISSING, MISSING, 0.4],
        first_step_of_its_own=[MISSING, 0.5, 0.4, 0.6, 0.6],
        not_validated=[MISSING] * 5,
    )
    assert never_distilled(tables) == {"before": 2}
    [told] = [text for text in cautions(tables, "robust") if "warm start" in text]
    assert "of one student lies in its warm start" in told
    assert "(step 2)" in told


def test_cells_that_tell_what_was_kept_are_believed_and_not_the_log() -> None:
    told = [
        taught_row("warm", "reverse_kl", student="tiny", distilled=False, kept_step=2),
        taught_row("own", "reverse_kl", student="tiny", distilled=True, kept_step=5),
        taught_row("older", "reverse_kl", student="tiny", distilled=None, kept_step=None),
    ]
    losses = [MISSING, 0.5, MISSING, MISSING, 0.6]
    tables = replace(trained(warm=losses, own=losses, older=losses), cells=pd.DataFrame(told))
    assert never_distilled(tables) == {"older": 2}, "the answer of the page names the others"
    assert list(never_distilled(tables)) == ["older"]
    without = replace(tables, training=tables.training.iloc[:0], cells=tables.cells.iloc[:2])
    assert not any("warm start" in text for text in cautions(without, "robust"))


def test_the_first_of_equal_checkpoints_is_kept() -> None:
    """As training keeps it: only a lower loss replaces what is there."""
    assert never_distilled(trained(a=[MISSING, 0.5, 0.5, 0.6, 0.6], b=[0.5, 0.6, 0.7, 0.8, 0.5])) == {"a": 2, "b": 1}


def test_a_told_checkpoint_is_no_caution_but_part_of_the_answer() -> None:
    tables = trained(before=[MISSING, 0.5, MISSING, MISSING, 0.6])
    assert [text for text in cautions(tables, "robust") if "warm start" in text]
    told = replace(tables, cells=tables.cells.assign(distilled=False, kept_step=2))
    assert not [text for text in cautions(told, "robust") if "warm start" in text]


def test_who_learns_from_texts_has_no_warm_start() -> None:
    tables = trained(a=[0.1, 0.2, 0.3, 0.4, 0.5])
    without = replace(tables, training=tables.training.assign(divergence=MISSING))
    assert never_distilled(without) == {}
    assert not [text for text in cautions(without, "robust") if "warm start" in text]
