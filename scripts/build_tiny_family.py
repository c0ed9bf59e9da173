"""Pretrain the tiny family that comes with kdscope: three Llama models and their tokenizer, from generated text.

    python scripts/build_tiny_family.py                  # all three, one after the other
    python scripts/build_tiny_family.py --size tiny-l    # one of them: two can train side by side, a core each

The text is `tiny_corpus.py`'s; everything follows from the seeds here. A build that was interrupted continues from its
last checkpoint (in build/tiny). Finished models go to src/kdscope/models/tiny/<size>, in bfloat16, each with a card.
"""

from __future__ import annotations

import argparse
import math
import random
import re
import time
from collections.abc import Callable
from dataclasses import dataclass
from itertools import islice
from pathlib import Path

import torch
from safetensors import safe_open
from safetensors.torch import save_file
from tiny_corpus import documents, story
from tokenizers import Regex, Tokenizer, decoders, models, pre_tokenizers, trainers
from transformers import LlamaConfig, LlamaForCausalLM, PreTrainedTokenizerFast

from kdscope.tasks.mini.suite import MINI_MAKERS

FAMILY = Path(__file__).resolve().parents[1] / "src" / "kdscope" / "models" / "tiny"
END, PADDING = "<|endoftext|>", "<|padding|>"
VOCABULARY = 768
ROW_TOKENS, ROWS_PER_STEP = 160, 16
STEP_TOKENS = ROW_TOKENS * ROWS_PER_STEP
CHECKPOINT_STEPS = 500
CORPUS_SEED = 0
# What a worked solution may open its lines with; which one is up to chance.
_OPENINGS = re.compile(r"\b(?:First|Then|[A-Z][a-z]+:) ")


@dataclass(frozen=True)
class Size:
    """One member of the family, and how it is trained."""

    name: str
    hidden: int
    layers: int
    heads: int
    feed_forward: int
    tokens: int
    seed: int
    muon_rate: float = 0.02
    adam_rate: float = 4e-3

    @property
    def steps(self) -> int:
        """Optimiser steps."""
        return math.ceil(self.tokens / STEP_TOKENS)

    def config(self) -> LlamaConfig:
        """Its architecture."""
        return LlamaConfig(
            vocab_size=VOCABULARY,
            hidden_size=self.hidden,
            intermediate_size=self.feed_forward,
            num_hidden_layers=self.layers,
            num_attention_heads=self.heads,
            num_key_value_heads=self.heads,
            max_position_embeddings=512,
            tie_word_embeddings=True,
            bos_token_id=None,
            eos_token_id=0,
            pad_token_id=1,
        )


SIZES = {
    size.name: size
    for size in (
        Size("tiny-s", 48, 3, 3, 128, 8_000_000, 1),
        Size("tiny-m", 64, 4, 4, 176, 10_000_000, 2),
        Size("tiny-l", 96, 4, 6, 256, 12_000_000, 3),
    )
}


def build_tokenizer() -> PreTrainedTokenizerFast:
    """Byte-level BPE in which every digit is a token."""
    tokenizer = Tokenizer(models.BPE())
    tokenizer.pre_tokenizer = pre_tokenizers.Sequence(
        [pre_tokenizers.Split(Regex(r"\d"), "isolated"), pre_tokenizers.ByteLevel(add_prefix_space=False)]
    )
    tokenizer.decoder = decoders.ByteLevel()
    trainer = trainers.BpeTrainer(
        vocab_size=VOCABULARY,
        special_tokens=[END, PADDING],
        initial_alphabet=pre_tokenizers.ByteLevel.alphabet(),
        show_progress=False,
    )
    tokenizer.train_from_iterator(islice(documents(CORPUS_SEED), 40_000), trainer)
    return PreTrainedTokenizerFast(tokenizer_object=tokenizer, eos_token=END, pad_token=PADDING, model_max_length=512)


