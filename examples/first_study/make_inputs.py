"""Make the inputs of a first study from nothing: two small untrained models and two tasks.

    python examples/first_study/make_inputs.py          # a second; writes inputs/ beside this file

Both models are Llamas with one token a byte. The tasks have the format of real ones: is a number even, asked as BoolQ
asks (true or false), and what is one more than it, asked as AddSub asks. Everything is drawn from fixed seeds.
"""

from __future__ import annotations

import json
import random
from pathlib import Path

import torch
from tokenizers import Tokenizer, decoders, models, pre_tokenizers
from transformers import LlamaConfig, LlamaForCausalLM, PreTrainedTokenizerFast

INPUTS = Path(__file__).parent / "inputs"
NAMES = ["Ann", "Bob", "Eva", "Tom", "Mia", "Leo", "Zoe", "Max", "Ida", "Ben", "Amy", "Kim"]
THINGS = ["pens", "cups", "figs", "nuts", "hats", "eggs", "pins", "keys", "maps", "bags", "jars", "toys"]


def parity(name: str, thing: str, count: int) -> dict[str, str]:
    """A true-or-false question."""
    answer = "true" if count % 2 == 0 else "false"
    question = f"{name} has {count} {thing}. Is {count} even?\n\nAnswer format: true/false"
    return {"instruction": question, "input": "", "output": f"the correct answer is {answer}", "answer": answer}


def one_more(name: str, thing: str, count: int) -> dict[str, str]:
    """The smallest of word problems."""
    question = f"{name} has {count} {thing} and gets 1 more. How many now?"
    answer = str(count + 1)
    return {"instruction": question, "input": "", "output": f"The answer is {answer}.", "answer": answer}


def write_data(rng: random.Random) -> None:
    """Training rows and test items; no test item is in the training set."""
    cases = [(name, thing, count) for name in NAMES for thing in THINGS for count in range(10)]
    drawn = {task: rng.sample(cases, 550) for task in ("boolq", "AddSub")}
    questions = {
        task: [make(*case) for case in drawn[task]] for task, make in (("boolq", parity), ("AddSub", one_more))
    }
    train = [row for rows in questions.values() for row in rows[:400]]
    rng.shuffle(train)
    files = {"train.json": train} | {f"tasks/{task}/test.json": rows[400:] for task, rows in questions.items()}
    for name, content in files.items():
        file = INPUTS / name
        file.parent.mkdir(parents=True, exist_ok=True)
        file.write_text(json.dumps(content, indent=1))


def write_model(name: str, hidden: int, layers: int) -> None:
    """An untrained Llama and a tokenizer with one token a byte."""
    alphabet = sorted(pre_tokenizers.ByteLevel.alphabet())
    inner = Tokenizer(models.BPE(vocab={symbol: i for i, symbol in enumerate(alphabet)}, merges=[]))
    inner.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False)
    inner.decoder = decoders.ByteLevel()
    tokenizer = PreTrainedTokenizerFast(tokenizer_object=inner, eos_token="<end>", pad_token="<pad>")
    config = LlamaConfig(
        vocab_size=len(tokenizer), hidden_size=hidden, intermediate_size=3 * hidden, num_hidden_layers=layers,
        num_attention_heads=4, num_key_value_heads=4, max_position_embeddings=512, tie_word_embeddings=True,
        bos_token_id=None, eos_token_id=tokenizer.eos_token_id, pad_token_id=tokenizer.pad_token_id,
    )  # fmt: skip
    torch.manual_seed(len(name))
    LlamaForCausalLM(config).save_pretrained(INPUTS / name)
    tokenizer.save_pretrained(INPUTS / name)


if __name__ == "__main__":
    write_data(random.Random(0))
    write_model("teacher", hidden=64, layers=4)
    write_model("student", hidden=32, layers=2)
    print(f"wrote {INPUTS}")
