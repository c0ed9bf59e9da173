"""The steps of a study, in order; each is one file with a function `run(context)`.

1. `prepare_data`     training rows -> training and validation examples
2. `prepare_prompts`  unlabelled rows -> prompts (studies with `data.unlabelled` only)
3. `prepare_task`     task rows -> evaluation items
4. `audit_contamination`  training examples + evaluation items -> which items the models have learnt from
5. `prepare_student`  model folder -> the same model with fewer layers (depth-pruned students only)
6. `adapt_teacher`    teacher + training examples -> teacher that knows the task
7. `record_teacher`   teacher + prompts -> the teacher's own responses
8. `record_states`    teacher + training sequences -> its last hidden states, for every student to replay
9. `cache_expectation`  recording + a frozen student head -> all that forward KL needs, a vector a token
10. `choose_rate`     the runs of a sweep, stages of the kind below -> the learning rate of an arm (with a list only)
11. `distil_student`   student + method (+ teacher, as `signal.py` decides) -> trained student; `sft` is the control
12. `evaluate_model`  any model + one task -> one record per item
13. `compare_distributions`  teacher + student + the same texts -> how alike they read them, how sure they are
14. `probe_reasoning`  any model + traces cut short, wrong or its teacher's -> what it then answers
15. `compare_pair`    all of that of a student and a teacher, with control and ceiling -> fidelity, item likeness
16. `analyse_study`   everything measured -> tidy tables
17. `write_report`    tables -> page

A version goes up when a stage's code changes what it writes: its outputs, and all that follow from them, are made anew.
"""

from __future__ import annotations

from collections.abc import Mapping
from types import MappingProxyType
from typing import Any

from kdscope.core.extensions import loaded_extensions, origins_of
from kdscope.pipeline.fingerprint import JSON
from kdscope.pipeline.stage import Stage

STAGE_VERSIONS: Mapping[str, int] = MappingProxyType(
    {
        "prepare_data": 1,
        "prepare_prompts": 1,
        "prepare_task": 2,
        "audit_contamination": 1,
        "prepare_student": 1,
        "adapt_teacher": 2,
        "record_teacher": 2,
        "record_states": 1,
        "cache_expectation": 1,
        "choose_rate": 1,
        "distil_student": 2,
        "evaluate_model": 3,
        "compare_distributions": 1,
        "probe_reasoning": 1,
        "compare_pair": 4,
        "analyse_study": 6,
        "write_report": 5,
    }
)

_ADDED_TO = MappingProxyType({"compare_pair": "fidelity measure", "write_report": "figure"})


def make_stage(
    kind: str, label: str, parameters: Mapping[str, JSON], inputs: Mapping[str, Stage], **extra: Any
) -> Stage:
    """A stage at its present code version; its context tells the extensions that are loaded."""
    if extensions := loaded_extensions():
        extra["context"] = {**extra.get("context", {}), "extensions": extensions}
        # Methods and backends tell theirs in the parameters, own tasks are told in full.
        if used := origins_of(_ADDED_TO.get(kind, "")):
            parameters = {**parameters, "extensions": list(used)}
    return Stage(kind, label, STAGE_VERSIONS[kind], parameters, inputs, **extra)
