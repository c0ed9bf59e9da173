"""What a source model is (its content) and where it lies, told apart."""

from __future__ import annotations

from dataclasses import asdict

from kdscope.models.source import MODEL_FILES, ModelPlace
from kdscope.pipeline.fingerprint import JSON, HashCache, fingerprint, hash_tree
from kdscope.study.schema import ModelSource


def source_identity(source: ModelSource, cache: HashCache) -> JSON:
    """Content hash of a folder's model files, or repository and pinned commit."""
    if source.path is None:
        return {"hub": source.hub, "revision": source.revision}
    return {"content": fingerprint(hash_tree(source.path, MODEL_FILES, cache))}


def source_place(source: ModelSource) -> JSON:
    """Where to load it from, as `ModelPlace` keywords."""
    location = str(source.path) if source.path is not None else str(source.hub)
    place = ModelPlace(location, source.revision, trust_remote_code=source.trust_remote_code)
    return asdict(place)
