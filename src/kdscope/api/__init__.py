"""The verbs as functions: the one place where study, stages, store and listener are put together.

Each is loaded when it is asked for: planning needs none of what evaluating or comparing does.
"""

from __future__ import annotations

from importlib import import_module
from types import MappingProxyType
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from kdscope.api.analyze import AnalysisResult, analyze_table
    from kdscope.api.answers import Rescored, compare_models, measure_fidelity, rescore_answers
    from kdscope.api.data import Brought, DataCheck, check_data, fetch_data, wanted_files
    from kdscope.api.distillation import Distilled, distil_yaml, distill
    from kdscope.api.evaluate import EvaluationResult, evaluate_model
    from kdscope.api.export import Exported, export_models
    from kdscope.api.finished import FinishedRun, read_run
    from kdscope.api.report import WrittenReport, export_tables, report_table, write_report
    from kdscope.api.study import (
        StudyResult,
        default_store,
        explain_stage,
        load_study,
        plan_study,
        planning_noise,
        run_study,
    )
    from kdscope.view.server import view_run

_PLACES = MappingProxyType(
    {
        **dict.fromkeys(("AnalysisResult", "analyze_table"), "kdscope.api.analyze"),
        **dict.fromkeys(("Brought", "DataCheck", "check_data", "fetch_data", "wanted_files"), "kdscope.api.data"),
        **dict.fromkeys(("Rescored", "compare_models", "measure_fidelity", "rescore_answers"), "kdscope.api.answers"),
        **dict.fromkeys(("Distilled", "distil_yaml", "distill"), "kdscope.api.distillation"),
        **dict.fromkeys(("EvaluationResult", "evaluate_model"), "kdscope.api.evaluate"),
        **dict.fromkeys(("Exported", "export_models"), "kdscope.api.export"),
        **dict.fromkeys(("FinishedRun", "read_run"), "kdscope.api.finished"),
        **dict.fromkeys(("WrittenReport", "export_tables", "report_table", "write_report"), "kdscope.api.report"),
        **dict.fromkeys(("StudyResult", "default_store", "explain_stage", "load_study"), "kdscope.api.study"),
        **dict.fromkeys(("plan_study", "run_study"), "kdscope.api.study"),
        "planning_noise": "kdscope.api.study",
        "view_run": "kdscope.view.server",
    }
)
__all__ = [
    "AnalysisResult",
    "Brought",
    "DataCheck",
    "Distilled",
    "EvaluationResult",
    "Exported",
    "FinishedRun",
    "Rescored",
    "StudyResult",
    "WrittenReport",
    "analyze_table",
    "check_data",
    "compare_models",
    "default_store",
    "distil_yaml",
    "distill",
    "evaluate_model",
    "explain_stage",
    "export_models",
    "export_tables",
    "fetch_data",
    "load_study",
    "measure_fidelity",
    "plan_study",
    "planning_noise",
    "read_run",
    "report_table",
    "rescore_answers",
    "run_study",
    "view_run",
    "wanted_files",
    "write_report",
]


def __getattr__(name: str) -> Any:
    if name in _PLACES:
        return getattr(import_module(_PLACES[name]), name)
    raise AttributeError(f"module 'kdscope.api' has no attribute {name!r}")
