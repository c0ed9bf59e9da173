"""Results as the files of lm-evaluation-harness, so that what reads those reads these.

The structure is that of version 0.4.13: `results_<time>.json` with the values of each task, and one
`samples_<task>_<time>.jsonl` for each task with a line for each item. The two scorings are two filters.
"""

from __future__ import annotations

import hashlib
import json
import math
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime
from pathlib import Path
from typing import Any

from kdscope.evaluation.accuracy import accuracy_table
from kdscope.evaluation.item_scores import by_item, item_index, metric_of
from kdscope.evaluation.records import ModelRecords, Record, answer_of, value_of
from kdscope.results.measures import AVERAGES, Metric
from kdscope.tasks import Task, TaskRegistry, default_registry

_VERSION = 1.0
METRIC_NAMES: Mapping[Metric, str] = {"accuracy": "exact_match", "rouge_l": "rougeL"}
"""What lm-evaluation-harness calls the two metrics."""
Sample = dict[str, Any]
_NO_ANSWER = "[invalid]"


@dataclass(frozen=True)
class ExportFacts:
    """Contents of the files beside values and completions.

    Attributes:
        model: Name or path of the model.
        started: When the evaluation began; with the time zone, if it has one.
        seconds: How long it took; None where that is not known.
        model_args: How the model was loaded.
        max_new_tokens: Token limit of a completion.
        temperature: Sampling temperature; 0 is greedy.
        top_p: Nucleus.
        stop_texts: Texts that end a completion.
        limit: Items asked for of each task; None for all.
        batch_size: Items generated together.
        device: Where the model ran.
        items_in_task: How many items each task has in all, where that is not the published number.
        versions: Versions of packages, under the names lm-evaluation-harness has for them.
    """

    model: str
    started: datetime
    seconds: float | None = None
    model_args: Mapping[str, str | int | float | bool | None] = field(default_factory=dict)
    max_new_tokens: int | None = None
    temperature: float = 0.0
    top_p: float = 1.0
    stop_texts: Sequence[str] = ()
    limit: int | None = None
    batch_size: int | None = None
    device: str | None = None
    items_in_task: Mapping[str, int] = field(default_factory=dict)
    versions: Mapping[str, str] = field(default_factory=dict)


def write_lm_eval_files(
    records: ModelRecords, folder: Path, facts: ExportFacts, *, registry: TaskRegistry | None = None
) -> list[Path]:
    """Write results and samples of one model to `folder/<model>/`, named as lm-evaluation-harness names them.

    Values, errors and hashes are those of kdscope's tables: the standard error is clustered where items repeat.
    Several decoding seeds are repeats of an item: its responses are listed, its value is their mean.

    Args:
        records: Records of each task.
        folder: Where the model's folder is made.
        facts: What else the files say.
        registry: The tasks; the built-in ones where absent.

    Returns:
        The files, the results first.

    Raises:
        DataError: The records of a task cannot be averaged.
    """
    tasks = registry or default_registry()
    target = folder / model_folder(facts.model)
    target.mkdir(parents=True, exist_ok=True)
    time = facts.started.replace(tzinfo=None).isoformat().replace(":", "-")
    samples = {name: _task_samples(tasks.get(name), own, _generation(facts)) for name, own in records.items()}
    files = [target / f"results_{time}.json"]
    _write(files[0], json.dumps(_results(records, samples, facts, tasks), indent=2, ensure_ascii=False))
    for name, lines in samples.items():
        files.append(target / f"samples_{name}_{time}.jsonl")
        _write(files[-1], "".join(json.dumps(line, ensure_ascii=False) + "\n" for line in lines))
    return files


def model_folder(model: str) -> str:
    """A model's name as a folder's.

    >>> model_folder("org/model-7b")
    'org__model-7b'
    """
    return re.sub(r'["<>:/|\\?*\[\]]+', "__", model)


def _results(
    records: ModelRecords, samples: Mapping[str, Sequence[Sample]], facts: ExportFacts, tasks: TaskRegistry
) -> dict[str, Any]:
    names = sorted(records)
    metrics = {name: METRIC_NAMES[metric_of(tasks.get(name))] for name in names}
    counts = {name: len({record.item_id for record in records[name]}) for name in names}
    return {
        "results": _values(records, counts, tasks),
        "group_subtasks": {},
        "configs": {name: _config(tasks.get(name), name, records[name], facts) for name in names},
        "versions": dict.fromkeys(names, _VERSION),
        "n-shot": dict.fromkeys(names, 0),
        "higher_is_better": {name: {metrics[name]: True} for name in names},
        "n-samples": {
            name: {
                "original": facts.items_in_task.get(name, tasks.get(name).test_items or counts[name]),
                "effective": counts[name],
            }
            for name in names
        },
        "config": _run_config(records, facts),
        "git_hash": None,
        "date": facts.started.timestamp(),
        **facts.versions,
        "task_hashes": {name: _task_hash(lines) for name, lines in samples.items()},
        "model_source": "kdscope",
        "model_name": facts.model,
        "model_name_sanitized": model_folder(facts.model),
        "system_instruction": None,
        "system_instruction_sha": None,
        "fewshot_as_multiturn": False,
        "chat_template": None,
        "chat_template_sha": None,
        "total_evaluation_time_seconds": None if facts.seconds is None else str(facts.seconds),
    }


