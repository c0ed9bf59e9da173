"""The trained models of a finished run: where they lie in the store, what made them, what they were made from."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import yaml

from kdscope.core.errors import DataError, ModelError, StoreError
from kdscope.core.files import sha256_of
from kdscope.models.configuration import read_object
from kdscope.models.files import files_read
from kdscope.models.source import ModelPlace
from kdscope.pipeline.fingerprint import HashCache, fingerprint, hash_tree
from kdscope.pipeline.manifest import MANIFEST, Manifest, first_problem, read_manifest
from kdscope.pipeline.store import MADE_AGAIN, Store
from kdscope.report.facts import PageFacts, load_facts
from kdscope.report.model_card import CardModel
from kdscope.results.run_file import RUN_FILE, WRITTEN_AGAIN, check_run_files, load_run_file
from kdscope.results.tables import ReportTables, load_tables
from kdscope.study.embedded import EMBEDDED, embedded_models

_PRUNED = "prepare_student"


@dataclass(frozen=True, eq=False)
class FinishedRun:
    """A folder of results.

    Attributes:
        folder: Where it lies.
        store: The store its models are in.
        models: Their folders in the store, by cell; None where training failed or there was none.
        tables: The tidy tables.
        page: What its page tells.
    """

    folder: Path
    store: Path
    models: Mapping[str, str | None]
    tables: ReportTables
    page: PageFacts

    def find(self, name: str) -> str:
        """The cell of this name, or the only one whose name has it as a part.

        Raises:
            DataError: There is none, there are several, or it was not trained.
        """
        trained = [cell for cell, place in self.models.items() if place is not None]
        if name in trained:
            return name
        if name in self.models:
            raise DataError(f"'{name}' of this run was not trained, so there is nothing to export", file=self.folder)
        found = [cell for cell in trained if name.lower() in cell.lower()]
        if len(found) == 1:
            return found[0]
        what = f"'{name}' is part of several cells" if found else f"no trained cell has '{name}' in its name"
        raise DataError(f"{what}; there {'are' if found else 'is'} {', '.join(found or trained)}", file=self.folder)


@dataclass(frozen=True)
class FinishedModel:
    """A trained model in a store.

    Attributes:
        cell: What tables call it.
        folder: Its files, an ordinary model or adapter folder.
        manifest: Of the stage that trained it.
        base: What it was trained from; the folder of a pruned student lies in the store.
        base_manifest: Of the stage that made the base; None unless that exists in the store only.
        source: The same, as a card tells it.
    """

    cell: str
    folder: Path
    manifest: Manifest
    base: ModelPlace | None
    base_manifest: Manifest | None
    source: CardModel

    @property
    def base_in_store(self) -> bool:
        """Whether the base exists in the store only."""
        return self.base_manifest is not None

    @property
    def is_adapter(self) -> bool:
        """Whether the files are an adapter, which needs the base."""
        return (self.folder / "adapter_config.json").is_file()


def read_run(folder: Path) -> FinishedRun:
    """What a run left in its folder.

    Raises:
        DataError: It is no such folder, or a file in it is damaged.
    """
    values = load_run_file(folder)
    if values is None:
        raise DataError("no run.json: this is not the folder of a run (runs/NAME), or the run is not over", file=folder)
    try:
        store, models = Path(values["store"]), dict(values["models"])
    except (ValueError, LookupError, TypeError) as error:
        raise DataError(f"not what a run leaves ({error!r})", file=folder / RUN_FILE) from error
    check_run_files(folder, "tables/*.parquet", "tables/*.json")
    tables = folder / "tables"
    return FinishedRun(folder, store, models, load_tables(tables), load_facts(tables / "facts.json"))


def find_model(run: FinishedRun, cell: str) -> FinishedModel:
    """A trained model of a run, its files verified.

    Raises:
        DataError: What run.json says of the model leads out of the store.
        StoreError: The store no longer has it, or it is damaged.
        ModelError: The adapter does not say what it belongs to.
    """
    stage = _inside(run, str(run.models[cell]), cell)
    manifest = _verified(run, stage, cell)
    try:
        return _described(run, cell, stage, manifest)
    except (LookupError, TypeError, AttributeError, yaml.YAMLError) as error:
        raise DataError(
            f"what its files and the store say of {cell} does not fit together ({error!r}); {WRITTEN_AGAIN}",
            file=run.folder,
        ) from error


def _described(run: FinishedRun, cell: str, stage: Path, manifest: Manifest) -> FinishedModel:
    row = run.tables.cells.set_index("cell").loc[cell]
    kind = "teachers" if row["role"] == "teacher" else "students"
    name = str(row[kind[:-1]])
    identity: Any = manifest.parameters["model"]
    told = _written(run.page, name, kind)
    base = manifest.inputs.get("base")
    pruned = None if base is None else _inside(run, f"stages/{_PRUNED}/{base}", cell)
    place = _adapter_base(stage / "model", identity) if pruned is None else ModelPlace(str(pruned / "model"))
    pruning = None if pruned is None else _verified(run, pruned, cell)
    local = None if place is None else Path(place.location)
    source = CardModel(
        name=name,
        hub=identity.get("hub"),
        revision=identity.get("revision"),
        path=_embedded_name(identity) or told.get("path"),
        licence=_licence(_embedded_folder(identity) or local),
        changed="" if pruning is None else _pruning(pruning),
    )
    return FinishedModel(cell, stage / "model", manifest, place, pruning, source)


def teacher_of(run: FinishedRun, cell: str) -> CardModel | None:
    """The teacher that a student learned from, as the study has it."""
    row = run.tables.cells.set_index("cell").loc[cell]
    if row["role"] != "student" or not isinstance(row["teacher"], str):
        return None
    told = _written(run.page, row["teacher"], "teachers")
    return CardModel(row["teacher"], told.get("hub"), told.get("revision"), told.get("path"))


def check_base(model: FinishedModel, store: Path) -> ModelPlace:
    """The base that an adapter is to be merged into, if it is still what the adapter was trained on.

    Raises:
        ModelError: It is gone, or has changed.
    """
    if model.base is None:
        raise ModelError(f"{model.cell}: its adapter does not say which model it belongs to")
    identity: Any = model.manifest.parameters["model"]
    if model.base_in_store or "content" not in identity:
        return model.base
    folder = Path(model.base.location)
    if not folder.is_dir():
        raise ModelError(f"{model.cell}: the model it was trained from is no longer in {folder}")
    if _content(folder, HashCache(store / "hashes.json")) != identity["content"]:
        raise ModelError(f"{model.cell}: the model in {folder} is no longer the one it was trained from")
    return model.base


def _inside(run: FinishedRun, place: str, cell: str) -> Path:
    """A folder of the store; run.json may be anybody's, and must not get other folders of this machine exported."""
    path = Path(place)
    inside = not path.is_absolute() and ".." not in path.parts
    try:
        inside = inside and (run.store / path).resolve().is_relative_to(run.store.resolve())
    except (OSError, ValueError, RuntimeError):  # a name that no file can have, or links in a circle
        inside = False
    if not inside:
        raise DataError(
            f"'{place}', the folder of {cell}, is not in the store {run.store}", file=run.folder / "run.json"
        )
    return run.store / path


