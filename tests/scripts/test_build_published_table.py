"""The script that makes the published table: every cell of the authors' tables, once, as they wrote it."""

from __future__ import annotations

import csv
import sys
from collections import Counter
from pathlib import Path
from types import ModuleType

import pytest

SCRIPTS = Path(__file__).resolve().parents[2] / "scripts"
RESULTS = ("math_results_main", "llama_math_results", "cs_results_main", "llama_cs_results")
PAIRS = ("EM1", "EM2", "EM1_cs", "EM2_cs", "BLEU", "BLEU2")
LOSSES = {"forward_kl": "KD", "reverse_kl": "RevKD", "gkd": "GKD"}


@pytest.fixture
def build(monkeypatch: pytest.MonkeyPatch) -> ModuleType:
    monkeypatch.syspath_prepend(str(SCRIPTS))
    import build_published_table

    return build_published_table


@pytest.fixture
def small_folder(tmp_path: Path) -> Path:
    """Ten tables of one task each."""
    for name in RESULTS:
        (tmp_path / f"{name}.csv").write_text(
            "Teacher,Student,Method,t1,Average\n"
            "-,S-1B,BaseModel,1.10,2\n"
            "-,S-1B,SFT,30,31\n"
            "T-8B_ckpt9,S-1B,student_RevKD_temp_2.0,40.5,41\n"
            "T-8B,S-1B,student_KD_base_teacher_temp_1.0,5,6\n"
        )
    for name in PAIRS:
        (tmp_path / f"{name}.csv").write_text(
            "Teacher,Student,Pair,Method,t1\nT-8B,S-1B,T-8B -> S-1B,KD,68.60000000000001\n"
        )
    return tmp_path


def written_by_the_authors(row: dict[str, str]) -> tuple[str, ...]:
    """Teacher, student and method of a row of ours as the authors' tables spell them."""
    checkpoint = f"_{row['teacher_checkpoint']}" if row["teacher_checkpoint"] else ""
    plain = {"base": "BaseModel", "sft": "SFT", "kd": "KD"}
    ablated = "_base_teacher" if row["teacher_condition"] == "base" else ""
    loss = LOSSES.get(row["method"])
    method = plain.get(row["method"]) or f"student_{loss}{ablated}_temp_{row['temperature']}"
    return (row["source"], (row["teacher"] or "-") + checkpoint, row["student"], method, row["task"], row["value"])


def cells_of(folder: Path) -> Counter[tuple[str, ...]]:
    cells: Counter[tuple[str, ...]] = Counter()
    for name in (*RESULTS, *PAIRS):
        with (folder / f"{name}.csv").open(newline="") as stream:
            for row in csv.DictReader(stream):
                about = tuple(row.pop(key) for key in ("Teacher", "Student", "Method"))
                row.pop("Pair", None)
                cells.update((name, *about, task, value) for task, value in row.items())
    return cells


def rows_of(file: Path) -> list[dict[str, str]]:
    with file.open(newline="") as stream:
        return list(csv.DictReader(stream))


def run(build: ModuleType, monkeypatch: pytest.MonkeyPatch, folder: Path, out: Path) -> None:
    monkeypatch.setattr(sys, "argv", ["build", str(folder), "--out", str(out)])
    build.main()


def test_every_cell_of_small_tables_is_there_once(build, small_folder, tmp_path, monkeypatch, capsys) -> None:
    out = tmp_path / "new" / "table.csv"
    run(build, monkeypatch, small_folder, out)
    assert Counter(map(written_by_the_authors, rows_of(out))) == cells_of(small_folder)
    assert "38 cells" in capsys.readouterr().out


def test_a_row_by_hand(build, small_folder) -> None:
    table = build.build_table(small_folder)
    row = table[(table["source"] == "cs_results_main") & (table["method"] == "reverse_kl") & (table["task"] == "t1")]
    assert row.to_dict("records") == [
        {
            "study": "ramesh2025",
            "domain": "commonsense",
            "source": "cs_results_main",
            "teacher": "T-8B",
            "teacher_checkpoint": "ckpt9",
            "student": "S-1B",
            "method": "reverse_kl",
            "family": "RevKD",
            "temperature": "2.0",
            "teacher_condition": "adapted",
            "task": "t1",
            "metric": "accuracy",
            "value": "40.5",
        }
    ]


@pytest.mark.parametrize("method", ["student_XKD_temp_1.0", "student_KD", "sft", "student_GKD_temp_1.0_v2"])
def test_a_method_of_no_table_is_refused(build, method) -> None:
    with pytest.raises(ValueError, match=method):
        build.describe_method(method)


def test_every_cell_of_the_authors_tables_is_in_the_package_once(build, shared_data) -> None:
    packaged, released = rows_of(build.TARGET), cells_of(shared_data / "published")
    assert Counter(map(written_by_the_authors, packaged)) == released
    assert set(released.values()) == {1}


def test_the_file_in_the_package_is_what_the_script_makes(build, shared_data, tmp_path, monkeypatch) -> None:
    out = tmp_path / "table.csv"
    run(build, monkeypatch, shared_data / "published", out)
    assert out.read_bytes() == build.TARGET.read_bytes()
