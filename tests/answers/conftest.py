"""Real completions for the tests: items, outputs of the LLM-Adapters harness, OpenAI's GSM8K solutions."""

from __future__ import annotations

import json
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest


@dataclass(frozen=True)
class RealData:
    folder: Path

    def items(self, task_name: str) -> list[dict[str, str]]:
        return json.loads((self.folder / "tasks" / task_name / "test.json").read_text(encoding="utf-8"))

    def lines(self, name: str) -> list[dict[str, Any]]:
        text = (self.folder / "outputs" / name).read_text(encoding="utf-8")
        return [json.loads(line) for line in text.splitlines()]

    def outputs(self, task_name: str) -> Iterator[tuple[dict[str, Any], dict[str, str], str]]:
        """Triples (output row, item, finish reason) of both models.

        The harness kept the end token in mathematics and dropped it in commonsense, where every output is short.
        """
        items = self.items(task_name)
        for model in ("llama_7b_lora", "llama_7b_parallel"):
            if not (self.folder / "outputs" / model / f"{task_name}.jsonl").is_file():
                continue
            for row in self.lines(f"{model}/{task_name}.jsonl"):
                item = items[row["index"]]
                commonsense = "Answer format:" in item["instruction"]
                yield row, item, "stop" if commonsense or "</s>" in row["output"] else "length"


@pytest.fixture(scope="session")
def real_data(shared_data: Path) -> RealData:
    return RealData(shared_data)
