"""Pages and tables of a finished run from its folder alone, and of tables of results."""

from __future__ import annotations

import subprocess
import sys
import time
from pathlib import Path

import pandas as pd
import pytest

from kdscope.api import export_tables, report_table, write_report
from kdscope.core.errors import DataError, StatisticsError, StoreError
from kdscope.report.facts import save_facts
from kdscope.report.page import write_page
from kdscope.results.tables import ReportTables, save_tables
from tests.report.builders import build_facts, designed_tables

OWN = """student,method,teacher,temperature,task,value,items
small-0.5B,sft,,,sums,40,200
small-0.5B,gkd,big-7B,1,sums,45,200
"""


OWN_TWICE = """study,student,method,task,value
one,a,sft,t,40
one,a,gkd,t,50
two,a,sft,t,40
two,a,gkd,t,50
"""


def finished(run: Path) -> ReportTables:
    tables = designed_tables()
    save_tables(tables, run / "tables")
    save_facts(build_facts(), run / "tables" / "facts.json")
    return tables


def test_a_page_is_written_again_as_it_was(tmp_path: Path) -> None:
    tables = finished(tmp_path / "q 1")
    write_page(tables, build_facts(), tmp_path / "wanted.html")
    assert write_report(tmp_path / "q 1") == tmp_path / "q 1" / "report.html"
    assert (tmp_path / "q 1" / "report.html").read_bytes() == (tmp_path / "wanted.html").read_bytes()


def test_a_page_elsewhere_still_finds_the_tables(tmp_path: Path) -> None:
    finished(tmp_path / "q 1")
    page = write_report(tmp_path / "q 1", tmp_path / "pages" / "new" / "mine.html")
    assert 'href="../../q%201/tables/gains.csv"' in page.read_text(encoding="utf-8")
    with pytest.raises(DataError, match="name the page"):
        write_report(tmp_path / "q 1", tmp_path)
    (tmp_path / "file").touch()
    with pytest.raises(StoreError, match="file"):
        write_report(tmp_path / "q 1", tmp_path / "file" / "page.html")


def test_tables_of_a_run(tmp_path: Path) -> None:
    finished(tmp_path)
    files = export_tables(tmp_path, "latex")
    assert tmp_path / "latex" / "ablation_temperature.tex" in files
    assert files[-1] == tmp_path / "latex" / "all_tables.tex"
    assert "smollm2-math" in (tmp_path / "latex" / "gains.tex").read_text(encoding="utf-8")
    (csv,) = [file for file in export_tables(tmp_path, "csv", tmp_path / "paper") if file.name == "gains.csv"]
    assert csv == tmp_path / "paper" / "gains.csv"
    assert pd.read_csv(csv)["gain"].tolist() == [0.041, -0.012, 0.05, 0.031, 0.0, 0.01]
    with pytest.raises(DataError, match="latex, markdown or csv"):
        export_tables(tmp_path, "word")  # type: ignore[arg-type]


def test_folders_that_are_no_run(tmp_path: Path) -> None:
    with pytest.raises(DataError, match=r"no such folder.*kdscope run STUDY\.yaml"):
        write_report(tmp_path / "nowhere")
    (tmp_path / "file").touch()
    with pytest.raises(DataError, match="a file; wanted is the folder of a run"):
        write_report(tmp_path / "file")
    with pytest.raises(DataError, match=r"no tables/cells\.parquet; `kdscope run STUDY.yaml` makes one"):
        export_tables(tmp_path, "csv")
    finished(tmp_path)
    (tmp_path / "tables" / "facts.json").unlink()
    with pytest.raises(DataError, match=r"tables/facts.json\); run its study again"):
        write_report(tmp_path)
    finished(tmp_path)
    (tmp_path / "tables" / "gains.parquet").write_text("no parquet")
    with pytest.raises(DataError, match=r"gains\.parquet"):
        write_report(tmp_path)


def test_a_table_of_ones_own_becomes_a_run(tmp_path: Path) -> None:
    (tmp_path / "mine.csv").write_text(OWN)
    made = report_table(tmp_path / "mine.csv", out=tmp_path / "out")
    assert made.page == tmp_path / "out" / "report.html"
    assert made.folders == (tmp_path / "out",)
    assert "small-0.5B/gkd-T1/big-7B" in made.page.read_text(encoding="utf-8")
    files = export_tables(tmp_path / "out", "markdown")
    gains = next(file for file in files if file.name == "gains.md").read_text(encoding="utf-8")
    # 90 of 200 against 80 of 200, taken as independent.
    assert "| small-0.5B | gkd | 200 | – | – | +5.0 [−4.7, +14.5] | – | – |" in gains
    with pytest.raises(DataError, match="a table of results or a published study"):
        report_table()
    with pytest.raises(StatisticsError, match="no published study is called"):
        report_table(published="ramesh2026")


@pytest.mark.skipif(sys.platform != "linux", reason="other systems have no such file names")
def test_a_table_in_a_file_of_an_odd_name_is_reported_under_a_name_that_can_be_read(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    Path("a\udcff\u202eb.csv").write_text(OWN)
    assert report_table(Path("a\udcff\u202eb.csv")).page == Path("runs/a⟨U+DCFF⟩⟨U+202E⟩b/report.html")


def test_a_table_of_two_studies_is_refused(tmp_path: Path) -> None:
    (tmp_path / "mine.csv").write_text(OWN_TWICE)
    with pytest.raises(DataError, match="one study at a time; the table has one, two"):
        report_table(tmp_path / "mine.csv", out=tmp_path / "out")


@pytest.mark.slow
def test_the_published_study(tmp_path: Path) -> None:
    made = report_table(published="ramesh2025", out=tmp_path)
    assert made.folders == (tmp_path / "math", tmp_path / "commonsense")
    assert 'href="math/report.html"' in made.page.read_text(encoding="utf-8")
    for folder in made.folders:
        assert (folder / "report.html").stat().st_size < 6_000_000
        assert len(export_tables(folder, "latex")) > 8


def test_no_torch_is_needed() -> None:
    code = "import sys, kdscope.api.report; sys.exit('torch' in sys.modules)"
    assert subprocess.run([sys.executable, "-c", code], check=False).returncode == 0


@pytest.mark.slow
def test_a_table_of_6000_rows_is_drawn_in_30_seconds_of_cpu(tmp_path: Path) -> None:
    rows = ["student,method,task,value,teacher,temperature"]
    for student in range(10):
        for method, teacher in (("sft", ","), ("kd", "big,1"), ("gkd", "big,1")):
            value = (40 + student + 7 * (task * 31 % 17) / 17 + len(method) for task in range(200))
            rows += [f"s{student},{method},task{task},{number:.2f},{teacher}" for task, number in enumerate(value)]
    (tmp_path / "mine.csv").write_text("\n".join(rows) + "\n")
    began = time.process_time()
    made = report_table(tmp_path / "mine.csv", out=tmp_path / "out")
    assert time.process_time() - began < 30
    assert len(rows) == 1 + 6000
    assert made.page.stat().st_size < 6_000_000