@dataclass(frozen=True)
class Corpus:
    """Rows of tokens, made up as they are needed; those of a step are the same in every run."""

    tokenizer: PreTrainedTokenizerFast
    seed: int

    def rows(self, step: int) -> torch.Tensor:
        """Token ids [ROWS_PER_STEP, ROW_TOKENS]: documents one after the other, the end token after each."""
        source, ids = documents(f"{self.seed}/{step}"), []
        while len(ids) < STEP_TOKENS:
            for encoded in self.tokenizer.backend_tokenizer.encode_batch(list(islice(source, 64))):
                ids += [*encoded.ids, 0]
        return torch.tensor(ids[:STEP_TOKENS]).view(ROWS_PER_STEP, ROW_TOKENS)


class Training:
    """One model's pretraining: Muon for the matrices between the layers, AdamW for embeddings and norms."""

    def __init__(self, size: Size, corpus: Corpus, work: Path) -> None:
        self.size, self.corpus, self.file = size, corpus, work / size.name / "state.safetensors"
        torch.manual_seed(size.seed)
        self.model = LlamaForCausalLM(size.config())
        with torch.no_grad():
            # A standard deviation of 0.1: models this small start faster from it than from 0.02.
            self.model.model.embed_tokens.weight.mul_(5)
        named = list(self.model.named_parameters())
        matrices = [p for name, p in named if p.ndim == 2 and "embed" not in name]
        others = [p for name, p in named if p.ndim != 2 or "embed" in name]
        self.optimizers: list[torch.optim.Optimizer] = [
            torch.optim.Muon(matrices, lr=size.muon_rate, weight_decay=0.01, momentum=0.95),
            torch.optim.AdamW(others, lr=size.adam_rate, weight_decay=0.0, betas=(0.9, 0.98)),
        ]
        self.peak_rates = (size.muon_rate, size.adam_rate)
        self.step, self.seconds = 0, 0.0
        if self.file.exists():
            self._restore()

    def to_the_end(self, report: Callable[[str], None] = print) -> None:
        """Train what is left, saving on the way."""
        began, before, losses = time.monotonic(), self.seconds, []
        while self.step < self.size.steps:
            losses.append(self._one_step())
            self.step += 1
            self.seconds = before + time.monotonic() - began
            if self.step % CHECKPOINT_STEPS == 0 or self.step == self.size.steps:
                self._save()
                done, rate = self.step * STEP_TOKENS, self.step * STEP_TOKENS / self.seconds
                left = (self.size.steps - self.step) * STEP_TOKENS / rate / 60
                loss = sum(losses) / len(losses)
                report(f"{self.size.name}: {done / 1e6:.1f}M tokens, loss {loss:.3f}, {left:.0f} minutes left")
                losses.clear()

    def _one_step(self) -> float:
        rows = self.corpus.rows(self.step)
        loss = self.model(input_ids=rows, labels=rows).loss
        loss.backward()
        torch.nn.utils.clip_grad_norm_(self.model.parameters(), 1.0)
        for optimizer, peak in zip(self.optimizers, self.peak_rates, strict=True):
            optimizer.param_groups[0]["lr"] = peak * rate_share(self.step, self.size.steps)
            optimizer.step()
            optimizer.zero_grad()
        return float(loss.item())

    def _save(self) -> None:
        tensors = {f"model/{name}": p.detach().contiguous() for name, p in self.model.named_parameters()}
        for number, optimizer in enumerate(self.optimizers):
            for parameter, state in optimizer.state_dict()["state"].items():
                tensors |= {f"opt/{number}/{parameter}/{key}": v.contiguous().clone() for key, v in state.items()}
        self.file.parent.mkdir(parents=True, exist_ok=True)
        part = self.file.with_name("next.safetensors")
        save_file(tensors, part, {"step": str(self.step), "seconds": str(self.seconds)})
        part.rename(self.file)

    def _restore(self) -> None:
        with safe_open(self.file, "pt") as stored:
            notes = stored.metadata()
            tensors = {name: stored.get_tensor(name) for name in stored.keys()}  # noqa: SIM118 - not a dictionary
        weights = {name.removeprefix("model/"): t for name, t in tensors.items() if name.startswith("model/")}
        self.model.load_state_dict(weights, strict=False)  # the head is the embedding, and saved once
        for number, optimizer in enumerate(self.optimizers):
            state = optimizer.state_dict()
            for name, tensor in tensors.items():
                if name.startswith(f"opt/{number}/"):
                    _, _, parameter, key = name.split("/")
                    state["state"].setdefault(int(parameter), {})[key] = tensor
            optimizer.load_state_dict(state)
        self.step, self.seconds = int(notes["step"]), float(notes["seconds"])


