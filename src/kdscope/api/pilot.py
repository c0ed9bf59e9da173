"""What a finished run tells of the noise that a study like it will have."""

from __future__ import annotations

import math
from pathlib import Path
from typing import TYPE_CHECKING

from kdscope.core.errors import DataError
from kdscope.results.hypotheses import CELL, VARIANCE
from kdscope.statistics.planning import Noise

if TYPE_CHECKING:
    from kdscope.results.tables import ReportTables


def planning_noise(
    pilot: Path | None = None, *, run_sd: float | None = None, discordance: float | None = None
) -> Noise:
    """The noise to plan with: as told, else as a pilot run has it, else the defaults of `planning.Noise`.

    Args:
        pilot: The folder of a finished run.
        run_sd: Standard deviation between training runs in percentage points, of the control as of the others.
        discordance: Share of items on which a distilled student and its control differ.

    Raises:
        DataError: The pilot cannot be read, has no control, or has one training seed and `run_sd` is not told.
    """
    found = Noise() if pilot is None else noise_of_run(pilot, needs_runs=run_sd is None)
    return Noise(
        discordance=found.discordance if discordance is None else discordance,
        repeated=found.repeated,
        run_sd=found.run_sd if run_sd is None else run_sd,
        control_sd=found.control_sd if run_sd is None else None,
        run_df=found.run_df if run_sd is None else math.inf,
    )


def noise_of_run(folder: Path, *, needs_runs: bool = True) -> Noise:
    """Discordance, and run variance of the control and the other settings, as a run has them.

    Several domains count as one: the noisiest run variance, and the mean discordance over all items.

    Raises:
        DataError: As `planning_noise`.
    """
    # They read parquet, which planning without a pilot need not wait for.
    from kdscope.results.tables import load_tables
    from kdscope.statistics.run_variance import CONTROL, OTHERS

    tables = load_tables(folder / "tables")
    discordance = _discordance(tables, folder)
    repeated = _repeated(tables, discordance)
    spreads = tables.statistics[tables.statistics["hypothesis"] == VARIANCE]
    found, df = {}, math.inf
    for group in (CONTROL, OTHERS):
        known = spreads.loc[spreads["group"] == f"runs of {group}", "estimate"].dropna()
        if known.empty and needs_runs:
            raise DataError(
                f"the pilot tells nothing of the run variance of {group}: it was trained with one seed. Tell it with "
                "--run-sd, or take a pilot with several seeds",
                file=folder,
            )
        found[group] = float(known.max()) if len(known) else Noise().run_sd
        if len(known):
            df = min(df, float(spreads["n"].to_numpy()[spreads.index.get_loc(known.idxmax())]))
    items = int(tables.gains["items"].max())
    single = 1e4 * discordance * repeated / 2 / max(items, 1)
    control, others = (math.sqrt(max(found[group] ** 2 - single, 0.0)) for group in (CONTROL, OTHERS))
    return Noise(discordance, repeated, others, control, df)


def _discordance(tables: ReportTables, folder: Path) -> float:
    """Share of items on which exactly one of a distilled student and its control is right, a mean over cells."""
    rows = tables.gains[(tables.gains["scoring"] == "robust") & tables.gains["only_cell"].notna()]
    rows = rows[rows["items"] == rows.groupby("cell")["items"].transform("max")]
    if rows.empty:
        raise DataError("the pilot has no student with a control to tell the discordance from", file=folder)
    share = float(((rows["only_cell"] + rows["only_control"]) / rows["items"]).mean())
    return min(max(share, 1e-3), 1.0)


def _repeated(tables: ReportTables, discordance: float) -> float:
    """The part of the discordance that two runs of one setting show as well; the default where seeds are single."""
    rows = tables.statistics[(tables.statistics["hypothesis"] == CELL) & (tables.statistics["scope"] == "runs")]
    rows = rows[rows["item_stderr"].notna()]
    if rows.empty:
        return Noise().repeated
    lasting = float((rows["item_stderr"] ** 2 * rows["n"]).mean()) / 1e4
    return min(max(1 - lasting / discordance, 0.0), 1.0)
