"""Turn the public data this example needs into the files its study names.

    python examples/smollm2_math/prepare.py GSM8K_TRAIN_JSONL LLM_ADAPTERS_FOLDER

GSM8K_TRAIN_JSONL is grade_school_math/data/train.jsonl of github.com/openai/grade-school-math; LLM_ADAPTERS_FOLDER is a
clone of github.com/AGI-Edgerunners/LLM-Adapters. Writes tasks/ beside this file.
"""

from __future__ import annotations

import json
import re
import shutil
import sys
from pathlib import Path

TASKS = ("gsm8k", "SVAMP", "AddSub", "ARC-Easy")


def training_row(row: dict[str, str]) -> dict[str, str]:
    """A GSM8K row as instruction and output: calculator marks out, the answer said in words."""
    solution, answer = re.sub(r"<<[^>]*>>", "", row["answer"]).split("\n#### ")
    output = f"{solution}\nThe answer is {answer.strip()}."
    return {"instruction": row["question"], "input": "", "output": output, "answer": answer.strip().replace(",", "")}


def main(gsm8k: Path, adapters: Path, target: Path) -> None:
    """Write tasks/<task>/test.json and tasks/gsm8k/train.json."""
    for task in TASKS:
        (target / task).mkdir(parents=True, exist_ok=True)
        shutil.copyfile(adapters / "dataset" / task / "test.json", target / task / "test.json")
    lines = gsm8k.read_text(encoding="utf-8").split("\n")
    rows = [training_row(json.loads(line)) for line in lines if line]
    (target / "gsm8k" / "train.json").write_text(json.dumps(rows, indent=1), encoding="utf-8")
    print(f"wrote {target}: {len(rows)} training rows, {len(TASKS)} tasks")


if __name__ == "__main__":
    if len(sys.argv) != 3:
        sys.exit(__doc__)
    main(Path(sys.argv[1]), Path(sys.argv[2]), Path(__file__).parent / "tasks")
