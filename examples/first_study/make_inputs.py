"""Make the inputs of a first study from nothing: two small untrained models and two tasks they can learn.

    python examples/first_study/make_inputs.py          # a second; writes inputs/ beside this file

Both models are Llamas with one token a byte. The tasks have the format of real ones: parity of a number asked as BoolQ
asks (true or false), and sums of one-digit numbers asked as AddSub asks. Everything is drawn from fixed seeds.
"""

from __future__ import annotations

import json
import random
from pathlib import Path

import torch
from tokenizers import Tokenizer, decoders, models, pre_tokenizers
from transformers import LlamaConfig, LlamaForCausalLM, PreTrainedTokenizerFast

INPUTS = Path(__file__).parent / "inputs"
THINGS = ["pens", "cups", "figs", "nuts"]
NAMES = ["Ann", "Bob", "Eva", "Tom"]


def parity(number: int) -> dict[str, str]:
    """A true-or-false question."""
    answer = "true" if number % 2 == 0 else "false"
    question = f"question: is {number} even?\n\nAnswer format: true/false"
    return {"instruction": question, "input": "", "output": f"the correct answer is {answer}", "answer": answer}


def addition(a: int, b: int, rng: random.Random) -> dict[str, str]:
    """A sum in words."""
    question = f"{rng.choice(NAMES)} has {a} {rng.choice(THINGS)} and gets {b}. How many now?"
    return {"instruction": question, "input": "", "output": f"The answer is {a + b}.", "answer": str(a + b)}


def write_data(rng: random.Random) -> None:
    """Training rows and test items that share no number (parity) and no wording (sums)."""
    numbers = rng.sample(range(100, 1000), 550)
    sums = [addition(rng.randrange(10), rng.randrange(10), rng) for _ in range(2000)]
    unique = list({row["instruction"]: row for row in sums}.values())
    rows = [parity(n) for n in numbers[:400]] + unique[:400]
    rng.shuffle(rows)
    files = {
        "train.json": rows,
        "tasks/boolq/test.json": [parity(n) for n in numbers[400:]],
        "tasks/AddSub/test.json": unique[400:550],
    }
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
