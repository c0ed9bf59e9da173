"""The six mathematics tasks of the paper."""

from __future__ import annotations

from kdscope.tasks.catalogue_files import grade_school_math_file, published_files
from kdscope.tasks.mapping import FieldMapping
from kdscope.tasks.sources import HubDataset, RepositoryFile, Source
from kdscope.tasks.task import Task


def mathematics() -> tuple[Task, ...]:
    """The mathematics tasks, in the order of the paper's tables."""
    return (_gsm8k(), _svamp(), _multi_arith(), _add_sub(), _aqua(), _single_eq())


def gsm8k_train_sources() -> tuple[Source, ...]:
    """GSM8K's training split: worked solutions without calculator marks, their answers without commas."""
    fields = FieldMapping("{question}", output="{answer:worked}", answer="{answer:final}")
    return (
        grade_school_math_file(
            "grade_school_math/data/train.jsonl", "7d97154b91aef28d01c3301741c81ce90039a4b1", fields
        ),
        HubDataset("openai/gsm8k", "main", "train", fields),
    )


def _gsm8k() -> Task:
    fields = FieldMapping("{question}", output="{answer:worked}", answer="{answer:final|float}")
    files = published_files("gsm8k/test.json", "57a7a08e10e12e975e1f972d2b8125c0d4c722b1")
    return _number_task(
        "gsm8k",
        1319,
        "Cobbe et al. 2021, arXiv 2110.14168",
        "MIT",
        "grade-school word problems of 2 to 8 steps",
        (*files, HubDataset("openai/gsm8k", "main", "test", fields)),
        gsm8k_train_sources(),
    )


def _svamp() -> Task:
    fields = FieldMapping("{Body:sentence} {Question:strip}", answer="{Answer:float}")
    files = published_files("SVAMP/test.json", "98b8f1872db596f8aaff2c95d1d698a9fa13b94f")
    authors = RepositoryFile(
        "arkilpatel/SVAMP",
        "689d7ccac74b9983a2ac7cc3b264f441b99e7c53",
        "SVAMP.json",
        "aad093525105c6331581d7082250b9c22578271e",
        fields,
    )
    return _number_task(
        "SVAMP",
        1000,
        "Patel, Bhattamishra, Goyal 2021, NAACL, arXiv 2103.07191",
        "MIT",
        "one-step word problems varied so that shallow cues mislead",
        # The hub divides the authors' 1,000 items into 700 and 300.
        (*files, authors, HubDataset("ChilleD/SVAMP", None, "train+test", fields)),
    )


def _multi_arith() -> Task:
    fields = FieldMapping("{question}", answer="{final_ans:float}")
    files = published_files("MultiArith/test.json", "08e996c6cd8c633cc977f5c50709a8bbfc8fadff")
    return _number_task(
        "MultiArith",
        600,
        "Roy, Roth 2015, EMNLP, arXiv 1608.01413",
        "not stated",
        "word problems of several steps; some items occur twice",
        (*files, HubDataset("ChilleD/MultiArith", None, "train+test", fields)),
    )


def _add_sub() -> Task:
    return _number_task(
        "AddSub",
        395,
        "Hosseini et al. 2014, EMNLP, ACL D14-1058",
        "not stated",
        "addition and subtraction word problems; many answers are not integers",
        published_files("AddSub/test.json", "f3996cdf4159b4e1e4b6768865a4db72105f4e2f"),
    )


def _aqua() -> Task:
    # The published file has a space around every parenthesis, those inside the options included.
    fields = FieldMapping(
        "{question:strip} Answer Choices:{@options:spaced}",
        answer="{correct}",
        options=("{options}",),
        option="({@text}",
        separator="",
    )
    files = published_files("AQuA/test.json", "731fbb456f7a93bb4121125de09c4adcf42e5dab")
    return Task(
        "AQuA",
        "math",
        "letter",
        ("A", "B", "C", "D", "E"),
        1 / 5,
        254,
        "Ling et al. 2017, ACL, arXiv 1705.04146",
        "Apache-2.0",
        "algebra questions with five choices",
        ("aqua-rat",),
        sources=(*files, HubDataset("deepmind/aqua_rat", "raw", "test", fields)),
    )


def _single_eq() -> Task:
    return _number_task(
        "SingleEq",
        508,
        "Koncel-Kedziorski et al. 2015, TACL 3, ACL Q15-1042",
        "not stated",
        "word problems of a single equation; many answers are not integers",
        published_files("SingleEq/test.json", "cce7a868400323e30e2094a15d482c1aa743dbb0"),
    )


def _number_task(
    name: str,
    test_items: int,
    citation: str,
    licence: str,
    description: str,
    sources: tuple[Source, ...],
    train_sources: tuple[Source, ...] = (),
) -> Task:
    return Task(
        name,
        "math",
        "number",
        (),
        0.0,
        test_items,
        citation,
        licence,
        description,
        sources=sources,
        train_sources=train_sources,
    )