def rate_share(step: int, steps: int) -> float:
    """Share of the peak learning rate: warm-up over 100 steps, constant, linear to 0 over the last third."""
    return min(1.0, (step + 1) / 100, 3 * (steps - step) / steps)


@torch.inference_mode()
def accuracy(model: LlamaForCausalLM, tokenizer: PreTrainedTokenizerFast, items: int = 200) -> dict[str, float]:
    """Share of unseen stories of each kind that the model continues, greedily, with the right working."""
    model.eval()
    tokenizer.padding_side = "left"
    result = {}
    for kind in MINI_MAKERS:
        rng = random.Random(f"check {kind}")
        told = [story(rng, kind, "test").rsplit("\n", 1) for _ in range(items)]
        batch = tokenizer([f"{head}\n" for head, _ in told], return_tensors="pt", padding=True)
        output = model.generate(**batch, max_new_tokens=60, do_sample=False)
        texts = tokenizer.batch_decode(output[:, batch.input_ids.shape[1] :], skip_special_tokens=True)
        pairs = zip(texts, (working for _, working in told), strict=True)
        result[kind] = sum(_plain(text) == _plain(working) for text, working in pairs) / items
    return result


def _plain(working: str) -> str:
    return _OPENINGS.sub("", working.strip())


def publish(training: Training, folder: Path) -> None:
    """Write the finished model, its tokenizer and its card."""
    model = training.model.to(torch.bfloat16)
    model.save_pretrained(folder)
    training.corpus.tokenizer.save_pretrained(folder)
    scores = accuracy(LlamaForCausalLM.from_pretrained(folder, dtype=torch.float32), training.corpus.tokenizer)
    (folder / "README.md").write_text(card(training, scores), encoding="utf-8")


def card(training: Training, scores: dict[str, float]) -> str:
    """The model card, as Hugging Face reads it."""
    size = training.size
    rows = "\n".join(f"| {kind} | {100 * score:.1f}% |" for kind, score in scores.items())
    return f"""---
license: apache-2.0
language: en
library_name: transformers
pipeline_tag: text-generation
---
# {size.name}

A Llama model of {training.model.num_parameters():,} parameters ({size.layers} layers, width {size.hidden}) that comes
with kdscope, for its quickstart, its tests, and studies that need full control. It knows nothing about the world.

- **Data**: text made up by `scripts/tiny_corpus.py`, seed {size.seed}: exercises in copying and looking up, sums,
  comparisons, and stories with their working. Stories are of the training split of the mini tasks and never in the
  format the tasks are put in; no quantities of a test item occur in a story.
- **Training**: {training.step * STEP_TOKENS:,} tokens in {training.step:,} steps of {STEP_TOKENS:,}; Muon
  ({size.muon_rate:g}) and AdamW ({size.adam_rate:g}); {training.seconds / 60:.0f} minutes on one CPU core.
- **Made by** `scripts/build_tiny_family.py --size {size.name}`.

Greedy continuations of 200 unseen stories of each kind, told plainly, with the right working (not the mini tasks
themselves, whose format the model does not know before it is fine-tuned):

| kind | right |
|---|---|
{rows}
"""


def main() -> None:
    """Build the sizes asked for."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--size", choices=list(SIZES), help="build only this one")
    parser.add_argument("--work", type=Path, default=Path("build/tiny"), help="checkpoints (default: build/tiny)")
    parser.add_argument("--out", type=Path, default=FAMILY, help="finished models")
    parser.add_argument("--threads", type=int, default=1, help="CPU threads; one is the most efficient at this size")
    arguments = parser.parse_args()
    torch.set_num_threads(arguments.threads)
    tokenizer = build_tokenizer()
    for size in [SIZES[arguments.size]] if arguments.size else SIZES.values():
        training = Training(size, Corpus(tokenizer, size.seed), arguments.work)
        training.to_the_end()
        publish(training, arguments.out / size.name)


if __name__ == "__main__":
    main()
