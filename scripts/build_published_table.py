"""Put the result tables that the authors of the published study released into one tidy file of kdscope's own.

    python scripts/build_published_table.py FOLDER        # writes src/kdscope/protocols/data/ramesh2025.csv

FOLDER is the folder `results` of github.com/LCS2-IIITD/KD_generalization (Apache-2.0; commit 554565a), tables to
"On the Generalization vs Fidelity Paradox in Knowledge Distillation" (Ramesh, Sengupta, Chakraborty, Findings of ACL
2025, arXiv 2505.15442). Every cell of every table becomes one row, in percent and to the last digit, with the table it
comes from in the column `source`; names are those of `kdscope.results.column_names`.
"""

from __future__ import annotations

import argparse
import re
from pathlib import Path

import pandas as pd

from kdscope.results.column_names import ACCURACY, ADAPTED, AGREEMENT, ANY_FAMILY, BASE, FIDELITY, SFT, UNADAPTED

STUDY = "ramesh2025"
TARGET = Path(__file__).resolve().parents[1] / "src" / "kdscope" / "protocols" / "data" / f"{STUDY}.csv"
RESULTS = {
    "math_results_main": "math",
    "llama_math_results": "math",
    "cs_results_main": "commonsense",
    "llama_cs_results": "commonsense",
}
PAIRS = {
    "EM1": ("math", AGREEMENT),
    "EM2": ("math", f"{AGREEMENT}_2"),
    "EM1_cs": ("commonsense", AGREEMENT),
    "EM2_cs": ("commonsense", f"{AGREEMENT}_2"),
    "BLEU": ("math", FIDELITY),
    "BLEU2": ("math", f"{FIDELITY}_2"),
}
"""Tables by pair of teacher and student: the first of each kind is the one the authors tested."""
COLUMNS = (
    *("study", "domain", "source", "teacher", "teacher_checkpoint", "student", "method", "family"),
    *("temperature", "teacher_condition", "task", "metric", "value"),
)
NAMES = {"KD": ("forward_kl", "SeqKD"), "RevKD": ("reverse_kl", "RevKD"), "GKD": ("gkd", "GKD")}
"""Method and family of what the tables call a student; what the paper calls SeqKD, its code calls KD."""
_STUDENT = re.compile(r"student_(?P<loss>KD|RevKD|GKD)(?P<base>_base_teacher)?_temp_(?P<temperature>\d+\.\d+)")


def build_table(folder: Path) -> pd.DataFrame:
    """All cells of the ten tables, one a row.

    Raises:
        ValueError: A method is called what no table of this study calls one.
    """
    results = [_melted(_read(folder, name), name, domain, ACCURACY) for name, domain in RESULTS.items()]
    pairs = [_melted(_read(folder, name), name, *what) for name, what in PAIRS.items()]
    return pd.concat([*results, *pairs], ignore_index=True)[list(COLUMNS)]


def _read(folder: Path, name: str) -> pd.DataFrame:
    # As text: what is written out is what the authors wrote, whatever a number would become.
    table = pd.read_csv(folder / f"{name}.csv", dtype=str, keep_default_na=False)
    return table.drop(columns="Pair", errors="ignore")


def _melted(table: pd.DataFrame, source: str, domain: str, metric: str) -> pd.DataFrame:
    tasks = [name for name in table.columns if name not in ("Teacher", "Student", "Method")]
    teacher = table["Teacher"].replace("-", "").str.partition("_")
    described = pd.DataFrame(
        {
            "study": STUDY,
            "domain": domain,
            "source": source,
            "teacher": teacher[0],
            "teacher_checkpoint": teacher[2],
            "student": table["Student"],
            "metric": metric,
        }
    ).join(pd.DataFrame([describe_method(method) for method in table["Method"]]))
    cells = described.join(table[tasks])
    return cells.melt(id_vars=list(described), value_vars=tasks, var_name="task", value_name="value")


def describe_method(method: str) -> dict[str, str]:
    """Method, family, temperature and condition of the teacher from the name of a row.

    Raises:
        ValueError: The name is none of the study's.
    """
    plain = {"BaseModel": (BASE, "", ""), "SFT": (SFT, "", ""), "KD": ("kd", ANY_FAMILY, ADAPTED)}
    columns = ("method", "family", "teacher_condition", "temperature")
    if method in plain:
        return dict(zip(columns, (*plain[method], ""), strict=True))
    match = _STUDENT.fullmatch(method)
    if match is None:
        raise ValueError(f"unknown method {method!r}")
    condition = UNADAPTED if match["base"] else ADAPTED
    return dict(zip(columns, (*NAMES[match["loss"]], condition, match["temperature"]), strict=True))


def main() -> None:
    """Build the file."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("folder", type=Path, help="the folder with the authors' CSV files")
    parser.add_argument("--out", type=Path, default=TARGET, help=f"file to write (default: {TARGET.name} in kdscope)")
    arguments = parser.parse_args()
    table = build_table(arguments.folder)
    arguments.out.parent.mkdir(parents=True, exist_ok=True)
    table.to_csv(arguments.out, index=False, lineterminator="\n")
    print(f"{arguments.out}: {len(table)} cells")


if __name__ == "__main__":
    main()
