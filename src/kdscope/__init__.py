"""kdscope: distil language models and know what you got.

The verbs of the command line are functions here; nothing heavy is imported until one is called.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from kdscope.api import (
        analyze_table,
        compare_models,
        distill,
        evaluate_model,
        explain_stage,
        export_models,
        export_tables,
        load_study,
        measure_fidelity,
        plan_study,
        planning_noise,
        report_table,
        rescore_answers,
        run_study,
        view_run,
        write_report,
    )

__all__ = [
    "__version__",
    "analyze_table",
    "compare_models",
    "distill",
    "evaluate_model",
    "explain_stage",
    "export_models",
    "export_tables",
    "load_study",
    "measure_fidelity",
    "plan_study",
    "planning_noise",
    "report_table",
    "rescore_answers",
    "run_study",
    "view_run",
    "write_report",
]
__version__ = "0.1.0"


def __getattr__(name: str) -> Any:
    if name in __all__:
        from kdscope import api

        return getattr(api, name)
    raise AttributeError(f"module 'kdscope' has no attribute {name!r}")
