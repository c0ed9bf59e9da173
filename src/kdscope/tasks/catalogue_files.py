"""The repositories that hold the paper's task files, pinned, and the declarations that several tasks share."""

from __future__ import annotations

from kdscope.tasks.mapping import FieldMapping
from kdscope.tasks.sources import RepositoryFile

# What every choice task's response says in the published files.
CHOICE_OUTPUT = "the correct answer is {@answer}"


def published_files(path: str, git_blob: str) -> tuple[RepositoryFile, ...]:
    """A task's file in LLM-Adapters (Hu et al. 2023) and its copy in the paper's own repository, byte for byte."""
    return (
        adapters_file(f"dataset/{path}", git_blob),
        RepositoryFile(
            "LCS2-IIITD/KD_generalization",
            "a5fed92e2c749ee5dda78aa26f61cce4529f2157",
            f"generative/dataset/{path}",
            git_blob,
        ),
    )


def training_files(path: str, git_blob: str) -> tuple[RepositoryFile, ...]:
    """The same for a training set."""
    return (
        adapters_file(f"ft-training_set/{path}", git_blob),
        RepositoryFile(
            "LCS2-IIITD/KD_generalization",
            "a5fed92e2c749ee5dda78aa26f61cce4529f2157",
            f"generative/ft-training_set/{path}",
            git_blob,
        ),
    )


def adapters_file(path: str, git_blob: str) -> RepositoryFile:
    """A file of LLM-Adapters."""
    return RepositoryFile("AGI-Edgerunners/LLM-Adapters", "816657208af4db747803f87ba40a4c71383fed7a", path, git_blob)


def grade_school_math_file(path: str, git_blob: str, fields: FieldMapping) -> RepositoryFile:
    """A file of GSM8K's authors."""
    return RepositoryFile(
        "openai/grade-school-math", "3101c7d5072418e28b9008a6636bde82a006892c", path, git_blob, fields
    )


def numbered(stem: str, count: int) -> tuple[str, ...]:
    """Labels such as answer1, answer2, answer3."""
    return tuple(f"{stem}{number}" for number in range(1, count + 1))