def _verified(run: FinishedRun, stage: Path, cell: str) -> Manifest:
    """The manifest of an output, of which every file was read."""
    if not stage.is_dir():
        raise StoreError(f"{cell}: the store no longer has it ({stage}); {MADE_AGAIN}")
    try:
        manifest = read_manifest(stage / MANIFEST)
        problem = first_problem(stage, manifest, sha256_of)
    except (FileNotFoundError, IsADirectoryError):
        problem = f"{MANIFEST} is missing"
    except ValueError as error:
        problem = f"{MANIFEST} is unreadable: {error}"
    except OSError as error:
        raise StoreError(f"{cell}: {stage} cannot be read: {error}") from error
    if problem:
        Store(run.store).doubt(stage)
        raise StoreError(f"{cell}: damaged in the store: {problem} ({stage}); {MADE_AGAIN}")
    return manifest


def _adapter_base(folder: Path, identity: Mapping[str, Any]) -> ModelPlace | None:
    """Where the base of an adapter lies; None for a whole model, which needs none."""
    file = folder / "adapter_config.json"
    if not file.is_file():
        return None
    if "hub" in identity:
        return ModelPlace(identity["hub"], identity["revision"], trust_remote_code="trust_remote_code" in identity)
    location = read_object(file).get("base_model_name_or_path")
    if not isinstance(location, str) or not location:
        raise ModelError(f"{file} does not name the model it was trained on")
    return ModelPlace(str(Path(location).absolute()), trust_remote_code="trust_remote_code" in identity)


def _written(page: PageFacts, name: str, kind: str) -> dict[str, Any]:
    """What the study says of a teacher or student; paths are shortened there."""
    models = yaml.safe_load(page.study_yaml)[kind]
    return next((dict(model) for model in models if model["name"] == name), {})


def _pruning(manifest: Manifest) -> str:
    layers, keep = manifest.facts.get("layers"), manifest.parameters["keep_layers"]
    kept = f" (indices {', '.join(map(str, keep))})" if isinstance(keep, list) else ", evenly spaced"
    return f"of its layers {layers} were kept{kept}, the others left out"


def _embedded_folder(identity: Mapping[str, Any]) -> Path | None:
    """The folder of the embedded model with this content, if it is one."""
    content = identity.get("content")
    return next((folder for folder in embedded_models() if _content(folder) == content), None)


def _embedded_name(identity: Mapping[str, Any]) -> str | None:
    folder = _embedded_folder(identity)
    return None if folder is None else f"{EMBEDDED}{folder.name}"


def _content(folder: Path, cache: HashCache | None = None) -> str:
    return fingerprint(hash_tree(folder, files_read(folder), cache))


def _licence(folder: Path | None) -> str | None:
    """The licence in the metadata of a model's own card, if it has one."""
    file = None if folder is None else folder / "README.md"
    if file is None or not file.is_file():
        return None
    from huggingface_hub import ModelCard

    try:
        licence = ModelCard.load(file).data.get("license")
    except (OSError, ValueError, yaml.YAMLError):
        return None
    return licence if isinstance(licence, str) else None
