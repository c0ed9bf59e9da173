"""Which commit of a hub repository is meant: results are named by it, as a branch can move."""

from __future__ import annotations

import re
from typing import Any, Protocol

from kdscope.core.errors import ModelError

_COMMIT = re.compile(r"[0-9a-f]{40}")


class Hub(Protocol):
    """The part of `huggingface_hub.HfApi` used here."""

    def model_info(self, repo_id: str, *, revision: str | None = None) -> Any:
        """Facts about a repository; `sha` is its commit."""
        ...


def resolve_revision(repository: str, revision: str | None = None, hub: Hub | None = None) -> str:
    """The commit of a branch or tag of a model repository, or of its newest state.

    Args:
        repository: Such as Qwen/Qwen2.5-0.5B.
        revision: A commit, which is returned as it is, or a branch or tag; the newest state where absent.
        hub: Who is asked; huggingface.co where absent.

    Raises:
        ModelError: The hub does not know it, or cannot be reached.
    """
    if revision is not None and _COMMIT.fullmatch(revision):
        return revision
    if hub is None:
        from huggingface_hub import HfApi

        hub = HfApi()
    try:
        commit = hub.model_info(repository, revision=revision).sha
    except Exception as error:  # the client raises its own errors, those of its transport, and ValueError
        reason = str(error).strip().split("\n")[0] or type(error).__name__
        raise ModelError(f"{repository} is no folder here, and the hub does not give its commit: {reason}") from error
    if not isinstance(commit, str) or not _COMMIT.fullmatch(commit):
        raise ModelError(f"the hub names no commit of {repository}")
    return commit
