"""A hub model is named by its commit."""

from __future__ import annotations

from types import SimpleNamespace
from typing import Any

import pytest

from kdscope.core.errors import ModelError
from kdscope.models.hub import resolve_revision

COMMIT = "0123456789abcdef0123456789abcdef01234567"


class Answers:
    def __init__(self, sha: Any) -> None:
        self.sha, self.asked = sha, []

    def model_info(self, repo_id: str, *, revision: str | None = None) -> Any:
        self.asked.append((repo_id, revision))
        if isinstance(self.sha, Exception):
            raise self.sha
        return SimpleNamespace(sha=self.sha)


def test_a_branch_becomes_its_commit() -> None:
    hub = Answers(COMMIT)
    assert resolve_revision("a/b", "main", hub) == COMMIT
    assert resolve_revision("a/b", None, hub) == COMMIT
    assert hub.asked == [("a/b", "main"), ("a/b", None)]


def test_a_commit_needs_no_hub() -> None:
    assert resolve_revision("a/b", COMMIT, Answers(ConnectionError("no network"))) == COMMIT


@pytest.mark.parametrize("answer", [ConnectionError("no network\nand more"), ValueError("bad name"), None, "main"])
def test_what_the_hub_does_not_know_is_told(answer: Any) -> None:
    with pytest.raises(ModelError, match=r"(no network|bad name)$|names no commit of a/b"):
        resolve_revision("a/b", None, Answers(answer))
