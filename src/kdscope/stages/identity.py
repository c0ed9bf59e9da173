"""What a source model is (its content) and where it lies, told apart."""

from __future__ import annotations

from dataclasses import asdict
from pathlib import Path

from kdscope.core.errors import ModelError
from kdscope.models.source import MODEL_FILES, ModelPlace
from kdscope.pipeline.fingerprint import JSON, HashCache, fingerprint, hash_tree
from kdscope.study.arms import ModelSource


def source_identity(source: ModelSource, cache: HashCache) -> JSON:
    """Content hash of a folder's model files, or repository and pinned commit.

    Raises:
        ModelError: A file of the model cannot be read, or a local folder hides the hub repository.
    """
    own_code: dict[str, JSON] = {"trust_remote_code": True} if source.trust_remote_code else {}
    if source.path is None:
        if Path(str(source.hub)).is_dir():
            # transformers would load the folder and ignore the pinned commit.
            raise ModelError(f"hub model {source.hub}: a folder of that name lies here and would be loaded instead")
        return {"hub": source.hub, "revision": source.revision, **own_code}
    try:
        return {"content": fingerprint(hash_tree(source.path, MODEL_FILES, cache)), **own_code}
    except OSError as error:
        raise ModelError(f"cannot read the model in {source.path}: {error.strerror or error}") from error


def model_source_place(source: ModelSource) -> dict[str, JSON]:
    """Where to load it from, as `ModelPlace` keywords."""
    location = str(source.path) if source.path is not None else str(source.hub)
    place = ModelPlace(location, source.revision, trust_remote_code=source.trust_remote_code)
    return asdict(place)
