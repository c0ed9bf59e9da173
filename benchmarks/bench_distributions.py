"""The fidelity pass over distributions: its speed and memory beside plain forward passes of the same two models.

    python benchmarks/bench_distributions.py                      # SmolLM2-135M, downloaded, and its 10-layer cut
    python benchmarks/bench_distributions.py --model path/to/model --rounds 5 --out results.json

A teacher and a student cut from it read the same texts, prompt and response. The arms:

    plain_forward       both models' own forward pass on padded batches, logits of every position: what is to be matched
    response_logits     both decoders, packed, and both heads on the positions that predict a token of the response
    kdscope_pass        the same, and every measure of every position: divergences, agreement, likelihood, confidence

Batches hold texts of like length, the same in all arms. Tokens are real ones, prompt and response; padding is not
counted. Peak memory is that of the whole process, models included.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import fields
from functools import partial
from pathlib import Path
from typing import Any

from common import Arm, Outcome, Task, run_arm, run_rounds
from settings import Settings, make_parser, select, settings_of
from tables import number, show_ratios, show_table

from results import (
    Run,
    describe_machine,
    examples_per_processor_second,
    examples_per_second,
    middle,
    of_arm,
    one_line,
    peak_memory_gib,
    ratios,
    tokens_per_second,
    write_results,
)

_LEFT_OUT = {"learning_rate", "lora_rank", "lora_alpha", "target_modules"}
_OPTIONS = {setting.name for setting in fields(Settings)} - {"extra"} - _LEFT_OUT
# Reads a batch of texts; gives what there is to tell of it.
Read = Callable[[Sequence[Any]], dict[str, float]]


def main(arguments: Sequence[str] | None = None) -> None:
    """Measure, print, write."""
    parser = make_parser(__doc__, only=_OPTIONS, batch_size=16, max_length=512, steps=4, warmup_steps=1)
    parsed = parser.parse_args(arguments)
    if parsed.arm is not None:
        run_arm(parsed, ARMS)
        return
    settings = settings_of(parsed)
    machine = describe_machine(settings.device)
    print(one_line(machine), flush=True)
    chosen = select(ARMS, parsed.arms)
    runs = run_rounds(Path(__file__), chosen, settings, parsed.rounds, partial(print, flush=True))
    pairs = [("kdscope_pass", "plain_forward"), ("kdscope_pass", "response_logits")]
    compared = ratios(runs, pairs, (examples_per_second, examples_per_processor_second, peak_memory_gib))
    write_results(parsed.out, settings, machine, runs, compared)
    show_table("Texts read by both models, medians", ["arm", "texts/s", "tokens/s", "peak GiB", "nll"], _rows(runs))
    show_ratios(compared)


def _rows(runs: Sequence[Run]) -> list[list[str]]:
    return [
        [
            arm,
            number(middle(runs, arm, examples_per_second)),
            number(middle(runs, arm, tokens_per_second), 0),
            number(middle(runs, arm, peak_memory_gib)),
            number(found[0]["nll"] if (found := of_arm(runs, arm)) else None, 4),
        ]
        for arm in ARMS
    ]


def _measure(task: Task, *, make: Callable[[Task], Read]) -> Outcome:
    """Every batch of the settings once; `nll` is the teacher's, of the last batch, a token of the response."""
    read, size = make(task), task.settings.batch_size
    told: dict[str, float] = {}
    for step in range(task.settings.all_steps):
        told = read(task.sequences[step * size : (step + 1) * size])
        task.clock.tick()
    return Outcome(facts=told)


def _models(task: Task) -> tuple[Any, Any, Any]:
    from students import make_teacher, make_tokenizer

    from kdscope.models.load import prune_depth

    student = prune_depth(make_teacher(task.settings), task.settings.student_layers)
    return make_teacher(task.settings), student, make_tokenizer(task.settings)


def plain_forward(task: Task) -> Read:
    """Logits of every position, and nothing done with them."""
    import torch

    from kdscope.evaluation.distributions import forced_batches

    teacher, student, tokenizer = _models(task)

    @torch.inference_mode()
    def read(sequences: Sequence[Any]) -> dict[str, float]:
        batches = forced_batches(sequences, int(tokenizer.pad_token_id), packed=False, device=teacher.device)
        total = 0.0
        for _, batch in batches:
            inputs = {"input_ids": batch.input_ids, "attention_mask": batch.attention_mask, "use_cache": False}
            student(**inputs)
            logits = teacher(**inputs).logits.flatten(0, 1)[batch.selected].float()
            total += float(torch.nn.functional.cross_entropy(logits, batch.targets, reduction="sum"))
        return {"nll": total / sum(len(s.token_ids) - s.prompt_length for s in sequences)}

    return read


def response_logits(task: Task) -> Read:
    """Logits of the responses, chunk by chunk, and nothing done with them."""
    import torch

    from kdscope.evaluation.distributions import ForcedModel, chunk_rows, forced_batches, pieces

    *models, tokenizer = _models(task)
    readers = [ForcedModel.of(model) for model in models]

    @torch.inference_mode()
    def read(sequences: Sequence[Any]) -> dict[str, float]:
        device, total = readers[0].device, 0.0
        pack = all(reader.can_pack for reader in readers)
        for _, batch in forced_batches(sequences, int(tokenizer.pad_token_id), packed=pack, device=device):
            states = [reader.read(batch) for reader in readers]
            for rows in pieces(len(batch.targets), chunk_rows(readers[0].head.vocabulary, device)):
                logits, _ = (reader.head.project(own[rows]) for reader, own in zip(readers, states, strict=True))
                total += float(torch.nn.functional.cross_entropy(logits.float(), batch.targets[rows], reduction="sum"))
        return {"nll": total / sum(len(s.token_ids) - s.prompt_length for s in sequences)}

    return read


def kdscope_pass(task: Task) -> Read:
    """What a study does."""
    from kdscope.evaluation.continuations import Continuation
    from kdscope.evaluation.distributions import ForcedModel, ForcedPair, compare_distributions
    from kdscope.models.vocabulary import match_vocabularies

    teacher, student, tokenizer = _models(task)
    readers, tokens = (ForcedModel.of(teacher), ForcedModel.of(student)), tokenizer.get_vocab()
    pair = ForcedPair(*readers, match_vocabularies(tokens, tokens, *(reader.head.vocabulary for reader in readers)))

    def read(sequences: Sequence[Any]) -> dict[str, float]:
        texts = [
            Continuation("", str(s.example), "gold", s.token_ids[: s.prompt_length], s.token_ids[s.prompt_length :])
            for s in sequences
        ]
        rows = compare_distributions(pair, texts, int(tokenizer.pad_token_id))
        return {"nll": sum(row.teacher_nll * row.tokens for row in rows) / sum(row.tokens for row in rows)}

    return read


ARMS: dict[str, Arm] = {
    make.__name__: partial(_measure, make=make) for make in (plain_forward, response_logits, kdscope_pass)
}

if __name__ == "__main__":
    main()
