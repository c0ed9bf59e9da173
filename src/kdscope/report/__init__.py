"""The report: tidy tables of a study's results, and one self-contained page that answers before it shows."""

from kdscope.report.facts import PageFacts
from kdscope.report.page import write_page
from kdscope.results.tables import ReportTables, load_tables, save_tables

__all__ = ["PageFacts", "ReportTables", "load_tables", "save_tables", "write_page"]
