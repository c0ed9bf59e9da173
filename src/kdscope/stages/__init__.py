"""The steps of a study, in order; each is one file with a function `run(context)`.

1. `prepare_data`     training rows -> training and validation examples
2. `prepare_prompts`  unlabelled rows -> prompts (studies with `data.unlabelled` only)
3. `prepare_task`     task rows -> evaluation items
4. `prepare_student`  model folder -> the same model with fewer layers (depth-pruned students only)
5. `adapt_teacher`    teacher + training examples -> teacher that knows the task
6. `record_teacher`   teacher + prompts -> the teacher's own responses
7. `record_states`    teacher + training sequences -> its last hidden states, for every student to replay
8. `cache_expectation`  recording + a frozen student head -> all that forward KL needs, a vector a token
9. `distil_student`   student + method (+ teacher, as `signal.py` decides) -> trained student; `sft` is the control
10. `evaluate_model`  any model + one task -> one record per item
11. `compare_pair`    student's records + teacher's records -> fidelity
12. `analyse_study`   everything measured -> tidy tables
13. `write_report`    tables -> page

A version goes up when a stage's code changes what it writes: its outputs, and all that follow from them, are made anew.
"""

from __future__ import annotations

from collections.abc import Mapping
from types import MappingProxyType

STAGE_VERSIONS: Mapping[str, int] = MappingProxyType(
    {
        "prepare_data": 1,
        "prepare_prompts": 1,
        "prepare_task": 1,
        "prepare_student": 1,
        "adapt_teacher": 2,
        "record_teacher": 2,
        "record_states": 1,
        "cache_expectation": 1,
        "distil_student": 2,
        "evaluate_model": 2,
        "compare_pair": 1,
        "analyse_study": 2,
        "write_report": 2,
    }
)