def _values(records: ModelRecords, counts: Mapping[str, int], tasks: TaskRegistry) -> dict[str, dict[str, Any]]:
    table = accuracy_table({"model": records}, registry=tasks)
    values: dict[str, dict[str, Any]] = {}
    for row in table[~table["task"].isin(AVERAGES)].to_dict("records"):
        name = row["task"]
        filters = _task_filters(tasks.get(name))
        if row["scoring"] not in filters:
            continue
        metric, filter_name = METRIC_NAMES[row["metric"]], filters[row["scoring"]]
        own = values.setdefault(name, {"alias": name, "name": name, "sample_len": counts[name]})
        own[f"{metric},{filter_name}"] = row["accuracy"]
        own[f"{metric}_stderr,{filter_name}"] = "N/A" if math.isnan(row["stderr"]) else row["stderr"]
    return values


def _config(task: Task, name: str, records: Sequence[Record], facts: ExportFacts) -> dict[str, Any]:
    return {
        "task": name,
        "output_type": "generate_until",
        "description": "",
        "target_delimiter": " ",
        "fewshot_delimiter": "\n\n",
        "num_fewshot": 0,
        "metric_list": [
            {"metric": METRIC_NAMES[metric_of(task)], "aggregation": "mean", "higher_is_better": True},
        ],
        "generation_kwargs": _generation(facts),
        "repeats": len({record.decoding_seed for record in records}),
        "filter_list": [{"name": filter_name, "filter": []} for filter_name in _task_filters(task).values()],
        "should_decontaminate": False,
        "metadata": {"version": _VERSION, "citation": task.citation, "licence": task.licence},
    }


def _generation(facts: ExportFacts) -> dict[str, Any]:
    sampling = {"temperature": facts.temperature, "top_p": facts.top_p} if facts.temperature > 0 else {}
    limit = {} if facts.max_new_tokens is None else {"max_gen_toks": facts.max_new_tokens}
    return {"until": list(facts.stop_texts), "do_sample": facts.temperature > 0, **sampling, **limit}


def _run_config(records: ModelRecords, facts: ExportFacts) -> dict[str, Any]:
    seed = min((record.decoding_seed for answers in records.values() for record in answers), default=0)
    return {
        "model": "kdscope",
        "model_args": {"pretrained": facts.model, **facts.model_args},
        "batch_size": facts.batch_size,
        "batch_sizes": [],
        "device": facts.device,
        "use_cache": None,
        "limit": facts.limit,
        "bootstrap_iters": 0,
        "gen_kwargs": _generation(facts),
        "random_seed": seed,
        "numpy_seed": seed,
        "torch_seed": seed,
        "fewshot_seed": seed,
    }


def _task_hash(samples: Sequence[Sample]) -> str:
    return _hash("".join(line["doc_hash"] + line["prompt_hash"] + line["target_hash"] for line in samples))


def _write(file: Path, text: str) -> None:
    file.write_text(text, encoding="utf-8", newline="\n")


def _task_filters(task: Task) -> dict[str, str]:
    """The filter that stands for each scoring of a task; free text is read in one way only."""
    if metric_of(task) == "rouge_l":
        return {"robust": "none"}
    return {"robust": "robust", "published": "published"}


def _task_samples(task: Task, records: Sequence[Record], generation: Mapping[str, Any]) -> list[Sample]:
    """All lines of a task: every item by the first filter, then every item by the second."""
    metric = METRIC_NAMES[metric_of(task)]
    return [
        _sample(answers, scoring, filter_name, metric, generation)
        for scoring, filter_name in _task_filters(task).items()
        for answers in by_item(records)
    ]


def _sample(
    answers: Sequence[Record], scoring: str, filter_name: str, metric: str, generation: Mapping[str, Any]
) -> Sample:
    first = answers[0]
    document = {"item_id": first.item_id, "item_hash": first.item_hash, "answer": first.gold}
    read = [answer_of(record, scoring) for record in answers]
    filtered = [_NO_ANSWER if value is None else value for value in read]
    return {
        "doc_id": item_index(first),
        "doc": document,
        "target": first.gold,
        "arguments": {"gen_args_0": {"arg_0": first.prompt, "arg_1": dict(generation)}},
        "resps": [[record.completion for record in answers]],
        "filtered_resps": filtered if len(filtered) == 1 else [filtered],
        "filter": filter_name,
        "metrics": [metric],
        "doc_hash": _hash(json.dumps(document, indent=2, ensure_ascii=False)),
        "prompt_hash": _hash(first.prompt),
        "target_hash": _hash(first.gold),
        metric: sum(value_of(record, scoring) for record in answers) / len(answers),
        "finish_reason": [record.finish_reason for record in answers],
    }


def _hash(text: str) -> str:
    return hashlib.sha256(text.encode("utf-8")).hexdigest()
