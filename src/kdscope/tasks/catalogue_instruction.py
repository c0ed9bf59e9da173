"""The five instruction-following sets on which distilled models are usually compared (Gu et al. 2024, MiniLLM).

Free text is scored by ROUGE-L, the best over the references. Of S-NI and UnNI it is the part with references of length
11 and more, as in that evaluation.
"""

from __future__ import annotations

from kdscope.tasks.mapping import FieldMapping
from kdscope.tasks.sources import HubDataset, RepositoryFile, Source
from kdscope.tasks.task import Task


def instruction_following() -> tuple[Task, ...]:
    """Dolly, Self-Instruct, Vicuna, S-NI and UnNI, in the order of MiniLLM's tables."""
    return (
        _text_task(
            "dolly",
            500,
            "Conover et al. 2023, Databricks; held out by Gu et al. 2024, arXiv 2306.08543",
            "CC-BY-SA-3.0",
            "people's instructions of eight kinds, held out of Dolly-15K",
            ("dolly_eval",),
            _sources("MiniLLM/dolly", "valid.jsonl", "dolly/valid.jsonl", "f3d75af7b273550bc0ff340faffe17c8c31733d3"),
        ),
        _text_task(
            "self_inst",
            242,
            "Wang et al. 2023, ACL, arXiv 2212.10560",
            "Apache-2.0",
            "user-oriented instructions written by experts",
            ("self_instruct",),
            _sources(
                "MiniLLM/self-inst", "valid.jsonl", "self-inst/valid.jsonl", "8231f707b86745176db46d2117397476d25d80af"
            ),
        ),
        _text_task(
            "vicuna",
            80,
            "Chiang et al. 2023, LMSYS",
            "Apache-2.0",
            "hard open questions of nine kinds, with long references",
            ("vicuna_eval",),
            _sources("MiniLLM/Vicuna", "valid.jsonl", "vicuna/valid.jsonl", "2fcc9c233a9a0987bc5200c4020092f5fa578e56"),
        ),
        _text_task(
            "s_ni",
            1694,
            "Wang et al. 2022, EMNLP, arXiv 2204.07705",
            "Apache-2.0",
            "119 tasks of Super-NaturalInstructions, with one or several references",
            ("sni", "sinst", "super_natural_instructions"),
            _sources(
                "MiniLLM/sinst", "11_/valid.jsonl", "sinst/11_/valid.jsonl", "91ce2bd1332fadea8efcf20300d4a1e3ada3ae21"
            ),
        ),
        _text_task(
            "unni",
            10_000,
            "Honovich et al. 2023, ACL, arXiv 2212.09689",
            "MIT",
            "instructions written by a model; 10,000 of the file's items are the published evaluation",
            ("uinst", "unnatural_instructions"),
            _sources(
                "MiniLLM/uinst", "11_/valid.jsonl", "uinst/11_/valid.jsonl", "104739f507d121d7ddf689bf428f348291b50f25"
            ),
        ),
    )


def _sources(dataset_id: str, hub_file: str, path: str, git_blob: str) -> tuple[Source, ...]:
    fields = FieldMapping("{instruction}", input="{input?}", output="{output}")
    return (
        RepositoryFile("sonho4ng/SRAv2", "d7c7263c15d7d9db67eb956ed113381755c6a3c1", f"llm-data/{path}", git_blob),
        # These repositories hold several files of differing columns, so the file is named, not the split.
        HubDataset(dataset_id, None, "validation", fields, file=hub_file),
    )


def _text_task(
    name: str,
    test_items: int,
    citation: str,
    licence: str,
    description: str,
    aliases: tuple[str, ...],
    sources: tuple[Source, ...],
) -> Task:
    return Task(
        name,
        "instruction",
        "text",
        (),
        0.0,
        test_items,
        citation,
        licence,
        description,
        aliases,
        sources=sources,
    )
